//! Pooling: every channel of an output is the largest or a weighted sum of the inputs under a window.

use super::source::Source;
use super::vector::Vector;
use super::{Isa, Kernel, Values};

/// Inputs along one axis, and what each counts where they are summed.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Window {
    /// Position of the first input.
    pub first: usize,
    /// One for each input.
    pub weights: Vec<f32>,
}

/// A row of outputs.
pub(in super::super) struct WindowRow<'a> {
    pub input: Values<'a>,
    /// Added to each input.
    pub low: f32,
    /// Multiplies the outputs.
    pub step: f32,
    /// Where the pixel in the window's first row and at position 0 of the columns starts.
    pub start: usize,
    /// Values from one input row to the next.
    pub row: usize,
    /// What each row of the window counts.
    pub down: &'a [f32],
    /// One window for each output.
    pub columns: &'a [Window],
    /// Values a pixel of either map, a multiple of [`super::LANES`].
    pub pitch: usize,
    /// The largest input, not a sum; what is not finite becomes NaN.
    pub largest: bool,
    pub out: &'a mut [f32],
}

impl WindowRow<'_> {
    /// Computes the row.
    ///
    /// # Panics
    /// Where a window or the outputs do not fit their slices: a mistake in the plan.
    pub(in super::super) fn run(self, isa: Isa) {
        assert_eq!(self.pitch % super::LANES, 0, "channels in whole vectors");
        assert!(self.columns.len() * self.pitch <= self.out.len(), "outputs in their slice");
        let last = self.columns.iter().map(|window| window.first + window.weights.len()).max().unwrap_or(0);
        let end = self.start + self.down.len().saturating_sub(1) * self.row + last * self.pitch;
        assert!(end <= self.input.len(), "windows in their map");
        // SAFETY: the assertions bound every access.
        unsafe { isa.run(self) }
    }
}

impl Kernel for WindowRow<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        // SAFETY: the caller's.
        unsafe {
            match (self.input, self.largest) {
                (Values::Floats(input), true) => self.outputs::<V, _, true>(input.as_ptr()),
                (Values::Floats(input), false) => self.outputs::<V, _, false>(input.as_ptr()),
                (Values::Codes(input), true) => self.outputs::<V, _, true>(input.as_ptr()),
                (Values::Codes(input), false) => self.outputs::<V, _, false>(input.as_ptr()),
            }
        }
    }
}

impl WindowRow<'_> {
    #[inline(always)]
    unsafe fn outputs<V: Vector, S: Source, const LARGEST: bool>(self, input: S) {
        let Self { low, step, start, row, down, columns, pitch, out, .. } = self;
        // SAFETY: the caller's.
        unsafe {
            let (low, step) = (V::splat(low), V::splat(step));
            for (window, x) in columns.iter().zip(0..) {
                let first = input.from(start + window.first * pitch);
                for channel in (0..pitch).step_by(V::LANES) {
                    let mut largest = V::splat(f32::NEG_INFINITY);
                    let mut sum = V::splat(0.0);
                    for (y, above) in down.iter().enumerate() {
                        let line = first.from(y * row + channel);
                        for (i, left) in window.weights.iter().enumerate() {
                            let value = line.load::<V>(i * pitch).add(low);
                            if LARGEST {
                                // A maximum would hide what is not a number.
                                sum = value.mul_add(V::splat(0.0), sum);
                                largest = value.max(largest);
                            } else {
                                sum = value.mul_add(V::splat(above * left), sum);
                            }
                        }
                    }
                    let value = if LARGEST { largest.add(sum) } else { sum };
                    value.mul(step).store(out.as_mut_ptr().add(x * pitch + channel));
                }
            }
        }
    }
}
