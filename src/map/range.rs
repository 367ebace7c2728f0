//! Ranges of the level scores over good parts (Eq. 11).

use super::{Branch, MapError};
use crate::infer::LevelScores;
use serde::{Deserialize, Serialize};

/// Smallest and largest score of one level and branch over the pixels of held-back good images, or what stands for them
///
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Smallest, squared difference, ≥ 0.
    pub min: f32,
    /// Largest, ≥ `min`.
    pub max: f32,
}

impl Range {
    /// `(score − min) / (max − min + epsilon)` (Eq. 11).
    pub fn normalise(self, score: f32, epsilon: f32) -> f32 {
        (score - self.min) / (self.max - self.min + epsilon)
    }
}

/// A [`Range`] for each level of each branch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranges {
    /// One for each level.
    pub structural: Vec<Range>,
    /// One for each level.
    pub logical: Vec<Range>,
    /// One for each of the memory's maps; none where the bundle carries no memory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memory: Vec<Range>,
    /// The memory's scores and ranges count as their roots, which are distances.
    #[serde(default)]
    pub memory_root: bool,
}

impl Ranges {
    /// The ranges of one branch.
    pub fn of(&self, branch: Branch) -> &[Range] {
        match branch {
            Branch::Structural => &self.structural,
            Branch::Logical => &self.logical,
            Branch::Memory => &self.memory,
        }
    }

    /// A score of `branch` in the share of its `range`, which is 0 to 1 on good parts (Eq. 11).
    pub fn normalise(&self, branch: Branch, range: Range, score: f32, epsilon: f32) -> f32 {
        if branch == Branch::Memory && self.memory_root {
            // A distance below zero is one by rounding alone; what is not a number stays so.
            let root = |value: f32| if value < 0.0 { 0.0 } else { value.sqrt() };
            return Range { min: root(range.min), max: root(range.max) }.normalise(root(score), epsilon);
        }
        range.normalise(score, epsilon)
    }
}

/// What of the good parts' scores a range spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RangeStatistic {
    /// Smallest to largest score (the paper).
    #[default]
    MinMax,
    /// The quantiles [`TAIL`] and 1 − [`TAIL`], interpolated between neighbours.
    Quantiles,
}

/// Share of the scores that [`RangeStatistic::Quantiles`] leaves out on either side.
pub const TAIL: f64 = 0.001;

/// Collects [`Ranges`] over good images, the outer `margin` cells left out.
///
/// Keeps every score in memory where quantiles are asked for: 4 bytes a cell, level and image.
#[derive(Clone, Debug)]
pub struct RangeObserver {
    margin: usize,
    statistic: RangeStatistic,
    /// For each branch in the order of [`Branch::ALL`] one entry a level.
    seen: Option<[Vec<Seen>; 3]>,
}

#[derive(Clone, Debug)]
struct Seen {
    range: Range,
    values: Vec<f32>,
}

impl RangeObserver {
    /// An observer that has seen nothing.
    pub fn new(margin: usize, statistic: RangeStatistic) -> Self {
        Self { margin, statistic, seen: None }
    }

    /// Widens the ranges by one good image's scores.
    ///
    /// # Errors
    /// [`MapError`] where the number of levels changes or the margin leaves no cell.
    pub fn observe(&mut self, scores: &LevelScores) -> Result<(), MapError> {
        let (height, width, margin) = (scores.height(), scores.width(), self.margin);
        if 2 * margin >= height || 2 * margin >= width {
            return Err(MapError::Margin { margin, height, width });
        }
        let nothing = Seen { range: Range { min: f32::INFINITY, max: f32::NEG_INFINITY }, values: vec![] };
        let empty = |branch| vec![nothing.clone(); scores.levels(branch)];
        let keep = self.statistic == RangeStatistic::Quantiles;
        let seen = self.seen.get_or_insert_with(|| Branch::ALL.map(empty));
        for (branch, observed) in Branch::ALL.into_iter().zip(seen) {
            let levels = scores.levels(branch);
            if observed.len() != levels {
                return Err(MapError::Levels { expected: observed.len(), got: levels });
            }
            for (level, Seen { range, values }) in observed.iter_mut().enumerate() {
                let rows = scores.level(branch, level).chunks_exact(width);
                for row in rows.skip(margin).take(height - 2 * margin) {
                    let row = &row[margin..width - margin];
                    for score in row {
                        range.min = range.min.min(*score);
                        range.max = range.max.max(*score);
                    }
                    if keep {
                        values.extend_from_slice(row);
                    }
                }
            }
        }
        Ok(())
    }

