//! Upsampling and smoothing as one step: along each axis, both are sums of cells, and so is one after the other.

use super::{Gaussian, Grid, Upsample};
use std::ops::Range;

/// From cells to smoothed pixels.
pub(super) struct Enlarge {
    rows: Axis,
    columns: Axis,
}

/// The pixels along one axis, each a weighted sum of neighbouring cells.
#[derive(Clone, Default)]
struct Axis {
    pixels: Vec<Pixel>,
    /// At least 0 each; those of a pixel add up to 1.
    weights: Vec<f32>,
}

#[derive(Clone)]
struct Pixel {
    first: usize,
    /// Its weights in [`Axis::weights`].
    weights: Range<usize>,
}

impl Enlarge {
    /// Of `cells` (rows, columns) makes `pixels`.
    pub(super) fn new(upsample: Upsample, gaussian: Gaussian, cells: [usize; 2], pixels: [usize; 2]) -> Self {
        let rows = Axis::new(upsample, gaussian, cells[0], pixels[0]);
        let square = cells[0] == cells[1] && pixels[0] == pixels[1];
        let columns = if square { rows.clone() } else { Axis::new(upsample, gaussian, cells[1], pixels[1]) };
        Self { rows, columns }
    }

    /// All pixels.
    pub(super) fn apply(&self, cells: &Grid) -> Grid {
        // Down the rows of what lies on its side, so that a weight goes with whole lines.
        let sideways = transposed(&cells.values, cells.width);
        let widened = self.columns.lines(&sideways, cells.height);
        let values = self.rows.lines(&transposed(&widened, cells.height), self.columns.pixels.len());
        Grid { height: self.rows.pixels.len(), width: self.columns.pixels.len(), values }
    }

    /// One pixel of [`Self::apply`].
    pub(super) fn at(&self, cells: &Grid, row: usize, column: usize) -> f32 {
        let along = |y: usize| self.columns.sum(column, |x| cells.values[y * cells.width + x]);
        self.rows.sum(row, along)
    }
}

impl Axis {
    fn new(upsample: Upsample, gaussian: Gaussian, cells: usize, pixels: usize) -> Self {
        let taps = gaussian.weights();
        let upsampled: Vec<[(usize, f64); 2]> = (0..pixels).map(|pixel| upsample.parts(pixel, cells, pixels)).collect();
        let mut axis = Self::default();
        let mut sums = vec![0.0; cells];
        for pixel in 0..pixels {
            let (mut first, mut end) = (cells, 0);
            for (source, tap) in gaussian.sources(pixel, pixels).zip(&taps) {
                for (cell, weight) in upsampled[source] {
                    // Where a weight is no number, the pixel must not be one either.
                    if weight * tap != 0.0 {
                        sums[cell] += weight * tap;
                        (first, end) = (first.min(cell), end.max(cell + 1));
                    }
                }
            }
            let start = axis.weights.len();
            axis.weights.extend(sums[first.min(end)..end].iter().map(|sum| *sum as f32));
            axis.pixels.push(Pixel { first, weights: start..axis.weights.len() });
            sums[first.min(end)..end].fill(0.0);
        }
        axis
    }

    /// Each pixel's sum of the lines of `values`, which are `width` long.
    fn lines(&self, values: &[f32], width: usize) -> Vec<f32> {
        let mut sums = vec![0.0; self.pixels.len() * width];
        for (pixel, sums) in self.pixels.iter().zip(sums.chunks_exact_mut(width)) {
            let line = |offset: usize| &values[(pixel.first + offset) * width..][..width];
            weighted_sum(sums, &self.weights[pixel.weights.clone()], line);
        }
        sums
    }

