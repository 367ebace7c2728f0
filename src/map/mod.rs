//! [`LevelScores`] → [`AnomalyMap`] and [`ImageScore`]: the only home of that arithmetic.
//!
//! Per level and branch: min-max normalisation (Eq. 11), mean of levels (Eq. 12), weighted sum of branches, margin
//! bilinear upsampling to the input size, Gaussian smoothing, maximum or mean of the largest pixels.

mod branch;
mod enlarge;
mod gaussian;
mod grid;
mod mask;
mod range;
mod top;
mod upsample;
mod zones;

use crate::capture::Region;
use crate::infer::LevelScores;
pub use branch::{Branch, Weights};
use enlarge::Enlarge;
pub use gaussian::Gaussian;
pub use grid::Grid;
pub use mask::Mask;
pub use range::{Range, RangeObserver, RangeStatistic, Ranges, TAIL};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use top::top_mean;
pub use upsample::Upsample;
pub use zones::{Zone, Zones, moved};

/// Everything that turns level scores into an anomaly map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scoring {
    /// Range of each level's scores over good parts.
    pub ranges: Ranges,
    /// Added to a range's width before dividing (1e-8 in the paper's code).
    pub epsilon: f32,
    /// Limit each normalised branch to 0–1 before the branches are added (off in the paper).
    pub clamp: bool,
    /// Outer map cells that carry padding artefacts: left out of the ranges and replaced by their nearest inner
    /// neighbour.
    pub margin: usize,
    /// How much each branch counts.
    #[serde(default)]
    pub weights: Weights,
    /// How cells become pixels.
    pub upsample: Upsample,
    /// Smoothing after upsampling.
    pub gaussian: Gaussian,
    /// How many of the smoothed map's largest pixels the image score is the mean of; 1 is the maximum.
    #[serde(default = "one")]
    pub top: NonZeroUsize,
}

fn one() -> NonZeroUsize {
    NonZeroUsize::MIN
}

/// The smoothed anomaly map at the size of the network's input.
#[derive(Clone, Debug, PartialEq)]
pub struct AnomalyMap(pub Grid);

/// The score of a whole picture: the maximum of its smoothed map, or the mean of its largest pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageScore {
    /// The score; NaN where any value of the map is not a finite number.
    pub value: f32,
    /// Row of the maximum in the anomaly map.
    pub row: usize,
    /// Column of the maximum in the anomaly map.
    pub column: usize,
    /// The branch that gives the larger part of the score there.
    pub branch: Branch,
    /// The level, from 1, that gives the largest part of that branch's score there: levels 1, 2, 3 of the structural and
    /// logical branch see 16, 32, 64 pixels of the network's input. 0 for a map made elsewhere, of which nothing more is
    /// known.
    pub level: usize,
}

/// See [`Scoring::bounds`].
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    /// No pixel of the whole map is less, and neither is its score.
    pub lower: (AnomalyMap, ImageScore, Vec<f32>),
    /// No pixel of the whole map is more.
    pub upper: Option<(AnomalyMap, ImageScore, Vec<f32>)>,
}

/// Level scores that do not fit the scoring.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// The network and the ranges disagree on the number of levels.
    #[error("the bundle has ranges for {expected} levels, the network gave {got}")]
    Levels {
        /// Levels with ranges.
        expected: usize,
        /// Levels of the network.
        got: usize,
    },
    /// The margin leaves no cell.
    #[error("a margin of {margin} cells leaves nothing of a {height}×{width} map")]
    Margin {
        /// Cells dropped on each side.
        margin: usize,
        /// Rows of the map.
        height: usize,
        /// Columns of the map.
        width: usize,
    },
    /// A zone is not on the picture.
    #[error("zone {name}: is not wholly inside what is inspected of the picture, or smaller than a cell of the map")]
    Zone {
        /// What the zone is called.
        name: String,
    },
}

/// What of a map is not judged like the rest.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// Where the map is not looked at.
    pub mask: Option<&'a Mask>,
    /// Where thresholds of their own hold.
    pub zones: Option<&'a Zones>,
    /// The part of the camera's picture that the map is of.
    pub view: Region,
    /// Threshold of what is in no zone.
    pub threshold: f32,
}

impl Scoring {
    /// The map at `height` × `width` and its score.
    ///
    /// # Errors
    /// [`MapError`] where `scores` does not fit this scoring.
    pub fn apply(
        &self,
        scores: &LevelScores,
        height: usize,
        width: usize,
    ) -> Result<(AnomalyMap, ImageScore), MapError> {
        let (map, score, _) = self.apply_judged(scores, height, width, None)?;
        Ok((map, score))
    }

