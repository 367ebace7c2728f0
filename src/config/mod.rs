//! `box.toml`: what a station is connected to and how it times its handshake.
//!
//! Everything wrong with the file is told at once before anything is opened, by key and rule; nothing downstream checks
//! again.

mod check;
mod mqtt;
mod page;
mod plant;
mod profile;
mod raw;
mod update;

pub use mqtt::{MqttConfig, Payload};
pub use page::PageConfig;
pub use plant::{MetricsConfig, ModbusConfig, Topic, WebhookConfig};
pub use profile::{PROFILES, Profile, ProfilePin};
pub use update::UpdateConfig;

use crate::limits::{self, read_text};
use crate::record::journal::Settings;
use crate::run::LineConfig;
use crate::run::station::InputLine;
use crate::signal::OutputLine;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A station that was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file it was read from.
    pub path: PathBuf,
    /// What people call the station.
    pub name: String,
    /// The board, where one is named.
    pub profile: Option<Profile>,
    /// Cores that the networks are computed on, a thread on each; `None`: all that the process may use.
    pub cores: Option<Vec<usize>>,
    /// Folder that keeps the part numbers across restarts.
    pub state: Option<PathBuf>,
    /// Where pictures come from.
    pub camera: CameraConfig,
    /// Handshake, gate and timing.
    pub line: LineConfig,
    /// The input lines.
    pub inputs: BTreeMap<InputLine, Wire>,
    /// The output lines.
    pub outputs: BTreeMap<OutputLine, Wire>,
    /// The serial line to the controller.
    pub serial: Option<SerialLine>,
    /// The page for operators and engineers, where one is served.
    pub page: Option<PageConfig>,
    /// The Modbus TCP server, where there is one.
    pub modbus: Option<ModbusConfig>,
    /// The MQTT broker, where there is one.
    pub mqtt: Option<MqttConfig>,
    /// Metrics and health check, where they are served.
    pub metrics: Option<MetricsConfig>,
    /// The web server that is told of parts and errors, where there is one.
    pub webhook: Option<WebhookConfig>,
    /// The record of what was inspected, where one is kept.
    pub record: Option<Settings>,
    /// Signed packages of models and recipes, where they are used.
    pub update: Option<UpdateConfig>,
    /// Recipe files by their numbers.
    pub recipes: BTreeMap<u16, PathBuf>,
    /// Time between two golden-sample tests of the recipe in use; `None`: only when it is loaded and on command.
    pub golden_every: Option<Duration>,
    /// What is allowed and unusual, a sentence each.
    pub warnings: Vec<String>,
}

/// Where pictures come from.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraConfig {
    /// A device or a folder of pictures.
    pub source: CameraSource,
    /// What a picture must be like.
    pub check: PictureLimits,
}

/// A device or a folder of pictures.
#[derive(Clone, Debug, PartialEq)]
pub enum CameraSource {
    /// Pictures of a folder, again and again.
    Folder(PathBuf),
    /// A V4L2 device.
    Device(DeviceConfig),
}

/// A V4L2 device.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceConfig {
    /// Its path; one below `/dev/v4l/by-path` stays the same when it is plugged in again.
    pub path: PathBuf,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// FourCC of its pixel format.
    pub format: [u8; 4],
    /// Pictures a second, where they are set.
    pub fps: Option<u32>,
    /// Controls by the driver's names, such as `exposure_time_absolute`.
    pub controls: BTreeMap<String, i64>,
    /// Pictures that may be lost, by the driver's count, between the trigger and the part's picture.
    pub most_lost: u32,
}

/// What a picture must be like to be inspected; `None` is not checked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PictureLimits {
    /// Least mean brightness, 0–1.
    pub dark: Option<f32>,
    /// Largest share of samples at full scale, 0–1.
    pub bright: Option<f32>,
    /// Least mean squared Laplacian of the brightness (0–1).
    pub sharpness: Option<f32>,
    /// Pictures in a row that may be the same to the last bit.
    pub frozen: Option<u32>,
}

/// A GPIO line and how it is wired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Device path or label of the chip.
    pub chip: String,
    /// Offset of the line.
    pub line: u32,
    /// Whether the active level is low.
    pub active_low: bool,
    /// Pull resistor of the chip.
    pub bias: Option<Pull>,
    /// The kernel's debounce period; inputs only.
    pub debounce: Duration,
}

/// A pull resistor of a GPIO chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pull {
    /// To the supply.
    Up,
    /// To ground.
    Down,
    /// None.
    Disabled,
}

/// The serial line to the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerialLine {
    /// Device path.
    pub port: String,
    /// Bits per second.
    pub baud: u32,
    /// `Some(true)` even, `Some(false)` odd.
    pub even_parity: Option<bool>,
    /// Form of the messages.
    pub wire: mudenet_board::wire::Wire,
    /// Messages that may wait.
    pub queue: usize,
    /// Time to write one.
    pub write_deadline: Duration,
}

/// A station that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not TOML of the expected form.
    #[error("{}: line {line}: {reason}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Line of the file, from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// Rules that it breaks, each with its key.
    #[error("{}: {}", path.display(), broken.join("; "))]
    Rules {
        /// The file.
        path: PathBuf,
        /// `key: rule`, one for each.
        broken: Vec<String>,
    },
}

impl Config {
    /// Reads and checks a station's file; paths in it are below its folder.
    ///
    /// # Errors
    /// [`ConfigError`], naming file, keys and rules.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            read_text(path, limits::SETTINGS).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Like [`Config::load`], for the text of the file at `path`.
    ///
    /// # Errors
    /// [`ConfigError::Form`] or [`ConfigError::Rules`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let raw: raw::Raw =
            parse_toml(text).map_err(|(line, reason)| ConfigError::Form { path: path.to_owned(), line, reason })?;
        check::check(raw, path).map_err(|broken| ConfigError::Rules { path: path.to_owned(), broken })
    }
}

/// JSON Schema of `box.toml`.
#[cfg(feature = "cli")]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(raw::Raw).to_value()
}

/// A value from TOML.
///
/// # Errors
/// The line, from 1, and in one sentence what is wrong there.
pub fn parse_toml<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, (usize, String)> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        (before.matches('\n').count() + 1, error.message().to_owned())
    })
}
