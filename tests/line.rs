//! The real loop, with its threads, on a simulated conveyor; every fault ends in a reject and is counted.
//!
//! The machine that runs the tests may be slow, so nothing here depends on how fast it is: a part that comes out later than
//! planned is one that was judged good and rejected, never one that escaped.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use mudenet_board::ErrorCode;
use mudenet_board::gate::Wiring;
use mudenet_board::machine::ResultMode;
use mudenet_edge::run::station::InputLine;
use mudenet_edge::run::{Prepared, Recipes};
use mudenet_edge::signal::{FaultRates, FaultSignal, SimulatedLine, Wire};
use rig::{Kind, Rig, Shot, Steps};
use std::time::Duration;

const GOOD: Shot = Shot::Level(100);
const BAD: Shot = Shot::Level(200);

#[test]
fn parts_leave_by_their_verdicts() {
    for (wiring, encoder) in [(Wiring::AcceptPulse, false), (Wiring::RejectPulse, false), (Wiring::AcceptPulse, true)] {
        let rig = Rig { wiring, encoder, ..Rig::new(12) };
        let done = rig.run(|part| if part % 3 == 2 { BAD } else { GOOD });
        let seen = format!("{wiring:?} {done:?}");
        assert_eq!((done.outcome.parts, done.outcome.escaped), (12, 0), "{seen}");
        assert_eq!(done.outcome.good + done.outcome.good_rejected, done.counters().accepted, "{seen}");
        assert!(done.outcome.good >= 1 && done.outcome.rejected >= 1, "{seen}");
        assert_eq!(done.counters().parts(), 12, "{seen}");
        assert_eq!(done.last_gate_level, wiring == Wiring::RejectPulse, "the gate is left at reject: {seen}");
    }
}

#[test]
fn a_camera_that_goes_and_comes_back() {
    let done = Rig::new(14).run(|part| if (3..7).contains(&part) { Shot::Unplugged } else { GOOD });
    done.assert_safe();
    assert!(done.counters().errors_of(ErrorCode::CameraLost) >= 1, "{done:?}");
    assert!(done.counters().faults >= 1, "the part that found it gone: {done:?}");
    assert!(done.said("unplugged") && done.said("the camera delivers"), "{done:?}");
    assert!(done.counters().accepted >= 1, "{done:?}");
}

#[test]
fn a_slow_camera_is_a_fault_of_its_part() {
    let done = Rig::new(8).run(|part| if part == 2 { Shot::Slow(Duration::from_millis(900)) } else { GOOD });
    done.assert_safe();
    assert!(done.counters().errors_of(ErrorCode::LateResult) >= 1, "{done:?}");
    assert!(done.counters().faults >= 1 && done.counters().accepted >= 1, "{done:?}");
}

#[test]
fn a_frozen_camera_is_noticed() {
    let done = Rig { frozen: Some(3), ..Rig::new(10) }.run(|part| if part < 5 { GOOD } else { Shot::Frozen });
    done.assert_safe();
    assert!(done.said("frozen"), "{done:?}");
    assert!(done.counters().faults >= 1, "{done:?}");
}

#[test]
fn corrupt_pictures_and_failing_models_are_faults_of_their_parts() {
    for shot in [
        Shot::Corrupt,
        Shot::Panic,
        Shot::Level(rig::NAN_LEVEL),
        Shot::Level(rig::FAILING_LEVEL),
        Shot::Level(rig::PANIC_LEVEL),
    ] {
        let done = Rig::new(8).run(move |part| if part == 3 { shot } else { GOOD });
        done.assert_safe();
        assert!(done.counters().faults >= 1, "{shot:?} {done:?}");
        assert_eq!(done.faulty(), vec![rig::FIRST + 3], "{shot:?} {done:?}");
        assert!(done.counters().accepted >= 1, "{shot:?} {done:?}");
    }
}

#[test]
fn a_verdict_later_than_the_gate_rejects() {
    let done = Rig::new(8).run(|part| if part == 2 { Shot::Level(rig::SLOW_LEVEL) } else { GOOD });
    done.assert_safe();
    assert!(done.counters().errors_of(ErrorCode::LateResult) >= 1, "{done:?}");
}

