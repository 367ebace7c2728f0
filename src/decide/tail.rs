//! Peaks over a threshold: the largest scores as a generalised Pareto distribution.

use super::calibrate::{CalibrationError, Wanted};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Share of the scores that is taken as their tail.
const TAIL: f64 = 0.2;
/// Fewest scores in the tail.
const FEWEST: usize = 10;
/// Resamples behind the confidence interval.
const RESAMPLES: usize = 2000;

/// A generalised Pareto distribution from 0.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pareto {
    shape: f64,
    scale: f64,
}

/// The (1 − α) quantile of a tail fitted to `sorted` scores, and its bootstrap interval at the wanted confidence.
///
/// # Errors
/// [`CalibrationError::NotInTail`] where α is not well within the tail.
pub(super) fn fitted_quantile(sorted: &[f32], wanted: Wanted) -> Result<(f32, [Option<f32>; 2]), CalibrationError> {
    let n = sorted.len();
    let limit = tail_length(n) as f64 / n as f64;
    if wanted.false_reject >= limit {
        return Err(CalibrationError::NotInTail { got: wanted.false_reject, limit });
    }
    let value = estimate(sorted, wanted.false_reject);
    // A fixed seed: the same scores give the same interval.
    let mut rng = ChaCha8Rng::seed_from_u64(n as u64);
    let mut estimates: Vec<f32> = (0..RESAMPLES)
        .map(|_| {
            let mut resample: Vec<f32> = (0..n).map(|_| sorted[rng.random_range(0..n)]).collect();
            resample.sort_by(f32::total_cmp);
            estimate(&resample, wanted.false_reject)
        })
        .collect();
    estimates.sort_by(f32::total_cmp);
    let outside = (1.0 - wanted.confidence) / 2.0;
    let at = |q: f64| estimates.get(((RESAMPLES - 1) as f64 * q).round() as usize).copied();
    Ok((value, [at(outside), at(1.0 - outside)]))
}

fn tail_length(n: usize) -> usize {
    ((n as f64 * TAIL).ceil() as usize).clamp(FEWEST.min(n - 1), n - 1)
}

fn estimate(sorted: &[f32], false_reject: f64) -> f32 {
    let n = sorted.len();
    let length = tail_length(n);
    let (body, tail) = sorted.split_at(n - length);
    let start = body.last().map_or(0.0, |s| f64::from(*s));
    let excesses: Vec<f64> = tail.iter().map(|s| f64::from(*s) - start).collect();
    (start + Pareto::fit(&excesses).exceeded_by(false_reject * n as f64 / length as f64)) as f32
}

impl Pareto {
    /// By probability-weighted moments (Hosking and Wallis 1987) of sorted excesses ≥ 0, which are steadier than the
    /// likelihood on small samples.
    fn fit(sorted: &[f64]) -> Self {
        let n = sorted.len() as f64;
        let mean = sorted.iter().sum::<f64>() / n;
        let weighted: f64 =
            sorted.iter().enumerate().map(|(i, x)| (n - 1.0 - i as f64) / (n - 1.0) * x).sum::<f64>() / n;
        let spread = mean - 2.0 * weighted;
        if spread <= 0.0 {
            // All excesses are equal.
            return Self { shape: 0.0, scale: mean };
        }
        Self { shape: 2.0 - mean / spread, scale: 2.0 * mean * weighted / spread }
    }

    /// The value that is exceeded with this probability.
    fn exceeded_by(self, probability: f64) -> f64 {
        if self.shape.abs() < 1e-9 {
            -self.scale * probability.ln()
        } else {
            self.scale / self.shape * (probability.powf(-self.shape) - 1.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // numpy 2.4.6, scipy 1.17.1; the second moment as the mean over all pairs, E min(X, Y) = 2 a1:
    // x = np.array([0.05, 0.11, 0.13, 0.32, 0.33, 0.47, 0.61, 0.9, 1.4, 2.75])
    // a0 = x.mean(); i, j = np.triu_indices(10, 1); a1 = np.minimum(x[i], x[j]).mean() / 2
    // print(2 - a0 / (a0 - 2 * a1), 2 * a0 * a1 / (a0 - 2 * a1))  # 0.33385703063629224 0.4709630793401414
    // print(genpareto.isf(0.05, 0.33385703063629224, scale=0.4709630793401414))  # 2.424494653491663
    // print(genpareto.isf(0.05, 0))  # 2.995732273553991
    #[test]
    fn equals_the_moments_over_all_pairs_and_scipys_quantile() {
        let fit = Pareto::fit(&[0.05, 0.11, 0.13, 0.32, 0.33, 0.47, 0.61, 0.9, 1.4, 2.75]);
        assert!((fit.shape - 0.33385703063629224).abs() < 1e-12 && (fit.scale - 0.4709630793401414).abs() < 1e-12);
        assert!((fit.exceeded_by(0.05) - 2.424494653491663).abs() < 1e-12);
        assert!((Pareto { shape: 0.0, scale: 1.0 }.exceeded_by(0.05) - 2.995732273553991).abs() < 1e-12);
    }

    #[test]
    fn estimates_scatter_around_the_true_quantile_and_intervals_cover_it() {
        let wanted = Wanted::new(0.01, 0.9).unwrap();
        let truth = -(0.01_f64.ln());
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (runs, mut sum, mut covered) = (60, 0.0, 0);
        for _ in 0..runs {
            let mut scores: Vec<f32> = (0..150).map(|_| -(rng.random::<f64>().ln()) as f32).collect();
            scores.sort_by(f32::total_cmp);
            let (value, [low, high]) = fitted_quantile(&scores, wanted).unwrap();
            sum += f64::from(value);
            covered += usize::from((f64::from(low.unwrap())..=f64::from(high.unwrap())).contains(&truth));
        }
        let mean = sum / f64::from(runs as u32);
        assert!((mean / truth - 1.0).abs() < 0.1, "mean {mean}, truth {truth}");
        assert!(covered * 100 >= runs * 75, "{covered} of {runs}");
    }

    #[test]
    fn moves_and_stretches_with_the_scores() {
        let mut scores: Vec<f32> = (1..=100).map(|i| (i as f32 / 50.0).powi(3)).collect();
        scores.sort_by(f32::total_cmp);
        let before = estimate(&scores, 0.01);
        let moved: Vec<f32> = scores.iter().map(|s| 3.0 * s + 7.0).collect();
        assert!((estimate(&moved, 0.01) - (3.0 * before + 7.0)).abs() < 1e-3);
    }

    #[test]
    fn a_rate_within_the_scores_has_no_tail() {
        let scores: Vec<f32> = (0..100).map(|i| i as f32).collect();
        let wanted = Wanted::new(0.3, 0.9).unwrap();
        assert!(matches!(fitted_quantile(&scores, wanted), Err(CalibrationError::NotInTail { .. })));
    }

    #[test]
    fn equal_scores_give_that_score() {
        assert_eq!(estimate(&[2.0; 50], 0.01), 2.0);
    }
}
