//! A gate over random lines: no part that was not proven good leaves without being rejected.
//!
//! The oracle is the belt itself: where each part is, which results had come before it reached the gate.

#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub, reason = "helpers of tests may fail the test")]

mod streams;

use std::cell::Cell;
use std::collections::HashMap;

use mudenet_board::gate::{Delay, Gate, GateConfig, GateEvent, GateInput, Outcome, Wiring};
use mudenet_board::{Micros, Verdict, millis};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const PULSE: Micros = millis(20);
const WAY: i64 = 500_000;
const PITCH: i64 = 50_000;
const STREAMS: u32 = 300;
const LONGEST: usize = 1000;

struct Part {
    number: u32,
    /// Place at which it reaches the gate.
    due: i64,
    /// When it reached the gate.
    reached: Option<Micros>,
    accepted: bool,
    refused: bool,
}

impl Part {
    fn proven(&self) -> bool {
        self.accepted && !self.refused
    }
}

struct Belt {
    gate: Gate<12>,
    wiring: Wiring,
    encoder: bool,
    now: Micros,
    counts: i64,
    parts: Vec<Part>,
    settled: HashMap<u32, Outcome>,
    twice: u32,
    passed: u32,
}

impl Belt {
    fn new(wiring: Wiring, encoder: bool) -> Self {
        let delay = if encoder {
            Delay::Encoder { counts: WAY as u32, pitch: PITCH as u32, stopped_after: Some(millis(400)) }
        } else {
            Delay::Time { delay: WAY as u64, pitch: PITCH as u64 }
        };
        let gate = Gate::new(GateConfig { delay, pulse: PULSE, wiring }, 0).unwrap();
        let (parts, settled) = (Vec::new(), HashMap::new());
        Self { gate, wiring, encoder, now: 0, counts: 0, parts, settled, twice: 0, passed: 0 }
    }

    fn place(&self) -> i64 {
        if self.encoder { self.counts } else { self.now as i64 }
    }

    fn feed(&mut self, input: GateInput) {
        self.feed_at(input, self.now);
    }

    fn feed_at(&mut self, input: GateInput, at: Micros) {
        let (settled, twice, passed) = (&mut self.settled, &mut self.twice, &mut self.passed);
        self.gate.handle(input, at, &mut |event| {
            if let GateEvent::Settled { part, outcome } = event {
                *twice += u32::from(settled.insert(part, outcome).is_some());
                *passed += u32::from(outcome == Outcome::Passed);
            }
        });
    }

    /// Lets time pass, with a tick at each deadline; the gate's level is checked over every stretch between.
    fn wait(&mut self, time: Micros) {
        let end = self.now + time;
        loop {
            let next = self.gate.deadline().map_or(end, |deadline| deadline.clamp(self.now, end));
            self.check_until(next);
            self.now = next;
            self.feed(GateInput::Tick);
            if next == end {
                return;
            }
        }
    }

    /// Every part that is at the gate between now and `next` and not proven good is being rejected.
    fn check_until(&mut self, next: Micros) {
        let place = self.place();
        for part in &mut self.parts {
            if part.reached.is_none() && part.due <= place {
                part.reached = Some(self.now);
            }
        }
        if next == self.now {
            return;
        }
        let output = self.gate.output();
        let accepting = match self.wiring {
            Wiring::AcceptPulse => output,
            Wiring::RejectPulse => !output,
        };
        let now = self.now;
        for part in &self.parts {
            let there = part.reached.is_some_and(|at| now < at + PULSE);
            assert!(!(there && accepting && !part.proven()), "part {} got away at {now}", part.number);
        }
        self.parts.retain(|part| part.reached.is_none_or(|at| now < at + PULSE));
    }

    fn move_belt(&mut self, counts: i32) {
        self.counts += i64::from(counts);
        self.feed(GateInput::Encoder { counts });
    }

    fn enter(&mut self, number: u32) -> &mut Part {
        let due = self.place() + WAY;
        self.parts.push(Part { number, due, reached: None, accepted: false, refused: false });
        self.parts.last_mut().unwrap()
    }

    fn judge(&mut self, number: u32, verdict: Verdict) {
        let place = self.place();
        if let Some(part) = self.parts.iter_mut().find(|part| part.number == number && part.due > place) {
            part.accepted |= verdict.is_accept();
            part.refused |= !verdict.is_accept();
        }
        self.feed(GateInput::Result { part: number, verdict });
    }
}

