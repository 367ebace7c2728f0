//! The sum over channels of each output's square.

use super::Band;
use super::batch::Batch;
use super::points::Points;
use super::tiles::output_columns;
use crate::infer::kernels::vector::{BLOCK, Vector};
use crate::infer::kernels::{LANES, ValuesMut};
use std::mem::MaybeUninit;

/// What outputs are before they are squared, and where their sums go.
#[derive(Clone, Copy)]
pub(in crate::infer) struct Squares<'a> {
    /// Added to the first channels of each output: rows of as many pixels as the band has columns.
    pub beside: &'a [f32],
    /// Values a pixel of `beside`, a multiple of [`LANES`]; 0 for none.
    pub channels: usize,
    /// Values from one sum to the next in its row.
    pub step: usize,
}

impl Squares<'_> {
    /// # Panics
    /// Where what is added does not fit: a mistake in the plan.
    pub(super) fn check(&self, rows: usize, columns: usize, channels: usize) {
        assert!(self.channels <= channels && self.channels.is_multiple_of(LANES), "channels of the outputs");
        assert!(self.beside.len() >= rows * columns * self.channels, "a pixel for each output");
    }
}

impl Band<'_> {
    /// The tile at an output.
    ///
    /// # Safety
    /// As for [`Vector`]; the tile's products are known, and [`Band::run`] has checked the slices.
    #[inline(always)]
    pub(super) unsafe fn transform_squares<
        V: Vector,
        P: Points<I, A>,
        const I: usize,
        const A: usize,
        const M: usize,
    >(
        &mut self,
        batch: &Batch,
        tile: usize,
        (row, column): (usize, usize),
    ) {
        let (Some(squares), ValuesMut::Floats(out)) = (self.squares, &mut self.out) else { return };
        let bias = self.shares[0].bias;
        let (position, width) = (BLOCK * batch.outputs_pitch, self.columns);
        let (rows, columns) = ((self.rows - row).min(M), (width - column).min(M));
        // SAFETY: the caller's; every element of `half` is written before it is read.
        unsafe {
            let from = self.scratch.as_ptr().add(batch.output(tile));
            let mut sums = [[V::splat(0.0); M]; M];
            let mut half: MaybeUninit<[[V; A]; M]> = MaybeUninit::uninit();
            let half = half.as_mut_ptr().cast::<[V; A]>();
            for channel in (0..bias.len()).step_by(V::LANES) {
                output_columns::<V, P, I, A, M>(from.add(channel), position, half);
                let bias = V::load(bias.as_ptr().add(channel));
                for (y, sums) in sums.iter_mut().enumerate().take(rows) {
                    let mut line = P::output::<V, M>(&*half.add(y)).map(|value| value.add(bias));
                    if channel < squares.channels {
                        let first = ((row + y) * width + column) * squares.channels + channel;
                        for (x, value) in line.iter_mut().enumerate().take(columns) {
                            *value = value.add(V::load(squares.beside.as_ptr().add(first + x * squares.channels)));
                        }
                    }
                    for (sum, value) in sums.iter_mut().zip(line) {
                        *sum = value.mul_add(value, *sum);
                    }
                }
            }
            for (y, sums) in sums.into_iter().enumerate().take(rows) {
                let first = (row + y) * self.out_row + column * squares.step;
                for (x, sum) in sums.into_iter().enumerate().take(columns) {
                    out.as_mut_ptr().add(first + x * squares.step).write(sum.sum());
                }
            }
        }
    }
}
