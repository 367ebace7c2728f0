//! [`Verdict`](crate::decide::Verdict) → lines, bytes.
//!
//! | behind [`Signal`] | what it is |
//! |---|---|
//! | [`LogSignal`] | a line of text for people |
//! | [`SimulatedLine`] | a serial line in memory: the very bytes a controller would read |
//! | [`FaultSignal`] | loses, repeats, delays and refuses messages of another one, seeded |
//! | `SerialSignal` | a serial port (feature `serial`) |
//!
//! Behind [`Outputs`], the digital lines, is `GpioOutputs` (feature `gpio`).
//!
//! A message that is not sent leaves its part without a result, and the controller rejects a part without a result
//! (`board/WIRE.md`); so every failure here ends in a reject, and is reported.

mod fault;
#[cfg(feature = "gpio")]
mod gpio;
mod lines;
mod log;
#[cfg(feature = "serial")]
mod serial;
mod simulated;

pub use fault::{FaultRates, FaultSignal};
#[cfg(feature = "gpio")]
pub use gpio::{GpioInputs, GpioOutputs, find_chip};
pub use lines::{Levels, NoOutputs, OutputLine, Outputs};
pub use log::LogSignal;
pub use mudenet_board::wire::{Message, PartResult, Wire, WireError};
#[cfg(feature = "serial")]
pub use serial::{Parity, SerialConfig, SerialCounters, SerialSignal};
pub use simulated::SimulatedLine;

use std::time::Duration;

/// A way out to the line, and back.
pub trait Signal: Send {
    /// Hands a message over and returns at once; what fails later comes out of [`Signal::receive`].
    ///
    /// # Errors
    /// [`SignalError`]: the message will not reach the line, so the part has no result and is rejected there.
    fn send(&mut self, message: &Message) -> Result<(), SignalError>;

    /// What the controller said and what failed since the last call, oldest first, one at a time; `None` when there is
    /// nothing more. Returns at once.
    fn receive(&mut self) -> Option<Result<Message, SignalError>> {
        None
    }
}

/// What failed between the box and the line.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// Nobody takes the messages as fast as they come.
    #[error("{device}: the queue of {capacity} is full; the message is dropped")]
    Overflow {
        /// Port or stream.
        device: String,
        /// Messages (bytes for a simulated line) that it holds.
        capacity: usize,
    },
    /// There is no connection now.
    #[error("{device}: not connected; the message is dropped")]
    Disconnected {
        /// Port or stream.
        device: String,
    },
    /// The peer did not take the bytes in time.
    #[error("{device}: the peer did not take a message within {deadline:?}")]
    Deadline {
        /// Port or stream.
        device: String,
        /// The time it had.
        deadline: Duration,
    },
    /// The device cannot be opened.
    #[error("{device}: cannot be opened: {reason}")]
    Open {
        /// Port.
        device: String,
        /// What the system said.
        reason: String,
    },
    /// A setting that cannot work.
    #[error("{device}: {setting} must be {expected}, got {got}")]
    Setting {
        /// Port.
        device: String,
        /// Name of the setting.
        setting: &'static str,
        /// What would do.
        expected: &'static str,
        /// What was set.
        got: String,
    },
    /// The device failed.
    #[error("{device}: {source}")]
    Io {
        /// Port or stream.
        device: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Messages that waited when the connection broke; they are not sent late.
    #[error("{device}: {count} waiting messages dropped when the connection broke")]
    Discarded {
        /// Port.
        device: String,
        /// How many.
        count: u64,
    },
    /// Bytes from the peer that are no message.
    #[error("{device}: bytes from the controller: {error}")]
    Wire {
        /// Port.
        device: String,
        /// What is wrong with them.
        error: WireError,
    },
    /// Messages from the peer that did not arrive, by their sequence numbers.
    #[error("{device}: {count} messages from the controller lost on the line")]
    Lost {
        /// Port.
        device: String,
        /// How many.
        count: u16,
    },
    /// Events that nobody fetched in time.
    #[error("{device}: {count} events dropped because nobody fetched them")]
    EventsDropped {
        /// Port.
        device: String,
        /// How many.
        count: u64,
    },
}
