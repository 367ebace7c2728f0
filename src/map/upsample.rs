//! Bilinear resampling.

use super::Grid;
use serde::{Deserialize, Serialize};

/// Which positions of the smaller map a pixel lies between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Upsample {
    /// Bilinear, pixel centres at half integers (`align_corners=False`), edges repeated.
    HalfPixel,
}

/// The two neighbours of a pixel along one axis and the weight of the second.
#[derive(Clone, Copy)]
struct Tap {
    low: usize,
    high: usize,
    weight: f32,
}

impl Upsample {
    /// `grid` at `height` × `width`.
    pub fn resize(self, grid: &Grid, height: usize, width: usize) -> Grid {
        let columns: Vec<Tap> = (0..width).map(|x| self.tap(x, grid.width, width)).collect();
        let mut values = Vec::with_capacity(height * width);
        for y in 0..height {
            let row = self.tap(y, grid.height, height);
            values.extend(columns.iter().map(|column| blend(grid, row, *column)));
        }
        Grid { height, width, values }
    }

    /// One pixel of [`Self::resize`].
    pub(super) fn at(self, grid: &Grid, height: usize, width: usize, row: usize, column: usize) -> f32 {
        blend(grid, self.tap(row, grid.height, height), self.tap(column, grid.width, width))
    }

    fn tap(self, index: usize, from: usize, to: usize) -> Tap {
        let Upsample::HalfPixel = self;
        let position = ((index as f32 + 0.5) * (from as f32 / to as f32) - 0.5).max(0.0);
        let low = (position as usize).min(from - 1);
        Tap { low, high: (low + 1).min(from - 1), weight: position - low as f32 }
    }
}

fn blend(grid: &Grid, row: Tap, column: Tap) -> f32 {
    let along = |y: usize| {
        let low = grid.values[y * grid.width + column.low];
        let high = grid.values[y * grid.width + column.high];
        low * (1.0 - column.weight) + high * column.weight
    };
    along(row.low) * (1.0 - row.weight) + along(row.high) * row.weight
}
