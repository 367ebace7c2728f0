use super::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

struct Station {
    rng: ChaCha8Rng,
    /// Factor on scores, added brightness, factor on sharpness.
    change: [f32; 3],
}

impl Station {
    fn new(seed: u64, change: [f32; 3]) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), change }
    }

    /// Skewed scores, brightness on few levels: nothing here is normal.
    fn part(&mut self) -> Sample {
        let mut uniform = || self.rng.random::<f32>();
        Sample {
            score: (0.2 - 0.1 * uniform().ln()) * self.change[0],
            brightness: Some(0.5 + 0.01 * (5.0 * uniform()).floor() + self.change[1]),
            sharpness: Some((0.02 + 0.01 * uniform()) * self.change[2]),
        }
    }

    fn parts(&mut self, count: usize) -> Vec<Sample> {
        (0..count).map(|_| self.part()).collect()
    }
}

const SAME: [f32; 3] = [1.0, 0.0, 1.0];

fn baseline(parts: &[Sample]) -> Baseline {
    let of = |quantity| parts.iter().filter_map(|p| p.of(quantity)).collect::<Vec<_>>();
    Baseline::new(&of(Quantity::Score), &of(Quantity::Brightness), &of(Quantity::Sharpness))
}

#[test]
fn an_unchanged_station_is_stable_as_often_as_the_limits_say() {
    let mut advised = [0; 3];
    let runs = 300;
    for seed in 0..runs {
        let mut station = Station::new(seed, SAME);
        let baseline = baseline(&station.parts(400));
        advised[examine(&baseline, &station.parts(400), Limits::once()).unwrap().advice as usize] += 1;
    }
    // Three tests at 1 %, of which the score's at 0.1 % recalibrates.
    assert!(advised[1] <= runs * 5 / 100 && advised[2] <= runs / 100, "{advised:?}");
}

#[test]
fn each_change_is_found_and_named() {
    for (change, quantity, advice, direction) in [
        ([1.25, 0.0, 1.0], Quantity::Score, Advice::Recalibrate, Direction::Up),
        ([0.8, 0.0, 1.0], Quantity::Score, Advice::Recalibrate, Direction::Down),
        ([1.0, -0.02, 1.0], Quantity::Brightness, Advice::Watch, Direction::Down),
        ([1.0, 0.0, 0.8], Quantity::Sharpness, Advice::Watch, Direction::Down),
    ] {
        for seed in 0..20 {
            let baseline = baseline(&Station::new(seed, SAME).parts(300));
            let drift = examine(&baseline, &Station::new(seed + 100, change).parts(300), Limits::once()).unwrap();
            assert_eq!(drift.advice, advice, "{change:?} {seed} {drift:?}");
            let strongest = drift.findings.iter().flatten().max_by(|a, b| a.distance.total_cmp(&b.distance)).unwrap();
            assert_eq!((strongest.quantity, strongest.advice), (quantity, advice), "{seed}");
            let up = strongest.median_now > strongest.median_before;
            assert_eq!(up, direction == Direction::Up, "{change:?}");
        }
    }
}

#[test]
fn a_running_station_is_quiet_until_something_changes_and_then_told_soon() {
    let mut station = Station::new(7, SAME);
    let baseline = baseline(&station.parts(1000));
    let mut monitor = Monitor::new(baseline, Limits::continuous(), 200).unwrap();
    for _ in 0..100_000 {
        let found = monitor.push(station.part());
        assert!(found.is_none_or(|drift| drift.advice == Advice::Stable), "{found:?}");
    }
    station.change = [1.3, 0.0, 1.0];
    let told = (1..).find(|_| monitor.push(station.part()).is_some_and(|d| d.advice == Advice::Recalibrate)).unwrap();
    assert!(told < 400, "{told}");
}

#[test]
fn quantities_that_are_not_known_are_left_out() {
    let parts: Vec<Sample> = Station::new(1, SAME).parts(60);
    let only_scores = Baseline::new(&parts.iter().map(|p| p.score).collect::<Vec<_>>(), &[], &[]);
    let drift = examine(&only_scores, &parts, Limits::once()).unwrap();
    assert_eq!(drift.findings.map(|f| f.is_some()), [true, false, false]);
    assert_eq!(drift.findings[0].unwrap().distance, 0.0);
    let dark: Vec<Sample> = parts.iter().map(|p| Sample { brightness: None, ..*p }).collect();
    let drift = examine(&baseline(&parts), &dark, Limits::once()).unwrap();
    assert_eq!(drift.findings.map(|f| f.is_some()), [true, false, true]);
}

#[test]
fn too_few_parts_are_refused() {
    let parts = Station::new(1, SAME).parts(40);
    let refused = examine(&baseline(&parts), &parts[..19], Limits::once()).unwrap_err();
    assert_eq!(refused.to_string(), "19 accepted parts are too few to compare: at least 20 are needed");
    assert_eq!(examine(&baseline(&parts[..5]), &parts, Limits::once()).unwrap_err().parts, 5);
}

#[test]
fn a_baseline_keeps_the_shape_of_many_values_and_drops_rejects() {
    let many: Vec<f32> = (0..50_001).rev().map(|i| i as f32).collect();
    let baseline = Baseline::new(&many, &[f32::NAN, 1.0], &[]);
    assert_eq!((baseline.score.len(), baseline.score[0], baseline.score[999]), (1000, 0.0, 50_000.0));
    assert!(baseline.score.windows(2).all(|w| (49.0..=52.0).contains(&(w[1] - w[0]))));
    assert_eq!(baseline.brightness, [1.0]);
    assert_eq!(baseline.accepted(100.0).score, [0.0, 50.0, 100.0]);
}