    /// Like [`Scoring::apply`], blind where a mask says so, and with the scores of zones moved to the threshold of the
    /// rest: see [`Zones`]. Also the largest score of the rest and of each zone as they were; none without zones.
    ///
    /// # Errors
    /// [`MapError`] where `scores` does not fit this scoring, or a zone the view.
    pub fn apply_judged(
        &self,
        scores: &LevelScores,
        height: usize,
        width: usize,
        judged: Option<&Judged<'_>>,
    ) -> Result<(AnomalyMap, ImageScore, Vec<f32>), MapError> {
        self.apply_filled(scores, height, width, judged, None)
    }

    /// What [`Scoring::apply_judged`] gives lies between these, from scores of which the logical branch is missing: its
    /// scores are at least 0, and with [`Scoring::clamp`] at most 1 once normalised. Without, there is no upper one.
    ///
    /// Every step from scores to map adds and multiplies with weights ≥ 0, so that it keeps an order also where it rounds.
    ///
    /// # Errors
    /// [`MapError`] where `scores` does not fit this scoring, or a zone the view.
    pub fn bounds(
        &self,
        scores: &LevelScores,
        height: usize,
        width: usize,
        judged: Option<&Judged<'_>>,
    ) -> Result<Bounds, MapError> {
        let ranges = self.ranges.of(Branch::Logical);
        let factor = self.weights.of(Branch::Logical) / ranges.len().max(1) as f32;
        let of = |level: &dyn Fn(&Range) -> f32| factor * ranges.iter().map(level).sum::<f32>();
        let bound = |value| self.apply_filled(scores, height, width, judged, Some(value));
        let lower = bound(of(&|range| self.normalise(Branch::Logical, *range, 0.0)))?;
        let upper = if self.clamp { Some(bound(of(&|_| 1.0))?) } else { None };
        Ok(Bounds { lower, upper })
    }

    /// The map and its score; `logical` takes the place of a logical branch that is missing.
    fn apply_filled(
        &self,
        scores: &LevelScores,
        height: usize,
        width: usize,
        judged: Option<&Judged<'_>>,
        logical: Option<f32>,
    ) -> Result<(AnomalyMap, ImageScore, Vec<f32>), MapError> {
        let cells = scores.height() * scores.width();
        let mut fused = Grid { height: scores.height(), width: scores.width(), values: vec![0.0; cells] };
        let mut parts = Vec::with_capacity(Branch::ALL.len());
        for branch in Branch::ALL {
            let part = match logical.filter(|_| branch == Branch::Logical && scores.levels(branch) == 0) {
                Some(value) => Grid { values: vec![value; cells], ..fused },
                None => self.branch(scores, branch)?,
            };
            for (sum, value) in fused.values.iter_mut().zip(&part.values) {
                *sum += value;
            }
            parts.push((branch, part));
        }
        let enlarge = Enlarge::new(self.upsample, self.gaussian, [fused.height, fused.width], [height, width]);
        let mut map = enlarge.apply(&fused);
        let mut areas = vec![];
        if let Some(judged) = judged {
            judged.mask.iter().for_each(|mask| mask.hide(&mut map));
            if let Some(zones) = judged.zones {
                areas = zones.apply(&mut map, judged.view, judged.threshold)?;
            }
        }
        let score = self.score(&map, scores, &parts, &enlarge)?;
        Ok((AnomalyMap(map), score, areas))
    }

    /// Weighted mean over levels of one branch's normalised scores, (h, w) cells, margin replaced.
    fn branch(&self, scores: &LevelScores, branch: Branch) -> Result<Grid, MapError> {
        let ranges = self.ranges.of(branch);
        if ranges.len() != scores.levels(branch) {
            return Err(MapError::Levels { expected: ranges.len(), got: scores.levels(branch) });
        }
        let (height, width) = (scores.height(), scores.width());
        let mut mean = Grid { height, width, values: vec![0.0; height * width] };
        for (level, range) in ranges.iter().enumerate() {
            for (sum, score) in mean.values.iter_mut().zip(scores.level(branch, level)) {
                *sum += self.normalise(branch, *range, *score);
            }
        }
        let factor = self.weights.of(branch) / ranges.len().max(1) as f32;
        mean.values.iter_mut().for_each(|sum| *sum *= factor);
        mean.replicate_margin(self.margin)?;
        Ok(mean)
    }

    fn normalise(&self, branch: Branch, range: Range, score: f32) -> f32 {
        let normalised = self.ranges.normalise(branch, range, score, self.epsilon);
        if self.clamp { normalised.clamp(0.0, 1.0) } else { normalised }
    }

