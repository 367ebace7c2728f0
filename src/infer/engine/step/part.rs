//! One input's share of a convolution by transforms.

use super::super::eight_bits::EightBits;
use super::super::graph::Convolution;
use super::super::layout::Layout;
use crate::infer::kernels::{BandWeights, Buffer, Grid, Isa, Tile, WordWeights};

/// A convolution by transforms.
#[derive(Debug)]
pub(super) struct Part {
    weights: Transformed,
    pub(super) bias: Buffer,
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

    /// Those for a map that lies as `from` says.
    pub(super) fn weights(&self, from: &Layout) -> BandWeights<'_> {
        match &self.weights {
            Transformed::Floats(weights) => BandWeights::Floats(weights),
            Transformed::Words(weights) => BandWeights::Words { weights, zero: from.codes.map_or(0, Grid::zero) },
        }
    }
}
