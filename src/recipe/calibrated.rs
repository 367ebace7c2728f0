//! `[calibration]` of a recipe.

use crate::decide::ThresholdMethod;
use crate::decide::drift::Baseline;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Longest file of a baseline that is read, bytes.
const MOST: u64 = 1 << 20;

/// How a recipe's thresholds were found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Calibrated {
    /// The recipe's threshold that this is about; where the recipe has another one, it was changed since.
    pub threshold: f32,
    /// How it was found.
    pub method: ThresholdMethod,
    /// Good parts it was found from.
    pub good_parts: usize,
    /// Wanted share of good parts that are rejected, all zones together, in (0, 1).
    pub false_reject: f64,
    /// Probability that it is kept, in (0, 1).
    pub confidence: f64,
    /// Share of good parts that are rejected on average, at most.
    pub expected_false_reject: f64,
    /// Day, `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// JSON file of what the good parts looked like, below the recipe's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<PathBuf>,
}

impl Calibrated {
    /// With its file below `folder`.
    pub(super) fn below(mut self, folder: &Path) -> Self {
        self.baseline = self.baseline.map(|file| folder.join(file));
        self
    }
}

/// # Errors
/// One sentence that names the file.
pub(super) fn read_baseline(file: &Path) -> Result<Baseline, String> {
    let fail = |reason: &dyn std::fmt::Display| format!("{}: cannot be read: {reason}", file.display());
    let length = std::fs::metadata(file).map_err(|e| fail(&e))?.len();
    if length > MOST {
        return Err(fail(&format!("{length} bytes, at most {MOST}")));
    }
    let text = std::fs::read_to_string(file).map_err(|e| fail(&e))?;
    serde_json::from_str(&text).map_err(|e| fail(&e))
}
