//! `box.toml` as it is written, before its rules are checked.

use crate::signal::OutputLine;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    #[serde(rename = "box")]
    pub(super) station: Station,
    pub(super) camera: Camera,
    pub(super) trigger: Trigger,
    #[serde(default)]
    pub(super) result: ResultTable,
    pub(super) gate: Option<Gate>,
    #[serde(default)]
    pub(super) alarm: Alarm,
    #[serde(default)]
    pub(super) inputs: Inputs,
    #[serde(default)]
    pub(super) outputs: BTreeMap<OutputLine, Pin>,
    pub(super) serial: Option<Serial>,
    pub(super) page: Option<super::PageConfig>,
    pub(super) modbus: Option<super::ModbusConfig>,
    pub(super) mqtt: Option<super::mqtt::RawMqtt>,
    pub(super) metrics: Option<super::MetricsConfig>,
    pub(super) webhook: Option<super::plant::RawWebhook>,
    pub(super) record: Option<crate::record::journal::Settings>,
    pub(super) recipes: Recipes,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Station {
    pub(super) name: String,
    pub(super) profile: Option<String>,
    pub(super) state: Option<PathBuf>,
    pub(super) realtime_priority: Option<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Camera {
    pub(super) device: Option<PathBuf>,
    pub(super) folder: Option<PathBuf>,
    pub(super) width: Option<u32>,
    pub(super) height: Option<u32>,
    pub(super) format: Option<Format>,
    pub(super) fps: Option<u32>,
    #[serde(default = "timeout_ms")]
    pub(super) timeout_ms: u32,
    pub(super) lost_ms: Option<u32>,
    #[serde(default)]
    pub(super) controls: BTreeMap<String, i64>,
    #[serde(default)]
    pub(super) check: Check,
}

fn timeout_ms() -> u32 {
    500
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
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

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Check {
    pub(super) dark: Option<f32>,
    pub(super) bright: Option<f32>,
    pub(super) sharpness: Option<f32>,
    pub(super) frozen: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trigger {
    pub(super) source: Source,
    #[serde(default = "interval_ms")]
    pub(super) interval_ms: u32,
    #[serde(default)]
    pub(super) delay_ms: u32,
}

fn interval_ms() -> u32 {
    100
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Source {
    Gpio,
    Serial,
    Modbus,
    Interval,
    FreeRun,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ResultTable {
    pub(super) mode: Mode,
    pub(super) width_ms: u32,
    pub(super) data_to_strobe_ms: u32,
    pub(super) ack_timeout_ms: u32,
    pub(super) timeout_ms: Option<u32>,
}

impl Default for ResultTable {
    fn default() -> Self {
        Self { mode: Mode::OneShot, width_ms: 50, data_to_strobe_ms: 2, ack_timeout_ms: 1000, timeout_ms: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Mode {
    OneShot,
    Latch,
    Ack,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gate {
    pub(super) wiring: Wiring,
    pub(super) delay_ms: Option<u32>,
    pub(super) pitch_ms: Option<u32>,
    pub(super) counts: Option<u32>,
    pub(super) pitch_counts: Option<u32>,
    pub(super) stopped_after_ms: Option<u32>,
    #[serde(default = "pulse_ms")]
    pub(super) pulse_ms: u32,
    pub(super) queue: Option<usize>,
    pub(super) confirm_ms: Option<u32>,
}

fn pulse_ms() -> u32 {
    50
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Wiring {
    AcceptPulse,
    RejectPulse,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Alarm {
    pub(super) consecutive_rejects: u32,
    pub(super) drift_parts: u32,
}

impl Default for Alarm {
    fn default() -> Self {
        Self { consecutive_rejects: 5, drift_parts: 500 }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Inputs {
    pub(super) trigger: Option<Pin>,
    pub(super) ack: Option<Pin>,
    pub(super) reset: Option<Pin>,
    pub(super) recipe_strobe: Option<Pin>,
    #[serde(default)]
    pub(super) recipe_bits: Vec<Pin>,
    pub(super) encoder: Option<Pin>,
    pub(super) reject_confirm: Option<Pin>,
    pub(super) bin_full: Option<Pin>,
}

/// A line by the board's header pin, or by chip and offset.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pin {
    pub(super) pin: Option<u16>,
    pub(super) chip: Option<String>,
    pub(super) line: Option<u32>,
    #[serde(default)]
    pub(super) active: Active,
    pub(super) bias: Option<Bias>,
    pub(super) debounce_us: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Active {
    #[default]
    High,
    Low,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Bias {
    PullUp,
    PullDown,
    Disabled,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Serial {
    pub(super) port: Option<String>,
    #[serde(default = "baud")]
    pub(super) baud: u32,
    #[serde(default)]
    pub(super) parity: Parity,
    #[serde(default)]
    pub(super) wire: Wire,
    #[serde(default = "queue")]
    pub(super) queue: usize,
    #[serde(default = "write_deadline_ms")]
    pub(super) write_deadline_ms: u32,
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

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Parity {
    #[default]
    None,
    Even,
    Odd,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Wire {
    #[default]
    Text,
    CheckedText,
    Binary,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recipes {
    pub(super) start: u16,
    pub(super) files: BTreeMap<String, PathBuf>,
}
