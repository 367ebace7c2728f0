//! The loop with a scripted camera, a model that reads its verdict off the picture, and a conveyor.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod scripted;

use mudenet_board::gate::{Delay, GateConfig, Wiring};
use mudenet_board::machine::{self, ResultMode};
use mudenet_board::{ErrorCode, Micros, Verdict, millis};
use mudenet_edge::capture::CheckedCamera;
use mudenet_edge::config::PictureLimits;
use mudenet_edge::decide::drift::Baseline;
use mudenet_edge::run::simulate::{Conveyor, Outcome, Plant};
use mudenet_edge::run::station::{Counters, GateSettings, StationConfig};
use mudenet_edge::run::{Devices, Handle, Line, LineConfig, Pipeline, Prepared, Recipes, Record, RecordSink, Report};
use mudenet_edge::signal::{Levels, OutputLine, Outputs, Signal, SignalError};
pub use scripted::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Number of the first part.
pub const FIRST: u32 = 1000;
/// Levels of grey that the model answers with something else than a score.
pub const NAN_LEVEL: u8 = 250;
pub const FAILING_LEVEL: u8 = 251;
pub const PANIC_LEVEL: u8 = 252;
pub const SLOW_LEVEL: u8 = 253;
/// Rows and columns of pictures.
pub const SIDE: usize = 32;

/// What the record does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sink {
    Keeps,
    Hangs,
    Panics,
}

/// A part in the record.
#[derive(Clone, Debug)]
pub struct Kept {
    pub part: u32,
    pub recipe: u16,
    pub accepted: bool,
    pub fault: bool,
    pub picture: bool,
}

#[derive(Default)]
struct Book {
    parts: Vec<Kept>,
    notices: Vec<String>,
}

struct Recorder {
    sink: Sink,
    book: Arc<Mutex<Book>>,
}

impl RecordSink for Recorder {
    fn put(&mut self, record: &Record) {
        match self.sink {
            Sink::Hangs => std::thread::sleep(Duration::from_secs(60)),
            Sink::Panics => panic!("disk full"),
            Sink::Keeps => {}
        }
        let mut book = self.book.lock().unwrap();
        match record {
            Record::Part(part) => {
                let accepted = part.verdict == Verdict::Accept;
                let picture = part.frame.is_some() && part.inspection.is_some();
                let fault = part.verdict == Verdict::Fault;
                book.parts.push(Kept { part: part.part, recipe: part.recipe, accepted, fault, picture });
                book.notices.extend(part.error.clone());
            }
            Record::Notice { text } => book.notices.push(text.clone()),
            _ => {}
        }
    }
}

/// Outputs that stop working.
struct Failing {
    inner: Box<dyn Outputs>,
    after: Option<u32>,
    last: Arc<Mutex<Levels>>,
    alerted: Arc<AtomicBool>,
}

impl Outputs for Failing {
    fn set(&mut self, levels: Levels) -> Result<(), SignalError> {
        if let Some(left) = &mut self.after {
            if *left == 0 {
                let source = std::io::Error::other("wire cut");
                return Err(SignalError::Io { device: "outputs".into(), source });
            }
            *left -= 1;
        }
        *self.last.lock().unwrap() = levels;
        if levels.get(OutputLine::Error) && levels.get(OutputLine::Ready) {
            self.alerted.store(true, Ordering::SeqCst);
        }
        self.inner.set(levels)
    }
}

/// When a step happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// When the camera is asked for this part, from 0.
    Part(u32),
}

type Act = Box<dyn FnMut(&Handle, Micros) + Send>;

/// What else happens to the line.
#[derive(Default)]
pub struct Steps(Vec<(Kind, Act)>);

impl Steps {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn at(mut self, kind: Kind, act: impl FnMut(&Handle, Micros) + Send + 'static) -> Self {
        self.0.push((kind, Box::new(act)));
        self
    }
}

/// Who is shown a line before it runs.
pub type Meet = Box<dyn FnOnce(&Line)>;

/// A line and its conveyor. The result is latched, so that the box is ready soon after each part.
pub struct Rig {
    pub parts: u32,
    pub pitch_ms: u64,
    pub wiring: Wiring,
    pub encoder: bool,
    pub delay_ms: u64,
    /// What the gate is told of the parts, whatever comes.
    pub gate_pitch_ms: u64,
    pub result: ResultMode,
    pub recipes_take: Duration,
    pub queue: usize,
    pub sink: Sink,
    pub frozen: Option<u32>,
    pub drift_parts: Option<usize>,
    pub record_accepted: bool,
    pub outputs_fail_after: Option<u32>,
    pub signal: Option<Box<dyn Signal>>,
    /// Who else gets every record.
    pub sinks: Vec<Box<dyn RecordSink>>,
    /// Who is shown the line before it runs.
    pub meets: Vec<Meet>,
    pub recipes: Option<Box<dyn Recipes>>,
}

impl Rig {
    pub fn new(parts: u32) -> Self {
        Self {
            parts,
            pitch_ms: 150,
            wiring: Wiring::AcceptPulse,
            encoder: false,
            delay_ms: 450,
            gate_pitch_ms: 100,
            result: ResultMode::Latch,
            recipes_take: Duration::ZERO,
            queue: 64,
            sink: Sink::Keeps,
            frozen: None,
            drift_parts: None,
            record_accepted: false,
            outputs_fail_after: None,
            signal: None,
            sinks: vec![],
            meets: vec![],
            recipes: None,
        }
    }

