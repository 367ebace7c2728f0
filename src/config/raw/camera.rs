//! Where pictures come from.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where pictures come from: `device` or `folder`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Camera {
    /// A V4L2 camera. A path below `/dev/v4l/by-path` stays the same when it is plugged in again.
    pub(in crate::config) device: Option<PathBuf>,
    /// Pictures of a folder instead, again and again.
    pub(in crate::config) folder: Option<PathBuf>,
    /// Pixels in a row; with `device`.
    pub(in crate::config) width: Option<u32>,
    /// Rows; with `device`.
    pub(in crate::config) height: Option<u32>,
    /// Pixel format; with `device`.
    pub(in crate::config) format: Option<Format>,
    /// Pictures a second.
    pub(in crate::config) fps: Option<u32>,
    /// Longest wait for a picture, ms, 1–60000.
    #[serde(default = "timeout_ms")]
    pub(in crate::config) timeout_ms: u32,
    /// Age of the newest picture after which the camera counts as lost, ms; without it 1000, and three frame times in free run.
    pub(in crate::config) lost_ms: Option<u32>,
    /// Controls by the names that `v4l2-ctl -l` and `mudenet-edge doctor` show.
    #[serde(default)]
    pub(in crate::config) controls: BTreeMap<String, i64>,
    /// Pictures that are not inspected: their parts are rejected.
    #[serde(default)]
    pub(in crate::config) check: Check,
}

fn timeout_ms() -> u32 {
    500
}

/// A pixel format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Format {
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
pub(in crate::config) struct Check {
    /// Least mean brightness, 0–1.
    pub(in crate::config) dark: Option<f32>,
    /// Largest share of samples at full scale, 0–1.
    pub(in crate::config) bright: Option<f32>,
    /// Least mean squared Laplacian of the brightness.
    pub(in crate::config) sharpness: Option<f32>,
    /// Pictures in a row that may be the same to the bit, at least 1.
    pub(in crate::config) frozen: Option<u32>,
    /// Pictures that the driver may lose between trigger and picture; 0 without it.
    pub(in crate::config) lost: Option<u32>,
}
