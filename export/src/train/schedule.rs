//! How long training runs and at which rate.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When training ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Budget {
    /// After so many passes over the images.
    Epochs(usize),
    /// After so many minutes; the result depends on the machine's speed.
    Minutes(f64),
}

impl Budget {
    /// The part of the budget that is used, 0–1.
    pub fn progress(self, steps: usize, steps_an_epoch: usize, elapsed: Duration) -> f64 {
        let progress = match self {
            Budget::Epochs(epochs) => steps as f64 / (epochs * steps_an_epoch).max(1) as f64,
            Budget::Minutes(minutes) => elapsed.as_secs_f64() / (60.0 * minutes).max(f64::MIN_POSITIVE),
        };
        progress.clamp(0.0, 1.0)
    }
}

/// `rate` for the first 70 % of the budget, then a cosine to a hundredth of it.
pub fn learning_rate(rate: f64, progress: f64) -> f64 {
    const CONSTANT: f64 = 0.7;
    const FINAL: f64 = 0.01;
    if progress <= CONSTANT {
        return rate;
    }
    let decay = (progress - CONSTANT) / (1.0 - CONSTANT);
    rate * (FINAL + (1.0 - FINAL) * 0.5 * (1.0 + (std::f64::consts::PI * decay).cos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_constant_then_falls_to_a_hundredth() {
        assert_eq!(learning_rate(1e-3, 0.0), 1e-3);
        assert_eq!(learning_rate(1e-3, 0.7), 1e-3);
        assert!((learning_rate(1e-3, 0.85) - 0.505e-3).abs() < 1e-12);
        assert!((learning_rate(1e-3, 1.0) - 1e-5).abs() < 1e-12);
    }

    #[test]
    fn progress_counts_steps_or_time_and_stops_at_one() {
        assert_eq!(Budget::Epochs(4).progress(10, 5, Duration::ZERO), 0.5);
        assert_eq!(Budget::Minutes(2.0).progress(0, 5, Duration::from_secs(30)), 0.25);
        assert_eq!(Budget::Minutes(2.0).progress(0, 5, Duration::from_secs(300)), 1.0);
    }
}
