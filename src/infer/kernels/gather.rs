//! Convolutions of any form, one row of outputs at a time: direct, strided, transposed (by phases), and sums of several.

use super::vector::{BLOCK, Vector, multiply_add};
use super::{Isa, Kernel, LANES, Output, next_panel, skipped};
use std::ops::Range;

/// Neighbouring inputs that each output of a row takes from one source.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(in super::super) struct Tap {
    /// Index into [`GatherRow::sources`].
    pub source: usize,
    /// Where the first output's inputs start.
    pub start: usize,
    /// Values from one output's inputs to the next's.
    pub step: usize,
    /// Number of inputs.
    pub depth: usize,
}

/// A row of `count` outputs: bias + Σ over taps of inputs · weights, all channels.
pub(in super::super) struct GatherRow<'a> {
    /// What the taps read.
    pub sources: &'a [&'a [f32]],
    /// In the order of the weights.
    pub taps: &'a [Tap],
    /// (Σ depth, channels), packed with [`Isa::pack`].
    pub weights: &'a [f32],
    /// Row k of the weights is zero past channel k, and packed so.
    pub triangle: bool,
    /// One value a channel; their number is a multiple of [`super::LANES`].
    pub bias: &'a [f32],
    /// Outputs in the row.
    pub count: usize,
    /// What becomes of them.
    pub output: Output<'a>,
}

impl GatherRow<'_> {
    /// Computes the row.
    ///
    /// # Panics
    /// Where a tap, the weights or the output do not fit their slices: a mistake in the plan.
    pub(in super::super) fn run(self, isa: Isa) {
        let (channels, count) = (self.bias.len(), self.count);
        if count == 0 || channels == 0 {
            return;
        }
        assert_eq!(channels % LANES, 0, "channels in whole vectors");
        for tap in self.taps {
            assert!(
                tap.start + (count - 1) * tap.step + tap.depth <= self.sources[tap.source].len(),
                "tap in its source"
            );
        }
        assert_eq!(self.weights.len(), self.packed(isa, self.depth()), "weights of all taps");
        self.output.assert_holds(count, channels);
        // SAFETY: the assertions above bound every access of `strip`.
        unsafe { isa.run(self) }
    }
}

impl Kernel for GatherRow<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        let (channels, depth) = (self.bias.len(), self.depth());
        if !matches!(self.output, Output::Smallest { .. }) {
            // SAFETY: the caller's.
            return unsafe { self.strips::<V>(0..channels, 0) };
        }
        // There are many channels: panel by panel, so that the row finds each one's weights in the nearest cache.
        let (mut channel, mut start) = (0, 0);
        while channel < channels {
            let width = next_panel((channels - channel) / V::LANES, V::PANEL) * V::LANES;
            // SAFETY: the caller's.
            unsafe { self.strips::<V>(channel..channel + width, start) };
            start += width * (depth - skipped(channel, depth, self.triangle));
            channel += width;
        }
    }
}

impl GatherRow<'_> {
    /// Inputs of each output.
    fn depth(&self) -> usize {
        self.taps.iter().map(|tap| tap.depth).sum()
    }

    /// Length of the packed weights.
    fn packed(&self, isa: Isa, depth: usize) -> usize {
        let channels = self.bias.len();
        let (mut length, mut first) = (0, 0);
        while first < channels {
            let width = next_panel((channels - first) / isa.lanes(), isa.panel()) * isa.lanes();
            length += width * (depth - skipped(first, depth, self.triangle));
            first += width;
        }
        length
    }

    /// The row in strips of [`BLOCK`] outputs; the last strip overlaps the one before it. `channels` are whole panels,
    /// whose packed weights begin at `start`.
    #[inline(always)]
    unsafe fn strips<V: Vector>(&mut self, channels: Range<usize>, start: usize) {
        let mut x = 0;
        while x < self.count {
            // SAFETY: the caller's; no strip reaches past `count`.
            unsafe {
                if self.count >= BLOCK {
                    self.strip::<V, BLOCK>(x.min(self.count - BLOCK), channels.clone(), start);
                    x += BLOCK;
                } else {
                    self.strip::<V, 1>(x, channels.clone(), start);
                    x += 1;
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn strip<V: Vector, const R: usize>(&mut self, x: usize, channels: Range<usize>, mut start: usize) {
        let depth = self.depth();
        // SAFETY: the caller's.
        let mut squares = [unsafe { V::splat(0.0) }; R];
        let mut channel = channels.start;
        while channel < channels.end {
            let vectors = next_panel((self.bias.len() - channel) / V::LANES, V::PANEL);
            let skip = skipped(channel, depth, self.triangle);
            // SAFETY: the caller's.
            unsafe {
                let weights = self.weights.as_ptr().add(start);
                match vectors {
                    1 => self.block::<V, R, 1>(x, channel, skip, weights, &mut squares),
                    2 => self.block::<V, R, 2>(x, channel, skip, weights, &mut squares),
                    _ => self.block::<V, R, 4>(x, channel, skip, weights, &mut squares),
                }
            }
            start += vectors * V::LANES * (depth - skip);
            channel += vectors * V::LANES;
        }
        // SAFETY: the caller's.
        unsafe { self.output.end_strip(x, squares) };
    }

    /// R outputs from `x` on, N vectors of channels from `channel` on; the first `skip` inputs have no weights.
    #[inline(always)]
    unsafe fn block<V: Vector, const R: usize, const N: usize>(
        &mut self,
        x: usize,
        channel: usize,
        mut skip: usize,
        mut weights: *const f32,
        squares: &mut [V; R],
    ) {
        // SAFETY: the caller's.
        unsafe {
            let mut sums = [[V::splat(0.0); N]; R];
            for n in 0..N {
                let bias = V::load(self.bias.as_ptr().add(channel + n * V::LANES));
                for row in &mut sums {
                    row[n] = bias;
                }
            }
            for tap in self.taps {
                let first = skip.min(tap.depth);
                skip -= first;
                let inputs = self.sources.get_unchecked(tap.source).as_ptr().add(tap.start + x * tap.step + first);
                sums = multiply_add(sums, inputs, tap.step, tap.depth - first, weights);
                weights = weights.add((tap.depth - first) * N * V::LANES);
            }
            self.output.block(sums, x, channel, squares);
        }
    }
}
