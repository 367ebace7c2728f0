//! The loop: inputs from all threads in, one station, outputs and jobs out.

mod config;
mod drift;
mod events;
mod feed;
mod inbox;
mod loader;
mod record;
mod turn;
mod worker;

pub use config::{Devices, LineConfig, Report, Watchdog};
pub use feed::{Feed, Product, Status};
pub use inbox::Handle;
pub use loader::{Prepared, Recipes};
pub use record::{Finished, Record, RecordSink};

use super::station::{Station, StationError, StationInput};
use super::{Latency, clock};
use crate::guard::guarded;
use crate::signal::{Levels, Outputs, Signal, SignalError};
use drift::DriftWatch;
use inbox::Inbox;
use loader::Loader;
use mudenet_board::wire::PartResult;
use mudenet_board::{ErrorCode, Micros, millis};
use record::Recorder;
use std::sync::Arc;
use std::time::Duration;
use worker::{Inspected, Worker};

/// Longest sleep of the loop.
const LONGEST_SLEEP: Micros = millis(100);
/// Messages of the controller taken before outputs and time get their turn.
const AT_ONCE: usize = 32;

/// A line that is set up and not running yet.
pub struct Line {
    config: LineConfig,
    devices: Devices,
    inbox: Inbox,
    feed: Feed,
}

impl Line {
    /// A line with its devices.
    pub fn new(config: LineConfig, devices: Devices) -> Self {
        Self { config, devices, inbox: Inbox::new(), feed: Feed::default() }
    }

    /// A way to tell the line what happens; devices with threads of their own each take one.
    pub fn handle(&self) -> Handle {
        self.inbox.handle()
    }

    /// What the line is like, to be read by others while it runs.
    pub fn feed(&self) -> Feed {
        self.feed.clone()
    }

    /// Connects the controller's line, which may need a [`Line::handle`] to say that something arrived.
    pub fn connect(&mut self, signal: Box<dyn Signal>) {
        self.devices.signal = Some(signal);
    }

    /// Inspects until [`Handle::stop`]. However it ends, the output lines are left at their safe levels.
    ///
    /// # Errors
    /// [`StationError`] for settings that cannot work.
    pub fn run(self) -> Result<Report, StationError> {
        let Self { config, devices, inbox, feed } = self;
        let wiring = config.station.gate.map(|settings| settings.gate.wiring);
        let Devices { camera, mut outputs, signal, sink, recipes, watchdog } = devices;
        let levels = Levels::safe(wiring);
        let now = clock::now();
        let station = Station::new(config.station, now)?;
        let mut run = Loop {
            worker: Worker::start(camera, config, inbox.handle()),
            loader: Loader::start(recipes, inbox.handle()),
            recorder: Recorder::start(sink, config.drift_parts.map(|parts| DriftWatch::new(parts, inbox.handle()))),
            config,
            station,
            signal,
            watchdog,
            inbox,
            levels: None,
            lines_failed: false,
            feed,
            loaded: None,
            product: None,
            last_error: None,
            last_result: None,
            asked: config.recipe,
            again: None,
            part: None,
            inspected: None,
            camera: false,
            last_fresh: now,
            overhead: Latency::default(),
            pulse: Latency::default(),
            unsent: 0,
            stopping: None,
        };
        // After the threads were started: they would inherit it.
        run.raise_priority();
        let ended = guarded(|| run.serve(&mut *outputs));
        // Whatever happened, nothing is accepted from here on.
        let _ = outputs.set(levels);
        Ok(run.finish(ended.is_err()))
    }
}

