//! A station under random events in virtual time: whatever happens, no part passes the gate without its own accept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use mudenet_board::gate::{Delay, GateConfig, Outcome, Wiring};
use mudenet_board::machine::{self, ResultMode};
use mudenet_board::wire::{Message, PartResult};
use mudenet_board::{ErrorCode, Micros, Verdict, millis};
use mudenet_edge::run::station::{Action, GateSettings, InputLine, Station, StationConfig, StationInput};
use mudenet_edge::signal::OutputLine;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};

fn config(wiring: Wiring, encoder: bool) -> StationConfig {
    let delay = if encoder {
        Delay::Encoder { counts: 300, pitch: 20, stopped_after: Some(millis(500)) }
    } else {
        Delay::Time { delay: millis(800), pitch: millis(100) }
    };
    StationConfig {
        machine: machine::Config {
            result: ResultMode::OneShot { width: millis(20) },
            inspect_timeout: millis(700),
            ..machine::Config::default()
        },
        part_present: false,
        first_part: 1,
        gate: Some(GateSettings {
            gate: GateConfig { delay, pulse: millis(50), wiring },
            queue: 16,
            confirm: Some(millis(100)),
        }),
        consecutive_rejects: Some(5),
        controller_heartbeat: None,
    }
}

/// What an observer at the gate knows.
#[derive(Default)]
struct Watch {
    came: BTreeSet<u32>,
    accepted: BTreeSet<u32>,
    settled: BTreeMap<u32, Outcome>,
    inspecting: Option<u32>,
    loading: Option<u16>,
    sent: Vec<Message>,
    errors: Vec<ErrorCode>,
}

impl Watch {
    fn see(&mut self, action: Action) {
        match action {
            Action::Inspect { part } => {
                assert!(self.came.insert(part), "part {part} came twice");
                self.inspecting = Some(part);
            }
            Action::Uninspected { part, .. } => {
                assert!(self.came.insert(part), "part {part} came twice");
            }
            Action::Judged(result) if result.verdict() == Verdict::Accept => {
                self.accepted.insert(result.part());
            }
            Action::Settled { part, outcome } => {
                assert_eq!(self.settled.insert(part, outcome), None, "part {part} left twice");
                if outcome == Outcome::Passed {
                    assert!(self.accepted.contains(&part), "part {part} passed without an accept");
                }
            }
            Action::LoadRecipe { number } => self.loading = Some(number),
            Action::Send(message) => self.sent.push(message),
            Action::Error(code) => self.errors.push(code),
            Action::Judged(_) | Action::UseRecipe { .. } | Action::Alive(_) => {}
        }
    }
}

struct Rig {
    station: Station,
    watch: Watch,
    now: Micros,
}

impl Rig {
    fn new(config: StationConfig) -> Self {
        let mut rig = Self { station: Station::new(config, 0).unwrap(), watch: Watch::default(), now: 0 };
        rig.feed(StationInput::Start);
        rig.feed(StationInput::Camera(true));
        rig.feed(StationInput::ChangeRecipe(1));
        rig.feed(StationInput::RecipeLoaded { number: 1, ok: true });
        assert!(rig.active(OutputLine::Ready));
        rig
    }

    fn feed(&mut self, input: StationInput) {
        let watch = &mut self.watch;
        self.station.handle(input, self.now, &mut |action| watch.see(action));
    }

    /// Time passes, and the station is told whenever it asked for it.
    fn pass(&mut self, time: Micros) {
        let end = self.now + time;
        while let Some(deadline) = self.station.deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.feed(StationInput::Tick);
            if self.station.deadline() == Some(deadline) {
                break;
            }
        }
        self.now = end;
        self.feed(StationInput::Tick);
    }

    fn active(&self, line: OutputLine) -> bool {
        self.station.levels().get(line)
    }

    fn trigger(&mut self, seqno: Option<u32>) {
        self.feed(StationInput::Line { line: InputLine::Trigger, level: true, seqno });
    }

    fn judge(&mut self, part: u32, verdict: Verdict) {
        self.feed(StationInput::Free);
        let recipe = self.station.recipe().unwrap_or(0);
        self.feed(StationInput::Result(PartResult::new(part, verdict, 0.5, recipe)));
    }
}

