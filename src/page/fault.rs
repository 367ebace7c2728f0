//! What is wrong with the line, in words, and the one thing to do about it.

use crate::decide::Verdict;
use crate::run::Status;
use crate::signal::OutputLine;
use mudenet_board::{ErrorCode, Micros, State};
use serde::Serialize;

/// A line that has said nothing for so long hangs.
const SILENT: Micros = 3_000_000;
/// How long an error that ended by itself is shown.
const SHOWN: Micros = 15_000_000;

/// The line in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Word {
    Ok,
    Ng,
    Stopped,
    CameraLost,
    NotReady,
    /// Ready, and no part has come yet.
    Ready,
}

/// What is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Fault {
    pub(super) title: &'static str,
    pub(super) action: &'static str,
    /// Whether RESET is that action.
    pub(super) reset: bool,
}

/// The word for a line whose last part had this verdict.
pub(super) fn word(status: &Status, verdict: Option<Verdict>, now: Micros) -> Word {
    if silent(status, now) || status.state == State::Halted {
        return Word::Stopped;
    }
    if camera_lost(status) {
        return Word::CameraLost;
    }
    match status.state {
        State::Error => Word::Stopped,
        State::Preoperational | State::Initialized => Word::NotReady,
        State::Halted | State::Ready | State::SingleExecution | State::ContinuousExecution => match verdict {
            None => Word::Ready,
            Some(Verdict::Accept) => Word::Ok,
            Some(Verdict::Reject | Verdict::Fault) => Word::Ng,
        },
    }
}

fn silent(status: &Status, now: Micros) -> bool {
    now.saturating_sub(status.at) > SILENT
}

/// A camera that was never there is one that is lost once the error was reported.
fn camera_lost(status: &Status) -> bool {
    !status.camera && status.counters.errors_of(ErrorCode::CameraLost) > 0
}

/// The fault to show, where there is one.
pub(super) fn fault(status: &Status, now: Micros) -> Option<Fault> {
    if silent(status, now) {
        return Some(Fault {
            title: "The inspection does not answer",
            action: "Switch the box off and on again, then call maintenance",
            reset: false,
        });
    }
    if camera_lost(status) {
        return Some(of(ErrorCode::CameraLost, false));
    }
    let code = status.last_error.map(|(code, _)| code);
    match status.state {
        State::Error => return Some(of(code.unwrap_or(ErrorCode::Internal), true)),
        State::Halted => {
            return Some(Fault {
                title: "The line was stopped",
                action: "Start the inspection again when the line is clear",
                reset: false,
            });
        }
        _ => {}
    }
    if status.product.is_none() && code == Some(ErrorCode::RecipeFailed) {
        return Some(of(ErrorCode::RecipeFailed, false));
    }
    if status.levels.get(OutputLine::Alarm) {
        let rejects = !status.drifted || code == Some(ErrorCode::ConsecutiveRejects);
        return Some(of(if rejects { ErrorCode::ConsecutiveRejects } else { ErrorCode::Drift }, true));
    }
    let (code, at) = status.last_error?;
    (ends_by_itself(code) && now.saturating_sub(at) <= SHOWN).then(|| of(code, false))
}

/// Whether nobody has to reset the line or bring the camera back: the others are over when their state is.
fn ends_by_itself(code: ErrorCode) -> bool {
    let waits = [
        ErrorCode::CameraLost,
        ErrorCode::QueueFull,
        ErrorCode::ConsecutiveRejects,
        ErrorCode::Internal,
        ErrorCode::Drift,
    ];
    !waits.contains(&code)
}

