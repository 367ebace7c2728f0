//! Weights that the branches earn on made-up damage of the held-back good images.

use super::FreezeError;
use crate::data::{Images, standardise, visible_damage};
use mudenet_edge::infer::{LevelScores, Scorer};
use mudenet_edge::map::{Ranges, Scoring, Weights};
use mudenet_edge::metric::{PixelSweep, Truth};
use mudenet_edge::preprocess::ModelInput;
use std::fmt;
use tch::Tensor;

/// What both trained branches are tried with beside a memory of 1, the least first.
const TRIED: [f32; 4] = [0.0, 0.03, 0.1, 0.25];
/// Where no damage can be made that shows.
const UNTRIED: f32 = 0.1;
/// Damaged images.
const DAMAGED: u64 = 60;
/// What the trained branches must add to PRO to be counted at all, and so to be computed: 0.2 points.
const GAIN: f64 = 0.002;

/// What came of the trial.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Earned {
    /// The weights.
    pub(super) weights: Weights,
    /// PRO (0–1) on the made-up damage by the weight of both trained branches; empty where none was to be had.
    pro: Vec<(f32, f64)>,
}

impl fmt::Display for Earned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pro.is_empty() {
            return f.write_str("no made-up damage shows");
        }
        f.write_str("made-up damage, PRO")?;
        for (i, (weight, pro)) in self.pro.iter().enumerate() {
            write!(f, "{} {:.2} with {weight}", if i == 0 { "" } else { "," }, 100.0 * pro)?;
        }
        Ok(())
    }
}

/// Tries [`TRIED`] on the good `images` and on copies with made-up damage, drawn by `seed`, with `scoring` but for its
/// weights and `ranges` in place of its own.
pub(super) fn earned(
    scorer: &mut dyn Scorer,
    images: &Images,
    scoring: &Scoring,
    ranges: Ranges,
    seed: u64,
) -> Result<Earned, FreezeError> {
    let side = images.side();
    let scoring = Scoring { ranges, ..scoring.clone() };
    let mut trial = Trial::new(scoring, side);
    for index in 0..images.len() {
        trial.add(&scores(scorer, &images.pixels(index)?, side)?, None)?;
    }
    let mut damaged = 0;
    // An image of one colour shows no patch of itself: more are drawn than needed.
    for draw in 0..4 * DAMAGED {
        if damaged == DAMAGED || images.is_empty() {
            break;
        }
        let pixels = images.pixels(draw as usize % images.len())?;
        if let Some((pixels, mask)) = visible_damage(&pixels, side, seed.wrapping_mul(1 << 20).wrapping_add(draw)) {
            trial.add(&scores(scorer, &pixels, side)?, Some(&mask))?;
            damaged += 1;
        }
    }
    trial.finish()
}

fn scores(scorer: &mut dyn Scorer, pixels: &[f32], side: usize) -> Result<LevelScores, FreezeError> {
    let shape = [1, 3, side as i64, side as i64];
    let values = Vec::<f32>::try_from(standardise(&Tensor::from_slice(pixels).view(shape)).flatten(0, -1))?;
    Ok(scorer.score(&ModelInput::new(side, side, values)?)?)
}

struct Trial {
    scoring: Scoring,
    side: usize,
    sweeps: Vec<(f32, PixelSweep)>,
}

impl Trial {
    fn new(scoring: Scoring, side: usize) -> Self {
        Self { scoring, side, sweeps: TRIED.map(|weight| (weight, PixelSweep::new(2))).into() }
    }

    fn add(&mut self, scores: &LevelScores, mask: Option<&[bool]>) -> Result<(), FreezeError> {
        let (kind, truth) = mask.map_or((0, Truth::Good), |mask| (1, Truth::Mask(mask)));
        for (weight, sweep) in &self.sweeps {
            let scoring = Scoring { weights: with_memory(*weight), ..self.scoring.clone() };
            let (map, _) = scoring.apply(scores, self.side, self.side)?;
            sweep.add(kind, &map.0.values, self.side, truth).map_err(mudenet_edge::metric::EvaluationError::from)?;
        }
        Ok(())
    }

