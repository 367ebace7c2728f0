//! What an inspection box and a microcontroller on the line share.
//!
//! Everything here is sans-IO: inputs and the time go in, outputs and the next deadline come out.
#![no_std]
#![forbid(unsafe_code)]

/// What became of a part. Everything but [`Verdict::Accept`] leaves the line through the reject gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The part was inspected and its score is at or below the threshold.
    Accept,
    /// The part was inspected and its score is above the threshold.
    Reject,
    /// The part could not be inspected; it is rejected and an error is reported.
    Fault,
}

impl Verdict {
    /// Whether the part may pass the gate.
    pub fn is_accept(self) -> bool {
        matches!(self, Verdict::Accept)
    }
}
