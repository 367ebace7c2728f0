use super::Reason;
use crate::Verdict;

/// A part between trigger and gate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) part: u32,
    pub(super) due: i64,
    pub(super) fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Pending,
    Pass,
    Reject(Reason),
}

impl Entry {
    /// A result makes a part pass only once, as the first; later ones can only make it worse.
    pub(super) fn judge(&mut self, verdict: Verdict) {
        self.fate = match (self.fate, verdict.is_accept()) {
            (Fate::Reject(reason), _) => Fate::Reject(reason),
            (Fate::Pending | Fate::Pass, true) => Fate::Pass,
            (Fate::Pending | Fate::Pass, false) => Fate::Reject(Reason::Judged),
        };
    }
}

/// Places at which everything is rejected, ends included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Span {
    pub(super) fn contains(self, place: i64) -> bool {
        self.from <= place && place <= self.to
    }

    pub(super) fn hull(self, other: Span) -> Span {
        Span { from: self.from.min(other.from), to: self.to.max(other.to) }
    }
}