    fn finish(self) -> Result<Earned, FreezeError> {
        let mut pro = Vec::new();
        for (weight, sweep) in self.sweeps {
            let (figures, _) = sweep.finish().map_err(mudenet_edge::metric::EvaluationError::from)?;
            pro.extend(figures.pro.map(|pro| (weight, pro)));
        }
        Ok(Earned { weights: with_memory(choose(&pro)), pro })
    }
}

/// The weight of the largest PRO, the first where the gain is less than [`GAIN`].
fn choose(pro: &[(f32, f64)]) -> f32 {
    let Some(least) = pro.first() else { return UNTRIED };
    let best = pro.iter().fold(*least, |best, tried| if tried.1 > best.1 { *tried } else { best });
    if best.1 < least.1 + GAIN { least.0 } else { best.0 }
}

fn with_memory(trained: f32) -> Weights {
    Weights { structural: trained, logical: trained, memory: 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mudenet_edge::map::{Gaussian, Range, Upsample};
    use std::num::NonZeroUsize;

    const SIDE: usize = 32;

    fn scoring() -> Scoring {
        let unit = vec![Range { min: 0.0, max: 1.0 }];
        let ranges = Ranges { structural: unit.clone(), logical: unit.clone(), memory: unit, memory_root: false };
        Scoring {
            ranges,
            epsilon: 0.0,
            clamp: false,
            margin: 0,
            weights: Weights::default(),
            upsample: Upsample::HalfPixel,
            gaussian: Gaussian::new(0.0),
            top: NonZeroUsize::MIN,
        }
    }

    /// One good and one damaged image, of which memory and trained branches see these cells.
    fn trial(memory: &[usize], trained: &[usize]) -> Earned {
        let damage = [33, 34, 65, 66];
        let of = |cells: &[usize]| (0..SIDE * SIDE).map(|i| if cells.contains(&i) { 1.0 } else { 0.0 }).collect();
        let scores = |memory: &[usize], trained: &[usize]| {
            let students = LevelScores::new(1, SIDE, SIDE, of(trained), of(&[])).unwrap();
            let memory: Vec<f32> = of(memory);
            students.with_memory(SIDE, SIDE, &memory).unwrap()
        };
        let mut trial = Trial::new(scoring(), SIDE);
        trial.add(&scores(&[], &[]), None).unwrap();
        let mask: Vec<bool> = (0..SIDE * SIDE).map(|i| damage.contains(&i)).collect();
        trial.add(&scores(memory, trained), Some(&mask)).unwrap();
        trial.finish().unwrap()
    }

    #[test]
    fn trained_branches_that_see_what_the_memory_misses_are_counted() {
        let earned = trial(&[33, 34], &[65, 66]);
        assert!(earned.weights.structural > 0.0, "{earned}");
        assert_eq!(earned.weights.structural, earned.weights.logical);
        assert_eq!(earned.weights.memory, 1.0);
    }

    #[test]
    fn trained_branches_that_add_nothing_or_see_ghosts_are_left_out() {
        let alone = Weights { structural: 0.0, logical: 0.0, memory: 1.0 };
        assert_eq!(trial(&[33, 34, 65, 66], &[33, 34, 65, 66]).weights, alone);
        assert_eq!(trial(&[33, 34, 65, 66], &[500, 501, 502]).weights, alone);
        // Where the memory sees half of the damage, ghosts are still no help.
        assert_eq!(trial(&[33, 34], &(200..700).collect::<Vec<_>>()).weights, alone);
    }

    #[test]
    fn without_damage_that_shows_the_students_count_a_little() {
        let nothing = Trial::new(scoring(), SIDE).finish().unwrap();
        assert_eq!(nothing.weights, with_memory(0.1));
        assert_eq!(nothing.to_string(), "no made-up damage shows");
    }

    #[test]
    fn a_gain_within_the_noise_is_no_gain() {
        assert_eq!(choose(&[(0.0, 0.9), (0.03, 0.9019), (0.1, 0.8)]), 0.0);
        assert_eq!(choose(&[(0.0, 0.9), (0.03, 0.9021), (0.1, 0.903)]), 0.1);
        assert_eq!(choose(&[(0.0, 0.9), (0.03, 0.95), (0.1, 0.95)]), 0.03);
    }
}
