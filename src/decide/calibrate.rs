//! A threshold from the scores of good parts that were not trained on.

use super::{Calibration, Threshold, ThresholdMethod, tail};
use statrs::distribution::{Beta, ContinuousCDF};

/// What a calibration is to promise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    /// Share of good parts that may be rejected, α in (0, 1).
    pub false_reject: f64,
    /// Probability that the threshold keeps it, 1 − δ in (0, 1).
    pub confidence: f64,
}

/// Why there is no threshold.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CalibrationError {
    /// α or the confidence is not a rate.
    #[error("the {name} must lie between 0 and 1 (0 % and 100 %), got {got}")]
    Rate {
        /// Which.
        name: &'static str,
        /// The value.
        got: f64,
    },
    /// No order statistic of so few scores keeps the promise.
    #[error(
        "{parts} good parts are too few to promise a false-reject rate of {false_reject} % with {confidence} % \
         confidence: {missing} more are needed ({needed} in all)"
    )]
    TooFew {
        /// Scores at hand.
        parts: usize,
        /// Scores needed.
        needed: usize,
        /// `needed` less `parts`.
        missing: usize,
        /// α in percent.
        false_reject: f64,
        /// 1 − δ in percent.
        confidence: f64,
    },
    /// An estimate needs more scores.
    #[error("{parts} good parts are too few for this estimate: {missing} more are needed ({needed} in all)")]
    TooFewToEstimate {
        /// Scores at hand.
        parts: usize,
        /// Scores needed.
        needed: usize,
        /// `needed` less `parts`.
        missing: usize,
    },
    /// α lies where there is no tail to fit.
    #[error(
        "a false-reject rate of {got} lies within the scores, not in their tail (under {limit}): take the quantile"
    )]
    NotInTail {
        /// α.
        got: f64,
        /// Largest α that is fitted.
        limit: f64,
    },
    /// A score is NaN or infinite.
    #[error("a score is not a finite number")]
    NotFinite,
}

/// Scores needed for an estimate.
pub const FEWEST_TO_ESTIMATE: usize = 20;

impl Wanted {
    /// Rates in (0, 1).
    ///
    /// # Errors
    /// [`CalibrationError::Rate`].
    pub fn new(false_reject: f64, confidence: f64) -> Result<Self, CalibrationError> {
        for (name, got) in [("false-reject rate", false_reject), ("confidence", confidence)] {
            if !(got > 0.0 && got < 1.0) {
                return Err(CalibrationError::Rate { name, got });
            }
        }
        Ok(Self { false_reject, confidence })
    }

    /// What each of `areas` thresholds has to promise, so that all of them together keep this: α / areas at 1 − δ / areas
    /// (Bonferroni).
    #[must_use]
    pub fn shared_by(self, areas: usize) -> Self {
        let areas = areas.max(1) as f64;
        Self { false_reject: self.false_reject / areas, confidence: 1.0 - (1.0 - self.confidence) / areas }
    }

    /// Good parts needed before any threshold keeps the promise: the smallest n with 1 − (1 − α)ⁿ ≥ 1 − δ.
    pub fn parts_needed(self) -> usize {
        ((1.0 - self.confidence).ln() / (-self.false_reject).ln_1p()).ceil() as usize
    }

    /// The smallest rank k of `parts` sorted scores such that P(Beta(k, n − k + 1) ≥ 1 − α) ≥ 1 − δ: the k-th smallest
    /// score is with the stated confidence not below the (1 − α) quantile of all good parts. `None` where even k = n
    /// is not enough.
    pub fn rank(self, parts: usize) -> Option<usize> {
        if !self.kept_by(parts, parts) {
            return None;
        }
        let (mut short, mut enough) = (0, parts);
        while enough - short > 1 {
            let middle = short + (enough - short) / 2;
            if self.kept_by(middle, parts) { enough = middle } else { short = middle }
        }
        Some(enough)
    }

    /// P(Beta(k, n − k + 1) ≥ 1 − α) ≥ 1 − δ; it grows with k.
    fn kept_by(self, rank: usize, parts: usize) -> bool {
        coverage(rank, parts, self.false_reject) >= self.confidence
    }
}

