//! What a threshold costs: rejected good parts against accepted bad ones.

use serde::Serialize;

/// What mistakes cost, in rejected good parts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Costs {
    /// Share of bad parts on the line, 0–1.
    pub bad_share: f64,
    /// Cost of one accepted bad part, ≥ 0, where that of one rejected good part is 1.
    pub miss: f64,
}

/// What a threshold does to parts whose scores are known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TradeOff {
    /// Parts above it are rejected.
    pub threshold: f32,
    /// Share of the good parts that are rejected.
    pub false_reject: f64,
    /// Share of the bad parts that are rejected.
    pub detection: f64,
    /// Expected cost of 1000 parts of the line, in rejected good parts.
    pub cost: f64,
}

/// Scores of good and bad parts, ascending.
#[derive(Clone, Debug)]
pub struct Scored {
    good: Vec<f32>,
    bad: Vec<f32>,
    costs: Costs,
}

impl Scored {
    /// Scores in any order; `None` where there are no good or no bad parts.
    pub fn new(good: &[f32], bad: &[f32], costs: Costs) -> Option<Self> {
        let sorted = |scores: &[f32]| {
            let mut sorted = scores.to_vec();
            sorted.sort_by(f32::total_cmp);
            sorted
        };
        (!good.is_empty() && !bad.is_empty()).then(|| Self { good: sorted(good), bad: sorted(bad), costs })
    }

    /// What `threshold` does.
    pub fn at(&self, threshold: f32) -> TradeOff {
        let above = |sorted: &[f32]| {
            let up_to = sorted.partition_point(|score| *score <= threshold);
            (sorted.len() - up_to) as f64 / sorted.len() as f64
        };
        let (false_reject, detection) = (above(&self.good), above(&self.bad));
        let Costs { bad_share, miss } = self.costs;
        let cost = 1000.0 * ((1.0 - bad_share) * false_reject + bad_share * miss * (1.0 - detection));
        TradeOff { threshold, false_reject, detection, cost }
    }

    /// The lowest threshold that rejects at most this share of these good parts.
    pub fn rejecting(&self, share: f64) -> TradeOff {
        let rejected = (share * self.good.len() as f64 + 1e-9).floor() as usize;
        let rank = self.good.len().saturating_sub(rejected + 1).min(self.good.len() - 1);
        self.at(self.good[rank])
    }

    /// The threshold that costs least on these parts, half-way to the next score above it; of several the highest.
    pub fn cheapest(&self) -> TradeOff {
        let mut scores: Vec<f32> = self.good.iter().chain(&self.bad).copied().collect();
        scores.sort_by(f32::total_cmp);
        scores.dedup();
        let between = scores.windows(2).map(|pair| pair[0] + (pair[1] - pair[0]) / 2.0);
        let highest = scores.last().copied();
        let mut best = self.at(f32::MIN);
        for threshold in between.chain(highest) {
            let found = self.at(threshold);
            if found.cost <= best.cost {
                best = found;
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSTS: Costs = Costs { bad_share: 0.02, miss: 30.0 };

    fn scores(count: usize, step: usize, shift: f32) -> Vec<f32> {
        (0..count).map(|i| (i * step % count) as f32 / count as f32 + shift).collect()
    }

    #[test]
    fn no_threshold_on_a_fine_grid_is_cheaper() {
        for shift in [0.3, 0.7, 1.2] {
            let (good, bad) = (scores(97, 31, 0.0), scores(41, 17, shift));
            let cost = |t: f32| {
                let rejected = good.iter().filter(|s| **s > t).count() as f64 / 97.0;
                let missed = bad.iter().filter(|s| **s <= t).count() as f64 / 41.0;
                1000.0 * (0.98 * rejected + 0.02 * 30.0 * missed)
            };
            let cheapest = Scored::new(&good, &bad, COSTS).unwrap().cheapest();
            assert!((cheapest.cost - cost(cheapest.threshold)).abs() < 1e-9);
            let grid = (-100..30_000).map(|i| cost(i as f32 * 1e-4)).fold(f64::INFINITY, f64::min);
            assert!(cheapest.cost <= grid + 1e-9, "{shift}: {} {grid}", cheapest.cost);
        }
    }

    #[test]
    fn a_share_of_good_parts_is_what_is_rejected() {
        let scored = Scored::new(&scores(200, 7, 0.0), &[0.5, 2.0], COSTS).unwrap();
        for (share, rejected) in [(0.0, 0.0), (0.004, 0.0), (0.005, 0.005), (0.1, 0.1), (1.0, 0.995)] {
            assert!((scored.rejecting(share).false_reject - rejected).abs() < 1e-12, "{share}");
        }
        assert_eq!(scored.rejecting(0.0).detection, 0.5);
    }

    #[test]
    fn dear_misses_lower_the_threshold_and_cheap_ones_raise_it() {
        let (good, bad) = (scores(100, 7, 0.0), scores(50, 3, 0.5));
        let at = |miss| Scored::new(&good, &bad, Costs { bad_share: 0.5, miss }).unwrap().cheapest();
        assert_eq!((at(1e6).detection, at(0.0).false_reject), (1.0, 0.0));
        assert!(Scored::new(&good, &[], COSTS).is_none());
    }
}