    /// The ranges of all images seen; `None` before the first.
    pub fn finish(self) -> Option<Ranges> {
        let range = |seen: Seen| match self.statistic {
            RangeStatistic::MinMax => seen.range,
            RangeStatistic::Quantiles => quantile_range(seen),
        };
        let [structural, logical, memory] = self.seen?.map(|levels| levels.into_iter().map(range).collect());
        Some(Ranges { structural, logical, memory, memory_root: false })
    }
}

fn quantile_range(Seen { range, mut values }: Seen) -> Range {
    values.sort_by(f32::total_cmp);
    let quantile = |share: f64| {
        let at = share * values.len().saturating_sub(1) as f64;
        let value = |i: f64| values.get(i as usize).copied().map(f64::from);
        let (below, above) = (value(at.floor())?, value(at.ceil())?);
        Some((below + (above - below) * at.fract()) as f32)
    };
    // Without a value there is no cell either, and the range stays the empty one.
    let (Some(min), Some(max)) = (quantile(TAIL), quantile(1.0 - TAIL)) else { return range };
    Range { min, max }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One level a branch of 40×50 cells: 0, 1, 2 … 1999 in each, ten times as much in the logical one; all shuffled.
    fn scores(offset: f32) -> LevelScores {
        let at = |i: usize| ((i * 1237) % 2000) as f32 + offset;
        let values: Vec<f32> = (0..2000).map(at).collect();
        LevelScores::new(1, 40, 50, values.clone(), values.iter().map(|v| 10.0 * v).collect()).unwrap()
    }

    fn observed(margin: usize, statistic: RangeStatistic) -> Ranges {
        let mut observer = RangeObserver::new(margin, statistic);
        observer.observe(&scores(0.0)).unwrap();
        observer.observe(&scores(0.5)).unwrap();
        observer.finish().unwrap()
    }

    #[test]
    fn quantiles_are_interpolated_between_neighbours() {
        // numpy 2.2: v = np.concatenate([np.arange(2000), np.arange(2000) + 0.5]); np.quantile(v, [0.001, 0.999])
        // → array([1.9995, 1997.5005])
        let ranges = observed(0, RangeStatistic::Quantiles);
        assert!((ranges.structural[0].min - 1.9995).abs() < 1e-4, "{ranges:?}");
        assert!((ranges.structural[0].max - 1997.5005).abs() < 1e-3, "{ranges:?}");
        assert!((ranges.logical[0].min - 19.995).abs() < 1e-3, "{ranges:?}");
        assert!(ranges.memory.is_empty());
    }

    #[test]
    fn the_whole_range_is_smallest_to_largest_within_the_margin() {
        let ranges = observed(0, RangeStatistic::MinMax);
        assert_eq!(ranges.structural, [Range { min: 0.0, max: 1999.5 }]);
        let inner: Vec<f32> = (0..2000)
            .filter(|i| (3..37).contains(&(i / 50)) && (3..47).contains(&(i % 50)))
            .map(|i| ((i * 1237) % 2000) as f32)
            .collect();
        let ranges = observed(3, RangeStatistic::MinMax);
        let (min, max) = inner.iter().fold((f32::MAX, f32::MIN), |(min, max), v| (min.min(*v), max.max(*v)));
        assert_eq!(ranges.structural, [Range { min, max: max + 0.5 }]);
    }

    #[test]
    fn nothing_seen_gives_no_ranges() {
        assert_eq!(RangeObserver::new(0, RangeStatistic::Quantiles).finish(), None);
    }
}
