//! Anomaly score → colour.

/// How a score is shown: by its ratio to the threshold, so that two pictures of one product can be compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heat {
    threshold: f32,
}

/// The ratio to the threshold from which colours no longer change.
pub(super) const HOTTEST: f32 = 8.0;
/// Place of the threshold on the colour scale.
const AT_THRESHOLD: f32 = 0.45;
/// Below this ratio a pixel keeps its own colour.
const COLD: f32 = 0.5;

impl Heat {
    pub(super) fn new(threshold: f32) -> Self {
        Self { threshold }
    }

    /// The score on the scale where the threshold is 1. A threshold at or below 0 has no ratio: one unit of score, the
    /// width of the good parts' range, takes its place.
    fn ratio(self, score: f32) -> f32 {
        if self.threshold > 0.0 { score / self.threshold } else { score - self.threshold + 1.0 }
    }

    /// Colour (matplotlib's inferno, perceptually uniform) and opacity 0–1 of a score; both grow with it.
    pub(super) fn of(self, score: f32) -> ([u8; 3], f32) {
        let ratio = self.ratio(score);
        if ratio.is_nan() || ratio <= COLD {
            return ([0; 3], 0.0);
        }
        let over = (ratio.max(1.0).log2() / HOTTEST.log2()).min(1.0);
        let rise = ((ratio - COLD) / (1.0 - COLD)).min(1.0);
        let opacity = 0.35 * rise * rise * (3.0 - 2.0 * rise) + 0.2 * over;
        (colour(position(ratio)), opacity)
    }
}

/// Place of a ratio on the colour scale 0–1: linear up to the threshold, logarithmic above it.
pub(super) fn position(ratio: f32) -> f32 {
    if ratio <= 1.0 {
        AT_THRESHOLD * ratio.max(0.0)
    } else {
        (AT_THRESHOLD + (1.0 - AT_THRESHOLD) * ratio.log2() / HOTTEST.log2()).min(1.0)
    }
}

/// The colour at a place of the scale 0–1.
pub(super) fn colour(position: f32) -> [u8; 3] {
    colorous::INFERNO.eval_continuous(f64::from(position.clamp(0.0, 1.0))).as_array()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `matplotlib.colormaps["inferno"](x, bytes=True)`, matplotlib 3.11.2; within the 2 levels that the crate's interpolation
    /// is off.
    #[test]
    fn colours_are_infernos() {
        for (position, expected) in [
            (0.0, [0, 0, 3]),
            (0.25, [87, 15, 109]),
            (0.5, [187, 55, 84]),
            (0.75, [249, 142, 8]),
            (1.0, [252, 254, 164]),
        ] {
            let got = colour(position);
            assert!(got.iter().zip(expected).all(|(a, b): (&u8, u8)| a.abs_diff(b) <= 2), "{position}: {got:?}");
        }
    }

    #[test]
    fn a_good_part_stays_clean_and_heat_grows_with_the_score() {
        let heat = Heat::new(2.0);
        assert_eq!(heat.of(0.9).1, 0.0);
        assert_eq!(heat.of(f32::NAN).1, 0.0);
        let scores: Vec<f32> = (0..200).map(|i| i as f32 * 0.1).collect();
        for pair in scores.windows(2) {
            let ((_, low), (_, high)) = (heat.of(pair[0]), heat.of(pair[1]));
            assert!(low <= high && high <= 1.0, "{pair:?}");
            assert!(position(pair[0]) <= position(pair[1]));
        }
        assert!(heat.of(1.9).1 < heat.of(2.1).1 && heat.of(2.1).1 < heat.of(8.0).1);
    }

    #[test]
    fn a_threshold_below_zero_is_still_the_middle() {
        for threshold in [0.0, -3.0] {
            let heat = Heat::new(threshold);
            assert!(heat.of(threshold - 0.6).1 == 0.0 && heat.of(threshold + 0.1).1 > 0.3);
        }
    }
}
