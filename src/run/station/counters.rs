use mudenet_board::gate::{Outcome, Reason};
use mudenet_board::{ErrorCode, Verdict};
use serde::Serialize;

/// What a station counted since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Triggers that were taken.
    pub triggered: u64,
    /// Parts judged good.
    pub accepted: u64,
    /// Parts judged bad.
    pub rejected: u64,
    /// Parts that could not be inspected.
    pub faults: u64,
    /// Triggers that came while the box was not ready; their parts are rejected.
    pub missed: u64,
    /// Parts that nobody saw, by gaps in the kernel's count of edges; they are rejected.
    pub unseen: u64,
    /// Parts that left through the accept way.
    pub passed_gate: u64,
    /// Parts that left through the reject way.
    pub rejected_at_gate: u64,
    /// Of these, parts judged good: a neighbour was rejected, the gate was held, or it was told too late.
    pub good_rejected_at_gate: u64,
    /// Recipes taken into use, the first included.
    pub recipe_changes: u64,
    /// Errors by [`ErrorCode::code`]; index 0 stays 0.
    pub errors: [u64; ErrorCode::ALL.len() + 1],
}

impl Counters {
    /// Parts that came by, whether or not they were inspected.
    pub fn parts(&self) -> u64 {
        self.triggered + self.missed + self.unseen
    }

    /// How often this error came.
    pub fn errors_of(&self, code: ErrorCode) -> u64 {
        self.errors.get(usize::from(code.code())).copied().unwrap_or(0)
    }

    pub(super) fn judge(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Accept => self.accepted += 1,
            Verdict::Reject => self.rejected += 1,
            Verdict::Fault => self.faults += 1,
        }
    }

    pub(super) fn settle(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Passed => self.passed_gate += 1,
            Outcome::Rejected(reason) => {
                self.rejected_at_gate += 1;
                if matches!(reason, Reason::Neighbour | Reason::Held | Reason::Overdue) {
                    self.good_rejected_at_gate += 1;
                }
            }
        }
    }

    pub(super) fn error(&mut self, code: ErrorCode) {
        if let Some(count) = self.errors.get_mut(usize::from(code.code())) {
            *count += 1;
        }
    }
}
