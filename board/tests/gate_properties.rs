//! A gate over random lines: no part that was not proven good leaves without being rejected.
//!
//! The oracle is the belt itself: where each part is, which results had come before it reached the gate.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::collections::HashMap;

use mudenet_board::gate::{Delay, Gate, GateConfig, GateEvent, GateInput, Outcome, Wiring};
use mudenet_board::{Micros, Verdict, millis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const PULSE: Micros = millis(20);
const WAY: i64 = 500_000;
const PITCH: i64 = 50_000;
const EVENTS: u32 = 150_000;

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
        let (settled, twice, passed) = (&mut self.settled, &mut self.twice, &mut self.passed);
        self.gate.handle(input, self.now, &mut |event| {
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

fn run(wiring: Wiring, encoder: bool, seed: u64) -> (u32, Belt) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut belt = Belt::new(wiring, encoder);
    let mut number = 0;
    let mut last_part_place = 0;
    for _ in 0..EVENTS {
        match rng.random_range(0..100) {
            0..25 if belt.place() - last_part_place >= PITCH => {
                last_part_place = belt.place();
                number += 1;
                belt.enter(number);
                belt.feed(GateInput::Part { part: number });
            }
            25..28 if belt.place() - last_part_place >= PITCH => {
                last_part_place = belt.place();
                number += 1;
                belt.enter(number).refused = true;
                belt.feed(GateInput::Missed { part: number });
            }
            // A part that nobody sees, and the next one, by which its loss is noticed.
            28 if belt.place() - last_part_place >= PITCH => {
                number += 1;
                belt.enter(number).refused = true;
                let missing = number;
                belt.move_belt(if encoder { 60_000 } else { 0 });
                belt.wait(60_000);
                belt.feed(GateInput::Unseen { part: missing });
                last_part_place = belt.place();
                number += 1;
                belt.enter(number);
                belt.feed(GateInput::Part { part: number });
            }
            29..60 => {
                let of = number.saturating_sub(rng.random_range(0..8));
                let verdict = match rng.random_range(0..10) {
                    0 => Verdict::Reject,
                    1 => Verdict::Fault,
                    _ => Verdict::Accept,
                };
                belt.judge(of, verdict);
            }
            60 => belt.feed(GateInput::Hold(rng.random())),
            // Parts in a heap: closer than they can be, more than the queue holds.
            61 if !encoder && rng.random_ratio(1, 5) => {
                for _ in 0..rng.random_range(1..20) {
                    number += 1;
                    belt.enter(number);
                    belt.feed(GateInput::Part { part: number });
                    belt.judge(number, if rng.random() { Verdict::Accept } else { Verdict::Reject });
                    belt.wait(rng.random_range(0..8_000));
                }
                last_part_place = belt.place();
            }
            62 if encoder => belt.move_belt(-rng.random_range(0..20_000)),
            _ => {
                if encoder {
                    belt.move_belt(rng.random_range(0..30_000));
                }
                belt.wait(rng.random_range(0..30_000));
            }
        }
    }
    belt.feed(GateInput::Hold(false));
    for _ in 0..40 {
        belt.move_belt(if encoder { 20_000 } else { 0 });
        belt.wait(20_000);
    }
    (number, belt)
}

#[test]
fn no_unproven_part_gets_away_and_each_is_settled_once() {
    for wiring in [Wiring::RejectPulse, Wiring::AcceptPulse] {
        for encoder in [false, true] {
            for seed in 0..3 {
                let (parts, belt) = run(wiring, encoder, seed);
                assert_eq!(belt.twice, 0, "{wiring:?} encoder {encoder} seed {seed}");
                assert_eq!(belt.settled.len(), parts as usize, "{wiring:?} encoder {encoder} seed {seed}");
                assert_eq!(belt.gate.waiting(), 0);
                assert!(parts > EVENTS / 20, "{parts} parts");
                assert!(belt.passed > parts / 20, "{} of {parts} passed: good parts do pass", belt.passed);
            }
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
