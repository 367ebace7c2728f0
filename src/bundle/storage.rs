//! How a bundle's numbers are stored, and what that did to its scores.

use super::{LOGICAL, MEMORY, STRUCTURAL};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a model was quantized to, and how far its scores are from those of the f32 model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageReport {
    /// What is stored in fewer than 32 bits.
    pub form: StorageForm,
    /// How it was found, for people.
    pub method: String,
    /// Good images that it was found on.
    pub images: usize,
    /// Layers whose weights or inputs stayed in f32.
    pub float_layers: Vec<String>,
    /// This file against the f32 model, both in this crate, on held-back good images.
    pub float: Agreement,
    /// This file in other runtimes ("onnxruntime 1.32.0") against this crate, on the same images.
    #[serde(default)]
    pub runtimes: BTreeMap<String, Agreement>,
    /// The f32 model and this file on labelled images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<TestReport>,
}

/// What is stored in fewer than 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StorageForm {
    /// Weights in 16 bits.
    F16,
    /// Weights in 8 bits.
    Weights,
    /// Weights and the inputs of the convolutions in 8 bits.
    Full,
}

impl StorageForm {
    /// As people call it.
    pub fn words(self) -> &'static str {
        match self {
            Self::F16 => "16-bit weights, computed in f32",
            Self::Weights => "8-bit weights, computed in f32",
            Self::Full => "8-bit weights and activations",
        }
    }
}

/// How well two ways to compute the same images agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// Images compared.
    pub images: usize,
    /// Of the output `structural`.
    pub structural: Difference,
    /// Of the output `logical`.
    pub logical: Difference,
    /// Of the output `memory`, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Difference>,
    /// Largest difference of an image score, relative to that score.
    pub score: f32,
    /// Spearman's rank correlation of the image scores; `None` under two images or where all scores are equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank_correlation: Option<f64>,
}

/// Difference of an output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// Largest over cells and images, relative to the image's largest value.
    pub max: f32,
    /// Mean over cells, relative to the image's mean value; the mean over images.
    pub mean: f32,
}

/// The f32 model's figures and this file's on labelled images, 0–1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestReport {
    /// Images.
    pub images: usize,
    /// AUROC of the image scores; `None` where undefined.
    pub image_auroc: [Option<f64>; 2],
    /// AUROC of the pixels.
    pub pixel_auroc: [Option<f64>; 2],
    /// PRO up to a false-positive rate of 0.3.
    pub pro: [Option<f64>; 2],
    /// Images whose verdict differs, each model at its own threshold.
    pub flips: usize,
    /// Spearman's rank correlation of the image scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank_correlation: Option<f64>,
}

impl std::fmt::Display for StorageReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "stored as  {}, {}", self.form.words(), self.method)?;
        if !self.float_layers.is_empty() {
            writeln!(f, "in f32     {}", self.float_layers.join(", "))?;
        }
        writeln!(f, "f32 model  {}", self.float)?;
        for (runtime, agreement) in &self.runtimes {
            writeln!(f, "{runtime:9}  {agreement}")?;
        }
        let Some(test) = &self.test else { return Ok(()) };
        write!(f, "labelled   {} images: ", test.images)?;
        for (name, pair) in [("image AUROC", test.image_auroc), ("pixel AUROC", test.pixel_auroc), ("PRO", test.pro)] {
            if let ([Some(float), Some(_)], Some(change)) = (pair, TestReport::change(pair)) {
                write!(f, "{name} {:.2} {:+.2}, ", 100.0 * float, 100.0 * change)?;
            }
        }
        if let Some(rank) = test.rank_correlation {
            write!(f, "rank correlation {rank:.4}, ")?;
        }
        writeln!(f, "{} verdicts differ", test.flips)
    }
}

impl std::fmt::Display for Agreement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} images", self.images)?;
        for (name, difference) in self.outputs() {
            write!(f, "; {name} mean {:.1e}, largest {:.1e}", difference.mean, difference.max)?;
        }
        write!(f, "; score {:.1e}", self.score)?;
        if let Some(rank) = self.rank_correlation {
            write!(f, "; rank correlation {rank:.4}")?;
        }
        Ok(())
    }
}

impl Agreement {
    /// The outputs compared, by name.
    pub fn outputs(&self) -> impl Iterator<Item = (&'static str, Difference)> {
        [(STRUCTURAL, self.structural), (LOGICAL, self.logical)].into_iter().chain(self.memory.map(|m| (MEMORY, m)))
    }
}

impl TestReport {
    /// Second less first of a pair of figures.
    pub fn change(pair: [Option<f64>; 2]) -> Option<f64> {
        Some(pair[1]? - pair[0]?)
    }
}

/// Collects an [`Agreement`] image by image.
#[derive(Clone, Debug, Default)]
pub struct AgreementObserver {
    sum: Agreement,
    scores: [Vec<f32>; 2],
}