/// P(Beta(k, n − k + 1) ≥ 1 − α): the probability that the k-th smallest of n scores is not below their (1 − α) quantile.
fn coverage(rank: usize, parts: usize, false_reject: f64) -> f64 {
    if rank == 0 || rank > parts {
        return 0.0;
    }
    if rank == parts {
        return -((parts as f64) * (-false_reject).ln_1p()).exp_m1();
    }
    // P(Beta(k, m) ≥ 1 − α) = P(Beta(m, k) ≤ α).
    Beta::new((parts - rank + 1) as f64, rank as f64).map_or(0.0, |beta| beta.cdf(false_reject))
}

/// Finds the threshold by `method` from the scores of good parts; `date` is written into it.
///
/// # Errors
/// [`CalibrationError`]; no threshold is better than one that does not keep its promise.
pub fn calibrate(
    scores: &[f32],
    wanted: Wanted,
    method: ThresholdMethod,
    date: Option<String>,
) -> Result<Threshold, CalibrationError> {
    if scores.iter().any(|s| !s.is_finite()) {
        return Err(CalibrationError::NotFinite);
    }
    let mut sorted = scores.to_vec();
    sorted.sort_by(f32::total_cmp);
    let n = sorted.len();
    let (value, expected_false_reject, interval) = match method {
        ThresholdMethod::Quantile => {
            enough_to_estimate(n)?;
            let (value, interval) = quantile(&sorted, wanted);
            (value, wanted.false_reject, Some(interval))
        }
        ThresholdMethod::TailFit => {
            enough_to_estimate(n)?;
            let (value, interval) = tail::fitted_quantile(&sorted, wanted)?;
            (value, wanted.false_reject, Some(interval))
        }
        _ => {
            let rank = wanted.rank(n).ok_or_else(|| {
                let needed = wanted.parts_needed();
                CalibrationError::TooFew {
                    parts: n,
                    needed,
                    missing: needed.saturating_sub(n),
                    false_reject: rounded_percent(wanted.false_reject),
                    confidence: rounded_percent(wanted.confidence),
                }
            })?;
            (sorted[rank - 1], 1.0 - rank as f64 / (n as f64 + 1.0), None)
        }
    };
    let calibration = Calibration {
        false_reject: wanted.false_reject,
        confidence: wanted.confidence,
        expected_false_reject,
        interval,
        date,
        baseline: None,
    };
    Ok(Threshold { value, method, good_parts: n, calibration: Some(calibration) })
}

fn enough_to_estimate(parts: usize) -> Result<(), CalibrationError> {
    let needed = FEWEST_TO_ESTIMATE;
    if parts >= needed {
        return Ok(());
    }
    Err(CalibrationError::TooFewToEstimate { parts, needed, missing: needed - parts })
}

/// The empirical (1 − α) quantile, linear between order statistics, and the order statistics between which the true one
/// lies with at least the stated confidence; without an upper end where the scores do not bound it.
fn quantile(sorted: &[f32], wanted: Wanted) -> (f32, [Option<f32>; 2]) {
    let n = sorted.len();
    let position = (1.0 - wanted.false_reject) * (n - 1) as f64;
    let low = (position as usize).min(n - 1);
    let high = (low + 1).min(n - 1);
    let value = sorted[low] + (sorted[high] - sorted[low]) * (position - low as f64) as f32;
    let tail = (1.0 - wanted.confidence) / 2.0;
    let above = Wanted { confidence: 1.0 - tail, ..wanted }.rank(n).map(|rank| sorted[rank - 1]);
    let below = (1..=n).rev().find(|rank| coverage(*rank, n, wanted.false_reject) <= tail).map(|rank| sorted[rank - 1]);
    (value, [below, above])
}

/// Per cent, without the last digits of the binary fraction.
fn rounded_percent(rate: f64) -> f64 {
    (rate * 1e8).round() / 1e6
}

#[cfg(test)]
#[path = "calibrate_tests.rs"]
mod tests;
