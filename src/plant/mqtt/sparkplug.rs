//! Sparkplug B 3.0: an edge node without devices.
//!
//! Field numbers are those of `sparkplug_b.proto` (Eclipse Tahu). NBIRTH and NDATA are QoS 0 and not retained, as the
//! specification demands; what makes results certain is `GROUP/NODE/sent` beside it, a QoS 1 message behind each batch: a
//! broker that acknowledges it has read what was sent before it on the same connection.

use super::json::SILENCE;
use super::{Covers, Dialect, Identity, Out};
use crate::config::MqttConfig;
use crate::plant::message::PartMessage;
use crate::plant::outbox::parts_of;
use crate::record::journal::Stamp;
use crate::run::{Status, now, wall_clock};
use crate::signal::OutputLine;
use prost::Message as _;
use rumqttc::{LastWill, QoS};
use serde_json::json;

/// The name that a host writes `true` to for another NBIRTH.
const REBIRTH: &str = "Node Control/Rebirth";

/// `Payload`.
#[derive(Clone, PartialEq, prost::Message)]
struct Payload {
    #[prost(uint64, optional, tag = "1")]
    timestamp: Option<u64>,
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
    #[prost(uint64, optional, tag = "3")]
    seq: Option<u64>,
}

/// `Payload.Metric`.
#[derive(Clone, PartialEq, prost::Message)]
struct Metric {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    alias: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    datatype: Option<u32>,
    #[prost(bool, optional, tag = "5")]
    is_historical: Option<bool>,
    #[prost(bool, optional, tag = "7")]
    is_null: Option<bool>,
    #[prost(oneof = "Value", tags = "10, 11, 12, 13, 14, 15")]
    value: Option<Value>,
}

/// `Payload.Metric.value`.
#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(uint32, tag = "10")]
    Int(u32),
    #[prost(uint64, tag = "11")]
    Long(u64),
    #[prost(float, tag = "12")]
    Float(f32),
    #[prost(double, tag = "13")]
    Double(f64),
    #[prost(bool, tag = "14")]
    Boolean(bool),
    #[prost(string, tag = "15")]
    String(String),
}

/// `DataType`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    UInt32 = 7,
    UInt64 = 8,
    Float = 9,
    Double = 10,
    Boolean = 11,
    String = 12,
    DateTime = 13,
}

