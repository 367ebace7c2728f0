//! Where the sums of a row of outputs go.

use super::vector::Vector;
use super::{Finish, LANES, Values, ValuesMut};

/// Where a row's outputs go.
pub(in super::super) enum Output<'a> {
    /// All channels of each output, `step` values apart.
    Pixels {
        /// Starts at the first output.
        out: ValuesMut<'a>,
        /// Values from one output to the next.
        step: usize,
        /// Added before the activation.
        residual: Option<Residual<'a>>,
        finish: Finish,
    },
    /// The sum over channels of each output's square, `step` values apart.
    Squares {
        /// Starts at the first output.
        out: &'a mut [f32],
        /// Values from one output to the next.
        step: usize,
    },
    /// The smallest channels of each output: of its [`LANES`] values, each is at most what it was and any channel that falls
    /// to it, and each channel falls to one.
    Smallest { least: &'a mut [f32] },
}

/// Another map of the outputs' shape.
#[derive(Clone, Copy)]
pub(in super::super) struct Residual<'a> {
    /// Starts at the first output's position.
    pub values: Values<'a>,
    /// Values from one output to the next.
    pub step: usize,
    /// Multiplies the values.
    pub factor: f32,
}

impl Output<'_> {
    /// # Panics
    /// Where `count` outputs of `channels` channels do not fit the slices.
    pub(super) fn assert_holds(&self, count: usize, channels: usize) {
        match self {
            Self::Pixels { out, step, residual, .. } => {
                assert!((count - 1) * step + channels <= out.len(), "outputs in their slice");
                if let Some(residual) = residual {
                    assert!((count - 1) * residual.step + channels <= residual.values.len(), "residual in its slice");
                }
            }
            Self::Squares { out, step } => {
                assert!((count - 1) * step < out.len(), "one value an output in their slice");
            }
            Self::Smallest { least } => assert!(count * LANES <= least.len(), "a vector an output in their slice"),
        }
    }

    /// Takes R outputs from `x` on, N vectors of channels from `channel` on; `squares` holds the outputs' sums so far.
    ///
    /// # Safety
    /// As for [`Vector`], and [`Output::assert_holds`] holds.
    #[inline(always)]
    pub(super) unsafe fn block<V: Vector, const R: usize, const N: usize>(
        &mut self,
        sums: [[V; N]; R],
        x: usize,
        channel: usize,
        squares: &mut [V; R],
    ) {
        // SAFETY: the caller's.
        unsafe {
            match self {
                Self::Pixels { out, step, residual, finish } => {
                    for (r, row) in sums.into_iter().enumerate() {
                        for (n, mut value) in row.into_iter().enumerate() {
                            let at = channel + n * V::LANES;
                            if let Some(residual) = residual {
                                let other: V = residual.values.load((x + r) * residual.step + at);
                                value = other.mul_add(V::splat(residual.factor), value);
                            }
                            out.store((x + r) * *step + at, value, finish);
                        }
                    }
                }
                Self::Squares { .. } => {
                    for (square, row) in squares.iter_mut().zip(sums) {
                        for value in row {
                            *square = value.mul_add(value, *square);
                        }
                    }
                }
                Self::Smallest { least } => {
                    for (r, row) in sums.into_iter().enumerate() {
                        let least = least.as_mut_ptr().add((x + r) * LANES);
                        row.into_iter().fold(V::load(least), |least, value| value.min(least)).store(least);
                    }
                }
            }
        }
    }

    /// After all channels of the outputs from `x` on.
    ///
    /// # Safety
    /// As for [`Vector`].
    #[inline(always)]
    pub(super) unsafe fn end_strip<V: Vector, const R: usize>(&mut self, x: usize, squares: [V; R]) {
        if let Self::Squares { out, step } = self {
            for (r, square) in squares.into_iter().enumerate() {
                // SAFETY: the caller's.
                out[(x + r) * *step] = unsafe { square.sum() };
            }
        }
    }
}
