//! Gaussian smoothing of the anomaly map.

use super::enlarge::Enlarge;
use super::{Grid, Upsample};
use serde::{Deserialize, Serialize};

/// A separable Gaussian; pixels beyond the border mirror those inside without repeating the edge.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gaussian {
    /// Standard deviation in pixels of the network's input; 0 turns smoothing off.
    pub sigma: f32,
    /// Taps on either side of the centre.
    pub radius: usize,
}

impl Gaussian {
    /// Cut off at four standard deviations: radius ⌊4σ + 0.5⌋.
    pub fn new(sigma: f32) -> Self {
        Self { sigma, radius: (4.0 * sigma + 0.5) as usize }
    }

    /// `grid`, smoothed.
    pub fn smooth(self, grid: &Grid) -> Grid {
        let size = [grid.height, grid.width];
        Enlarge::new(Upsample::HalfPixel, self, size, size).apply(grid)
    }

    /// The pixels of `length` whose weighted sum `pixel` becomes, in the order of [`Self::weights`].
    pub(super) fn sources(self, pixel: usize, length: usize) -> impl Iterator<Item = usize> {
        let radius = self.radius as isize;
        (-radius..=radius).map(move |k| reflect(pixel as isize + k, length))
    }

    /// `2 · radius + 1` weights that add up to 1.
    pub(super) fn weights(self) -> Vec<f64> {
        if self.radius == 0 {
            return vec![1.0];
        }
        let denominator = 2.0 * f64::from(self.sigma).powi(2);
        let radius = self.radius as isize;
        let raw: Vec<f64> = (-radius..=radius).map(|k| (-((k * k) as f64) / denominator).exp()).collect();
        let sum: f64 = raw.iter().sum();
        raw.iter().map(|weight| weight / sum).collect()
    }
}

/// The index inside `0..length` that mirrors `index` (numpy's `reflect`).
fn reflect(index: isize, length: usize) -> usize {
    if (0..length as isize).contains(&index) {
        return index as usize;
    }
    if length == 1 {
        return 0;
    }
    let period = 2 * (length as isize - 1);
    let folded = index.rem_euclid(period);
    folded.min(period - folded) as usize
}