struct Loop {
    config: LineConfig,
    station: Station,
    signal: Option<Box<dyn Signal>>,
    watchdog: Box<dyn Watchdog>,
    inbox: Inbox,
    worker: Worker,
    loader: Loader,
    recorder: Recorder,
    levels: Option<Levels>,
    lines_failed: bool,
    feed: Feed,
    loaded: Option<Box<Prepared>>,
    product: Option<Arc<Product>>,
    last_error: Option<(ErrorCode, Micros)>,
    last_result: Option<PartResult>,
    /// The recipe that the loader was last asked for.
    asked: u16,
    /// The recipe that a reset loads again: it judged known parts wrong, or failed while there was no other.
    again: Option<u16>,
    /// The part that was given to the inspection and is not back.
    part: Option<Part>,
    /// What came back and has not been published.
    inspected: Option<Inspected>,
    camera: bool,
    last_fresh: Micros,
    overhead: Latency,
    pulse: Latency,
    unsent: u64,
    stopping: Option<Micros>,
}

#[derive(Clone, Copy)]
struct Part {
    number: u32,
    triggered: Micros,
}

impl Loop {
    fn serve(&mut self, outputs: &mut dyn Outputs) {
        self.feed(StationInput::Start, clock::now(), outputs);
        self.feed(StationInput::ChangeRecipe(self.config.recipe), clock::now(), outputs);
        while !self.done() {
            let wait = self.next_deadline().saturating_sub(clock::now());
            let mut said = self.inbox.wait(Duration::from_micros(wait));
            let mut taken = 0;
            while let Some(event) = said {
                self.take(event, outputs);
                taken += 1;
                said = if taken < AT_ONCE { self.inbox.next() } else { None };
            }
            self.hear(outputs);
            let now = clock::now();
            if self.camera && self.part.is_none() && now >= self.last_fresh.saturating_add(self.config.camera_lost) {
                self.lose_camera("no sign of life from the camera", now, outputs);
            }
            self.feed(StationInput::Tick, now, outputs);
            self.tell(now);
        }
    }

    fn done(&self) -> bool {
        self.stopping
            .is_some_and(|since| self.station.idle() || clock::now() >= since.saturating_add(self.config.stop_within))
    }

    fn next_deadline(&self) -> Micros {
        let fresh =
            (self.camera && self.part.is_none()).then(|| self.last_fresh.saturating_add(self.config.camera_lost));
        let longest = clock::now().saturating_add(LONGEST_SLEEP);
        [self.station.deadline(), fresh, Some(longest)].into_iter().flatten().min().unwrap_or(longest)
    }

    fn note(&mut self, error: &SignalError) {
        self.recorder.notice(error.to_string());
    }

    fn finish(self, broken: bool) -> Report {
        let Self { station, overhead, pulse, unsent, recorder, worker, .. } = self;
        drop(self.signal);
        let stopped_early = broken || !station.idle();
        worker.stop();
        let records_dropped = recorder.stop();
        Report { counters: *station.counters(), overhead, pulse, records_dropped, unsent, stopped_early }
    }

    /// Shows pages and peers what the line is like.
    fn tell(&self, now: Micros) {
        self.feed.show(|status| {
            status.at = now;
            status.state = self.station.state();
            if status.product != self.product {
                status.product.clone_from(&self.product);
            }
            status.camera = self.camera;
            status.levels = self.station.levels();
            status.drifted = self.station.drifted();
            status.result = self.last_result;
            status.rejects_in_a_row = self.station.rejects_in_a_row();
            status.on_the_way = self.station.on_the_way();
            status.last_error = self.last_error;
            status.counters = *self.station.counters();
            status.records_dropped = self.recorder.dropped();
            status.unsent = self.unsent;
        });
    }

    fn raise_priority(&mut self) {
        use thread_priority::{
            RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
            set_thread_priority_and_policy, thread_native_id,
        };
        let Some(priority) = self.config.realtime_priority else { return };
        let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
        let raised = ThreadPriorityValue::try_from(priority).map_err(|reason| reason.to_string()).and_then(|value| {
            set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(value), policy)
                .map_err(|error| error.to_string())
        });
        if let Err(reason) = raised {
            self.recorder.notice(format!("box.realtime_priority: {priority} cannot be had: {reason}"));
        }
    }
}
