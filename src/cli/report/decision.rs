//! What the deployed thresholds do to a labelled set.

use crate::cli::calibrate::Product;
use mudenet_edge::metric::dataset::DataSet;
use serde::Serialize;
use std::collections::BTreeMap;

/// Verdicts at the thresholds of a model or a recipe.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::cli) struct Decision {
    /// Above it a score is rejected; scores of zones are moved to it.
    pub(super) threshold: f32,
    /// Each zone's own threshold.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) zones: BTreeMap<String, f32>,
    /// Share of the good parts that are rejected; none without good parts.
    pub(super) false_reject_rate: Option<f64>,
    /// Share of the bad parts that are rejected; none without bad parts.
    pub(super) detection_rate: Option<f64>,
    /// Of each type of part, the good ones included.
    per_type: BTreeMap<String, Count>,
}

/// Parts by their verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
struct Count {
    accepted: usize,
    rejected: usize,
}

impl Count {
    fn rate(self) -> Option<f64> {
        let parts = self.accepted + self.rejected;
        (parts > 0).then(|| self.rejected as f64 / parts as f64)
    }

    fn take(&mut self, rejected: bool) {
        if rejected { self.rejected += 1 } else { self.accepted += 1 }
    }
}

impl Decision {
    /// `scores`: of each sample of `set`, as the product's inspection gives them.
    pub(in crate::cli) fn of(product: &Product, set: &DataSet, scores: &[f32]) -> Self {
        let threshold = product.threshold();
        let (mut sides, mut per_type) = ([Count::default(); 2], BTreeMap::<String, Count>::new());
        for (sample, score) in set.samples.iter().zip(scores) {
            let rejected = *score > threshold;
            sides[usize::from(sample.kind > 0)].take(rejected);
            if let Some(kind) = set.kinds.get(sample.kind) {
                per_type.entry(kind.clone()).or_default().take(rejected);
            }
        }
        let [false_reject_rate, detection_rate] = sides.map(Count::rate);
        let zones = product.zone_thresholds().into_iter().collect();
        Self { threshold, zones, false_reject_rate, detection_rate, per_type }
    }

    /// One line for people.
    pub(in crate::cli) fn words(&self) -> String {
        let share = |rate: Option<f64>| rate.map_or("–".to_owned(), |rate| format!("{:.2} %", 100.0 * rate));
        let zones = if self.zones.is_empty() { "" } else { ", zones at their own" };
        let (good, bad) = (share(self.false_reject_rate), share(self.detection_rate));
        format!(
            "at the threshold {}{zones}: rejected {good} of the good parts and {bad} of the bad ones",
            self.threshold
        )
    }
}