    pub fn gate(&self) -> GateSettings {
        let delay = if self.encoder {
            Delay::Encoder { counts: 300, pitch: 50, stopped_after: None }
        } else {
            Delay::Time { delay: millis(self.delay_ms), pitch: millis(self.gate_pitch_ms) }
        };
        let gate = GateConfig { delay, pulse: millis(100), wiring: self.wiring };
        GateSettings { gate, queue: self.queue, confirm: None }
    }

    pub fn config(&self) -> LineConfig {
        LineConfig {
            station: StationConfig {
                machine: machine::Config {
                    result: self.result,
                    data_to_strobe: millis(1),
                    ack_timeout: millis(60),
                    inspect_timeout: millis(400),
                    ..machine::Config::default()
                },
                part_present: false,
                first_part: FIRST,
                gate: Some(self.gate()),
                consecutive_rejects: None,
                controller_heartbeat: None,
            },
            recipe: 1,
            trigger_delay: 0,
            capture_timeout: millis(400),
            camera_lost: millis(5000),
            stop_within: millis(5000),
            realtime_priority: None,
            drift_parts: self.drift_parts,
            record_accepted: self.record_accepted,
        }
    }

    pub fn run(self, script: impl FnMut(u32) -> Shot + Send + 'static) -> Done {
        self.run_with(script, Steps::new())
    }

    pub fn run_with(mut self, mut script: impl FnMut(u32) -> Shot + Send + 'static, steps: Steps) -> Done {
        let (plant, book) = (Plant::default(), Arc::new(Mutex::new(Book::default())));
        let last = Arc::new(Mutex::new(Levels::default()));
        let alerted = Arc::new(AtomicBool::new(false));
        // The steps need a handle of the line, which needs the camera first.
        let late: Arc<Mutex<Option<(Handle, Steps)>>> = Arc::default();
        let from_camera = Arc::clone(&late);
        let scripted = move |part: u32| {
            if let Some((handle, steps)) = &mut *from_camera.lock().unwrap() {
                for (_, act) in steps.0.iter_mut().filter(|(kind, _)| *kind == Kind::Part(part)) {
                    act(handle, mudenet_edge::run::now());
                }
            }
            script(part)
        };
        let camera = Scripted::new(scripted);
        let limits = PictureLimits { frozen: self.frozen, ..PictureLimits::default() };
        let mut sinks = std::mem::take(&mut self.sinks);
        sinks.push(Box::new(Recorder { sink: self.sink, book: Arc::clone(&book) }));
        let line = Line::new(
            self.config(),
            Devices {
                camera: Box::new(CheckedCamera::new(camera, limits)),
                outputs: Box::new(Failing {
                    inner: plant.outputs(),
                    after: self.outputs_fail_after,
                    last: Arc::clone(&last),
                    alerted: Arc::clone(&alerted),
                }),
                signal: self.signal.take(),
                sink: plant.record(Box::new(sinks)),
                recipes: self.recipes.take().unwrap_or(Box::new(Seven(self.recipes_take))),
                watchdog: Box::new(()),
            },
        );
        self.meets.drain(..).for_each(|meet| meet(&line));
        *late.lock().unwrap() = Some((line.handle(), steps));
        let conveyor = Conveyor { parts: self.parts, pitch: millis(self.pitch_ms), jitter: 0.1, counts: 100, seed: 1 };
        let driver = plant.drive(conveyor, Some(self.gate()), FIRST, line.handle());
        let report = line.run().unwrap();
        driver.join().unwrap();
        let outcome = plant.outcome(Some(self.gate()));
        let mut book = book.lock().unwrap();
        let last_gate_level = last.lock().unwrap().get(OutputLine::Gate);
        Done {
            report,
            outcome,
            parts: std::mem::take(&mut book.parts),
            notices: std::mem::take(&mut book.notices),
            last_gate_level,
            alerted: alerted.load(Ordering::SeqCst),
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Done {
    pub report: Report,
    pub outcome: Outcome,
    pub parts: Vec<Kept>,
    pub notices: Vec<String>,
    pub last_gate_level: bool,
    /// Whether the ERROR line was active while a trigger would have been taken.
    pub alerted: bool,
}

impl Done {
    pub fn counters(&self) -> &Counters {
        &self.report.counters
    }

    /// No part escaped, and each has one disposition.
    #[track_caller]
    pub fn assert_safe(&self) {
        assert_eq!(self.outcome.escaped, 0, "{self:?}");
        let counters = self.counters();
        let overflowed = counters.errors_of(ErrorCode::QueueFull);
        assert!(
            counters.passed_gate + counters.rejected_at_gate + overflowed >= counters.parts(),
            "every part leaves: {self:?}"
        );
    }

    pub fn said(&self, what: &str) -> bool {
        self.notices.iter().any(|notice| notice.contains(what))
    }

    pub fn faulty(&self) -> Vec<u32> {
        self.parts.iter().filter(|part| part.fault).map(|part| part.part).collect()
    }

    pub fn recipes_used(&self) -> Vec<u16> {
        self.parts.iter().map(|part| part.recipe).collect()
    }
}
