//! The serial line.

use serde::{Deserialize, Serialize};

/// The serial line to the controller.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Serial {
    /// Device path; without it the first UART of `box.profile`.
    pub(in crate::config) port: Option<String>,
    /// Bits a second, 300–4000000.
    #[serde(default = "baud")]
    pub(in crate::config) baud: u32,
    /// Parity bit.
    #[serde(default)]
    pub(in crate::config) parity: Parity,
    /// Form of the messages.
    #[serde(default)]
    pub(in crate::config) wire: Wire,
    /// Messages that may wait, 1–4096.
    #[serde(default = "queue")]
    pub(in crate::config) queue: usize,
    /// Longest time to write a message, ms, 1–10000.
    #[serde(default = "write_deadline_ms")]
    pub(in crate::config) write_deadline_ms: u32,
    /// Time between two heartbeats of the controller, ms, 10–60000; everything is rejected when three stay out. Without it none is expected.
    pub(in crate::config) controller_heartbeat_ms: Option<u32>,
}

fn baud() -> u32 {
    115_200
}

fn queue() -> usize {
    64
}

fn write_deadline_ms() -> u32 {
    250
}

/// A parity bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Parity {
    #[default]
    None,
    Even,
    Odd,
}

/// A form of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum Wire {
    /// Lines of text; damage on the way may not show.
    #[default]
    Text,
    /// Lines of text with a checksum.
    CheckedText,
    /// Frames with a checksum.
    Binary,
}