impl AgreementObserver {
    /// One image: outputs and image score of what is examined, then those of the reference.
    pub fn observe(
        &mut self,
        (got, score): (&crate::infer::LevelScores, f32),
        (expected, reference): (&crate::infer::LevelScores, f32),
    ) {
        use crate::map::Branch;
        self.sum.images += 1;
        let mut sums = vec![(Branch::Structural, &mut self.sum.structural), (Branch::Logical, &mut self.sum.logical)];
        if expected.levels(Branch::Memory) > 0 {
            sums.push((Branch::Memory, self.sum.memory.get_or_insert_default()));
        }
        for (branch, sum) in sums {
            let difference = Difference::of(got.branch(branch), expected.branch(branch));
            sum.max = larger(sum.max, difference.max);
            sum.mean += difference.mean;
        }
        self.sum.score = larger(self.sum.score, ratio(score - reference, reference));
        self.scores[0].push(score);
        self.scores[1].push(reference);
    }

    /// What was seen.
    pub fn finish(mut self) -> Agreement {
        let images = self.sum.images.max(1) as f32;
        self.sum.structural.mean /= images;
        self.sum.logical.mean /= images;
        self.sum.memory.iter_mut().for_each(|memory| memory.mean /= images);
        self.sum.rank_correlation = crate::metric::rank_correlation(&self.scores[0], &self.scores[1]);
        self.sum
    }
}

impl Difference {
    /// Of one image's output; infinite where the sizes differ, NaN where a value is NaN.
    fn of(got: &[f32], expected: &[f32]) -> Self {
        if got.len() != expected.len() {
            return Self { max: f32::INFINITY, mean: f32::INFINITY };
        }
        let (mut max, mut sum, mut largest, mut total) = (0.0, 0.0f64, 0.0, 0.0f64);
        for (a, b) in got.iter().zip(expected) {
            let difference = (a - b).abs();
            max = larger(max, difference);
            sum += f64::from(difference);
            largest = larger(largest, b.abs());
            total += f64::from(b.abs());
        }
        Self { max: ratio(max, largest), mean: ratio(sum as f32, total as f32) }
    }
}

/// The larger of two, NaN where either is NaN.
fn larger(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.is_nan() { f32::NAN } else { a.max(b) }
}

fn ratio(part: f32, whole: f32) -> f32 {
    if part == 0.0 { 0.0 } else { (part / whole).abs() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::LevelScores;
    use rand::{RngExt, SeedableRng};

    fn scores(structural: [f32; 4]) -> LevelScores {
        LevelScores::new(1, 2, 2, structural.to_vec(), vec![1.0; 4]).unwrap()
    }

    #[test]
    fn an_agreement_is_relative_to_each_image() {
        let mut observer = AgreementObserver::default();
        observer.observe((&scores([1.0, 2.0, 3.0, 4.0]), 1.0), (&scores([1.0, 2.0, 3.0, 4.0]), 1.0));
        // Differences 0.5 and 1.5 of a largest 10 and a sum of 20.
        observer.observe((&scores([2.5, 5.0, 3.0, 8.5]), 2.2), (&scores([2.0, 5.0, 3.0, 10.0]), 2.0));
        let agreement = observer.finish();
        assert_eq!(agreement.images, 2);
        assert!((agreement.structural.max - 0.15).abs() < 1e-6);
        assert!((agreement.structural.mean - 0.05).abs() < 1e-6);
        assert_eq!(agreement.logical, Difference::default());
        assert!((agreement.score - 0.1).abs() < 1e-6);
        assert!((agreement.rank_correlation.unwrap() - 1.0).abs() < 1e-12);
    }

    /// A model that was read and written again holds the same report.
    #[test]
    fn rates_are_read_as_they_were_written() {
        let mut rates = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        for _ in 0..2000 {
            let mut pair = || [Some(rates.random()), Some(rates.random())];
            let [image_auroc, pixel_auroc, pro] = [pair(), pair(), pair()];
            let report =
                TestReport { images: 1, image_auroc, pixel_auroc, pro, flips: 0, rank_correlation: image_auroc[0] };
            let text = serde_json::to_string(&report).unwrap();
            assert_eq!(serde_json::from_str::<TestReport>(&text).unwrap(), report);
        }
    }

    #[test]
    fn what_is_not_a_number_is_not_hidden() {
        let mut observer = AgreementObserver::default();
        observer.observe((&scores([1.0, f32::NAN, 3.0, 4.0]), 1.0), (&scores([1.0; 4]), 1.0));
        observer.observe((&scores([1.0; 4]), f32::NAN), (&scores([1.0; 4]), 1.0));
        let agreement = observer.finish();
        assert!(agreement.structural.max.is_nan() && agreement.structural.mean.is_nan() && agreement.score.is_nan());
    }
}