    fn sum(&self, pixel: usize, cell: impl Fn(usize) -> f32) -> f32 {
        let Pixel { first, weights } = &self.pixels[pixel];
        (*first..).zip(&self.weights[weights.clone()]).map(|(i, weight)| weight * cell(i)).sum()
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

/// Columns as rows.
fn transposed(values: &[f32], width: usize) -> Vec<f32> {
    (0..width).flat_map(|column| values.iter().skip(column).step_by(width).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// numpy's `reflect`, by walking.
    fn mirrored(mut index: isize, length: isize) -> usize {
        while length > 1 && !(0..length).contains(&index) {
            index = if index < 0 { -index } else { 2 * (length - 1) - index };
        }
        if length == 1 { 0 } else { index as usize }
    }

    /// One after the other, in f64.
    fn naive(gaussian: Gaussian, cells: &Grid, height: usize, width: usize) -> Vec<f64> {
        let position = |i: usize, from: usize, to: usize| {
            let at = ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64);
            (at.floor() as usize, (at.ceil() as usize), at.fract())
        };
        let cell = |y: usize, x: usize| f64::from(cells.values[y * cells.width + x]);
        let pixel = |y: usize, x: usize| {
            let ((top, bottom, down), (left, right, over)) =
                (position(y, cells.height, height), position(x, cells.width, width));
            let along = |y| cell(y, left) * (1.0 - over) + cell(y, right) * over;
            along(top) * (1.0 - down) + along(bottom) * down
        };
        let radius = gaussian.radius as isize;
        let taps: Vec<f64> =
            (-radius..=radius).map(|k| (-((k * k) as f64) / (2.0 * f64::from(gaussian.sigma).powi(2))).exp()).collect();
        let whole: f64 = taps.iter().sum();
        let smooth = |y: usize, x: usize| {
            let mut sum = 0.0;
            for (dy, vertical) in (-radius..).zip(&taps) {
                for (dx, horizontal) in (-radius..).zip(&taps) {
                    let (y, x) =
                        (mirrored(y as isize + dy, height as isize), mirrored(x as isize + dx, width as isize));
                    sum += vertical * horizontal / (whole * whole) * pixel(y, x);
                }
            }
            sum
        };
        (0..height).flat_map(|y| (0..width).map(move |x| (y, x))).map(|(y, x)| smooth(y, x)).collect()
    }

    #[test]
    fn one_step_gives_what_two_would() {
        for (cells, pixels, sigma) in [
            ([6, 9], [24, 36], 2.0),
            ([8, 8], [20, 29], 1.1),
            ([5, 7], [5, 7], 1.5),
            ([1, 3], [4, 10], 3.0),
            ([9, 4], [5, 4], 0.7),
        ] {
            let values = (0..cells[0] * cells[1]).map(|i| ((i * i * 7) % 31) as f32 - 4.0).collect();
            let grid = Grid { height: cells[0], width: cells[1], values };
            let gaussian = Gaussian::new(sigma);
            let enlarge = Enlarge::new(Upsample::HalfPixel, gaussian, cells, pixels);
            let got = enlarge.apply(&grid);
            assert_eq!([got.height, got.width], pixels);
            let expected = naive(gaussian, &grid, pixels[0], pixels[1]);
            for (i, (expected, got)) in expected.iter().zip(&got.values).enumerate() {
                assert!(
                    (expected - f64::from(*got)).abs() < 3e-5,
                    "{cells:?} to {pixels:?}, {i}: {got} for {expected}"
                );
                let alone = enlarge.at(&grid, i / pixels[1], i % pixels[1]);
                assert!((alone - got).abs() < 3e-5, "{cells:?} to {pixels:?}, {i} alone: {alone} for {got}");
            }
        }
    }

    #[test]
    fn a_gaussian_without_a_width_is_no_number() {
        let grid = Grid { height: 4, width: 4, values: vec![1.0; 16] };
        let broken = Gaussian { sigma: 0.0, radius: 2 };
        let map = Enlarge::new(Upsample::HalfPixel, broken, [4, 4], [8, 8]).apply(&grid);
        assert!(map.values.iter().all(|value| value.is_nan()));
    }

    #[test]
    fn a_cell_that_is_no_number_shows_wherever_it_counts() {
        let mut values = vec![1.0; 64];
        values[3 * 8 + 4] = f32::NAN;
        let grid = Grid { height: 8, width: 8, values };
        let enlarge = Enlarge::new(Upsample::HalfPixel, Gaussian::new(0.0), [8, 8], [32, 32]);
        let map = enlarge.apply(&grid);
        for (i, value) in map.values.iter().enumerate() {
            // Half-pixel centres: cell c counts for the pixels between the centres of its neighbours.
            let near = |pixel: usize, cell: usize| (4 * cell - 2..4 * cell + 6).contains(&pixel);
            assert_eq!(value.is_nan(), near(i / 32, 3) && near(i % 32, 4), "pixel {i}");
        }
    }
}