#[test]
fn a_trigger_storm_is_missed_triggers() {
    // Ten times the rate, and more than the queue holds.
    let done = Rig { parts: 80, pitch_ms: 20, queue: 16, ..Rig::new(80) }.run(|_| GOOD);
    done.assert_safe();
    assert!(done.counters().missed >= 1, "{done:?}");
    assert_eq!(done.counters().parts(), 80, "{done:?}");
    assert!(done.counters().errors_of(ErrorCode::MissedTrigger) >= 1, "{done:?}");
}

#[test]
fn a_bounce_that_gets_through_rejects() {
    let done = Rig::new(6).run_with(
        |_| GOOD,
        Steps::new().at(Kind::Part(2), |handle, now| {
            handle.line(InputLine::Trigger, true, now, Some(2));
        }),
    );
    // The second edge is a part of its own to the box, so later numbers are not those of the conveyor.
    assert_eq!(done.counters().parts(), 7, "{done:?}");
    assert!(done.counters().missed >= 1, "{done:?}");
    assert!(done.counters().passed_gate <= done.counters().accepted, "{done:?}");
}

#[test]
fn more_parts_than_the_queue_can_hold_are_rejected_where_they_are() {
    // The gate is told of 100 ms between two parts; ten and more come in that time.
    let done = Rig { pitch_ms: 2, delay_ms: 2500, gate_pitch_ms: 100, ..Rig::new(600) }.run(|_| GOOD);
    assert_eq!(done.outcome.escaped, 0, "{done:?}");
    assert_eq!(done.counters().parts(), 600, "{done:?}");
    assert!(done.counters().errors_of(ErrorCode::QueueFull) >= 1, "{done:?}");
    assert!(done.alerted, "ERROR stays until a reset: {done:?}");
}

#[test]
fn a_part_whose_edge_was_lost_is_rejected_unseen() {
    let done = Rig::new(8).run_with(
        |_| GOOD,
        Steps::new().at(Kind::Part(2), |handle, now| {
            // The kernel counted two edges more than it handed on.
            handle.line(InputLine::Trigger, true, now, Some(5));
        }),
    );
    assert!(done.counters().unseen >= 2, "{done:?}");
    assert!(done.counters().errors_of(ErrorCode::TriggerLost) >= 1, "{done:?}");
    assert!(done.counters().passed_gate <= done.counters().accepted, "{done:?}");
    assert!(done.alerted, "{done:?}");
}

#[test]
fn parts_whose_encoder_lost_counts_are_rejected() {
    let done = Rig { encoder: true, ..Rig::new(12) }.run_with(
        |_| GOOD,
        Steps::new().at(Kind::Part(5), |handle, now| {
            handle.encoder_lost(now);
        }),
    );
    done.assert_safe();
    assert!(done.counters().errors_of(ErrorCode::EncoderStopped) >= 1, "{done:?}");
    assert!(done.outcome.good_rejected >= 1, "those that were on the way: {done:?}");
    assert!(done.alerted, "{done:?}");
}

#[test]
fn triggers_while_a_recipe_is_loaded_are_missed_parts() {
    let rig = Rig { recipes_take: Duration::from_millis(600), ..Rig::new(14) };
    let done = rig.run_with(
        |_| GOOD,
        Steps::new().at(Kind::Part(3), |handle, _| {
            handle.change_recipe(2);
        }),
    );
    done.assert_safe();
    assert!(done.counters().missed >= 1 && done.outcome.uninspected >= 1, "{done:?}");
    assert_eq!(done.counters().recipe_changes, 2, "{done:?}");
    assert!(done.recipes_used().ends_with(&[2]), "{done:?}");
}

#[test]
fn a_controller_that_never_acknowledges_is_reported_and_the_line_goes_on() {
    let done = Rig { result: ResultMode::Ack, ..Rig::new(8) }.run(|part| if part == 4 { BAD } else { GOOD });
    done.assert_safe();
    assert!(done.counters().errors_of(ErrorCode::AckTimeout) >= 1, "{done:?}");
    assert!(done.counters().accepted >= 2, "{done:?}");
}