/// `waits`: until somebody resets the line.
fn of(code: ErrorCode, waits: bool) -> Fault {
    // By number, so that a code this page does not know still has words.
    let (title, action) = match code.code() {
        1 => ("No picture from the camera", "Check the camera's cable and light; the box goes on by itself"),
        2 => (
            "A part could not be inspected",
            "Nothing to do: it was rejected. If it happens again, clean lens and light",
        ),
        3 => {
            ("A result came too late", "Nothing to do: the part was rejected. If it happens again, slow the line down")
        }
        4 => ("A part came too early", "Nothing to do: it was rejected. If it happens again, slow the line down"),
        5 => ("A trigger was lost", "Check the trigger sensor and its cable"),
        6 => ("Too many parts between camera and gate", "Stop the line, clear the belt up to the gate, then RESET"),
        7 => ("The controller did not take a result", "Check the controller, then RESET"),
        8 => ("The recipe cannot be used", "Choose another recipe or call the engineer"),
        9 => ("The controller is silent: everything is rejected", "Check the controller and its cable"),
        10 => ("The belt's encoder stands still", "Check that the belt runs and the encoder is connected"),
        11 => ("A rejected part did not reach the bin", "Stop the line, take the part out, check the gate, then RESET"),
        12 => ("The reject bin is full", "Empty the reject bin"),
        13 => ("Many rejects in a row", "Look at the last rejects: check parts, light and position, then RESET"),
        14 => ("Bad signals on a line", "Check the cable between box and controller"),
        16 => ("Good parts look different than before", "Clean lens and light; if it stays, call the engineer"),
        _ => ("A fault inside the box", "RESET; if it comes back, call maintenance"),
    };
    Fault { title, action, reset: waits }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::station::Counters;
    use crate::signal::Levels;
    use mudenet_board::machine::Lines;

    fn status(state: State) -> Status {
        Status { at: 1_000_000, state, camera: true, ..Status::default() }
    }

    #[test]
    fn only_an_accepted_part_on_a_line_that_runs_is_ok() {
        for state in State::ALL {
            for camera in [true, false] {
                for at in [0, 9_000_000] {
                    for verdict in [None, Some(Verdict::Accept), Some(Verdict::Reject), Some(Verdict::Fault)] {
                        let mut counters = Counters::default();
                        counters.errors[usize::from(ErrorCode::CameraLost.code())] = 1;
                        let status = Status { at, camera, counters, ..status(state) };
                        let runs = matches!(state, State::Ready | State::SingleExecution | State::ContinuousExecution);
                        let good = runs && camera && at > 0 && verdict == Some(Verdict::Accept);
                        assert_eq!(word(&status, verdict, 10_000_000) == Word::Ok, good, "{status:?} {verdict:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_alarm_says_why_it_is_on() {
        let levels = Levels::new(Lines::default(), false, true);
        for (drifted, code, title) in [
            (false, ErrorCode::ConsecutiveRejects, "Many rejects in a row"),
            (true, ErrorCode::Drift, "Good parts look different than before"),
            (true, ErrorCode::MissedTrigger, "Good parts look different than before"),
            (true, ErrorCode::ConsecutiveRejects, "Many rejects in a row"),
        ] {
            let status = Status { levels, drifted, last_error: Some((code, 0)), ..status(State::Ready) };
            let shown = fault(&status, 2_000_000).unwrap();
            assert_eq!((shown.title, shown.reset), (title, true), "{code}");
        }
    }

    #[test]
    fn every_error_has_one_action_and_those_that_end_by_themselves_go() {
        for code in ErrorCode::ALL {
            let status = Status { last_error: Some((code, 1_000_000)), ..status(State::Ready) };
            let shown = fault(&status, 2_000_000);
            assert_eq!(shown.is_some(), ends_by_itself(code), "{code}");
            assert!(shown.is_none_or(|shown| !shown.action.is_empty() && !shown.reset), "{code}");
            let later = Status { at: 60_000_000, ..status.clone() };
            assert!(fault(&later, 60_000_000).is_none() || code == ErrorCode::RecipeFailed, "{code}");
            let stopped = Status { state: State::Error, at: 60_000_000, ..status };
            assert!(fault(&stopped, 60_000_000).unwrap().reset, "{code}");
        }
    }
}
