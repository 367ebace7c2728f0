//! [`ImageScore`] → [`Verdict`].

use crate::map::ImageScore;
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
}

/// How a threshold was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThresholdMethod {
    /// [`provisional`]: no stated confidence.
    Provisional,
    /// Set by hand.
    Manual,
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
    })
}
