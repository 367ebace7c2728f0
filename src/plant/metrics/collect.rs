use crate::plant::{Counts, Delivery};
use crate::run::{Feed, Finished, Status, now};
use crate::signal::OutputLine;
use mudenet_board::{ErrorCode, State};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bounds of times, s.
const SECONDS: [f64; 13] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
/// Bounds of scores over thresholds.
const RATIOS: [f64; 14] = [0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.5, 2.0, 3.0, 5.0];

/// What only the single parts tell.
#[derive(Debug)]
pub(super) struct Observed {
    total: Histogram,
    capture: Histogram,
    inspect: Histogram,
    ratio: Histogram,
}

impl Default for Observed {
    fn default() -> Self {
        let [total, capture, inspect] = [(); 3].map(|()| Histogram::new(SECONDS));
        Self { total, capture, inspect, ratio: Histogram::new(RATIOS) }
    }
}

impl Observed {
    pub(super) fn part(&self, finished: &Finished) {
        let times =
            [(&self.total, finished.took), (&self.capture, finished.capture), (&self.inspect, finished.inspect)];
        // Without a picture or an inspection there is no time of it.
        for (histogram, time) in times.into_iter().filter(|(_, time)| *time > 0) {
            histogram.observe(time as f64 / 1e6);
        }
        let threshold = finished.product.as_ref().map(|product| product.threshold).filter(|threshold| *threshold > 0.0);
        if let Some((score, threshold)) = finished.score.filter(|score| score.is_finite()).zip(threshold) {
            self.ratio.observe(f64::from(score / threshold));
        }
    }
}

/// Everything under `/metrics`.
pub(super) fn registry(
    name: &str,
    simulated: bool,
    modbus: bool,
    observed: Arc<Observed>,
    counts: Arc<Counts>,
    feed: Feed,
) -> Registry {
    let mut registry = Registry::with_prefix("mudenet");
    registry.register_with_unit(
        "part_duration",
        "Time from the trigger to the result on the line",
        Unit::Seconds,
        observed.total.clone(),
    );
    registry.register_with_unit(
        "capture_duration",
        "Time of that in the camera",
        Unit::Seconds,
        observed.capture.clone(),
    );
    registry.register_with_unit(
        "inspection_duration",
        "Time of that in the inspection",
        Unit::Seconds,
        observed.inspect.clone(),
    );
    registry.register(
        "score_ratio",
        "Score of a part over the threshold; above 1 it is rejected",
        observed.ratio.clone(),
    );
    registry.register_collector(Box::new(Line { name: name.to_owned(), simulated, modbus, counts, feed }));
    registry
}

/// What the line and its peers say at a moment.
struct Line {
    name: String,
    simulated: bool,
    modbus: bool,
    counts: Arc<Counts>,
    feed: Feed,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Collector for Line {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut write = Writer(encoder);
        let status = self.feed.status();
        self.encode_line(&mut write, &status)?;
        self.encode_counters(&mut write, &status)?;
        self.encode_peers(&mut write)
    }
}

impl Line {
    fn encode_line(&self, write: &mut Writer<'_>, status: &Status) -> fmt::Result {
        let simulated = if self.simulated { "true" } else { "false" };
        write.info(
            "box",
            "The box and its program",
            &[("station", self.name.as_str()), ("version", env!("CARGO_PKG_VERSION")), ("simulated", simulated)],
        )?;
        if let Some(product) = &status.product {
            let number = product.number.to_string();
            write.info(
                "recipe",
                "The recipe in use",
                &[("number", number.as_str()), ("name", product.name.as_str()), ("model", product.model.as_str())],
            )?;
            write.gauge("threshold", "Scores above it are rejected", f64::from(product.threshold))?;
        }
        let states = State::ALL.map(|state| ([("state", state.name())], f64::from(u8::from(state == status.state))));
        write.gauges("state", "1 for the state that the line is in (OPC 40100-1)", &states)?;
        let age = now().saturating_sub(status.at) as f64 / 1e6;
        write.gauge("status_age_seconds", "Time since the line's last sign of life", age)?;
        for (name, help, line) in [
            ("ready", "1 while a trigger would be taken", OutputLine::Ready),
            ("error", "1 while ERROR is on", OutputLine::Error),
            ("alarm", "1 after too many rejects in a row, until a reset", OutputLine::Alarm),
        ] {
            write.gauge(name, help, f64::from(u8::from(status.levels.get(line))))?;
        }
        write.gauge("camera_up", "1 while pictures are fresh", f64::from(u8::from(status.camera)))?;
        write.gauge(
            "rejects_in_a_row",
            "Rejects and faults since the last good part",
            status.rejects_in_a_row.into(),
        )?;
        write.gauge("parts_on_the_way", "Parts between camera and gate", status.on_the_way as f64)
    }

