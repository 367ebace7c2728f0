use super::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

// scipy 1.17.1:
// from scipy.stats import beta
// def rank(n, a, c): return next((k for k in range(1, n + 1) if beta.sf(1 - a, k, n - k + 1) >= c), None)
// for n, a, c in [(298, .01, .95), ...]: k = rank(n, a, c); print(n, a, c, k, k and beta.sf(1 - a, k, n - k + 1))
/// Good parts, false-reject rate, confidence; rank and the confidence it has.
type Rank = (usize, f64, f64, Option<(usize, f64)>);
const RANKS: [Rank; 12] = [
    (298, 0.01, 0.95, None),
    (299, 0.01, 0.95, Some((299, 0.9504637433623376))),
    (500, 0.01, 0.95, Some((499, 0.9602452591676126))),
    (1000, 0.01, 0.95, Some((996, 0.9713136000009954))),
    (2000, 0.01, 0.95, Some((1988, 0.9616923223885259))),
    (58, 0.05, 0.95, None),
    (59, 0.05, 0.95, Some((59, 0.9515054747505769))),
    (200, 0.05, 0.9, Some((195, 0.9376575049577051))),
    (10000, 0.001, 0.99, Some((9998, 0.9972396759092509))),
    (4605, 0.001, 0.99, Some((4605, 0.9900213157512431))),
    (4602, 0.001, 0.99, None),
    (100, 0.2, 0.5, Some((81, 0.5398386299354266))),
];

#[test]
fn ranks_are_scipys() {
    for (n, alpha, confidence, expected) in RANKS {
        let wanted = Wanted::new(alpha, confidence).unwrap();
        assert_eq!(wanted.rank(n), expected.map(|(rank, _)| rank), "{n} {alpha} {confidence}");
        if let Some((rank, probability)) = expected {
            assert!((coverage(rank, n, alpha) - probability).abs() < 1e-9, "{n} {alpha} {confidence}");
        }
    }
}

#[test]
fn one_part_short_of_the_need_is_refused() {
    for (alpha, confidence, needed) in [(0.01, 0.95, 299), (0.05, 0.95, 59), (0.001, 0.99, 4603), (0.1, 0.9, 22)] {
        let wanted = Wanted::new(alpha, confidence).unwrap();
        assert_eq!(wanted.parts_needed(), needed);
        assert_eq!((wanted.rank(needed - 1), wanted.rank(needed)), (None, Some(needed)));
    }
    let scores: Vec<f32> = (0..298).map(|i| i as f32).collect();
    let wanted = Wanted::new(0.01, 0.95).unwrap();
    let error = calibrate(&scores, wanted, ThresholdMethod::Tolerance, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "298 good parts are too few to promise a false-reject rate of 1 % with 95 % confidence: 1 more are needed (299 in all)"
    );
}

#[test]
fn the_promise_is_kept_at_the_stated_confidence() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for (parts, alpha, confidence) in [(299, 0.01, 0.95), (150, 0.05, 0.9), (40, 0.1, 0.8)] {
        let wanted = Wanted::new(alpha, confidence).unwrap();
        let rank = wanted.rank(parts).unwrap();
        let certain = coverage(rank, parts, alpha);
        let (runs, mut kept) = (4000, 0);
        for _ in 0..runs {
            // Scores on a scale of their own: the bound knows no distribution. P(score > t) = 1 − √t.
            let scores: Vec<f32> = (0..parts).map(|_| rng.random::<f64>().powi(2) as f32).collect();
            let threshold = calibrate(&scores, wanted, ThresholdMethod::Tolerance, None).unwrap();
            kept += usize::from(1.0 - f64::from(threshold.value).sqrt() <= alpha);
        }
        let share = kept as f64 / f64::from(runs);
        let sd = (certain * (1.0 - certain) / f64::from(runs)).sqrt();
        assert!((share - certain).abs() < 4.0 * sd, "{parts} {alpha} {confidence}: kept {share}, expected {certain}");
        assert!(share >= confidence - 4.0 * sd);
    }
}

#[test]
fn the_threshold_is_the_score_of_its_rank_and_rejects_what_is_above() {
    let mut scores: Vec<f32> = (1..=500).map(|i| i as f32).collect();
    scores.reverse();
    let wanted = Wanted::new(0.01, 0.95).unwrap();
    let threshold = calibrate(&scores, wanted, ThresholdMethod::Tolerance, Some("2026-01-31".into())).unwrap();
    assert_eq!((threshold.value, threshold.good_parts), (499.0, 500));
    let calibration = threshold.calibration.unwrap();
    assert!((calibration.expected_false_reject - (1.0 - 499.0 / 501.0)).abs() < 1e-12);
    assert_eq!((calibration.interval, calibration.date.as_deref()), (None, Some("2026-01-31")));
}

#[test]
fn a_quantile_is_numpys_and_its_interval_covers_the_true_one() {
    // numpy 2.4.6: np.quantile(np.arange(100.) ** 2, 0.95)  # 8845.45 (linear)
    let scores: Vec<f32> = (0..100).map(|i| (i * i) as f32).collect();
    let wanted = Wanted::new(0.05, 0.9).unwrap();
    let threshold = calibrate(&scores, wanted, ThresholdMethod::Quantile, None).unwrap();
    assert!((threshold.value - 8845.45).abs() < 0.01, "{}", threshold.value);
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let (runs, mut covered) = (2000, 0);
    for _ in 0..runs {
        let scores: Vec<f32> = (0..150).map(|_| rng.random::<f32>()).collect();
        let interval =
            calibrate(&scores, wanted, ThresholdMethod::Quantile, None).unwrap().calibration.unwrap().interval;
        let [low, high] = interval.unwrap();
        covered += usize::from(low.is_none_or(|l| l <= 0.95) && high.is_none_or(|h| h >= 0.95));
    }
    assert!(covered >= runs * 89 / 100, "{covered} of {runs}");
}

#[test]
fn few_parts_do_not_bound_a_quantile_from_above() {
    let scores: Vec<f32> = (0..50).map(|i| i as f32).collect();
    let wanted = Wanted::new(0.01, 0.95).unwrap();
    let threshold = calibrate(&scores, wanted, ThresholdMethod::Quantile, None).unwrap();
    assert_eq!(threshold.calibration.unwrap().interval.unwrap()[1], None);
    assert!(matches!(
        calibrate(&scores[..19], wanted, ThresholdMethod::Quantile, None),
        Err(CalibrationError::TooFewToEstimate { parts: 19, needed: 20, missing: 1 })
    ));
}

#[test]
fn rates_outside_0_to_1_and_scores_that_are_no_numbers_are_refused() {
    for (alpha, confidence) in [(0.0, 0.9), (1.0, 0.9), (-0.1, 0.9), (f64::NAN, 0.9), (0.1, 1.0), (0.1, 0.0)] {
        assert!(matches!(Wanted::new(alpha, confidence), Err(CalibrationError::Rate { .. })));
    }
    let wanted = Wanted::new(0.1, 0.5).unwrap();
    let scores = [f32::NAN; 30];
    assert_eq!(calibrate(&scores, wanted, ThresholdMethod::Tolerance, None), Err(CalibrationError::NotFinite));
}
