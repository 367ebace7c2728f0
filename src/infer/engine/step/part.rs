//! One input's share of a convolution by transforms.

use super::super::eight_bits::EightBits;
use super::super::graph::Convolution;
use super::super::layout::Layout;
use crate::infer::kernels::{BandWeights, Buffer, Grid, Isa, Share, Tile, WordWeights};

/// A convolution by transforms.
#[derive(Debug)]
pub(super) struct Part {
    weights: Transformed,
    bias: Buffer,
    /// Rows above and columns left of the map that it reads.
    pub(super) pad: [usize; 2],
}

#[derive(Debug)]
enum Transformed {
    Floats(Buffer),
    Words(WordWeights),
}

impl Part {
    pub(super) fn of_floats(isa: Isa, tile: Tile, convolution: &Convolution, inputs: usize, bias: Buffer) -> Self {
        let weights = tile.weights(isa, &convolution.weights, convolution.bias.len(), inputs);
        Self { weights: Transformed::Floats(weights), bias, pad: tile.pad(convolution.pad) }
    }

    /// Of a map in codes of `grid`; sums times `factor` are in units of the output. None where sums need more than 32 bits.
    pub(super) fn of_words(
        isa: Isa,
        codes: &EightBits,
        convolution: &Convolution,
        grid: Grid,
        factor: f32,
        bias: Buffer,
    ) -> Option<Self> {
        let scales: Vec<f32> = codes.scales.iter().map(|scale| scale * grid.step * factor).collect();
        let weights = WordWeights::new(isa, &codes.codes, &scales, grid.largest_code_from_zero())?;
        Some(Self { weights: Transformed::Words(weights), bias, pad: convolution.pad })
    }

    /// Outputs, a multiple of [`LANES`](crate::infer::kernels::LANES).
    pub(super) fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// As a part of a band of a map that lies as `from` says, in which tiles start `pad` rows above and columns left.
    pub(super) fn share(&self, from: &Layout, pad: [usize; 2]) -> Share<'_> {
        let weights = match &self.weights {
            Transformed::Floats(weights) => BandWeights::Floats(weights),
            Transformed::Words(weights) => BandWeights::Words { weights, zero: from.codes.map_or(0, Grid::zero) },
        };
        Share { weights, bias: &self.bias, before: [pad[0] - self.pad[0], pad[1] - self.pad[1]] }
    }
}
