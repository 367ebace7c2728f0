//! Σ over channels of (a convolution by transforms + 1 × 1 convolutions of other maps)².

use super::super::graph::{Convolution, Term};
use super::super::layout::Layout;
use super::super::phase::Phase;
use super::super::rotate::to_lower_triangle;
use super::part::Part;
use super::{Scratch, Step};
use crate::infer::kernels::{self, Band, Buffer, Finish, Isa, Output, Tile, ValuesMut, padded};
use std::ops::Range;

/// The convolutions after a rotation of the channels, which leaves the sum as it is.
#[derive(Debug)]
pub(super) struct Squares {
    pub(super) tile: Tile,
    /// Of the first input.
    pub(super) part: Part,
    /// Of the others.
    pub(super) beside: Option<Beside>,
}

/// What is added to the first channels before they are squared.
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) phase: Phase,
    /// Channels, a multiple of [`LANES`](crate::infer::kernels::LANES).
    pub(super) channels: usize,
}

impl Squares {
    /// Of `terms`, the first of which is the one by transforms. The channels are rotated so that the weights of the others become
    /// triangular, and those then have no more outputs than inputs.
    pub(super) fn new(isa: Isa, tile: Tile, terms: &[Term], layouts: &[Layout], bias: &Buffer) -> Option<Self> {
        let ([main, others @ ..], outputs) = (terms, bias.len()) else { return None };
        let inputs = |term: &Term| layouts[term.input].shape.channels;
        let row = |term: &Term, of_one: usize, index: usize| -> Vec<f32> {
            // Weights are (output, index).
            let known = term.convolution.bias.len();
            let weight =
                |output: usize| if output < known { term.convolution.weights[output * of_one + index] } else { 0.0 };
            (0..outputs).map(weight).collect()
        };
        let taps = inputs(main) * tile.kernel().pow(2);
        // Of several megabytes: no more than that at a time.
        let rows = others.iter().map(inputs).sum::<usize>() + 1 + taps;
        let mut matrix: Vec<f32> = Vec::with_capacity(rows * outputs);
        for term in others {
            (0..inputs(term)).for_each(|index| matrix.extend(row(term, inputs(term), index)));
        }
        let depth = matrix.len() / outputs.max(1);
        // The bias is the weight of an input that is always 1.
        matrix.extend_from_slice(bias);
        (0..taps).for_each(|index| matrix.extend(row(main, taps, index)));
        to_lower_triangle(&mut matrix, outputs);

        let (others_rows, rest) = matrix.split_at(depth * outputs);
        let (rotated_bias, main_rows) = rest.split_at(outputs);
        let transposed = |rows: &[f32], channels: usize| -> Vec<f32> {
            let mut to = Vec::with_capacity(rows.len() / outputs * channels);
            (0..channels).for_each(|channel| to.extend(rows.iter().skip(channel).step_by(outputs)));
            to
        };
        let convolution = Convolution {
            weights: transposed(main_rows, outputs).into(),
            bias: rotated_bias.to_vec(),
            ..main.convolution.clone()
        };
        let own = Buffer::from(rotated_bias);
        let channels = padded(depth).min(outputs);
        let mut first = 0;
        let rotated = others.iter().map(|term| {
            let rows = &others_rows[first * outputs..][..inputs(term) * outputs];
            first += inputs(term);
            let convolution = Convolution {
                weights: transposed(rows, channels).into(),
                bias: vec![0.0; channels],
                ..term.convolution.clone()
            };
            Term { input: term.input, convolution }
        });
        let rotated: Vec<Term> = rotated.collect();
        drop(matrix);
        let part = Part::of_floats(isa, tile, &convolution, inputs(main), own);
        let phase = || Phase::of_triangular(isa, &rotated, layouts, Buffer::zeroed(channels));
        let beside = (channels > 0).then(|| Beside { phase: phase(), channels });
        Some(Self { tile, part, beside })
    }
}

impl Step {
    /// Computes rows of sums of squares into `out`, which starts with the first sum.
    pub(super) fn squares(
        &self,
        isa: Isa,
        Squares { tile, part, beside }: &Squares,
        inputs: &[&[f32]],
        rows: Range<usize>,
        out: ValuesMut,
        Scratch { buffer, taps, beside: pixels, .. }: &mut Scratch,
    ) {
        let width = self.layout.shape.width;
        let channels = beside.as_ref().map_or(0, |beside| beside.channels);
        pixels.reserve(rows.len() * width * channels);
        if let Some(Beside { phase, channels }) = beside {
            for (row, line) in rows.clone().zip(pixels.chunks_exact_mut(width * channels)) {
                let finish = Finish { relu: false, grid: None };
                let output = Output::Pixels { out: ValuesMut::Floats(line), step: *channels, residual: None, finish };
                phase.row(isa, &inputs[1..], &self.input_layouts[1..], row, width, output, taps);
            }
        }
        let squares = Some(kernels::Squares { beside: pixels, channels, step: self.layout.pitch });
        let shares = [part.share(&self.input_layouts[0], part.pad)];
        Band { squares, ..self.band(*tile, part.pad, &shares, inputs, rows, out, buffer) }.run(isa);
    }
}
