//! Times → the figures that describe them.

use serde::{Deserialize, Serialize};

/// How times are spread, milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Spread {
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
    pub mean: f64,
    /// Standard deviation as a share of the mean.
    pub cov: f64,
}

impl Spread {
    /// All zero without any time.
    pub(super) fn of(times: &[f64]) -> Self {
        if times.is_empty() {
            return Self::default();
        }
        let mut sorted = times.to_vec();
        sorted.sort_by(f64::total_cmp);
        // Nearest rank: the smallest time that at least the share of all times does not exceed.
        let at = |share: f64| sorted[((share * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len()) - 1];
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        let variance = times.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / times.len() as f64;
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            max: at(1.0),
            mean,
            cov: variance.sqrt() / mean,
        }
    }
}

/// Median; 0 without any time.
pub(super) fn median(times: &[f64]) -> f64 {
    Spread::of(times).p50
}

/// Largest coefficient of variation of a stable run.
const STEADY_COV: f64 = 0.05;
/// Largest difference between the medians of the two halves of a stable run, as a share.
const STEADY_DRIFT: f64 = 0.03;

/// Why frame times are no basis for a comparison; empty where they are.
pub(super) fn instabilities(times: &[f64]) -> Vec<String> {
    let mut reasons = Vec::new();
    let cov = Spread::of(times).cov;
    if cov > STEADY_COV {
        reasons.push(format!("times vary by {:.1} % of their mean (at most {:.0} %)", 100.0 * cov, 100.0 * STEADY_COV));
    }
    let (first, second) = times.split_at(times.len() / 2);
    let drift = median(second) / median(first) - 1.0;
    if !first.is_empty() && drift.abs() > STEADY_DRIFT {
        reasons.push(format!(
            "the second half took {:+.1} % of the first half's time more (at most {:.0} %)",
            100.0 * drift,
            100.0 * STEADY_DRIFT
        ));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let times: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        let spread = Spread::of(&times);
        let got = [spread.p50, spread.p90, spread.p95, spread.p99, spread.max, spread.mean];
        assert_eq!(got, [100.0, 180.0, 190.0, 198.0, 200.0, 100.5]);
        // numpy 2.4: np.std(np.arange(1, 201)) / 100.5
        assert!((spread.cov - 0.574_470_70).abs() < 1e-8, "{}", spread.cov);
        assert_eq!(Spread::of(&[7.0]).p99, 7.0);
        assert_eq!(Spread::of(&[]), Spread::default());
    }

    #[test]
    fn noise_and_drift_are_called_unstable() {
        let steady: Vec<f64> = (0..100).map(|i| 10.0 + 0.1 * f64::from(i % 3)).collect();
        assert_eq!(instabilities(&steady), Vec::<String>::new());
        let noisy: Vec<f64> = (0..100).map(|i| 10.0 + 2.0 * f64::from(i % 2)).collect();
        assert_eq!(instabilities(&noisy).len(), 1);
        let slower: Vec<f64> = (0..100).map(|i| if i < 50 { 10.0 } else { 10.4 }).collect();
        assert!(instabilities(&slower)[0].contains("+4.0 %"), "{:?}", instabilities(&slower));
    }
}
