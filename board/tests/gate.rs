//! The reject gate, scenario by scenario.

#![expect(clippy::expect_used, reason = "helpers of tests may fail the test")]

use mudenet_board::gate::{Delay, Gate, GateConfig, GateEvent, GateInput, Outcome, QueueTooSmall, Reason, Wiring};
use mudenet_board::{ErrorCode, Micros, Verdict, millis};

const DELAY: Micros = millis(500);
const PULSE: Micros = millis(50);

fn by_time(wiring: Wiring) -> GateConfig {
    GateConfig { delay: Delay::Time { delay: DELAY, pitch: millis(100) }, pulse: PULSE, wiring }
}

fn by_encoder(wiring: Wiring) -> GateConfig {
    let delay = Delay::Encoder { counts: 1000, pitch: 200, stopped_after: Some(millis(300)) };
    GateConfig { delay, pulse: PULSE, wiring }
}

/// A gate past its first delay, during which it rejects what it never saw.
struct Line {
    gate: Gate<6>,
    events: Vec<GateEvent>,
}

impl Line {
    fn new(config: GateConfig) -> Self {
        let mut line = Self { gate: Gate::new(config, 0).expect("large enough"), events: Vec::new() };
        line.feed(0, GateInput::Encoder { counts: 1001 });
        line.feed(millis(999), GateInput::Encoder { counts: 1000 });
        line.events.clear();
        line
    }

    /// As its owner drives it: a tick at every deadline, then the input.
    fn feed(&mut self, now: Micros, input: GateInput) -> bool {
        while let Some(deadline) = self.gate.deadline().filter(|deadline| *deadline < now) {
            self.gate.handle(GateInput::Tick, deadline, &mut |event| self.events.push(event));
        }
        self.gate.handle(input, now, &mut |event| self.events.push(event));
        self.gate.output()
    }

    fn settled(&self) -> Vec<(u32, Outcome)> {
        let of = |event: &GateEvent| match event {
            GateEvent::Settled { part, outcome } => Some((*part, *outcome)),
            GateEvent::Error(_) => None,
        };
        self.events.iter().filter_map(of).collect()
    }

    fn errors(&self) -> Vec<ErrorCode> {
        let of = |event: &GateEvent| match event {
            GateEvent::Error(error) => Some(*error),
            GateEvent::Settled { .. } => None,
        };
        self.events.iter().filter_map(of).collect()
    }
}

fn accept(part: u32) -> GateInput {
    GateInput::Result { part, verdict: Verdict::Accept }
}

fn reject(part: u32) -> GateInput {
    GateInput::Result { part, verdict: Verdict::Reject }
}

#[test]
fn a_reject_pulse_starts_when_due_and_has_its_width() {
    let mut line = Line::new(by_time(Wiring::RejectPulse));
    line.feed(millis(1000), GateInput::Part { part: 1 });
    line.feed(millis(1100), reject(1));
    assert_eq!(line.gate.deadline(), Some(millis(1500)));
    assert!(!line.feed(millis(1499), GateInput::Tick));
    assert!(line.feed(millis(1500), GateInput::Tick));
    assert_eq!(line.gate.deadline(), Some(millis(1550)));
    assert!(line.feed(millis(1549), GateInput::Tick));
    assert!(!line.feed(millis(1550), GateInput::Tick));
    assert_eq!(line.gate.deadline(), None);
    assert_eq!(line.settled(), [(1, Outcome::Rejected(Reason::Judged))]);
}

#[test]
fn an_accepted_part_passes_in_both_wirings() {
    for (wiring, at_gate) in [(Wiring::RejectPulse, false), (Wiring::AcceptPulse, true)] {
        let mut line = Line::new(by_time(wiring));
        line.feed(millis(1000), GateInput::Part { part: 1 });
        line.feed(millis(1499), accept(1));
        assert_eq!(line.feed(millis(1500), GateInput::Tick), at_gate);
        assert_eq!(line.feed(millis(1549), GateInput::Tick), at_gate);
        assert!(!line.feed(millis(1550), GateInput::Tick));
        assert_eq!(line.settled(), [(1, Outcome::Passed)]);
    }
}

