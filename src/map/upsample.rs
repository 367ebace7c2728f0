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
        // Each row of the grid along its columns, once.
        let mut along = Vec::with_capacity(grid.height * width);
        for line in grid.values.chunks_exact(grid.width) {
            along.extend(columns.iter().map(|column| mix(line[column.low], line[column.high], column.weight)));
        }
        let mut values = Vec::with_capacity(height * width);
        for y in 0..height {
            let row = self.tap(y, grid.height, height);
            let line = |y: usize| &along[y * width..(y + 1) * width];
            values.extend(line(row.low).iter().zip(line(row.high)).map(|(low, high)| mix(*low, *high, row.weight)));
        }
        Grid { height, width, values }
    }

    /// The two cells of `from` that pixel `index` of `to` lies between, each with its weight.
    pub(super) fn parts(self, index: usize, from: usize, to: usize) -> [(usize, f64); 2] {
        let Tap { low, high, weight } = self.tap(index, from, to);
        [(low, f64::from(1.0 - weight)), (high, f64::from(weight))]
    }

    fn tap(self, index: usize, from: usize, to: usize) -> Tap {
        let Upsample::HalfPixel = self;
        let position = ((index as f32 + 0.5) * (from as f32 / to as f32) - 0.5).max(0.0);
        let low = (position as usize).min(from - 1);
        Tap { low, high: (low + 1).min(from - 1), weight: position - low as f32 }
    }
}

fn mix(low: f32, high: f32, weight: f32) -> f32 {
    low * (1.0 - weight) + high * weight
}
