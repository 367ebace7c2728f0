//! The loop: inputs from all threads in, one station, outputs and jobs out.

mod config;
mod drift;
mod feed;
mod inbox;
mod loader;
mod record;
mod worker;

pub use config::{Devices, LineConfig, Report, Watchdog};
pub use feed::{Feed, Product, Status};
pub use inbox::Handle;
pub use loader::{Prepared, Recipes};
pub use record::{Finished, Record, RecordSink};

use super::station::{Action, Station, StationError, StationInput};
use super::{Latency, clock};
use crate::guard::guarded;
use crate::signal::{Levels, Message, OutputLine, Outputs, Signal, SignalError};
use drift::DriftWatch;
use inbox::{Inbox, Said};
use loader::Loader;
use mudenet_board::wire::PartResult;
use mudenet_board::{ErrorCode, Micros, State, millis};
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

    fn take(&mut self, said: Said, outputs: &mut dyn Outputs) {
        match said {
            Said::Line { line, level, at, seqno } => {
                self.feed(StationInput::Line { line, level, seqno }, at, outputs);
            }
            Said::Encoder { counts, at } => self.feed(StationInput::Encoder(counts), at, outputs),
            Said::EncoderLost { at } => self.feed(StationInput::EncoderLost, at, outputs),
            Said::Inspected(inspected) => self.inspected(inspected, outputs),
            Said::Camera(Ok(())) => self.fresh(outputs),
            Said::Camera(Err(reason)) => self.lose_camera(&reason, clock::now(), outputs),
            Said::Recipe { number, result } => self.recipe(number, result, outputs),
            Said::Replace(recipes) => {
                self.loader.replace(recipes);
                let number = self.station.recipe().or(self.again).unwrap_or(self.config.recipe);
                self.feed(StationInput::ChangeRecipe(number), clock::now(), outputs);
            }
            Said::ChangeRecipe(number) => self.feed(StationInput::ChangeRecipe(number), clock::now(), outputs),
            Said::Fault { code, reason } => {
                self.recorder.notice(reason);
                self.feed(StationInput::Fail(code), clock::now(), outputs);
            }
            Said::Drifted { reason } => {
                self.recorder.notice(reason);
                self.feed(StationInput::Drifted, clock::now(), outputs);
            }
            Said::Distrust { recipe, reason } => {
                self.recorder.notice(reason);
                if self.station.recipe() == Some(recipe) {
                    self.again = Some(recipe);
                    self.feed(StationInput::Distrust, clock::now(), outputs);
                }
            }
            Said::Stop => {
                let now = clock::now();
                if self.stopping.is_some() {
                    // The second time: at once.
                    self.stopping = Some(0);
                } else {
                    self.stopping = Some(now);
                    self.feed(StationInput::Halt, now, outputs);
                }
            }
            Said::Wake => {}
        }
    }

    /// Takes what the controller said and what failed on the way to it.
    fn hear(&mut self, outputs: &mut dyn Outputs) {
        for _ in 0..AT_ONCE {
            match self.signal.as_mut().and_then(|signal| signal.receive()) {
                None => return,
                Some(Ok(message)) => self.feed(StationInput::Command(message), clock::now(), outputs),
                Some(Err(error)) => {
                    self.note(&error);
                    self.feed(StationInput::Report(ErrorCode::LineFault), clock::now(), outputs);
                }
            }
        }
    }

    /// Hands `input` to the station, does what it says, and sets the lines.
    fn feed(&mut self, input: StationInput, now: Micros, outputs: &mut dyn Outputs) {
        let Self { station, signal, watchdog, worker, loader, recorder, config, .. } = self;
        // An inspection that hangs is no sign of life.
        let longest = config.station.machine.inspect_timeout.saturating_add(config.camera_lost);
        let hangs = self.part.is_some_and(|part| now >= part.triggered.saturating_add(longest));
        let fresh = self.camera && !hangs;
        let (part, loaded, unsent) = (&mut self.part, &mut self.loaded, &mut self.unsent);
        let (product, last_error) = (&mut self.product, &mut self.last_error);
        let (asked, again) = (&mut self.asked, &mut self.again);
        let stood = station.state() == State::Error;
        let mut judged = None;
        let mut broken = None;
        let due = station.gate_deadline();
        station.handle(input, now, &mut |action| match action {
            Action::Inspect { part: number } => {
                *part = Some(Part { number, triggered: now });
                let until = now.saturating_add(config.station.machine.inspect_timeout);
                if worker.inspect(number, now, until).is_err() {
                    broken = Some("the inspection takes no more jobs");
                }
            }
            Action::LoadRecipe { number } => {
                *asked = number;
                loader.load(number);
            }
            Action::UseRecipe { number } => match loaded.take().filter(|prepared| prepared.product.number == number) {
                Some(prepared) => {
                    *again = None;
                    *product = Some(Arc::clone(&prepared.product));
                    if worker.use_recipe(prepared).is_err() {
                        broken = Some("the inspection takes no other recipe");
                    }
                }
                None => broken = Some("the recipe that was loaded is not the one asked for"),
            },
            Action::Send(message) => send(signal, &message, unsent, recorder),
            Action::Judged(result) => judged = Some(result),
            Action::Uninspected { part, reason } => recorder.put(Record::Uninspected { part, reason, at: now }),
            Action::Settled { part, outcome } => {
                recorder.put(Record::Settled { part, outcome, at: now });
            }
            Action::Error(code) => {
                // What stopped the box is what has to be done something about, not the parts that it misses since.
                if !(stood && code == ErrorCode::MissedTrigger) {
                    *last_error = Some((code, now));
                }
                if code == ErrorCode::RecipeFailed && product.is_none() {
                    *again = Some(*asked);
                }
                recorder.put(Record::Error { code, at: now });
            }
            Action::Alive(state) => {
                // Without a picture there is nothing to live for, unless a person is waited for.
                if fresh || (!hangs && matches!(state, State::Error | State::Halted)) {
                    watchdog.alive(state);
                }
            }
        });
        self.show(outputs, now, due);
        if let Some(number) = self.again.filter(|_| stood && self.station.state() == State::Initialized) {
            self.feed(StationInput::ChangeRecipe(number), now, outputs);
        }
        if let Some(result) = judged {
            self.last_result = Some(result);
            let at = clock::now();
            let finished = self.inspected.take().filter(|inspected| inspected.part() == result.part());
            self.publish(result, finished, now, at);
        }
        if let Some(reason) = broken {
            self.recorder.notice(reason.to_owned());
            self.feed(StationInput::Fail(ErrorCode::Internal), now, outputs);
        }
    }

    /// Sets the lines where they changed.
    fn show(&mut self, outputs: &mut dyn Outputs, now: Micros, due: Option<Micros>) {
        let levels = self.station.levels();
        if self.levels == Some(levels) {
            return;
        }
        let gate = |levels: Levels| levels.get(OutputLine::Gate);
        let due = due.filter(|due| *due <= now && gate(levels) && !self.levels.is_none_or(gate));
        match outputs.set(levels) {
            Ok(()) => {
                self.levels = Some(levels);
                self.lines_failed = false;
                if let Some(due) = due {
                    self.pulse.add(clock::now().saturating_sub(due));
                }
            }
            Err(error) if !self.lines_failed => {
                self.lines_failed = true;
                self.note(&error);
                self.feed(StationInput::Fail(ErrorCode::LineFault), now, outputs);
            }
            Err(_) => {}
        }
    }

    fn inspected(&mut self, inspected: Inspected, outputs: &mut dyn Outputs) {
        let now = clock::now();
        let result = inspected.result();
        let camera = inspected.camera.as_ref().err().cloned();
        self.inspected = Some(inspected);
        self.part = None;
        self.feed(StationInput::Free, now, outputs);
        self.feed(StationInput::Result(result), now, outputs);
        self.inspected = None;
        match camera {
            None => self.fresh(outputs),
            Some(reason) => self.lose_camera(&reason, now, outputs),
        }
    }

    fn publish(&mut self, result: PartResult, inspected: Option<Inspected>, now: Micros, at: Micros) {
        let triggered = match (&inspected, self.part) {
            (Some(inspected), _) => inspected.triggered,
            (None, Some(part)) if part.number == result.part() => part.triggered,
            (None, _) => now,
        };
        let mut finished = Finished::new(result, triggered, at.saturating_sub(triggered));
        if let Some(inspected) = inspected {
            self.overhead.add(finished.took.saturating_sub(inspected.work));
            inspected.fill(&mut finished);
        }
        self.recorder.put(Record::Part(finished));
    }

    fn fresh(&mut self, outputs: &mut dyn Outputs) {
        let now = clock::now();
        self.last_fresh = now;
        if !self.camera {
            self.camera = true;
            self.recorder.notice("the camera delivers".to_owned());
            self.feed(StationInput::Camera(true), now, outputs);
        }
    }

    fn lose_camera(&mut self, reason: &str, now: Micros, outputs: &mut dyn Outputs) {
        if self.camera {
            self.camera = false;
            self.recorder.notice(reason.to_owned());
            self.feed(StationInput::Camera(false), now, outputs);
        }
    }

    fn recipe(&mut self, number: u16, result: Result<Box<Prepared>, String>, outputs: &mut dyn Outputs) {
        let ok = match result {
            Ok(prepared) => {
                self.recorder.notice(format!("recipe {number} loaded: {}", prepared.product.name));
                self.loaded = Some(prepared);
                true
            }
            Err(reason) => {
                self.recorder.notice(format!("recipe {number}: {reason}"));
                false
            }
        };
        self.feed(StationInput::RecipeLoaded { number, ok }, clock::now(), outputs);
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
}

fn send(signal: &mut Option<Box<dyn Signal>>, message: &Message, unsent: &mut u64, recorder: &mut Recorder) {
    if let Some(signal) = signal
        && let Err(error) = signal.send(message)
    {
        *unsent += 1;
        if *unsent == 1 {
            recorder.notice(error.to_string());
        }
    }
}