#[test]
fn a_result_that_comes_when_the_part_is_due_is_late() {
    let mut line = Line::new(by_time(Wiring::RejectPulse));
    line.feed(millis(1000), GateInput::Part { part: 1 });
    assert!(line.feed(millis(1500), accept(1)));
    assert_eq!(line.settled(), [(1, Outcome::Rejected(Reason::Late))]);
    assert_eq!(line.errors(), [ErrorCode::LateResult, ErrorCode::LateResult], "due without, and then too late");
}

#[test]
fn a_second_result_only_makes_it_worse() {
    for results in [[accept(1), reject(1)], [reject(1), accept(1)]] {
        let mut line = Line::new(by_time(Wiring::AcceptPulse));
        line.feed(millis(1000), GateInput::Part { part: 1 });
        for result in results {
            line.feed(millis(1100), result);
        }
        assert!(!line.feed(millis(1500), GateInput::Tick));
        assert_eq!(line.settled(), [(1, Outcome::Rejected(Reason::Judged))]);
    }
}

#[test]
fn overlapping_pulses_merge_and_none_vanishes() {
    let mut line = Line::new(by_time(Wiring::RejectPulse));
    line.feed(millis(1000), GateInput::Missed { part: 1 });
    line.feed(millis(1030), GateInput::Missed { part: 2 });
    assert!(line.feed(millis(1500), GateInput::Tick));
    assert!(line.feed(millis(1530), GateInput::Tick));
    assert!(line.feed(millis(1579), GateInput::Tick));
    assert!(!line.feed(millis(1580), GateInput::Tick));
    assert_eq!(line.settled().len(), 2);
}

#[test]
fn a_reject_is_stronger_than_the_good_part_beside_it() {
    let mut line = Line::new(by_time(Wiring::AcceptPulse));
    for (part, at) in [(1, 1000), (2, 1030), (3, 1070)] {
        line.feed(millis(at), GateInput::Part { part });
    }
    for input in [accept(1), reject(2), accept(3)] {
        line.feed(millis(1100), input);
    }
    assert!(line.feed(millis(1500), GateInput::Tick), "part 1 alone");
    assert!(!line.feed(millis(1530), GateInput::Tick), "part 2 closes the gate that part 1 opened");
    assert!(!line.feed(millis(1570), GateInput::Tick), "part 2 may still be there");
    assert!(!line.feed(millis(1580), GateInput::Tick));
    assert_eq!(
        line.settled(),
        [(1, Outcome::Passed), (2, Outcome::Rejected(Reason::Judged)), (3, Outcome::Rejected(Reason::Neighbour))]
    );
}

#[test]
fn a_part_without_room_is_rejected_where_it_is() {
    let mut line = Line::new(by_time(Wiring::RejectPulse));
    for part in 0..7 {
        line.feed(millis(1000 + 40 * u64::from(part)), GateInput::Part { part });
        line.feed(millis(1000 + 40 * u64::from(part)), accept(part));
    }
    assert_eq!(line.errors(), [ErrorCode::QueueFull, ErrorCode::LateResult]);
    assert_eq!(line.settled(), [(6, Outcome::Rejected(Reason::Overflow))]);
    assert!(!line.feed(millis(1739), GateInput::Tick), "part 5 passed");
    assert!(line.feed(millis(1740), GateInput::Tick), "part 6 is at the gate");
    assert!(line.feed(millis(1789), GateInput::Tick));
    assert!(!line.feed(millis(1800), GateInput::Tick));
    assert_eq!(line.settled().len(), 7);
}

