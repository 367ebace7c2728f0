//! Cumulative sums: small shifts that last.

/// A two-sided tabular CUSUM over values that are normal with mean 0 and deviation 1 while nothing changed (Page 1954).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cusum {
    up: f64,
    down: f64,
}

/// Which way a quantity went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Larger than at calibration.
    Up,
    /// Smaller than at calibration.
    Down,
}

/// Half of the shift that is found soonest, in deviations.
const ALLOWANCE: f64 = 0.5;
/// Sum from which on a shift is reported. One false report in over a million parts (Siegmund 1985: 2(eᵇ − b − 1) parts a
/// side with b = 14 + 1.166), and a shift of one deviation is found after about 30.
pub(super) const DECISION: f64 = 14.0;

impl Cusum {
    /// Takes the next value; the way it went where a sum is over `decision`.
    pub(super) fn push(&mut self, value: f64, decision: f64) -> Option<Direction> {
        self.up = (self.up + value - ALLOWANCE).max(0.0);
        self.down = (self.down - value - ALLOWANCE).max(0.0);
        if self.up > decision {
            Some(Direction::Up)
        } else if self.down > decision {
            Some(Direction::Down)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use statrs::distribution::{ContinuousCDF, Normal};

    /// Mean number of values until the first report.
    fn run_length(decision: f64, shift: f64, runs: u64) -> f64 {
        let normal = Normal::new(0.0, 1.0).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut values = 0;
        for _ in 0..runs {
            let mut cusum = Cusum::default();
            loop {
                values += 1;
                if cusum.push(shift + normal.inverse_cdf(rng.random::<f64>()), decision).is_some() {
                    break;
                }
            }
        }
        values as f64 / runs as f64
    }

    #[test]
    fn reports_as_late_and_as_soon_as_the_published_table_says() {
        // D. C. Montgomery, Introduction to Statistical Quality Control, table of average run lengths of the tabular CUSUM
        // with k = 1/2: h, shift in deviations, parts.
        for (decision, shift, expected) in
            [(4.0, 0.0, 168.0), (5.0, 0.0, 465.0), (4.0, 1.0, 8.38), (5.0, 1.0, 10.4), (5.0, 2.0, 4.01)]
        {
            let length = run_length(decision, shift, 2000);
            assert!((length / expected - 1.0).abs() < 0.08, "{decision} {shift}: {length}, table {expected}");
        }
    }

    #[test]
    fn tells_the_way() {
        let mut cusum = Cusum::default();
        assert_eq!((0..40).find_map(|_| cusum.push(-1.0, DECISION)), Some(Direction::Down));
    }
}
