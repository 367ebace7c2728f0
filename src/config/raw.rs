//! `box.toml` as it is written, before its rules are checked.

mod camera;
mod lines;
mod serial;

use crate::signal::OutputLine;
pub(super) use camera::{Camera, Format};
pub(super) use lines::{Active, Bias, Inputs, Pin};
use serde::{Deserialize, Serialize};
pub(super) use serial::{Parity, Serial, Wire};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A station: `box.toml`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    /// The box itself.
    #[serde(rename = "box")]
    pub(super) station: Station,
    /// Where pictures come from.
    pub(super) camera: Camera,
    /// What starts an inspection.
    pub(super) trigger: Trigger,
    /// How a result is shown on the lines.
    #[serde(default)]
    pub(super) result: ResultTable,
    /// The reject gate behind the camera, where there is one.
    pub(super) gate: Option<Gate>,
    /// When somebody has to look.
    #[serde(default)]
    pub(super) alarm: Alarm,
    /// Input lines.
    #[serde(default)]
    pub(super) inputs: Inputs,
    /// Output lines.
    #[serde(default)]
    #[cfg_attr(feature = "cli", schemars(schema_with = "lines::outputs"))]
    pub(super) outputs: BTreeMap<OutputLine, Pin>,
    /// The serial line to the controller (`board/WIRE.md`), where there is one.
    pub(super) serial: Option<Serial>,
    /// The page for operators and engineers, where it is served.
    pub(super) page: Option<super::PageConfig>,
    /// A Modbus TCP server, where it is run.
    pub(super) modbus: Option<super::ModbusConfig>,
    /// A broker that results and states are published to.
    pub(super) mqtt: Option<super::mqtt::RawMqtt>,
    /// `/metrics` and `/healthz` for Prometheus.
    pub(super) metrics: Option<super::MetricsConfig>,
    /// A web server that is told of parts and errors.
    pub(super) webhook: Option<super::plant::RawWebhook>,
    /// The record of what was inspected, where it is kept.
    pub(super) record: Option<crate::record::journal::Settings>,
    /// Signed packages of models and recipes, where they are used.
    pub(super) update: Option<super::UpdateConfig>,
    /// The products.
    pub(super) recipes: Recipes,
}

/// The box itself.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Station {
    /// What people call it; it stands on the page and in reports.
    pub(super) name: String,
    /// The board, one of `board/profiles`; lines may then be named by header pin.
    pub(super) profile: Option<String>,
    /// Folder that keeps the next part number across restarts.
    pub(super) state: Option<PathBuf>,
    /// Real-time priority of the loop, 1–99; needs `LimitRTPRIO` in the service.
    pub(super) realtime_priority: Option<u8>,
    /// Numbers of the processor cores that the networks are computed on, a thread on each; all that the process may use, where
    /// absent.
    pub(super) cores: Option<Vec<u32>>,
}

/// What starts an inspection.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Trigger {
    /// Where triggers come from.
    pub(super) source: Source,
    /// Time between two triggers with `interval`, ms, 0–10000.
    #[serde(default = "interval_ms")]
    pub(super) interval_ms: u32,
    /// From the trigger to the picture, ms, 0–10000.
    #[serde(default)]
    pub(super) delay_ms: u32,
}

fn interval_ms() -> u32 {
    100
}

/// A source of triggers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(super) enum Source {
    /// The line `inputs.trigger`.
    Gpio,
    /// The controller, by message.
    Serial,
    /// The controller, over Modbus TCP.
    Modbus,
    /// A timer.
    Interval,
    /// Picture after picture.
    FreeRun,
}

/// How a result is shown on the lines.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct ResultTable {
    /// How long it is shown.
    pub(super) mode: Mode,
    /// Time that STROBE is active with `one-shot`, ms, 10–495.
    pub(super) width_ms: u32,
    /// From OK and NG to STROBE, ms, 1–1000.
    pub(super) data_to_strobe_ms: u32,
    /// Longest wait for an acknowledgement with `ack`, ms, 1–60000.
    pub(super) ack_timeout_ms: u32,
    /// Longest time from trigger to result, ms; without it the gate's delay, at most 1000. A part without a result by then is rejected.
    pub(super) timeout_ms: Option<u32>,
}

impl Default for ResultTable {
    fn default() -> Self {
        Self { mode: Mode::OneShot, width_ms: 50, data_to_strobe_ms: 2, ack_timeout_ms: 1000, timeout_ms: None }
    }
}

/// How long a result is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(super) enum Mode {
    /// For `width_ms`.
    OneShot,
    /// Until the next trigger.
    Latch,
    /// Until it is acknowledged.
    Ack,
}

/// The reject gate behind the camera: by time (`delay_ms`, `pitch_ms`) or by encoder (`counts`, `pitch_counts`).
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Gate {
    /// What a pulse does.
    pub(super) wiring: Wiring,
    /// From the trigger to the gate, ms.
    pub(super) delay_ms: Option<u32>,
    /// Shortest time between two parts, ms.
    pub(super) pitch_ms: Option<u32>,
    /// From the trigger to the gate, encoder counts.
    pub(super) counts: Option<u32>,
    /// Shortest way between two parts, encoder counts.
    pub(super) pitch_counts: Option<u32>,
    /// Time without a count, ms, after which the belt counts as stopped.
    pub(super) stopped_after_ms: Option<u32>,
    /// Length of a pulse, ms, shorter than the pitch.
    #[serde(default = "pulse_ms")]
    pub(super) pulse_ms: u32,
    /// Parts that may be on the way to the gate.
    pub(super) queue: Option<usize>,
    /// Longest time until `inputs.reject-confirm` must have seen a rejected part, ms.
    pub(super) confirm_ms: Option<u32>,
}

fn pulse_ms() -> u32 {
    50
}

/// What a pulse at the gate does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(super) enum Wiring {
    /// It lets a part pass, so that a dead box rejects.
    AcceptPulse,
    /// It rejects a part: a dead box lets everything pass.
    RejectPulse,
}

/// When somebody has to look.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Alarm {
    /// Rejects in a row that set ALARM; 0 never does.
    pub(super) consecutive_rejects: u32,
    /// Accepted parts between two comparisons of good parts with those at calibration; 0 never compares.
    pub(super) drift_parts: u32,
}

impl Default for Alarm {
    fn default() -> Self {
        Self { consecutive_rejects: 5, drift_parts: 500 }
    }
}

/// The products.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Recipes {
    /// Number of the recipe to start with.
    pub(super) start: u16,
    /// Hours between two golden-sample tests of the recipe in use, 1–1000; without it when it is loaded and on command. Where one fails, everything is rejected until the recipe passes.
    pub(super) golden_hours: Option<u32>,
    /// Longest load of a recipe, golden samples included, s, 1–600; after it the change has failed.
    #[serde(default = "load_timeout_s")]
    pub(super) load_timeout_s: u32,
    /// Recipe files by their numbers, 0–65535.
    pub(super) files: BTreeMap<String, PathBuf>,
}

fn load_timeout_s() -> u32 {
    30
}