#[test]
fn a_recipe_change_between_parts_misses_none_that_it_cannot() {
    let done = Rig::new(12).run_with(
        |_| GOOD,
        Steps::new().at(Kind::Part(4), |handle, now| {
            handle.line(InputLine::RecipeBit(1), true, now, None);
            handle.line(InputLine::RecipeStrobe, true, now + 2000, None);
            handle.line(InputLine::RecipeStrobe, false, now + 4000, None);
        }),
    );
    done.assert_safe();
    assert_eq!(done.counters().recipe_changes, 2, "{done:?}");
    assert!(done.recipes_used().contains(&1) && done.recipes_used().contains(&2), "{done:?}");
}

#[test]
fn a_recipe_that_cannot_be_loaded_stops_the_box_until_a_reset() {
    let done = Rig::new(14).run_with(
        |_| GOOD,
        Steps::new()
            .at(Kind::Part(3), |handle, now| {
                handle.line(InputLine::RecipeBit(3), true, now, None);
                handle.line(InputLine::RecipeStrobe, true, now + 2000, None);
                handle.line(InputLine::RecipeStrobe, false, now + 4000, None);
            })
            .at(Kind::Part(6), |handle, now| {
                handle.line(InputLine::Reset, true, now, None);
            }),
    );
    done.assert_safe();
    assert_eq!(done.counters().errors_of(ErrorCode::RecipeFailed), 1, "{done:?}");
    assert!(done.said("recipe 8: there is no such recipe"), "{done:?}");
    assert!(done.counters().missed >= 1, "{done:?}");
    assert!(done.recipes_used().iter().all(|number| *number == 1), "{done:?}");
}

/// Recipes of which only some loads succeed.
struct Proven(Vec<bool>);

impl Recipes for Proven {
    fn load(&mut self, number: u16) -> Result<Prepared, String> {
        if self.0.pop().unwrap_or(false) {
            rig::Seven(Duration::ZERO).load(number)
        } else {
            Err("a golden sample is judged wrong".into())
        }
    }
}

/// A failed golden-sample test: a reset alone does not let the recipe judge again.
#[test]
fn a_recipe_that_is_not_trusted_takes_parts_again_only_when_it_was_loaded_again() {
    let mut rig = Rig::new(24);
    // The first load, the one after the first reset, the one after the second.
    rig.recipes = Some(Box::new(Proven(vec![true, false, true])));
    let done = rig.run_with(
        |_| GOOD,
        Steps::new().at(Kind::Part(4), |handle, _| {
            let handle = handle.clone();
            std::thread::spawn(move || {
                handle.distrust(7, "this one is not in use".to_owned());
                handle.distrust(1, "the golden-sample test failed".to_owned());
                // Two would do; on a slow machine one may come before the load is answered.
                for _ in 0..5 {
                    std::thread::sleep(Duration::from_millis(300));
                    handle.reset();
                }
            });
        }),
    );
    done.assert_safe();
    assert_eq!(done.counters().errors_of(ErrorCode::RecipeFailed), 2, "{done:?}");
    assert_eq!(done.counters().recipe_changes, 2, "{done:?}");
    assert!(done.said("the golden-sample test failed") && done.said("a golden sample is judged wrong"), "{done:?}");
    assert!(done.counters().missed >= 3, "{done:?}");
    assert!(done.parts.last().is_some_and(|part| part.accepted && part.part > 1010), "{done:?}");
}

/// A box whose first recipe could not be loaded in time, or at all, gets to work by resets alone.
#[test]
fn a_reset_loads_the_recipe_that_the_box_could_not_start_with() {
    let mut rig = Rig::new(6);
    rig.recipes = Some(Box::new(Proven(vec![true, false, false])));
    rig.meets.push(Box::new(|line| {
        let handle = line.handle();
        std::thread::spawn(move || {
            for _ in 0..4 {
                std::thread::sleep(Duration::from_millis(300));
                handle.reset();
            }
        });
    }));
    let done = rig.run_with(|_| GOOD, Steps::new());
    done.assert_safe();
    assert_eq!(done.counters().errors_of(ErrorCode::RecipeFailed), 2, "{done:?}");
    assert!(done.parts.iter().filter(|part| part.accepted).count() >= 5, "{done:?}");
}