#[test]
fn an_unseen_part_rejects_all_that_could_be_it() {
    let mut line = Line::new(by_time(Wiring::RejectPulse));
    for (part, at) in [(1, 1000), (3, 1200)] {
        if part == 3 {
            line.feed(millis(at), GateInput::Unseen { part: 2 });
        }
        line.feed(millis(at), GateInput::Part { part });
        line.feed(millis(at), accept(part));
    }
    assert!(!line.feed(millis(1499), GateInput::Tick));
    for at in [1500, 1600, 1700, 1749] {
        assert!(line.feed(millis(at), GateInput::Tick), "{at}");
    }
    assert!(!line.feed(millis(1760), GateInput::Tick));
    assert_eq!(line.errors(), [ErrorCode::TriggerLost]);
}

#[test]
fn a_held_gate_rejects_and_lets_go_after_the_part_that_is_there() {
    let mut line = Line::new(by_time(Wiring::RejectPulse));
    line.feed(millis(1000), GateInput::Part { part: 1 });
    line.feed(millis(1000), accept(1));
    assert!(line.feed(millis(1400), GateInput::Hold(true)));
    assert!(line.feed(millis(1500), GateInput::Tick));
    assert!(line.feed(millis(1510), GateInput::Hold(false)));
    assert!(line.feed(millis(1559), GateInput::Tick));
    assert!(!line.feed(millis(1560), GateInput::Tick));
    assert_eq!(line.settled(), [(1, Outcome::Rejected(Reason::Held))]);
}

#[test]
fn parts_from_before_the_start_are_rejected() {
    let config = by_time(Wiring::RejectPulse);
    let mut gate: Gate<6> = Gate::new(config, millis(7000)).expect("large enough");
    assert!(gate.output());
    gate.handle(GateInput::Tick, millis(7500), &mut |_| {});
    assert!(gate.output());
    gate.handle(GateInput::Tick, millis(7501), &mut |_| {});
    gate.handle(GateInput::Tick, millis(7551), &mut |_| {});
    assert!(!gate.output());
}

#[test]
fn an_encoder_moves_stops_and_runs_back() {
    let mut line = Line::new(by_encoder(Wiring::AcceptPulse));
    line.feed(millis(1000), GateInput::Part { part: 1 });
    line.feed(millis(1000), accept(1));
    assert!(!line.feed(millis(1100), GateInput::Encoder { counts: 900 }));
    assert_eq!(line.gate.deadline(), Some(millis(1400)));
    assert!(!line.feed(millis(1400), GateInput::Tick), "frozen");
    assert_eq!(line.errors(), [ErrorCode::EncoderStopped]);
    assert!(!line.feed(millis(2000), GateInput::Encoder { counts: -100 }));
    assert!(!line.feed(millis(2100), GateInput::Encoder { counts: 199 }), "999 counts on");
    assert!(line.feed(millis(2101), GateInput::Encoder { counts: 1 }));
    assert_eq!(line.settled(), [(1, Outcome::Passed)]);
    assert_eq!(line.errors(), [ErrorCode::EncoderStopped], "told once");
}

/// The belt runs on, the encoder is dead: where the parts are is not known.
#[test]
fn parts_closer_than_can_be_prove_the_encoder_wrong() {
    for wiring in [Wiring::AcceptPulse, Wiring::RejectPulse] {
        let mut line = Line::new(by_encoder(wiring));
        line.feed(millis(1000), GateInput::Part { part: 1 });
        line.feed(millis(1000), accept(1));
        line.feed(millis(1100), GateInput::Part { part: 2 });
        line.feed(millis(1100), accept(2));
        assert_eq!(line.errors(), [ErrorCode::EncoderStopped]);
        for at in 1100..1700 {
            assert_eq!(line.feed(millis(at), GateInput::Tick), wiring == Wiring::RejectPulse);
        }
        line.feed(millis(2000), GateInput::Encoder { counts: 1000 });
        let doubtful = Outcome::Rejected(Reason::Distrusted);
        assert_eq!(line.settled(), [(1, doubtful), (2, doubtful)]);
    }
}