/// A metric's name, type and value; without a value it is null.
type Reading = (&'static str, Kind, Option<Value>);

/// Aliases of what tells of the box begin here, and of what tells of a part there.
const LINE_ALIAS: u64 = 1;
const PART_ALIAS: u64 = 100;

pub(super) struct Sparkplug {
    group: String,
    node: String,
    identity: Identity,
    /// Counts the connections, modulo 256, so that a host can tell an old death from a new one.
    bd_seq: u64,
    seq: u64,
    last: Vec<Option<Value>>,
}

impl Sparkplug {
    pub(super) fn new(config: &MqttConfig, identity: Identity) -> Self {
        Self { group: config.group.clone(), node: config.node.clone(), identity, bd_seq: 0, seq: 0, last: vec![] }
    }

    fn topic(&self, kind: &str) -> String {
        format!("spBv1.0/{}/{kind}/{}", self.group, self.node)
    }

    fn death(&self) -> Vec<u8> {
        let metrics = vec![metric("bdSeq", None, Kind::UInt64, Some(Value::Long(self.bd_seq)), wall_now())];
        Payload { timestamp: Some(wall_now()), metrics, seq: None }.encode_to_vec()
    }

    /// The next of NBIRTH's and NDATA's one sequence, 0–255.
    fn data(&mut self, metrics: Vec<Metric>) -> Out {
        self.seq = (self.seq + 1) % 256;
        let payload = Payload { timestamp: Some(wall_now()), metrics, seq: Some(self.seq) };
        self.live("NDATA", &payload)
    }

    fn live(&self, kind: &str, payload: &Payload) -> Out {
        let payload = payload.encode_to_vec();
        Out { topic: self.topic(kind), qos: QoS::AtMostOnce, retain: false, payload, covers: None }
    }

    fn line(&self, status: &Status) -> Vec<Reading> {
        let (c, product) = (&status.counters, status.product.as_deref());
        let text = |text: &str| Some(Value::String(text.to_owned()));
        let flag = |level: bool| Some(Value::Boolean(level));
        let count = |count: u64| Some(Value::Long(count));
        let level = |line: OutputLine| flag(status.levels.get(line));
        vec![
            ("Line/State", Kind::String, text(status.state.name())),
            ("Line/Ready", Kind::Boolean, level(OutputLine::Ready)),
            ("Line/Camera", Kind::Boolean, flag(status.camera)),
            ("Line/Alive", Kind::Boolean, flag(now() < status.at.saturating_add(SILENCE))),
            ("Line/Alarm", Kind::Boolean, level(OutputLine::Alarm)),
            ("Line/Missed", Kind::Boolean, level(OutputLine::Missed)),
            ("Line/Error Code", Kind::UInt32, Some(Value::Int(status.last_error.map_or(0, |(e, _)| e.code().into())))),
            ("Line/Simulated", Kind::Boolean, flag(self.identity.simulated)),
            ("Recipe/Number", Kind::UInt32, product.map(|product| Value::Int(product.number.into()))),
            ("Recipe/Name", Kind::String, product.and_then(|product| text(&product.name))),
            ("Recipe/Model", Kind::String, product.and_then(|product| text(&product.model))),
            ("Recipe/Threshold", Kind::Float, product.map(|product| Value::Float(product.threshold))),
            ("Counters/Parts", Kind::UInt64, count(c.parts())),
            ("Counters/Accepted", Kind::UInt64, count(c.accepted)),
            ("Counters/Rejected", Kind::UInt64, count(c.rejected)),
            ("Counters/Faults", Kind::UInt64, count(c.faults)),
            ("Counters/Missed", Kind::UInt64, count(c.missed)),
            ("Counters/Unseen", Kind::UInt64, count(c.unseen)),
            ("Properties/Name", Kind::String, text(&self.identity.name)),
            ("Properties/Software Version", Kind::String, text(env!("CARGO_PKG_VERSION"))),
        ]
    }
}

/// What is told of a part; of none without one.
fn part_readings(part: Option<&(u64, PartMessage)>) -> Vec<Reading> {
    let of = |value: &dyn Fn(u64, &PartMessage) -> Option<Value>| part.and_then(|(number, part)| value(*number, part));
    vec![
        ("Part/Id", Kind::UInt32, of(&|_, part| Some(Value::Int(part.part)))),
        ("Part/Session", Kind::UInt32, of(&|number, _| Some(Value::Int(parts_of(number).0)))),
        ("Part/Sequence", Kind::UInt32, of(&|number, _| Some(Value::Int(parts_of(number).1)))),
        ("Part/Time", Kind::DateTime, of(&|_, part| Some(Value::Long(millis_of(part.time))))),
        ("Part/Verdict", Kind::String, of(&|_, part| Some(Value::String(part.verdict.clone())))),
        ("Part/Score", Kind::Float, of(&|_, part| part.score.map(Value::Float))),
        ("Part/Threshold", Kind::Float, of(&|_, part| part.threshold.map(Value::Float))),
        ("Part/Recipe", Kind::UInt32, of(&|_, part| Some(Value::Int(part.recipe.into())))),
        ("Part/Milliseconds", Kind::Double, of(&|_, part| part.ms.map(Value::Double))),
        ("Part/Error", Kind::String, of(&|_, part| part.error.clone().map(Value::String))),
    ]
}

fn metric(name: &str, alias: Option<u64>, kind: Kind, value: Option<Value>, time: u64) -> Metric {
    Metric {
        name: Some(name.to_owned()),
        alias,
        timestamp: Some(time),
        datatype: Some(kind as u32),
        is_historical: None,
        is_null: value.is_none().then_some(true),
        value,
    }
}

/// By its alias alone, as in NDATA.
fn reading(alias: u64, kind: Kind, value: Option<Value>, time: u64, late: bool) -> Metric {
    let is_historical = late.then_some(true);
    Metric { name: None, alias: Some(alias), is_historical, ..metric("", None, kind, value, time) }
}

fn wall_now() -> u64 {
    millis_of(Stamp::from(wall_clock()))
}

fn millis_of(stamp: Stamp) -> u64 {
    u64::try_from(stamp.millis()).unwrap_or(0)
}

impl Dialect for Sparkplug {
    fn will(&mut self, connection: u64) -> LastWill {
        self.bd_seq = connection % 256;
        LastWill::new(self.topic("NDEATH"), self.death(), QoS::AtLeastOnce, false)
    }

    fn listens_to(&self) -> Option<String> {
        Some(self.topic("NCMD"))
    }

    fn asks_for_birth(&self, topic: &str, payload: &[u8]) -> bool {
        let rebirth =
            |metric: &Metric| metric.name.as_deref() == Some(REBIRTH) && metric.value == Some(Value::Boolean(true));
        topic == self.topic("NCMD") && Payload::decode(payload).is_ok_and(|command| command.metrics.iter().any(rebirth))
    }

    fn birth(&mut self, status: &Status) -> Vec<Out> {
        let time = wall_now();
        let mut metrics = vec![
            metric("bdSeq", None, Kind::UInt64, Some(Value::Long(self.bd_seq)), time),
            metric(REBIRTH, None, Kind::Boolean, Some(Value::Boolean(false)), time),
        ];
        let line = self.line(status);
        for (first, readings) in [(LINE_ALIAS, &line), (PART_ALIAS, &part_readings(None))] {
            let named = readings.iter().zip(first..);
            metrics.extend(
                named.map(|((name, kind, value), alias)| metric(name, Some(alias), *kind, value.clone(), time)),
            );
        }
        self.last = line.into_iter().map(|(_, _, value)| value).collect();
        self.seq = 0;
        let payload = Payload { timestamp: Some(time), metrics, seq: Some(0) };
        vec![self.live("NBIRTH", &payload)]
    }

    fn state(&mut self, status: &Status, all: bool) -> Vec<Out> {
        let (line, time) = (self.line(status), wall_now());
        let is_count = |name: &str| name.starts_with("Counters/");
        let before = std::mem::take(&mut self.last);
        let changed = |at: usize, value: &Option<Value>| before.get(at) != Some(value);
        let telling =
            all || line.iter().enumerate().any(|(at, (name, _, value))| !is_count(name) && changed(at, value));
        if !telling {
            self.last = before;
            return vec![];
        }
        let differs = line.iter().zip(LINE_ALIAS..).enumerate().filter(|(at, ((_, _, value), _))| changed(*at, value));
        let metrics: Vec<Metric> =
            differs.map(|(_, ((_, kind, value), alias))| reading(alias, *kind, value.clone(), time, false)).collect();
        self.last = line.into_iter().map(|(_, _, value)| value).collect();
        if metrics.is_empty() { vec![] } else { vec![self.data(metrics)] }
    }

    fn parts(&mut self, parts: &[(u64, PartMessage)], late: bool) -> Vec<Out> {
        let mut outs: Vec<Out> = vec![];
        for part in parts {
            let time = millis_of(part.1.time);
            let readings = part_readings(Some(part)).into_iter().zip(PART_ALIAS..);
            let metrics = readings.map(|((_, kind, value), alias)| reading(alias, kind, value, time, late)).collect();
            outs.push(self.data(metrics));
        }
        if let (Some((first, _)), Some((last, _))) = (parts.first(), parts.last()) {
            let (session, seq) = parts_of(*last);
            outs.push(Out {
                topic: format!("{}/{}/sent", self.group, self.node),
                qos: QoS::AtLeastOnce,
                retain: true,
                payload: json!({"session": session, "seq": seq}).to_string().into_bytes(),
                covers: Some(Covers { numbers: *first..=*last, count: parts.len() }),
            });
        }
        outs
    }

    fn goodbye(&mut self) -> Vec<Out> {
        vec![Out {
            topic: self.topic("NDEATH"),
            qos: QoS::AtLeastOnce,
            retain: false,
            payload: self.death(),
            covers: None,
        }]
    }
}
