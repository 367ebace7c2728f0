//! Figures of whole images: AUROC, average precision, best F1.

use super::MetricError;
use super::area::{Curve, Point};
use serde::Serialize;

/// The score of one image and what it shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Labelled {
    /// Larger is more anomalous; finite.
    pub score: f32,
    /// Whether the image shows a defect.
    pub anomalous: bool,
}

/// What a set of scored images gives; every figure 0–1, larger is better.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImageFigures {
    /// Area under the ROC curve, ties merged: the probability that an anomalous image scores above a good one.
    pub auroc: f64,
    /// Average precision: Σ (Rₙ − Rₙ₋₁) Pₙ over the distinct scores.
    pub ap: f64,
    /// Largest F1 of any threshold.
    pub f1_max: f64,
    /// A threshold with that F1: images above it count as anomalous.
    #[serde(skip)]
    pub f1_threshold: f32,
    /// The ROC curve.
    #[serde(skip)]
    pub roc: Vec<Point>,
}

/// Sweeps a threshold over the scores.
///
/// # Errors
/// [`MetricError::OneClass`] where good or anomalous images are missing, [`MetricError::NotFinite`].
pub fn image_figures(images: &[Labelled]) -> Result<ImageFigures, MetricError> {
    if images.iter().any(|i| !i.score.is_finite()) {
        return Err(MetricError::NotFinite);
    }
    let positives = images.iter().filter(|i| i.anomalous).count();
    let negatives = images.len() - positives;
    if positives == 0 || negatives == 0 {
        return Err(MetricError::OneClass { missing: if positives == 0 { "anomalous" } else { "good" } });
    }
    let mut sorted = images.to_vec();
    sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
    let (positives, negatives) = (positives as f64, negatives as f64);
    let (mut tp, mut fp) = (0.0, 0.0);
    let (mut ap, mut f1_max, mut f1_end) = (0.0, 0.0, 0);
    let mut roc = Curve::new(&[1.0]);
    for ties in sorted.chunk_by(|a, b| a.score == b.score) {
        let hits = ties.iter().filter(|i| i.anomalous).count() as f64;
        tp += hits;
        fp += ties.len() as f64 - hits;
        ap += hits / positives * (tp / (tp + fp));
        let f1 = 2.0 * tp / (tp + fp + positives);
        if f1 > f1_max {
            (f1_max, f1_end) = (f1, (tp + fp) as usize);
        }
        roc.push(fp / negatives, tp / positives);
    }
    // Half way between the last score that counts as anomalous and the next one.
    let last = sorted[f1_end - 1].score;
    let f1_threshold = sorted.get(f1_end).map_or(last.next_down(), |next| last / 2.0 + next.score / 2.0);
    let (areas, roc) = roc.finish();
    Ok(ImageFigures { auroc: areas[0], ap, f1_max, f1_threshold, roc })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_set() -> Vec<Labelled> {
        let mut state = 3_u64;
        let mut below = |n: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % n
        };
        let labels: Vec<bool> = (0..60).map(|_| below(3) == 0).collect();
        let labelled = |anomalous| Labelled { score: (below(25) + if anomalous { 5 } else { 0 }) as f32, anomalous };
        labels.into_iter().map(labelled).collect()
    }

    // python tests/oracle/metric.py (scikit-learn 1.9.1)
    #[test]
    fn equals_scikit_learn() {
        let figures = image_figures(&made_set()).unwrap();
        assert!((figures.auroc - 0.5955555555555556).abs() < 1e-12);
        assert!((figures.ap - 0.43550360633910146).abs() < 1e-12);
        assert!((figures.f1_max - 0.46874999999999994).abs() < 1e-12);
    }

    #[test]
    fn is_the_share_of_ordered_pairs_with_half_credit_for_ties() {
        let images = made_set();
        let (mut credit, mut pairs) = (0.0, 0.0);
        for bad in images.iter().filter(|i| i.anomalous) {
            for good in images.iter().filter(|i| !i.anomalous) {
                pairs += 1.0;
                credit += if bad.score > good.score { 1.0 } else { 0.5 * f64::from(bad.score == good.score) };
            }
        }
        assert!((image_figures(&images).unwrap().auroc - credit / pairs).abs() < 1e-12);
    }

    #[test]
    fn swapped_classes_give_the_complement() {
        let images = made_set();
        let swapped: Vec<_> = images.iter().map(|i| Labelled { anomalous: !i.anomalous, ..*i }).collect();
        let sum = image_figures(&images).unwrap().auroc + image_figures(&swapped).unwrap().auroc;
        assert!((sum - 1.0).abs() < 1e-12);
    }

    #[test]
    fn one_class_is_an_error() {
        let good = Labelled { score: 1.0, anomalous: false };
        let error = image_figures(&[good, good]).unwrap_err();
        assert_eq!(error.to_string(), "AUROC is undefined: the set has no anomalous images");
        assert!(matches!(image_figures(&[Labelled { score: f32::NAN, ..good }]), Err(MetricError::NotFinite)));
    }
}