#[test]
fn a_number_used_twice_rejects_both_parts() {
    let mut line = Line::new(by_time(Wiring::AcceptPulse));
    line.feed(millis(1000), GateInput::Part { part: 1 });
    line.feed(millis(1000), accept(1));
    line.feed(millis(1200), GateInput::Part { part: 1 });
    line.feed(millis(1200), accept(1));
    assert!(!line.feed(millis(1500), GateInput::Tick));
    assert!(!line.feed(millis(1700), GateInput::Tick));
    let doubtful = Outcome::Rejected(Reason::Distrusted);
    assert_eq!(line.settled(), [(1, doubtful), (1, doubtful)]);
}

#[test]
fn a_gate_told_the_time_too_late_does_not_open_for_the_next_part() {
    let mut line = Line::new(by_time(Wiring::AcceptPulse));
    line.feed(millis(1000), GateInput::Part { part: 1 });
    line.feed(millis(1000), accept(1));
    line.gate.handle(GateInput::Tick, millis(1550), &mut |event| line.events.push(event));
    assert!(!line.gate.output());
    assert_eq!(line.settled(), [(1, Outcome::Rejected(Reason::Overdue))]);
}

#[test]
fn a_queue_too_small_is_refused() {
    let small = Gate::<5>::new(by_time(Wiring::AcceptPulse), 0).err();
    assert_eq!(small, Some(QueueTooSmall { needed: 6, got: 5 }));
    assert_eq!(
        small.map(|error| error.to_string()).as_deref(),
        Some("the reject queue holds 5 parts, 6 can be on the way to the gate")
    );
    assert!(Gate::<6>::new(by_time(Wiring::AcceptPulse), 0).is_ok());
}

/// A loop that was held up for 200 ms tells of the part when it goes on; the part is where it is.
#[test]
fn a_part_that_is_told_late_is_due_when_it_is_there() {
    let mut line = Line::new(by_time(Wiring::RejectPulse));
    line.feed(millis(1200), GateInput::Tick);
    line.feed(millis(1000), GateInput::Part { part: 1 });
    line.feed(millis(1210), reject(1));
    assert!(!line.feed(millis(1499), GateInput::Tick));
    assert!(line.feed(millis(1500), GateInput::Tick));
    assert!(!line.feed(millis(1550), GateInput::Tick));
    // Told when it is past the gate: nothing can be done but to say so.
    line.feed(millis(3000), GateInput::Tick);
    line.feed(millis(2400), GateInput::Part { part: 2 });
    assert_eq!(line.settled()[1], (2, Outcome::Rejected(Reason::Late)));
    assert!(line.errors().contains(&ErrorCode::Internal) && line.errors().contains(&ErrorCode::LateResult));
}

#[test]
fn lost_counts_reject_all_that_is_on_the_way() {
    for wiring in [Wiring::AcceptPulse, Wiring::RejectPulse] {
        let mut line = Line::new(by_encoder(wiring));
        line.feed(millis(1000), GateInput::Part { part: 1 });
        line.feed(millis(1000), accept(1));
        line.feed(millis(1100), GateInput::Encoder { counts: 400 });
        line.feed(millis(1100), GateInput::EncoderLost);
        assert_eq!(line.errors(), [ErrorCode::EncoderStopped]);
        for at in 1101..1109 {
            let rejects = line.feed(millis(at), GateInput::Encoder { counts: 100 });
            assert_eq!(rejects, wiring == Wiring::RejectPulse, "{at}");
        }
        assert_eq!(line.settled(), [(1, Outcome::Rejected(Reason::Distrusted))]);
        // From a whole way later on all is known again.
        line.feed(millis(1200), GateInput::Encoder { counts: 201 });
        line.feed(millis(1300), GateInput::Part { part: 2 });
        line.feed(millis(1300), accept(2));
        assert_eq!(line.feed(millis(1400), GateInput::Encoder { counts: 1000 }), wiring == Wiring::AcceptPulse);
        assert_eq!(line.settled()[1], (2, Outcome::Passed));
    }
}
