//! A conveyor in place of the plant: parts that trigger, an encoder, and a flap at the gate that obeys the output line.

use super::clock;
use super::line::{Handle, Record, RecordSink};
use super::station::{GateSettings, InputLine, QUEUE_CAPACITY};
use crate::decide::Verdict;
use crate::signal::{Levels, OutputLine, Outputs, SignalError};
use mudenet_board::gate::{Delay, Wiring};
use mudenet_board::{Micros, millis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

/// Longest wait for the box to become ready, and a step of it.
const PATIENCE: Micros = millis(120_000);
const LOOK: Duration = Duration::from_millis(10);
/// Time between two steps of the simulated encoder.
const ENCODER_STEP: Micros = millis(1);

/// How parts come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conveyor {
    /// How many.
    pub parts: u32,
    /// Mean time between two.
    pub pitch: Micros,
    /// Largest deviation of a part from its place, as a share of the pitch, 0 to below 0.5.
    pub jitter: f64,
    /// Encoder counts a pitch, where the gate goes by an encoder.
    pub counts: u32,
    /// Seed of the deviations.
    pub seed: u64,
}

/// Where every part went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Parts that passed the camera.
    pub parts: u64,
    /// Parts that left as good.
    pub good: u64,
    /// Parts that were inspected and left as rejected.
    pub rejected: u64,
    /// Parts that were not inspected, or failed to be, and left as rejected.
    pub uninspected: u64,
    /// Parts judged good that left as rejected.
    pub good_rejected: u64,
    /// Parts that left as good without having been judged good. Must be 0.
    pub escaped: u64,
}

/// What the box is connected to.
#[derive(Clone, Default)]
pub struct Plant {
    shared: Arc<Mutex<Seen>>,
}

/// Parts that are remembered one by one, at least: a box has fewer on the way. What became of older ones is only counted,
/// once they have been at the gate.
const REMEMBERED: usize = QUEUE_CAPACITY;

#[derive(Default)]
struct Seen {
    /// Parts that are not remembered any more.
    settled: Outcome,
    /// When the gate's output changed, and to what.
    gate: Vec<(Micros, bool)>,
    /// Changes of any line.
    changes: u64,
    ready: bool,
    /// When each part is at the gate, by its number.
    at_gate: BTreeMap<u32, Option<Micros>>,
    verdicts: BTreeMap<u32, Option<Verdict>>,
}

impl Plant {
    /// The box's output lines.
    pub fn outputs(&self) -> Box<dyn Outputs> {
        Box::new(PlantOutputs { plant: self.clone(), gate: None })
    }

    /// A record that lets the plant know which verdict each part got, and hands everything on to `next`.
    pub fn record(&self, next: Box<dyn RecordSink>) -> Box<dyn RecordSink> {
        Box::new(PlantRecord { plant: self.clone(), next })
    }

    /// How often output lines changed.
    pub fn changes(&self) -> u64 {
        self.seen(|seen| seen.changes)
    }

    /// Waits for the box to be ready, at most two minutes, lets parts come until all have been at the gate, then stops the
    /// line. `first` is the number of the first part.
    pub fn drive(&self, conveyor: Conveyor, gate: Option<GateSettings>, first: u32, handle: Handle) -> JoinHandle<()> {
        let plant = self.clone();
        spawn(move || {
            let mut belt = Belt { plant: &plant, handle: &handle, conveyor, counted: 0, start: 0 };
            if belt.wait_for_ready() {
                belt.run(gate, first);
            }
            handle.stop();
        })
    }

    /// Where the parts went. Call it when the line has ended.
    pub fn outcome(&self, gate: Option<GateSettings>) -> Outcome {
        self.seen(|seen| {
            seen.settle(gate, 0, Micros::MAX);
            seen.settled.clone()
        })
    }

    fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Seen {
    /// Counts what became of the parts that have left the gate by `now`, but the newest `keep`, and forgets them.
    fn settle(&mut self, gate: Option<GateSettings>, keep: usize, now: Micros) {
        let pulse = gate.map_or(0, |settings| settings.gate.pulse);
        while self.at_gate.len() > keep
            && let Some(oldest) = self.at_gate.first_entry()
            && oldest.get().is_none_or(|at| at.saturating_add(pulse) <= now)
        {
            let (part, at_gate) = oldest.remove_entry();
            let verdict = self.verdicts.remove(&part).flatten();
            let judged_good = verdict == Some(Verdict::Accept);
            let left_good = match gate {
                None => judged_good,
                Some(settings) => at_gate.is_some_and(|at| {
                    let active = self.gate_at(at.saturating_add(settings.gate.pulse / 2));
                    active == (settings.gate.wiring == Wiring::AcceptPulse)
                }),
            };
            let outcome = &mut self.settled;
            outcome.parts += 1;
            match (left_good, judged_good, verdict) {
                (true, true, _) => outcome.good += 1,
                (true, false, _) => outcome.escaped += 1,
                (false, true, _) => outcome.good_rejected += 1,
                (false, false, Some(Verdict::Reject)) => outcome.rejected += 1,
                (false, false, _) => outcome.uninspected += 1,
            }
        }
        // The level since the last change before the oldest part that is still looked for.
        let oldest = self.at_gate.values().next().copied().flatten().unwrap_or(Micros::MAX);
        let before = self.gate.partition_point(|(at, _)| *at <= oldest);
        self.gate.drain(..before.saturating_sub(1));
    }

    fn gate_at(&self, time: Micros) -> bool {
        let after = self.gate.partition_point(|(at, _)| *at <= time);
        after.checked_sub(1).and_then(|i| self.gate.get(i)).is_some_and(|(_, level)| *level)
    }
}

struct PlantOutputs {
    plant: Plant,
    gate: Option<bool>,
}

impl Outputs for PlantOutputs {
    fn set(&mut self, levels: Levels) -> Result<(), SignalError> {
        let gate = levels.get(OutputLine::Gate);
        let changed = self.gate != Some(gate);
        self.gate = Some(gate);
        self.plant.seen(|seen| {
            seen.changes += 1;
            seen.ready = levels.get(OutputLine::Ready);
            if changed {
                seen.gate.push((clock::now(), gate));
            }
        });
        Ok(())
    }
}

struct PlantRecord {
    plant: Plant,
    next: Box<dyn RecordSink>,
}

impl RecordSink for PlantRecord {
    fn put(&mut self, record: &Record) {
        match record {
            Record::Part(finished) => {
                let verdict = Some(finished.verdict);
                self.plant.seen(|seen| seen.verdicts.insert(finished.part, verdict));
            }
            Record::Uninspected { part, .. } => {
                self.plant.seen(|seen| {
                    seen.verdicts.entry(*part).or_insert(None);
                });
            }
            Record::Settled { .. } | Record::Error { .. } | Record::Notice { .. } => {}
        }
        self.next.put(record);
    }
}

struct Belt<'a> {
    plant: &'a Plant,
    handle: &'a Handle,
    conveyor: Conveyor,
    counted: u64,
    start: Micros,
}

impl Belt<'_> {
    fn wait_for_ready(&self) -> bool {
        let begin = clock::now();
        while !self.plant.seen(|seen| seen.ready) {
            sleep(LOOK);
            self.handle.wake();
            if clock::now() >= begin.saturating_add(PATIENCE) {
                return false;
            }
        }
        true
    }

    fn run(&mut self, gate: Option<GateSettings>, first: u32) {
        let Conveyor { parts, pitch, jitter, seed, .. } = self.conveyor;
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let way = gate.map_or(0, |settings| match settings.gate.delay {
            Delay::Time { delay, .. } => delay,
            // The belt runs at a constant speed, so the way is a time here too.
            Delay::Encoder { counts, .. } => {
                u64::from(counts).saturating_mul(pitch) / u64::from(self.conveyor.counts.max(1))
            }
        });
        let encoder = gate.is_some_and(|settings| matches!(settings.gate.delay, Delay::Encoder { .. }));
        // The gate rejects for one delay after the start, for it does not know what is on the belt; the camera needs its
        // time too.
        self.start = clock::now();
        self.advance(self.start.saturating_add(way).saturating_add(millis(300)), encoder);
        self.start = clock::now();
        self.counted = 0;
        let begin = self.start;
        for index in 0..parts {
            let place = f64::from(index) + 0.5 + jitter.clamp(0.0, 0.49) * (2.0 * random.random::<f64>() - 1.0);
            let at = begin.saturating_add((place * pitch as f64) as Micros);
            self.advance(at, encoder);
            let now = clock::now();
            let number = first.wrapping_add(index);
            self.plant.seen(|seen| {
                seen.at_gate.insert(number, gate.map(|_| now.saturating_add(way)));
                if seen.at_gate.len() > 2 * REMEMBERED {
                    seen.settle(gate, REMEMBERED, now);
                }
            });
            self.handle.line(InputLine::Trigger, true, now, Some(index));
            self.handle.line(InputLine::Trigger, false, now, None);
        }
        let rest = clock::now().saturating_add(way).saturating_add(millis(if gate.is_some() { 600 } else { 1200 }));
        self.advance(rest, encoder);
    }

    /// Waits until `time`, the belt running.
    fn advance(&mut self, time: Micros, encoder: bool) {
        loop {
            let now = clock::now();
            if encoder {
                let per_pitch = u64::from(self.conveyor.counts);
                let counts = now.saturating_sub(self.start).saturating_mul(per_pitch) / self.conveyor.pitch.max(1);
                let new = counts.saturating_sub(self.counted);
                if new > 0 {
                    self.counted = counts;
                    self.handle.encoder(i32::try_from(new).unwrap_or(i32::MAX), now);
                }
            }
            let left = time.saturating_sub(now);
            if left == 0 {
                return;
            }
            sleep(Duration::from_micros(if encoder { left.min(ENCODER_STEP) } else { left }));
        }
    }
}
