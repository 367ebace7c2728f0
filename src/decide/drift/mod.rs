//! Whether good parts still look as they did when the threshold was calibrated.
//!
//! Three quantities of accepted parts are compared with those of the calibration: score, brightness and sharpness of the
//! picture. A two-sample Kolmogorov–Smirnov test sees any change of their distribution, a CUSUM over their normal scores a
//! small shift that lasts.

mod cusum;
mod ks;
mod words;

pub use cusum::Direction;
use cusum::{Cusum, DECISION};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

/// What good parts looked like at calibration: values of each quantity, ascending.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Image scores.
    pub score: Vec<f32>,
    /// [`crate::capture::Look::mean`]; empty where not known.
    pub brightness: Vec<f32>,
    /// [`crate::capture::Look::sharpness`]; empty where not known.
    pub sharpness: Vec<f32>,
}

/// Most values of a quantity that a baseline keeps.
const MOST: usize = 1000;
/// Fewest values to compare.
pub const FEWEST: usize = 20;

/// One accepted part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Its image score.
    pub score: f32,
    /// [`crate::capture::Look::mean`].
    pub brightness: Option<f32>,
    /// [`crate::capture::Look::sharpness`].
    pub sharpness: Option<f32>,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Image score.
    Score,
    /// Mean of the picture.
    Brightness,
    /// Mean squared Laplacian of the picture.
    Sharpness,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Advice {
    /// Nothing changed.
    Stable,
    /// Light, focus or scores changed: look at the station.
    Watch,
    /// The scores of good parts are others than at calibration: the threshold's promise no longer holds.
    Recalibrate,
}

/// What was found for one quantity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What was compared.
    pub quantity: Quantity,
    /// Parts of the calibration.
    pub before: usize,
    /// Parts since.
    pub now: usize,
    /// Median at calibration.
    pub median_before: f32,
    /// Median now.
    pub median_now: f32,
    /// Kolmogorov–Smirnov distance, 0–1.
    pub distance: f64,
    /// Probability of such a distance were nothing changed.
    pub p: f64,
    /// The way it went, where the CUSUM reports a shift.
    pub shift: Option<Direction>,
    /// What to do about it.
    pub advice: Advice,
}

/// What was found for every quantity that is known on both sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// The strongest advice.
    pub advice: Advice,
    /// Score, brightness, sharpness.
    pub findings: [Option<Finding>; 3],
}

/// From when on a change counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// p of [`Advice::Watch`].
    pub watch: f64,
    /// p of [`Advice::Recalibrate`].
    pub recalibrate: f64,
    /// Distances under this are too small to matter, however sure they are.
    pub least_distance: f64,
}

impl Limits {
    /// For one look at many parts.
    pub fn once() -> Self {
        Self { watch: 0.01, recalibrate: 0.001, least_distance: 0.1 }
    }

    /// For a look every few hundred parts all year.
    pub fn continuous() -> Self {
        Self { watch: 1e-6, recalibrate: 1e-8, least_distance: 0.1 }
    }
}

/// Nothing can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parts} {whose} are too few to compare: at least {FEWEST} are needed")]
pub struct TooFew {
    /// How many there are.
    pub parts: usize,
    /// "accepted parts" or "scores of the calibration".
    pub whose: &'static str,
}

impl Baseline {
    /// From the values of the calibration's parts, thinned evenly where they are many.
    pub fn new(score: &[f32], brightness: &[f32], sharpness: &[f32]) -> Self {
        Self { score: thinned(score), brightness: thinned(brightness), sharpness: thinned(sharpness) }
    }

    /// Without the scores above `threshold`, which no accepted part has.
    #[must_use]
    pub fn accepted(mut self, threshold: f32) -> Self {
        self.score.retain(|score| *score <= threshold);
        self
    }

    fn of(&self, quantity: Quantity) -> &[f32] {
        match quantity {
            Quantity::Score => &self.score,
            Quantity::Brightness => &self.brightness,
            Quantity::Sharpness => &self.sharpness,
        }
    }
}

fn thinned(values: &[f32]) -> Vec<f32> {
    let mut sorted: Vec<f32> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f32::total_cmp);
    if sorted.len() <= MOST {
        return sorted;
    }
    let last = (sorted.len() - 1) as f64;
    (0..MOST).map(|i| sorted[(i as f64 * last / (MOST - 1) as f64).round() as usize]).collect()
}

impl Sample {
    fn of(&self, quantity: Quantity) -> Option<f32> {
        match quantity {
            Quantity::Score => Some(self.score),
            Quantity::Brightness => self.brightness,
            Quantity::Sharpness => self.sharpness,
        }
    }
}

impl Quantity {
    const ALL: [Quantity; 3] = [Quantity::Score, Quantity::Brightness, Quantity::Sharpness];

    /// `score`, `brightness`, `sharpness`.
    pub fn name(self) -> &'static str {
        ["score", "brightness", "sharpness"][self as usize]
    }
}

