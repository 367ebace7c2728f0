//! [`ImageScore`] → [`Verdict`].

mod calibrate;
mod cost;
pub mod drift;
mod tail;

use crate::map::ImageScore;
pub use calibrate::{CalibrationError, FEWEST_TO_ESTIMATE, Wanted, calibrate};
pub use cost::{Costs, Scored, TradeOff};
pub use mudenet_board::Verdict;
use serde::{Deserialize, Serialize};

/// The score above which a part is rejected, and where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// On the scale of [`ImageScore`]; finite.
    pub value: f32,
    /// How it was found.
    pub method: ThresholdMethod,
    /// Number of good parts it was found from; 0 for one set by hand.
    pub good_parts: usize,
    /// What it was calibrated to; `None` for one that promises nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
}

/// What a threshold was calibrated to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Wanted share of good parts that are rejected, in (0, 1).
    pub false_reject: f64,
    /// Probability that the threshold keeps it ([`ThresholdMethod::Tolerance`]), or of `interval`, in (0, 1).
    pub confidence: f64,
    /// Share of good parts that are rejected on average.
    pub expected_false_reject: f64,
    /// Of an estimate: between which values the threshold for that rate lies; an end that the scores do not bound is
    /// missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[Option<f32>; 2]>,
    /// Day of the calibration, `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// What its good parts looked like, to notice when they change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<drift::Baseline>,
}

/// How a threshold was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ThresholdMethod {
    /// [`provisional`]: no stated confidence.
    Provisional,
    /// Set by hand.
    Manual,
    /// Order-statistic tolerance bound: keeps the false-reject rate at the stated confidence whatever the distribution.
    Tolerance,
    /// Empirical quantile of the good parts' scores: an estimate.
    Quantile,
    /// Quantile of a generalised Pareto distribution fitted to the largest scores: an estimate.
    TailFit,
}

impl Threshold {
    /// One set by hand.
    pub fn manual(value: f32) -> Self {
        Self { value, method: ThresholdMethod::Manual, good_parts: 0, calibration: None }
    }
}

/// Rejects above the threshold; a score or threshold that is not a finite number is a fault.
pub fn decide(score: &ImageScore, threshold: f32) -> Verdict {
    if !score.value.is_finite() || !threshold.is_finite() {
        Verdict::Fault
    } else if score.value > threshold {
        Verdict::Reject
    } else {
        Verdict::Accept
    }
}

/// A first threshold from the scores of good parts that were not trained on: the largest plus half its distance from the
/// median. It scales and shifts with the scores and promises no false-reject rate. `None` without a finite score.
pub fn provisional(scores: &[f32]) -> Option<Threshold> {
    let mut sorted: Vec<f32> = scores.iter().copied().filter(|s| s.is_finite()).collect();
    sorted.sort_by(f32::total_cmp);
    let (max, median) = (*sorted.last()?, *sorted.get(sorted.len() / 2)?);
    Some(Threshold {
        value: max + 0.5 * (max - median),
        method: ThresholdMethod::Provisional,
        good_parts: sorted.len(),
        calibration: None,
    })
}
