//! Ranges of the level scores over good parts (Eq. 11).

use super::{Branch, MapError};
use crate::infer::LevelScores;
use serde::{Deserialize, Serialize};

/// Smallest and largest score of one level and branch over the pixels of held-back good images.
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

    fn of_mut(&mut self, branch: Branch) -> &mut Vec<Range> {
        match branch {
            Branch::Structural => &mut self.structural,
            Branch::Logical => &mut self.logical,
            Branch::Memory => &mut self.memory,
        }
    }
}

/// Collects [`Ranges`] over good images, the outer `margin` cells left out.
#[derive(Clone, Debug)]
pub struct RangeObserver {
    margin: usize,
    ranges: Option<Ranges>,
}

impl RangeObserver {
    /// An observer that has seen nothing.
    pub fn new(margin: usize) -> Self {
        Self { margin, ranges: None }
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
        let empty = |branch| vec![Range { min: f32::INFINITY, max: f32::NEG_INFINITY }; scores.levels(branch)];
        let ranges = self.ranges.get_or_insert_with(|| Ranges {
            structural: empty(Branch::Structural),
            logical: empty(Branch::Logical),
            memory: empty(Branch::Memory),
            memory_root: false,
        });
        for branch in Branch::ALL {
            let levels = scores.levels(branch);
            let observed = ranges.of_mut(branch);
            if observed.len() != levels {
                return Err(MapError::Levels { expected: observed.len(), got: levels });
            }
            for (level, range) in observed.iter_mut().enumerate() {
                let rows = scores.level(branch, level).chunks_exact(width);
                for row in rows.skip(margin).take(height - 2 * margin) {
                    for score in &row[margin..width - margin] {
                        range.min = range.min.min(*score);
                        range.max = range.max.max(*score);
                    }
                }
            }
        }
        Ok(())
    }

    /// The ranges of all images seen; `None` before the first.
    pub fn finish(self) -> Option<Ranges> {
        self.ranges
    }
}