    fn encode_counters(&self, write: &mut Writer<'_>, status: &Status) -> fmt::Result {
        let c = &status.counters;
        write.counters(
            "parts",
            "Parts by what became of them; missed and unseen ones were rejected without an inspection",
            &[
                ([("result", "accept")], c.accepted),
                ([("result", "reject")], c.rejected),
                ([("result", "fault")], c.faults),
                ([("result", "missed")], c.missed),
                ([("result", "unseen")], c.unseen),
            ],
        )?;
        write.counters(
            "gate_parts",
            "Parts by the way they left",
            &[([("way", "accept")], c.passed_gate), ([("way", "reject")], c.rejected_at_gate)],
        )?;
        write.counter("gate_good_rejected", "Good parts that left as rejected", c.good_rejected_at_gate)?;
        write.counter("recipe_changes", "Recipes taken into use", c.recipe_changes)?;
        let words = ErrorCode::ALL.map(|code| (code.to_string(), c.errors_of(code)));
        let errors: Vec<_> = words.iter().map(|(word, count)| ([("error", word.as_str())], *count)).collect();
        write.counters("errors", "Errors by kind", &errors)?;
        write.counter("records_dropped", "Records that found no room in the queue", status.records_dropped)?;
        write.counter("messages_unsent", "Messages that did not reach the controller", status.unsent)
    }

    fn encode_peers(&self, write: &mut Writer<'_>) -> fmt::Result {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let peers = [("mqtt", &self.counts.mqtt), ("webhook", &self.counts.webhook)];
        let used: Vec<(&str, &Delivery)> = peers.into_iter().filter(|(_, d)| d.used.load(Ordering::Relaxed)).collect();
        if !used.is_empty() {
            let of = |look: &dyn Fn(&Delivery) -> u64| -> Vec<_> {
                used.iter().map(|(peer, delivery)| ([("peer", *peer)], look(delivery))).collect()
            };
            let gauge = |values: Vec<([(&'static str, &'static str); 1], u64)>| -> Vec<_> {
                values.into_iter().map(|(labels, value)| (labels, value as f64)).collect()
            };
            let up = of(&|delivery| u64::from(delivery.connected.load(Ordering::Relaxed)));
            write.gauges("peer_up", "1 while the peer takes messages", &gauge(up))?;
            let waiting = of(&|delivery| load(&delivery.waiting));
            write.gauges("outbox_messages", "Messages that wait for the peer", &gauge(waiting))?;
            write.counters("messages_delivered", "Messages that the peer took", &of(&|d| load(&d.delivered)))?;
            write.counters("messages_dropped", "Messages that were given up", &of(&|d| load(&d.dropped)))?;
        }
        if self.modbus {
            let counts = &self.counts;
            write.gauge("modbus_connections", "Modbus connections", load(&counts.modbus_open) as f64)?;
            write.counter("modbus_refused", "Modbus connections that were refused", load(&counts.modbus_refused))?;
            write.counter("modbus_requests", "Modbus requests", load(&counts.modbus_requests))?;
        }
        Ok(())
    }
}

/// Samples of one name.
type Samples<'a, V> = [([(&'a str, &'a str); 1], V)];

struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&labels)
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        ConstGauge::new(value).encode(self.0.encode_descriptor(name, help, None, MetricType::Gauge)?)
    }

    fn gauges(&mut self, name: &str, help: &str, samples: &Samples<'_, f64>) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        samples.iter().try_for_each(|(labels, value)| ConstGauge::new(*value).encode(family.encode_family(labels)?))
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        ConstCounter::new(value).encode(self.0.encode_descriptor(name, help, None, MetricType::Counter)?)
    }

    fn counters(&mut self, name: &str, help: &str, samples: &Samples<'_, u64>) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        samples.iter().try_for_each(|(labels, value)| ConstCounter::new(*value).encode(family.encode_family(labels)?))
    }
}
