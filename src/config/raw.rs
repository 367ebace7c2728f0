//! `box.toml` as it is written, before its rules are checked.

use crate::signal::OutputLine;
use serde::{Deserialize, Serialize};
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
    #[cfg_attr(feature = "cli", schemars(schema_with = "outputs"))]
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
}

/// Where pictures come from: `device` or `folder`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Camera {
    /// A V4L2 camera. A path below `/dev/v4l/by-path` stays the same when it is plugged in again.
    pub(super) device: Option<PathBuf>,
    /// Pictures of a folder instead, again and again.
    pub(super) folder: Option<PathBuf>,
    /// Pixels in a row; with `device`.
    pub(super) width: Option<u32>,
    /// Rows; with `device`.
    pub(super) height: Option<u32>,
    /// Pixel format; with `device`.
    pub(super) format: Option<Format>,
    /// Pictures a second.
    pub(super) fps: Option<u32>,
    /// Longest wait for a picture, ms, 1–60000.
    #[serde(default = "timeout_ms")]
    pub(super) timeout_ms: u32,
    /// Age of the newest picture after which the camera counts as lost, ms; without it 1000, and three frame times in free run.
    pub(super) lost_ms: Option<u32>,
    /// Controls by the names that `v4l2-ctl -l` and `mudenet-edge doctor` show.
    #[serde(default)]
    pub(super) controls: BTreeMap<String, i64>,
    /// Pictures that are not inspected: their parts are rejected.
    #[serde(default)]
    pub(super) check: Check,
}

fn timeout_ms() -> u32 {
    500
}

/// A pixel format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    Yuyv,
    Mjpeg,
    Grey,
    Rgb3,
    Bggr,
    Gbrg,
    Grbg,
    Rggb,
}

/// What a picture must be like; without a key it is not checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Check {
    /// Least mean brightness, 0–1.
    pub(super) dark: Option<f32>,
    /// Largest share of samples at full scale, 0–1.
    pub(super) bright: Option<f32>,
    /// Least mean squared Laplacian of the brightness.
    pub(super) sharpness: Option<f32>,
    /// Pictures in a row that may be the same to the bit, at least 1.
    pub(super) frozen: Option<u32>,
    /// Pictures that the driver may lose between trigger and picture; 0 without it.
    pub(super) lost: Option<u32>,
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

/// Input lines.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Inputs {
    /// A part is in front of the camera.
    pub(super) trigger: Option<Pin>,
    /// Where triggers come by themselves, parts are taken only while it is active.
    pub(super) part_present: Option<Pin>,
    /// The controller took the result.
    pub(super) ack: Option<Pin>,
    /// Leave the error state.
    pub(super) reset: Option<Pin>,
    /// The number on `recipe-bits` is to be used.
    pub(super) recipe_strobe: Option<Pin>,
    /// Number of the recipe, lowest bit first, at most 16 lines.
    #[serde(default)]
    pub(super) recipe_bits: Vec<Pin>,
    /// Counts of the belt's encoder.
    pub(super) encoder: Option<Pin>,
    /// Second channel of the encoder, a quarter of a period behind: the belt may run back.
    pub(super) encoder_b: Option<Pin>,
    /// A rejected part fell into the bin.
    pub(super) reject_confirm: Option<Pin>,
    /// The reject bin is full.
    pub(super) bin_full: Option<Pin>,
}

/// A line, by the board's header pin (`pin`) or by `chip` and `line`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Pin {
    /// Number of the header pin; needs `box.profile`.
    pub(super) pin: Option<u16>,
    /// Device path or label of the chip.
    pub(super) chip: Option<String>,
    /// Offset on the chip.
    pub(super) line: Option<u32>,
    /// Its active level.
    #[serde(default)]
    pub(super) active: Active,
    /// Pull resistor of the chip.
    pub(super) bias: Option<Bias>,
    /// The kernel's debounce, µs, 0–5000; inputs only. Without it 1000, and 0 for the encoder.
    pub(super) debounce_us: Option<u32>,
}

/// An active level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum Active {
    #[default]
    High,
    Low,
}

/// A pull resistor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(super) enum Bias {
    PullUp,
    PullDown,
    Disabled,
}

/// The serial line to the controller.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Serial {
    /// Device path; without it the first UART of `box.profile`.
    pub(super) port: Option<String>,
    /// Bits a second, 300–4000000.
    #[serde(default = "baud")]
    pub(super) baud: u32,
    /// Parity bit.
    #[serde(default)]
    pub(super) parity: Parity,
    /// Form of the messages.
    #[serde(default)]
    pub(super) wire: Wire,
    /// Messages that may wait, 1–4096.
    #[serde(default = "queue")]
    pub(super) queue: usize,
    /// Longest time to write a message, ms, 1–10000.
    #[serde(default = "write_deadline_ms")]
    pub(super) write_deadline_ms: u32,
    /// Time between two heartbeats of the controller, ms, 10–60000; everything is rejected when three stay out. Without it none is expected.
    pub(super) controller_heartbeat_ms: Option<u32>,
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
pub(super) enum Parity {
    #[default]
    None,
    Even,
    Odd,
}

/// A form of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(super) enum Wire {
    /// Lines of text; damage on the way may not show.
    #[default]
    Text,
    /// Lines of text with a checksum.
    CheckedText,
    /// Frames with a checksum.
    Binary,
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
    /// Recipe files by their numbers, 0–65535.
    pub(super) files: BTreeMap<String, PathBuf>,
}

/// The names of the output lines, each with a pin: a map's own schema has no names.
#[cfg(feature = "cli")]
fn outputs(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let lines = <OutputLine as schemars::JsonSchema>::json_schema(generator).to_value();
    let pin = generator.subschema_for::<Pin>().to_value();
    let keys = lines["oneOf"].as_array().into_iter().flatten().filter_map(|line| {
        let mut of = pin.clone();
        of["description"] = line["description"].clone();
        Some((line["const"].as_str()?.to_owned(), of))
    });
    let keys: serde_json::Map<String, serde_json::Value> = keys.collect();
    schemars::json_schema!({ "type": "object", "properties": keys, "additionalProperties": false })
}
