//! The weights' side of a Winograd convolution.

use super::Tile;
use crate::infer::kernels::{Buffer, Isa, padded};

impl Tile {
    /// G·w·Gᵀ of weights in (output, input, row, column) order, for each position packed with [`Isa::pack`].
    pub(in crate::infer) fn weights(self, isa: Isa, weights: &[f32], outputs: usize, inputs: usize) -> Buffer {
        let (kernel, g) = (self.kernel(), self.weight_transform());
        let (side, pitch) = (g.len(), padded(outputs));
        let size = inputs * pitch;
        let mut all = Buffer::zeroed(side * side * size);
        let mut matrix = vec![0f32; size];
        for (down, row) in g.iter().zip(all.chunks_exact_mut((side * size).max(1))) {
            // G·w at that row, of all inputs and outputs.
            let mut half: Vec<f64> = Vec::with_capacity(weights.len() / kernel);
            for taps in weights.chunks_exact(kernel * kernel) {
                let column = |x: usize| (0..kernel).map(|y| down[y] * f64::from(taps[y * kernel + x])).sum::<f64>();
                half.extend((0..kernel).map(column));
            }
            for (across, packed) in g.iter().zip(row.chunks_exact_mut(size.max(1))) {
                for (index, taps) in half.chunks_exact(kernel).enumerate() {
                    let (output, input) = (index / inputs, index % inputs);
                    let value: f64 = taps.iter().zip(across).map(|(tap, factor)| tap * factor).sum();
                    matrix[input * pitch + output] = value as f32;
                }
                packed.copy_from_slice(&isa.pack(&matrix, pitch, false));
            }
        }
        all
    }

    /// G: row i evaluates a kernel at point i, scaled so that the other two transforms have few factors.
    fn weight_transform(self) -> Vec<Vec<f64>> {
        let points = self.points();
        if self == Self::T8x3 {
            // The tap in the middle by itself; the others are a kernel of two, the last of them first.
            let pair = |(point, scale): &(f64, f64)| vec![scale * point, 0.0, *scale];
            let ends = points.iter().map(pair).chain([vec![1.0, 0.0, 0.0]]);
            return [vec![0.0, 1.0, 0.0]].into_iter().chain(ends).collect();
        }
        let power = |(point, scale): &(f64, f64)| (0..self.kernel()).map(|j| scale * point.powi(j as i32)).collect();
        let mut rows: Vec<Vec<f64>> = points.iter().map(power).collect();
        let mut infinity = vec![0.0; self.kernel()];
        infinity[self.kernel() - 1] = 1.0;
        rows.push(infinity);
        rows
    }

    /// The points but the last, which is ∞, and the scale of each.
    pub(super) fn points(self) -> &'static [(f64, f64)] {
        match self {
            Self::T8x3 => &[(0.0, 1.0 / 2.0), (1.0, -1.0 / 2.0), (-1.0, -1.0 / 6.0), (2.0, 1.0 / 6.0)],
            Self::F4x3 => {
                &[(0.0, 1.0 / 4.0), (1.0, -1.0 / 6.0), (-1.0, -1.0 / 6.0), (2.0, 1.0 / 24.0), (-2.0, 1.0 / 24.0)]
            }
            Self::F4x5 | Self::F5x4 | Self::F6x3 => &[
                (0.0, 1.0),
                (1.0, -2.0 / 9.0),
                (-1.0, -2.0 / 9.0),
                (2.0, 1.0 / 90.0),
                (-2.0, 1.0 / 90.0),
                (0.5, 32.0 / 45.0),
                (-0.5, 32.0 / 45.0),
            ],
            Self::F8x3 | Self::F6x5 => &[
                (0.0, 16.0 / 25.0),
                (1.0, 32.0 / 81.0),
                (-1.0, 32.0 / 81.0),
                (2.0, 8.0 / 1755.0),
                (-2.0, 8.0 / 1755.0),
                (0.5, -512.0 / 945.0),
                (-0.5, -512.0 / 945.0),
                (1.25, -32768.0 / 184275.0),
                (-1.25, -32768.0 / 184275.0),
            ],
        }
    }
}
