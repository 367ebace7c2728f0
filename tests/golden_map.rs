//! The map arithmetic against values that `tests/oracle/golden_map.py` printed (numpy 2.4.6, scipy 1.17.1).
#![allow(clippy::unwrap_used, clippy::excessive_precision)]

use mudenet_edge::infer::LevelScores;
use mudenet_edge::map::{Gaussian, Grid, Range, RangeObserver, RangeStatistic, Ranges, Scoring, Upsample, Weights};

const CELLS: usize = 16;
const PIXELS: usize = 64;
const TOLERANCE: f32 = 1e-5;

/// The closed form of the script's `scores`.
fn branch(number: usize) -> Vec<f32> {
    let cell = |level: usize, y: usize, x: usize| {
        let k = level * 7 + y * 3 + x * 5 + number * 11;
        ((k * k) % 97) as f32 / 16.0
    };
    (0..3)
        .flat_map(|level| (0..CELLS).flat_map(move |y| (0..CELLS).map(move |x| (level, y, x))))
        .map(|(level, y, x)| cell(level, y, x))
        .collect()
}

fn scores() -> LevelScores {
    LevelScores::new(3, CELLS, CELLS, branch(0), branch(1)).unwrap()
}

fn scoring(clamp: bool) -> Scoring {
    let ranges = |pairs: [(f32, f32); 3]| pairs.map(|(min, max)| Range { min, max }).to_vec();
    Scoring {
        ranges: Ranges {
            structural: ranges([(0.25, 4.0), (0.0, 5.5), (1.0, 6.0)]),
            logical: ranges([(0.5, 3.0), (0.125, 6.0), (0.0, 2.0)]),
            ..Ranges::default()
        },
        epsilon: 1e-8,
        clamp,
        margin: 1,
        weights: Weights::default(),
        upsample: Upsample::HalfPixel,
        gaussian: Gaussian::new(2.0),
        top: std::num::NonZeroUsize::MIN,
    }
}

fn agrees(
    scoring: &Scoring,
    scores: &LevelScores,
    golden: [(usize, usize, f32); 6],
    maximum: (usize, usize, f32),
    mean: f32,
) {
    let (map, score) = scoring.apply(scores, PIXELS, PIXELS).unwrap();
    for (row, column, value) in golden {
        let got = map.0.values[row * PIXELS + column];
        assert!((got - value).abs() < TOLERANCE, "({row}, {column}): {got}, expected {value}");
    }
    assert_eq!((score.row, score.column), (maximum.0, maximum.1));
    assert!((score.value - maximum.2).abs() < TOLERANCE, "{}", score.value);
    let got = map.0.values.iter().sum::<f32>() / map.0.values.len() as f32;
    assert!((got - mean).abs() < TOLERANCE, "{got}");
}

#[test]
fn fusing_upsampling_and_smoothing_give_the_golden_map() {
    let golden = [
        (0, 0, 1.8565651),
        (0, 63, 1.4522513),
        (63, 0, 1.6121780),
        (31, 32, 1.7272253),
        (17, 5, 1.6465211),
        (50, 61, 1.8260617),
    ];
    agrees(&scoring(false), &scores(), golden, (47, 0, 2.4065224), 1.5395725);
}

#[test]
fn clamped_branches_give_the_golden_map() {
    let golden = [
        (0, 0, 1.6722391),
        (0, 63, 1.1305300),
        (63, 0, 1.2865145),
        (31, 32, 1.3795859),
        (17, 5, 1.2865230),
        (50, 61, 1.2783537),
    ];
    agrees(&scoring(true), &scores(), golden, (0, 0, 1.6722391), 1.1840306);
}

