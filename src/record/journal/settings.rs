//! What a site sets about its record.

use super::JournalError;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How a record is kept. Every key but `folder` has a default.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where.
    pub folder: PathBuf,
    /// Keep the picture of one good part in this many; 0 keeps none.
    #[serde(default = "defaults::good")]
    pub good: u64,
    /// Keep the picture of a good part whose score is closer to the threshold than this share of it, ≥ 0.
    #[serde(default = "defaults::near")]
    pub near: f32,
    /// Size from which on a new journal file is begun, MiB, 1–1024.
    #[serde(default = "defaults::file_mib")]
    pub file_mib: u64,
    /// Largest size of the whole record, GiB, > 0. Then the oldest pictures of good parts are deleted, then those near the
    /// threshold, then those of rejects, then the oldest journal files.
    #[serde(default = "defaults::max_gib")]
    pub max_gib: f64,
    /// Days after which pictures and journal files are deleted, ≥ 1.
    #[serde(default = "defaults::max_days")]
    pub max_days: u32,
    /// Space to leave free on the disk, GiB, ≥ 0: below it, the record shrinks as above, and no picture is kept.
    #[serde(default = "defaults::min_free_gib")]
    pub min_free_gib: f64,
    /// Lines that may wait for the disk, 1–65536.
    #[serde(default = "defaults::queue")]
    pub queue: usize,
    /// Pictures that may wait for the disk, each held in memory, 1–256.
    #[serde(default = "defaults::picture_queue")]
    pub picture_queue: usize,
    /// When the disk has to confirm lines.
    #[serde(default)]
    pub confirm: Confirm,
}

/// When the disk has to confirm lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Confirm {
    /// After every line, those that came meanwhile together: a power cut loses what the disk was busy with.
    #[default]
    Each,
    /// When the system sees fit: a power cut loses up to about half a minute. For disks that wear out quickly.
    System,
}

mod defaults {
    pub(super) fn good() -> u64 {
        100
    }
    pub(super) fn near() -> f32 {
        0.1
    }
    pub(super) fn file_mib() -> u64 {
        16
    }
    pub(super) fn max_gib() -> f64 {
        20.0
    }
    pub(super) fn max_days() -> u32 {
        90
    }
    pub(super) fn min_free_gib() -> f64 {
        1.0
    }
    pub(super) fn queue() -> usize {
        1024
    }
    pub(super) fn picture_queue() -> usize {
        16
    }
}

impl Settings {
    /// The defaults, in `folder`.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            good: defaults::good(),
            near: defaults::near(),
            file_mib: defaults::file_mib(),
            max_gib: defaults::max_gib(),
            max_days: defaults::max_days(),
            min_free_gib: defaults::min_free_gib(),
            queue: defaults::queue(),
            picture_queue: defaults::picture_queue(),
            confirm: Confirm::default(),
        }
    }

    /// Refuses values that cannot work.
    ///
    /// # Errors
    /// [`JournalError::Setting`].
    pub fn check(&self) -> Result<(), JournalError> {
        let rule = |key, holds: bool, expected, got: String| {
            if holds { Ok(()) } else { Err(JournalError::Setting { key, expected, got }) }
        };
        rule("near", self.near >= 0.0 && self.near.is_finite(), "a number from 0", self.near.to_string())?;
        rule("file_mib", (1..=1024).contains(&self.file_mib), "1 to 1024", self.file_mib.to_string())?;
        let sized = |gib: f64| gib.is_finite() && gib <= 1e9;
        rule("max_gib", self.max_gib > 0.0 && sized(self.max_gib), "a number above 0", self.max_gib.to_string())?;
        rule("max_days", self.max_days > 0, "at least 1", self.max_days.to_string())?;
        let free = self.min_free_gib;
        rule("min_free_gib", free >= 0.0 && sized(free), "a number from 0", free.to_string())?;
        rule("queue", (1..=65536).contains(&self.queue), "1 to 65536", self.queue.to_string())?;
        rule("picture_queue", (1..=256).contains(&self.picture_queue), "1 to 256", self.picture_queue.to_string())
    }
}

/// Bytes of so many GiB.
pub(super) fn bytes(gib: f64) -> u64 {
    (gib * f64::from(1 << 30)) as u64
}
