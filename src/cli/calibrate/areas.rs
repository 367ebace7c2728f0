//! One threshold for each zone and one for the rest.

use super::parts::{Parts, area_scores};
use mudenet_edge::decide::{CalibrationError, Threshold, ThresholdMethod, Wanted, calibrate};
use mudenet_edge::map::moved;
use mudenet_edge::record::journal::Entry;
use mudenet_edge::run::today;

/// Thresholds that keep a promise together.
pub(super) struct Areas {
    /// Of what is in no zone, with the promise of all.
    pub(super) threshold: Threshold,
    /// Of each zone, with its own share of the promise.
    pub(super) zones: Vec<Threshold>,
}

/// Finds the thresholds of all areas of good parts.
///
/// # Errors
/// [`CalibrationError`].
pub(super) fn calibrate_areas(
    parts: &Parts,
    wanted: Wanted,
    method: ThresholdMethod,
) -> Result<Areas, CalibrationError> {
    let Some(zones) = parts.zone_scores.as_slice().split_first().map(|(_, zones)| zones.len()) else {
        return Ok(Areas { threshold: calibrate(&parts.scores, wanted, method, Some(today()))?, zones: vec![] });
    };
    let each = wanted.shared_by(zones + 1);
    let mut found: Vec<Option<Threshold>> = parts
        .zone_scores
        .iter()
        // Zones that cover the whole picture leave no rest.
        .map(|scores| scores.iter().any(|s| *s > f32::NEG_INFINITY).then_some(scores))
        .map(|scores| scores.map(|scores| calibrate(scores, each, method, Some(today()))).transpose())
        .collect::<Result<_, _>>()?;
    let zones: Vec<Threshold> = found.split_off(1).into_iter().flatten().collect();
    let expected: f64 = found
        .iter()
        .flatten()
        .chain(&zones)
        .filter_map(|t| t.calibration.as_ref())
        .map(|c| c.expected_false_reject)
        .sum();
    let rest = found.pop().flatten().or_else(|| zones.first().cloned());
    let mut threshold = rest.ok_or(CalibrationError::NotFinite)?;
    if let Some(calibration) = &mut threshold.calibration {
        calibration.false_reject = wanted.false_reject;
        calibration.confidence = wanted.confidence;
        calibration.expected_false_reject = expected;
    }
    Ok(Areas { threshold, zones })
}

impl Areas {
    /// The scores of parts, zones moved so that all thresholds lie at that of the rest.
    pub(super) fn scores(&self, parts: &Parts) -> Vec<f32> {
        let Some((rest, zones)) = parts.zone_scores.split_first() else { return parts.scores.clone() };
        let score = |part: usize| {
            let moved = zones.iter().zip(&self.zones).filter_map(|(scores, threshold)| {
                scores.get(part).map(|score| moved(*score, threshold.value, self.threshold.value))
            });
            rest.get(part).copied().into_iter().chain(moved).fold(f32::NEG_INFINITY, f32::max)
        };
        (0..rest.len()).map(score).collect()
    }

    /// Whether a recorded part would be rejected; `None` where it has no score, or none of these very zones.
    pub(super) fn rejects(&self, entry: &Entry, zones: &[String]) -> Option<bool> {
        let score = entry.score?;
        if zones.is_empty() {
            return Some(score > self.threshold.value);
        }
        let thresholds = [&self.threshold].into_iter().chain(&self.zones);
        Some(area_scores(entry, zones)?.iter().zip(thresholds).any(|(score, threshold)| *score > threshold.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_area_keeps_a_share_and_a_part_is_above_where_one_of_its_areas_is() {
        let scores = |step: usize, scale: f32| (0..400).map(|i| (i * step % 400) as f32 * scale).collect::<Vec<f32>>();
        let parts = Parts { zone_scores: vec![scores(7, 1.0), scores(11, 0.1), scores(13, 5.0)], ..Parts::default() };
        let wanted = Wanted::new(0.05, 0.9).unwrap();
        let found = calibrate_areas(&parts, wanted, ThresholdMethod::Tolerance).unwrap();
        let each = Wanted::new(0.05 / 3.0, 1.0 - 0.1 / 3.0).unwrap();
        for (scores, threshold) in parts.zone_scores.iter().zip([&found.threshold].into_iter().chain(&found.zones)) {
            let alone = calibrate(scores, each, ThresholdMethod::Tolerance, None).unwrap();
            assert_eq!(threshold.value, alone.value);
        }
        let calibration = found.threshold.calibration.as_ref().unwrap();
        assert_eq!((calibration.false_reject, calibration.confidence), (0.05, 0.9));
        let expected = 3.0 * found.zones[0].calibration.as_ref().unwrap().expected_false_reject;
        assert!((calibration.expected_false_reject - expected).abs() < 1e-12);
        for (part, score) in found.scores(&parts).into_iter().enumerate() {
            let thresholds = [found.threshold.value, found.zones[0].value, found.zones[1].value];
            let above = parts.zone_scores.iter().zip(thresholds).any(|(scores, t)| scores[part] > t);
            assert_eq!(score > found.threshold.value, above, "{part}");
        }
    }
}