    /// `enlarge` is what made `map` of the sum of `parts`.
    fn score(
        &self,
        map: &Grid,
        scores: &LevelScores,
        parts: &[(Branch, Grid)],
        enlarge: &Enlarge,
    ) -> Result<ImageScore, MapError> {
        let (mut best, mut value) = (0, f32::NEG_INFINITY);
        let mut finite = true;
        for (i, v) in map.values.iter().enumerate() {
            finite &= v.is_finite();
            if *v > value {
                (best, value) = (i, *v);
            }
        }
        let (row, column) = (best / map.width.max(1), best % map.width.max(1));
        let at = |cells: &Grid| enlarge.at(cells, row, column);
        let mut branch = (Branch::Structural, f32::NEG_INFINITY);
        for (candidate, cells) in parts.iter().filter(|(candidate, _)| scores.levels(*candidate) > 0) {
            let part = at(cells);
            if part > branch.1 {
                branch = (*candidate, part);
            }
        }
        let branch = branch.0;
        let mut strongest = (1, f32::NEG_INFINITY);
        for (level, range) in self.ranges.of(branch).iter().enumerate() {
            let values =
                scores.level(branch, level).iter().map(|score| self.normalise(branch, *range, *score)).collect();
            let mut cells = Grid { height: scores.height(), width: scores.width(), values };
            cells.replicate_margin(self.margin)?;
            let part = at(&cells);
            if part > strongest.1 {
                strongest = (level + 1, part);
            }
        }
        let value = match self.top.get() {
            _ if !finite => f32::NAN,
            1 => value,
            count => top_mean(&map.values, count),
        };
        Ok(ImageScore { value, row, column, branch, level: strongest.0 })
    }
}

impl AnomalyMap {
    /// The map at another size, bilinear with half-pixel centres.
    pub fn resized(&self, height: usize, width: usize) -> AnomalyMap {
        AnomalyMap(Upsample::HalfPixel.resize(&self.0, height, width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_names_the_branch_and_level_that_drove_it() {
        let unit = vec![Range { min: 0.0, max: 1.0 }; 3];
        let scoring = Scoring {
            ranges: Ranges {
                structural: unit.clone(),
                logical: vec![Range { min: 0.0, max: 10.0 }; 3],
                ..Ranges::default()
            },
            epsilon: 0.0,
            clamp: false,
            margin: 1,
            weights: Weights::default(),
            upsample: Upsample::HalfPixel,
            gaussian: Gaussian::new(1.0),
            top: one(),
        };
        for (branch, level) in [(Branch::Structural, 2), (Branch::Logical, 3), (Branch::Logical, 1)] {
            // A blob in one level of one branch over a weaker background elsewhere; the logical branch's range is wider.
            let of = |this: Branch, scale: f32| {
                let value = |i: usize| {
                    let (row, column) = (i % 64 / 8, i % 8);
                    let blob =
                        this == branch && i / 64 + 1 == level && (3..6).contains(&row) && (2..5).contains(&column);
                    scale * if blob { 5.0 } else { 0.5 }
                };
                (0..3 * 64).map(value).collect::<Vec<f32>>()
            };
            let scores = LevelScores::new(3, 8, 8, of(Branch::Structural, 1.0), of(Branch::Logical, 10.0)).unwrap();
            let (_, score) = scoring.apply(&scores, 64, 64).unwrap();
            assert_eq!((score.branch, score.level), (branch, level));
            assert!((24..48).contains(&score.row) && (16..40).contains(&score.column), "{score:?}");
        }
    }

    #[test]
    fn a_memory_that_counts_as_distance_is_scored_by_its_root() {
        // Good parts had squared distances 4 to 16, so that 36 is a distance of 6 over a range of 2 to 4.
        let ranges = Ranges { memory: vec![Range { min: 4.0, max: 16.0 }], memory_root: true, ..Ranges::default() };
        let of = |score| ranges.normalise(Branch::Memory, ranges.memory[0], score, 0.0);
        assert_eq!([of(4.0), of(9.0), of(16.0), of(36.0)], [0.0, 0.5, 1.0, 2.0]);
        assert_eq!(of(-1e-9), -1.0, "rounding below zero is no distance");
        assert!(of(f32::NAN).is_nan());
        let squared = Ranges { memory_root: false, ..ranges.clone() };
        assert_eq!(squared.normalise(Branch::Memory, ranges.memory[0], 10.0, 0.0), 0.5);
        assert_eq!(ranges.normalise(Branch::Logical, ranges.memory[0], 10.0, 0.0), 0.5);
    }
}
