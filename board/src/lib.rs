//! What an inspection box and a microcontroller on the line share.
//!
//! | module | what it is |
//! |---|---|
//! | [`wire`] | the messages on a serial line and their bytes (`WIRE.md` is the document) |
//! | [`machine`] | the box: trigger, result and recipe handshake with a controller |
//! | [`gate`] | the reject gate: parts between camera and gate, and the pulses that sort them |
//! | [`debounce`], [`quadrature`] | one input line; the two lines of an encoder |
//! | [`heartbeat`], [`confirm`] | the watches over a peer and over the reject way |
//!
//! Everything here is sans-IO: inputs and the time go in, outputs and the next deadline come out.
//!
//! Invariants:
//! * A part is rejected unless it was proven good: only [`Verdict::Accept`] opens the gate, and nothing here turns another
//!   verdict, a missing one or damaged bytes into it.
//! * No input panics, allocates or blocks.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod confirm;
pub mod debounce;
pub mod gate;
pub mod heartbeat;
pub mod machine;
pub mod quadrature;
mod state;
pub mod wire;

pub use state::{ErrorCode, State};

/// A time of a monotonic clock, or a span of it, in microseconds.
pub type Micros = u64;

/// Milliseconds as [`Micros`].
pub const fn millis(milliseconds: u64) -> Micros {
    milliseconds.saturating_mul(1000)
}

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