#[derive(Clone, Debug)]
enum Step {
    Part,
    /// A part that the gate is told of by a loop that was held up.
    LatePart {
        lag: Micros,
    },
    Missed,
    /// A part that nobody sees, and the next one, by which its loss is noticed.
    Unseen,
    /// The newest part but so many is judged.
    Judge {
        back: u32,
        verdict: Verdict,
    },
    Hold(bool),
    /// Parts in a heap, each with its verdict and the time to the next: closer than they can be, more than the queue holds.
    Heap(Vec<(bool, Micros)>),
    Back(i32),
    EncoderLost,
    Go {
        counts: i32,
        time: Micros,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let verdict = prop_oneof![8 => Just(Verdict::Accept), 1 => Just(Verdict::Reject), 1 => Just(Verdict::Fault)];
    prop_oneof![
        24 => Just(Step::Part),
        2 => (0..40_000u64).prop_map(|lag| Step::LatePart { lag }),
        3 => Just(Step::Missed),
        1 => Just(Step::Unseen),
        31 => (0..8u32, verdict).prop_map(|(back, verdict)| Step::Judge { back, verdict }),
        1 => any::<bool>().prop_map(Step::Hold),
        1 => vec((any::<bool>(), 0..8_000u64), 1..20).prop_map(Step::Heap),
        1 => (0..20_000i32).prop_map(Step::Back),
        1 => Just(Step::EncoderLost),
        38 => (0..30_000i32, 0..30_000u64).prop_map(|(counts, time)| Step::Go { counts, time }),
    ]
}

struct Line {
    belt: Belt,
    number: u32,
    last_part_place: i64,
}

impl Line {
    fn part(&mut self, input: impl Fn(u32) -> GateInput, refused: bool) {
        self.last_part_place = self.belt.place();
        self.number += 1;
        self.belt.enter(self.number).refused = refused;
        self.belt.feed(input(self.number));
    }

    fn step(&mut self, step: &Step) {
        let clear = self.belt.place() - self.last_part_place >= PITCH;
        let encoder = self.belt.encoder;
        match step {
            Step::Part if clear => self.part(|part| GateInput::Part { part }, false),
            Step::Missed if clear => self.part(|part| GateInput::Missed { part }, true),
            Step::LatePart { lag } if !encoder && self.belt.place() - self.last_part_place >= PITCH + *lag as i64 => {
                self.number += 1;
                let (part, now) = (self.number, self.belt.now);
                self.last_part_place = self.belt.place() - *lag as i64;
                self.belt.enter(part).due -= *lag as i64;
                self.belt.feed_at(GateInput::Part { part }, now - lag);
            }
            Step::Unseen if clear => {
                self.number += 1;
                let part = self.number;
                self.belt.enter(part).refused = true;
                self.belt.move_belt(if encoder { 60_000 } else { 0 });
                self.belt.wait(60_000);
                self.belt.feed(GateInput::Unseen { part });
                self.part(|part| GateInput::Part { part }, false);
            }
            Step::Judge { back, verdict } => self.belt.judge(self.number.saturating_sub(*back), *verdict),
            Step::Hold(held) => self.belt.feed(GateInput::Hold(*held)),
            Step::Heap(parts) if !encoder => {
                for (good, time) in parts {
                    self.part(|part| GateInput::Part { part }, false);
                    self.belt.judge(self.number, if *good { Verdict::Accept } else { Verdict::Reject });
                    self.belt.wait(*time);
                }
            }
            Step::Back(counts) if encoder => self.belt.move_belt(-counts),
            Step::EncoderLost if encoder => {
                self.belt.parts.iter_mut().for_each(|part| part.refused = true);
                self.belt.feed(GateInput::EncoderLost);
            }
            Step::Go { counts, time } => {
                if encoder {
                    self.belt.move_belt(*counts);
                }
                self.belt.wait(*time);
            }
            _ => {}
        }
    }

    fn clear(&mut self) {
        self.belt.feed(GateInput::Hold(false));
        for _ in 0..40 {
            self.belt.move_belt(if self.belt.encoder { 20_000 } else { 0 });
            self.belt.wait(20_000);
        }
    }
}

#[test]
fn no_unproven_part_gets_away_and_each_is_settled_once() {
    for wiring in [Wiring::RejectPulse, Wiring::AcceptPulse] {
        for encoder in [false, true] {
            let (parts, passed) = (Cell::new(0), Cell::new(0));
            streams::for_all(STREAMS, LONGEST, step(), |steps| {
                let mut line = Line { belt: Belt::new(wiring, encoder), number: 0, last_part_place: 0 };
                steps.iter().for_each(|step| line.step(step));
                line.clear();
                assert_eq!(line.belt.twice, 0, "parts settled twice");
                assert_eq!(line.belt.settled.len(), line.number as usize, "parts settled");
                assert_eq!(line.belt.gate.waiting(), 0);
                parts.set(parts.get() + line.number);
                passed.set(passed.get() + line.belt.passed);
            });
            let (parts, passed) = (parts.get(), passed.get());
            assert!(parts > STREAMS * LONGEST as u32 / 40, "{parts} parts");
            assert!(passed > parts / 20, "{passed} of {parts} passed: good parts do pass");
        }
    }
}

#[test]
fn good_parts_on_a_healthy_line_all_pass() {
    for wiring in [Wiring::RejectPulse, Wiring::AcceptPulse] {
        for encoder in [false, true] {
            let mut rng = ChaCha8Rng::seed_from_u64(4);
            let mut belt = Belt::new(wiring, encoder);
            let go = |belt: &mut Belt, time: u32| {
                if encoder {
                    belt.move_belt(time as i32);
                }
                belt.wait(u64::from(time));
            };
            go(&mut belt, WAY as u32 + 1);
            go(&mut belt, PULSE as u32);
            for number in 0..20_000 {
                belt.feed(GateInput::Part { part: number });
                let inspection = rng.random_range(0..PITCH as u32);
                go(&mut belt, inspection);
                belt.judge(number, Verdict::Accept);
                go(&mut belt, PITCH as u32 - inspection);
            }
            go(&mut belt, WAY as u32);
            assert_eq!((belt.passed, belt.twice), (20_000, 0), "{wiring:?} encoder {encoder}");
        }
    }
}
