//! Gaussian smoothing of the anomaly map.

use super::Grid;
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
        if self.radius == 0 {
            return grid.clone();
        }
        let weights = self.weights();
        let (height, width) = (grid.height, grid.width);
        let mut rows = vec![0.0; height * width];
        let mut padded = vec![0.0; width + 2 * self.radius];
        for (line, out) in grid.values.chunks_exact(width).zip(rows.chunks_exact_mut(width)) {
            for (i, value) in padded.iter_mut().enumerate() {
                *value = line[reflect(i as isize - self.radius as isize, width)];
            }
            weighted_sum(out, &weights, |offset| &padded[offset..offset + width]);
        }
        let mut values = vec![0.0; height * width];
        for (y, out) in values.chunks_exact_mut(width).enumerate() {
            weighted_sum(out, &weights, |offset| {
                let from = reflect((y + offset) as isize - self.radius as isize, height);
                &rows[from * width..(from + 1) * width]
            });
        }
        Grid { height, width, values }
    }

    /// One pixel of [`Self::smooth`] over `height` × `width` pixels given by `pixel(row, column)`.
    pub(super) fn at(
        self,
        height: usize,
        width: usize,
        row: usize,
        column: usize,
        pixel: impl Fn(usize, usize) -> f32,
    ) -> f32 {
        if self.radius == 0 {
            return pixel(row, column);
        }
        let weights = self.weights();
        let source = |centre: usize, i: usize, length| reflect((centre + i) as isize - self.radius as isize, length);
        let mut sum = 0.0;
        for (i, vertical) in weights.iter().enumerate() {
            for (j, horizontal) in weights.iter().enumerate() {
                sum += vertical * horizontal * pixel(source(row, i, height), source(column, j, width));
            }
        }
        sum
    }

    /// `2 · radius + 1` weights that add up to 1.
    fn weights(self) -> Vec<f32> {
        let denominator = 2.0 * f64::from(self.sigma).powi(2);
        let radius = self.radius as isize;
        let raw: Vec<f64> = (-radius..=radius).map(|k| (-((k * k) as f64) / denominator).exp()).collect();
        let sum: f64 = raw.iter().sum();
        raw.iter().map(|w| (w / sum) as f32).collect()
    }
}

/// Adds to `out` the lines that `line` gives, each times its weight, in their order.
fn weighted_sum<'a>(out: &mut [f32], weights: &[f32], line: impl Fn(usize) -> &'a [f32]) {
    // Some at a time: the sums are then loaded and stored less often.
    let (groups, rest) = weights.as_chunks::<4>();
    for (group, weights) in groups.iter().enumerate() {
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| line(4 * group + i));
        for ((((sum, a), b), c), d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *sum = (((*sum + weights[0] * a) + weights[1] * b) + weights[2] * c) + weights[3] * d;
        }
    }
    for (offset, weight) in (4 * groups.len()..).zip(rest) {
        out.iter_mut().zip(line(offset)).for_each(|(sum, value)| *sum += weight * value);
    }
}

/// The index inside `0..length` that mirrors `index` (numpy's `reflect`).
fn reflect(index: isize, length: usize) -> usize {
    if length == 1 {
        return 0;
    }
    let period = 2 * (length as isize - 1);
    let folded = index.rem_euclid(period);
    folded.min(period - folded) as usize
}