#[test]
fn a_memory_of_coarser_cells_and_weighted_branches_give_the_golden_map() {
    let golden = [
        (0, 0, 4.0633583),
        (0, 63, 2.6149368),
        (63, 0, 3.0271933),
        (31, 32, 3.5389305),
        (17, 5, 2.4576548),
        (50, 61, 4.0456652),
    ];
    let half = CELLS / 2;
    let coarse: Vec<f32> = (0..half).flat_map(|y| branch(2)[y * CELLS..][..half].to_vec()).collect();
    let scores = scores().with_memory(half, half, &coarse).unwrap();
    let mut scoring = scoring(false);
    scoring.ranges.memory = vec![Range { min: 0.5, max: 4.5 }];
    scoring.weights = Weights { structural: 0.5, logical: 2.0, memory: 1.5 };
    agrees(&scoring, &scores, golden, (41, 22, 4.7117231), 3.3100857);
}

#[test]
fn ranges_are_the_extremes_of_the_inner_cells_over_all_images() {
    let mut high = branch(0);
    high[0] = 1000.0;
    high[CELLS + 1] = 50.0;
    let second = LevelScores::new(3, CELLS, CELLS, high, branch(1)).unwrap();
    let mut observer = RangeObserver::new(1, RangeStatistic::MinMax);
    observer.observe(&scores()).unwrap();
    observer.observe(&second).unwrap();
    let ranges = observer.finish().unwrap();
    assert_eq!(ranges.structural[0].max, 50.0);
    let naive = |values: &[f32], level: usize| {
        let inner = (1..CELLS - 1).flat_map(|y| (1..CELLS - 1).map(move |x| (y, x)));
        let cells: Vec<f32> = inner.map(|(y, x)| values[(level * CELLS + y) * CELLS + x]).collect();
        let extreme = |pick: fn(f32, f32) -> f32| cells.iter().copied().reduce(pick).unwrap();
        Range { min: extreme(f32::min), max: extreme(f32::max) }
    };
    assert_eq!(ranges.structural[1], naive(&branch(0), 1));
    assert_eq!(ranges.logical[2], naive(&branch(1), 2));
}

#[test]
fn a_score_that_is_not_a_number_makes_the_image_score_nan() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut structural = branch(0);
        structural[5 * CELLS + 5] = value;
        let scores = LevelScores::new(3, CELLS, CELLS, structural, branch(1)).unwrap();
        let (_, score) = scoring(false).apply(&scores, PIXELS, PIXELS).unwrap();
        assert!(score.value.is_nan());
    }
}

#[test]
fn smoothing_keeps_a_constant_and_spreads_a_point_as_the_normal_density() {
    let constant = Grid { height: 20, width: 30, values: vec![2.5; 600] };
    let smooth = Gaussian::new(3.0).smooth(&constant);
    assert!(smooth.values.iter().all(|v| (v - 2.5).abs() < TOLERANCE));

    let mut point = Grid { height: 81, width: 81, values: vec![0.0; 81 * 81] };
    point.values[40 * 81 + 40] = 1.0;
    let spread = Gaussian::new(3.0).smooth(&point);
    let density = |y: f64, x: f64| (-(y * y + x * x) / 18.0).exp() / (18.0 * std::f64::consts::PI);
    for (y, x) in [(40, 40), (42, 37), (46, 40)] {
        let expected = density(y as f64 - 40.0, x as f64 - 40.0) as f32;
        assert!((spread.values[y * 81 + x] - expected).abs() < TOLERANCE, "({y}, {x})");
    }
}

#[test]
fn a_map_narrower_than_the_kernel_is_mirrored_more_than_once() {
    // scipy.ndimage.gaussian_filter(np.array([[1.0, 2.0, 4.0]] * 3), 0.8, mode="mirror", truncate=4.0)[0]
    let grid = Grid { height: 3, width: 3, values: [1.0, 2.0, 4.0].repeat(3) };
    let smooth = Gaussian::new(0.8).smooth(&grid);
    for (got, expected) in smooth.values.iter().zip([1.5889648, 2.22875146, 2.95353228]) {
        assert!((got - expected).abs() < TOLERANCE, "{got}");
    }
}
