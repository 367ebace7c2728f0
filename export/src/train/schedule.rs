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

/// How the learning rate goes over the budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Constant for 70 % of the budget, then a cosine to a hundredth.
    #[default]
    Hold,
    /// Constant to the end, as in the paper.
    Constant,
    /// A cosine to a hundredth from the start.
    Cosine,
}

impl Schedule {
    /// The learning rate when `progress` (0–1) of the budget is used.
    pub fn rate(self, rate: f64, progress: f64) -> f64 {
        const FINAL: f64 = 0.01;
        let hold = match self {
            Schedule::Hold => 0.7,
            Schedule::Constant => return rate,
            Schedule::Cosine => 0.0,
        };
        if progress <= hold {
            return rate;
        }
        let decay = (progress - hold) / (1.0 - hold);
        rate * (FINAL + (1.0 - FINAL) * 0.5 * (1.0 + (std::f64::consts::PI * decay).cos()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_held_then_falls_to_a_hundredth() {
        assert_eq!(Schedule::Hold.rate(1e-3, 0.0), 1e-3);
        assert_eq!(Schedule::Hold.rate(1e-3, 0.7), 1e-3);
        assert!((Schedule::Hold.rate(1e-3, 0.85) - 0.505e-3).abs() < 1e-12);
        assert!((Schedule::Hold.rate(1e-3, 1.0) - 1e-5).abs() < 1e-12);
        assert_eq!(Schedule::Constant.rate(1e-3, 1.0), 1e-3);
        assert!((Schedule::Cosine.rate(1e-3, 0.5) - 0.505e-3).abs() < 1e-12);
    }

    #[test]
    fn progress_counts_steps_or_time_and_stops_at_one() {
        assert_eq!(Budget::Epochs(4).progress(10, 5, Duration::ZERO), 0.5);
        assert_eq!(Budget::Minutes(2.0).progress(0, 5, Duration::from_secs(30)), 0.25);
        assert_eq!(Budget::Minutes(2.0).progress(0, 5, Duration::from_secs(300)), 1.0);
    }
}
