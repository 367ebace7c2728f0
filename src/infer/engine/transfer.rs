//! Between maps and values in (channel, row, column) order.

use super::graph::Shape;
use super::layout::Layout;
use crate::infer::kernels::{Grid, bytes, bytes_mut};
use rayon::prelude::*;

/// Values that are rounded together, in registers.
const STRIP: usize = 64;
/// Fewest rows worth a thread of their own.
const ROWS: usize = 32;

impl Layout {
    /// Fills the map from values in (channel, row, column) order, rounded to `grid`, on the threads of the current rayon
    /// pool; says whether all of them are finite.
    pub(super) fn import(&self, values: &[f32], grid: Option<Grid>, map: &mut [f32]) -> bool {
        let Shape { channels, height, width } = self.shape;
        let words = self.row_words();
        let rows = &mut map[self.halo * words..(self.halo + height) * words];
        let pixels = self.halo * self.pitch..(self.halo + width) * self.pitch;
        let row = |(y, row): (usize, &mut [f32])| {
            let mut finite = true;
            for channel in 0..channels {
                let from = &values[(channel * height + y) * width..][..width];
                match (self.codes, grid) {
                    (Some(grid), _) => {
                        let row = &mut bytes_mut(row)[pixels.clone()];
                        fill(from, &mut row[channel..], self.pitch, |value| grid.code(value));
                    }
                    (None, Some(grid)) => {
                        let row = &mut row[pixels.clone()];
                        fill(from, &mut row[channel..], self.pitch, |value| grid.nearest(value) * grid.step);
                    }
                    (None, None) => fill(from, &mut row[pixels.clone()][channel..], self.pitch, |value| value),
                }
                finite &= from.iter().fold(true, |finite, value| finite & value.is_finite());
            }
            finite
        };
        rows.par_chunks_mut(words.max(1)).with_min_len(ROWS).enumerate().map(row).reduce(|| true, |a, b| a && b)
    }

    /// The map's values in (channel, row, column) order.
    pub(super) fn export(&self, map: &[f32], values: &mut [f32]) {
        let Shape { channels, height, width } = self.shape;
        for y in 0..height {
            let pixels = self.at(y, 0)..self.at(y, 0) + width * self.pitch;
            for channel in 0..channels {
                let to = &mut values[(channel * height + y) * width..][..width];
                if let Some(grid) = self.codes {
                    let row = bytes(map)[pixels.clone()][channel..].iter().step_by(self.pitch);
                    to.iter_mut().zip(row).for_each(|(to, code)| *to = (f32::from(*code) + grid.low) * grid.step);
                } else {
                    let row = map[pixels.clone()][channel..].iter().step_by(self.pitch);
                    to.iter_mut().zip(row).for_each(|(to, value)| *to = *value);
                }
            }
        }
    }
}

/// Writes `of` each value, `pitch` values apart.
fn fill<T: Copy + Default>(from: &[f32], to: &mut [T], pitch: usize, of: impl Fn(f32) -> T) {
    for (from, to) in from.chunks(STRIP).zip(to.chunks_mut(STRIP * pitch)) {
        let mut strip = [T::default(); STRIP];
        strip.iter_mut().zip(from).for_each(|(to, value)| *to = of(*value));
        to.iter_mut().step_by(pitch).zip(&strip[..from.len()]).for_each(|(to, value)| *to = *value);
    }
}
