//! The example's firmware: a lost heartbeat sends every part to reject.

#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]

#[path = "../examples/reject_gate/firmware.rs"]
mod firmware;

use firmware::Firmware;
use mudenet_board::gate::{Delay, GateConfig, Wiring};
use mudenet_board::wire::{Decoder, Encoder, Message, PartResult, Wire};
use mudenet_board::{Micros, State, Verdict, millis};

/// Runs `seconds` with one good part a second; `beats` says in which seconds the box lives. Each element of the answer:
/// whether the gate opened for the part of that second.
fn opened(seconds: u64, wiring: Wiring, beats: impl Fn(u64) -> bool) -> (Vec<bool>, u32) {
    let delay = Delay::Time { delay: millis(200), pitch: millis(100) };
    let mut firmware = Firmware::new(GateConfig { delay, pulse: millis(50), wiring }, 7, 0).expect("room");
    let (mut encoder, mut commands) = (Encoder::new(Wire::Binary), Decoder::new(Wire::Binary));
    let mut opened = Vec::new();
    for now in (0..1000 * seconds).map(millis) {
        let second = now / millis(1000);
        let in_second = now % millis(1000);
        let mut bytes = Vec::new();
        if in_second == 0 && beats(second) {
            let heartbeat = Message::Heartbeat { beat: second as u16, state: State::Ready };
            bytes.extend(encoder.encode(&heartbeat));
        }
        let mut sent = Vec::new();
        firmware.sensor((millis(500)..millis(520)).contains(&in_second), now, &mut |bytes| sent.extend(bytes));
        if firmware.deadline().is_some_and(|deadline| deadline <= now) {
            firmware.tick(now, &mut |bytes| sent.extend(bytes));
        }
        for received in sent.iter().filter_map(|byte| commands.push(*byte)) {
            match received.expect("undamaged").message {
                Message::Trigger { part: Some(part) } => {
                    assert_eq!(part, (7 << 16) + second as u32);
                    bytes.extend(encoder.encode(&Message::Result(PartResult::new(part, Verdict::Accept, 0.4, 3))));
                }
                other => panic!("{other:?}"),
            }
        }
        bytes.iter().for_each(|byte| firmware.byte(*byte, now));
        if in_second == part_at_gate() {
            opened.push(firmware.output() == (wiring == Wiring::AcceptPulse));
        }
    }
    (opened, firmware.rejected)
}

/// Sensor at 500 ms, debounced 1 ms later, 200 ms to the gate, in the middle of the pulse.
fn part_at_gate() -> Micros {
    millis(500 + 1 + 200 + 25)
}

#[test]
fn with_a_heartbeat_good_parts_pass() {
    for wiring in [Wiring::AcceptPulse, Wiring::RejectPulse] {
        assert_eq!(opened(5, wiring, |_| true), (vec![true; 5], 0));
    }
}

#[test]
fn three_periods_without_a_heartbeat_reject_good_parts_until_it_is_back() {
    for wiring in [Wiring::AcceptPulse, Wiring::RejectPulse] {
        // The last beat before the silence comes at 2 s, so the box counts as lost from 5 s on.
        let (opened, rejected) = opened(10, wiring, |second| second <= 2 || second >= 8);
        assert_eq!(opened, [true, true, true, true, true, false, false, false, true, true]);
        assert_eq!(rejected, 3);
    }
}

#[test]
fn before_the_first_heartbeat_everything_is_rejected() {
    for wiring in [Wiring::AcceptPulse, Wiring::RejectPulse] {
        assert_eq!(opened(3, wiring, |_| false), (vec![false; 3], 3));
    }
}