#[test]
fn random_streams_never_let_an_unproven_part_pass() {
    for seed in 0..40 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (wiring, encoder) = ([Wiring::AcceptPulse, Wiring::RejectPulse][seed as usize % 2], seed % 4 >= 2);
        let mut rig = Rig::new(config(wiring, encoder));
        let mut seqno = 0u32;
        for _ in 0..4000 {
            match random.random_range(0..100) {
                0..30 => {
                    seqno = seqno.wrapping_add(if random.random_range(0..50) == 0 { 3 } else { 1 });
                    rig.trigger(Some(seqno));
                }
                30..65 => {
                    if let Some(part) = rig.watch.inspecting.take() {
                        let verdict = [Verdict::Accept, Verdict::Accept, Verdict::Reject, Verdict::Fault]
                            [random.random_range(0..4)];
                        rig.judge(part, verdict);
                    }
                }
                65..68 => rig.feed(StationInput::Camera(random.random_range(0..3) > 0)),
                68..70 => rig.feed(StationInput::ChangeRecipe(random.random_range(1..4))),
                70..73 => {
                    if let Some(number) = rig.watch.loading.take() {
                        rig.feed(StationInput::RecipeLoaded { number, ok: random.random_range(0..4) > 0 });
                    }
                }
                73..75 => rig.feed(StationInput::Line { line: InputLine::Reset, level: true, seqno: None }),
                75 => rig.feed(StationInput::Fail(ErrorCode::LineFault)),
                76 => {
                    rig.feed(StationInput::Result(PartResult::new(random.random_range(0..50), Verdict::Accept, 0.1, 1)))
                }
                77..80 => rig.feed(StationInput::Line { line: InputLine::RejectConfirm, level: true, seqno: None }),
                80 if encoder => rig.feed(StationInput::Encoder(random.random_range(-30..0))),
                _ => {}
            }
            assert!(!(rig.active(OutputLine::Ok) && rig.active(OutputLine::Ng)));
            assert!(rig.active(OutputLine::Ok) || rig.active(OutputLine::Ng));
            rig.pass(random.random_range(0..millis(60)));
            if encoder && random.random_range(0..200) > 0 {
                rig.feed(StationInput::Encoder(random.random_range(20..40)));
            }
        }
        // An encoder that stands still keeps its parts; let it run.
        for _ in 0..40 {
            rig.feed(StationInput::Encoder(50));
            rig.pass(millis(100));
        }
        assert_eq!(rig.watch.came, rig.watch.settled.keys().copied().collect(), "seed {seed}: every part leaves once");
        assert!(rig.watch.settled.len() > 500, "seed {seed}");
        let passed = rig.watch.settled.values().filter(|outcome| **outcome == Outcome::Passed).count();
        assert!(passed > 10, "seed {seed}: {passed} passed");
        let counters = rig.station.counters();
        assert_eq!(counters.parts(), rig.watch.came.len() as u64);
        assert_eq!(counters.passed_gate, passed as u64);
        assert_eq!(counters.errors.iter().sum::<u64>(), rig.watch.errors.len() as u64);
    }
}

#[test]
fn too_many_rejects_in_a_row_raise_the_alarm_until_a_reset() {
    let mut rig = Rig::new(config(Wiring::AcceptPulse, false));
    let part = |rig: &mut Rig, verdict| {
        rig.trigger(None);
        let part = rig.watch.inspecting.take().unwrap();
        rig.judge(part, verdict);
        rig.pass(millis(100));
    };
    for _ in 0..4 {
        part(&mut rig, Verdict::Reject);
    }
    part(&mut rig, Verdict::Accept);
    for _ in 0..4 {
        part(&mut rig, Verdict::Fault);
    }
    assert!(!rig.active(OutputLine::Alarm), "an accept begins the count anew");
    part(&mut rig, Verdict::Reject);
    assert!(rig.active(OutputLine::Alarm));
    part(&mut rig, Verdict::Accept);
    assert!(rig.active(OutputLine::Alarm), "it waits for a person");
    let told = rig.watch.errors.iter().filter(|code| **code == ErrorCode::ConsecutiveRejects).count();
    assert_eq!(told, 1);
    rig.feed(StationInput::Line { line: InputLine::Reset, level: true, seqno: None });
    assert!(!rig.active(OutputLine::Alarm));
}