#[test]
fn a_record_that_hangs_or_fails_does_not_stop_the_line() {
    for sink in [rig::Sink::Hangs, rig::Sink::Panics] {
        let done = Rig { sink, ..Rig::new(10) }.run(|part| if part % 2 == 0 { BAD } else { GOOD });
        assert_eq!(done.outcome.parts, 10, "{done:?}");
        assert_eq!(done.counters().parts(), 10, "{done:?}");
        assert_eq!(done.counters().passed_gate + done.counters().rejected_at_gate, 10, "{done:?}");
    }
}

#[test]
fn lines_that_cannot_be_set_put_the_box_into_error() {
    let done = Rig { outputs_fail_after: Some(20), ..Rig::new(8) }.run(|_| GOOD);
    assert!(done.counters().errors_of(ErrorCode::LineFault) >= 1, "{done:?}");
    assert!(done.said("wire cut"), "{done:?}");
}

#[test]
fn a_stop_in_the_middle_of_a_part_lets_it_go_its_way() {
    let done = Rig::new(6).run_with(
        |_| GOOD,
        Steps::new().at(Kind::Part(3), |handle, _| {
            handle.stop();
        }),
    );
    done.assert_safe();
    assert!(!done.report.stopped_early, "{done:?}");
    let counters = done.counters();
    assert_eq!(counters.passed_gate + counters.rejected_at_gate, counters.parts(), "{done:?}");
    assert!(counters.parts() <= 6 && counters.triggered <= 4, "{done:?}");
}

#[test]
fn accepted_pictures_are_recorded_only_where_wanted() {
    for wanted in [false, true] {
        let done = Rig { record_accepted: wanted, ..Rig::new(4) }.run(|part| if part == 1 { BAD } else { GOOD });
        done.assert_safe();
        let of =
            |accept: bool| done.parts.iter().filter(|p| p.accepted == accept).map(|p| p.picture).collect::<Vec<_>>();
        assert!(of(true).iter().all(|picture| *picture == wanted), "{done:?}");
        assert!(of(false).iter().all(|picture| *picture), "{done:?}");
    }
}

#[test]
fn a_serial_line_that_fails_does_not_stop_the_line() {
    let rates = FaultRates { refused: 0.3, lost: 0.2, repeated: 0.1, delayed: 0.1 };
    let mut inner = SimulatedLine::new(Wire::Binary, 1 << 16);
    inner.write(&[0, 1, 2, 3, 0, 255, 255, 0]);
    let signal = FaultSignal::new(inner, rates, 5);
    let done = Rig { signal: Some(Box::new(signal)), ..Rig::new(10) }.run(|part| if part == 4 { BAD } else { GOOD });
    done.assert_safe();
    assert!(done.report.unsent >= 1, "{done:?}");
    assert!(done.counters().errors_of(ErrorCode::LineFault) >= 1, "garbage is counted: {done:?}");
    assert!(done.counters().accepted >= 1, "{done:?}");
}

#[test]
fn good_parts_that_change_raise_the_alarm_and_are_judged_as_before() {
    let rig = || Rig { drift_parts: Some(20), record_accepted: true, pitch_ms: 100, ..Rig::new(30) };
    let spread = |part: u32| 90 + (part * 8 % 21) as u8;
    let steady = rig().run(move |part| Shot::Level(spread(part)));
    steady.assert_safe();
    assert_eq!(steady.counters().errors_of(ErrorCode::Drift), 0, "{steady:?}");
    // Brighter than any good part of the calibration, and still accepted.
    let changed = rig().run(|_| Shot::Level(116));
    changed.assert_safe();
    assert_eq!(changed.counters().errors_of(ErrorCode::Drift), 1, "{changed:?}");
    assert!(changed.said("drift: recalibrate: good parts score higher"), "{changed:?}");
    assert!(changed.said("pictures are brighter"), "{changed:?}");
    assert!(changed.parts.iter().all(|part| part.accepted), "{changed:?}");
}