/// Compares accepted parts, in the order they came, with the calibration.
///
/// # Errors
/// [`TooFew`].
pub fn examine(baseline: &Baseline, parts: &[Sample], limits: Limits) -> Result<Drift, TooFew> {
    if parts.len() < FEWEST {
        return Err(TooFew { parts: parts.len(), whose: "accepted parts" });
    }
    let mut monitor = Monitor::new(baseline.clone(), limits, parts.len())?;
    parts.iter().for_each(|part| {
        monitor.take(*part);
    });
    Ok(monitor.look())
}

/// The same while the line runs: hand it every accepted part.
#[derive(Clone, Debug)]
pub struct Monitor {
    baseline: Baseline,
    limits: Limits,
    window: usize,
    watches: [Watch; 3],
    parts: usize,
}

/// One quantity since the last look.
#[derive(Clone, Debug, Default)]
struct Watch {
    values: Vec<f32>,
    cusum: Cusum,
    shift: Option<Direction>,
}

impl Monitor {
    /// Looks every `window` parts.
    ///
    /// # Errors
    /// [`TooFew`] where the baseline or the window has too few scores.
    pub fn new(baseline: Baseline, limits: Limits, window: usize) -> Result<Self, TooFew> {
        if baseline.score.len() < FEWEST {
            return Err(TooFew { parts: baseline.score.len(), whose: "scores of the calibration" });
        }
        let window = window.max(FEWEST);
        let watch = || Watch { values: Vec::with_capacity(window), ..Watch::default() };
        Ok(Self { baseline, limits, window, watches: [watch(), watch(), watch()], parts: 0 })
    }

    /// Takes an accepted part. At the end of each window, and at once where a CUSUM reports a shift, what was found; then
    /// the next window begins. Nothing is allocated.
    pub fn push(&mut self, part: Sample) -> Option<Drift> {
        let shifted = self.take(part);
        (self.parts >= self.window || shifted && self.parts >= FEWEST).then(|| self.look())
    }

    /// Whether a CUSUM has just reported a shift.
    fn take(&mut self, part: Sample) -> bool {
        self.parts += 1;
        let mut shifted = false;
        for (watch, quantity) in self.watches.iter_mut().zip(Quantity::ALL) {
            let baseline = self.baseline.of(quantity);
            if let (true, Some(value)) = (baseline.len() >= FEWEST, part.of(quantity).filter(|v| v.is_finite())) {
                watch.values.push(value);
                let shift = watch.cusum.push(normal_score(baseline, value), DECISION);
                shifted |= shift.is_some() && watch.shift.is_none();
                watch.shift = watch.shift.or(shift);
            }
        }
        shifted
    }

    fn look(&mut self) -> Drift {
        let (limits, baseline) = (self.limits, &self.baseline);
        let mut findings = [None; 3];
        for ((finding, watch), quantity) in findings.iter_mut().zip(&mut self.watches).zip(Quantity::ALL) {
            *finding = watch.finding(quantity, baseline.of(quantity), limits);
            watch.values.clear();
            if watch.shift.take().is_some() {
                watch.cusum = Cusum::default();
            }
        }
        self.parts = 0;
        let advice = findings.iter().flatten().map(|f: &Finding| f.advice).max().unwrap_or(Advice::Stable);
        Drift { advice, findings }
    }
}

impl Watch {
    fn finding(&mut self, quantity: Quantity, baseline: &[f32], limits: Limits) -> Option<Finding> {
        if self.values.len() < FEWEST || baseline.len() < FEWEST {
            return None;
        }
        self.values.sort_unstable_by(f32::total_cmp);
        let distance = ks::distance(baseline, &self.values);
        let p = ks::p_value(distance, baseline.len(), self.values.len());
        let matters = distance >= limits.least_distance;
        let advice = match quantity {
            Quantity::Score if self.shift.is_some() || matters && p < limits.recalibrate => Advice::Recalibrate,
            _ if self.shift.is_some() || matters && p < limits.watch => Advice::Watch,
            _ => Advice::Stable,
        };
        let median = |sorted: &[f32]| sorted[sorted.len() / 2];
        Some(Finding {
            quantity,
            before: baseline.len(),
            now: self.values.len(),
            median_before: median(baseline),
            median_now: median(&self.values),
            distance,
            p,
            shift: self.shift,
            advice,
        })
    }
}

/// The normal quantile of a value's rank among the baseline's: mean 0 and deviation 1 while nothing changed, whatever the
/// distribution.
fn normal_score(baseline: &[f32], value: f32) -> f64 {
    let below = baseline.partition_point(|v| *v < value) as f64;
    let up_to = baseline.partition_point(|v| *v <= value) as f64;
    let rank = (0.5 * (below + up_to) + 0.5) / (baseline.len() as f64 + 1.0);
    Normal::standard().inverse_cdf(rank)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