#[test]
fn recipe_lines_count_once_they_are_stable() {
    let mut rig = Rig::new(config(Wiring::AcceptPulse, false));
    let line = |rig: &mut Rig, line, level| rig.feed(StationInput::Line { line, level, seqno: None });
    line(&mut rig, InputLine::RecipeBit(1), true);
    line(&mut rig, InputLine::RecipeStrobe, true);
    rig.watch.loading = None;
    rig.now += 500;
    line(&mut rig, InputLine::RecipeBit(2), true);
    rig.now += 900;
    rig.feed(StationInput::Tick);
    assert_eq!(rig.watch.loading, None, "the lines changed less than a millisecond ago");
    assert_eq!(rig.station.deadline(), Some(rig.now + 100));
    rig.now += 100;
    rig.feed(StationInput::Tick);
    assert_eq!(rig.watch.loading, Some(6));
    rig.feed(StationInput::RecipeLoaded { number: 6, ok: true });
    assert!(rig.active(OutputLine::RecipeAck) && !rig.active(OutputLine::Ready));
    line(&mut rig, InputLine::RecipeStrobe, false);
    assert!(!rig.active(OutputLine::RecipeAck) && rig.active(OutputLine::Ready));
    assert_eq!(rig.station.recipe(), Some(6));
}

#[test]
fn a_silent_controller_holds_the_gate_at_reject() {
    let settings = StationConfig { controller_heartbeat: Some(millis(100)), ..config(Wiring::AcceptPulse, false) };
    let mut rig = Rig::new(settings);
    let mut beat = 0;
    let mut alive = |rig: &mut Rig, times: u32| {
        for _ in 0..times {
            beat += 1;
            rig.feed(StationInput::Command(Message::Alive { beat }));
            rig.pass(millis(100));
        }
    };
    alive(&mut rig, 10);
    rig.trigger(None);
    rig.judge(1, Verdict::Accept);
    alive(&mut rig, 10);
    assert_eq!(rig.watch.settled[&1], Outcome::Passed);
    rig.trigger(None);
    rig.judge(2, Verdict::Accept);
    rig.pass(millis(1000));
    assert_ne!(rig.watch.settled[&2], Outcome::Passed);
    assert!(rig.watch.errors.contains(&ErrorCode::HeartbeatLost));
    alive(&mut rig, 2);
    rig.trigger(None);
    rig.judge(3, Verdict::Accept);
    alive(&mut rig, 10);
    assert_eq!(rig.watch.settled[&3], Outcome::Passed, "it is back");
}

#[test]
fn while_the_inspection_hangs_the_box_is_not_ready() {
    let mut rig = Rig::new(config(Wiring::AcceptPulse, false));
    rig.trigger(None);
    rig.pass(millis(2000));
    assert_eq!(rig.station.counters().faults, 1, "given up");
    assert!(!rig.active(OutputLine::Ready));
    rig.trigger(None);
    assert_eq!(rig.station.counters().missed, 1);
    rig.judge(1, Verdict::Accept);
    assert!(rig.active(OutputLine::Ready), "it is back");
    rig.pass(millis(2000));
    assert!(rig.watch.settled.values().all(|outcome| *outcome != Outcome::Passed));
    assert_eq!(rig.watch.settled.len(), 2);
}

/// The clock of the loop cannot jump; a loop that was stopped for an hour sees time jump.
#[test]
fn after_a_pause_the_parts_of_before_are_rejected() {
    for wiring in [Wiring::AcceptPulse, Wiring::RejectPulse] {
        let mut rig = Rig::new(config(wiring, false));
        rig.pass(millis(1000));
        rig.trigger(None);
        rig.judge(1, Verdict::Accept);
        rig.pass(millis(100));
        rig.trigger(None);
        rig.now += 3_600_000_000;
        rig.feed(StationInput::Tick);
        assert_eq!(rig.watch.settled.len(), 2);
        assert_ne!(rig.watch.settled[&2], Outcome::Passed);
        // The part is long gone: an accept pulse would open the gate for another one.
        assert_eq!(rig.active(OutputLine::Gate), wiring == Wiring::RejectPulse);
    }
}

#[test]
fn drift_raises_the_alarm_until_a_reset_and_hides_no_other() {
    let mut rig = Rig::new(config(Wiring::AcceptPulse, false));
    rig.feed(StationInput::Drifted);
    assert!(rig.active(OutputLine::Alarm) && rig.active(OutputLine::Ready) && rig.station.drifted());
    for part in 1..=5 {
        rig.trigger(None);
        rig.judge(part, Verdict::Reject);
        rig.pass(millis(150));
    }
    assert_eq!(rig.watch.errors, [ErrorCode::Drift, ErrorCode::ConsecutiveRejects]);
    assert!(rig.watch.sent.contains(&Message::Error(ErrorCode::Drift)));
    rig.feed(StationInput::Line { line: InputLine::Reset, level: true, seqno: None });
    assert!(!rig.active(OutputLine::Alarm) && !rig.station.drifted());
}
