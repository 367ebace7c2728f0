//! One row of a convolution of bytes.

#[cfg(target_arch = "aarch64")]
use super::Kind;
use super::{Dot, DotKernel};
use crate::infer::kernels::vector::{BLOCK, Vector};
use crate::infer::kernels::{Buffer, Isa, LANES, Output, Tap, bytes, next_panel};
use std::ops::Range;

/// What a row takes from one source.
#[derive(Clone, Debug)]
pub(in crate::infer) struct DotTerm {
    /// Its taps among [`DotRow::taps`].
    pub taps: Range<usize>,
    /// (Σ depth of the taps, channels), packed with [`Isa::pack_codes`].
    pub weights: Buffer,
    /// What the sums start at, one value a channel.
    pub start: Vec<i32>,
    /// Multiplies the sums, one value a channel.
    pub scale: Buffer,
}

/// A row of `count` outputs: bias + Σ over terms of scale · (start + Σ over taps of codes · weights), all channels.
pub(in crate::infer) struct DotRow<'a> {
    /// What the taps read.
    pub sources: &'a [&'a [u8]],
    /// In the order of the weights; each one's depth is a multiple of [`Isa::tap_depth`]. At most [`super::MAX_DEPTH`] inputs
    /// of a source may have weights that are not 0.
    pub taps: &'a [Tap],
    /// One for each source, at most [`super::MAX_TERMS`].
    pub terms: &'a [DotTerm],
    /// One value a channel; their number is a multiple of [`LANES`].
    pub bias: &'a [f32],
    /// Outputs in the row.
    pub count: usize,
    /// What becomes of them.
    pub output: Output<'a>,
}

impl DotRow<'_> {
    /// Computes the row.
    ///
    /// # Panics
    /// Where a tap, the weights or the output do not fit their slices: a mistake in the plan.
    pub(in crate::infer) fn run(self, isa: Isa) {
        let (channels, count) = (self.bias.len(), self.count);
        if count == 0 || channels == 0 {
            return;
        }
        assert_eq!(channels % LANES, 0, "channels in whole vectors");
        assert!(self.terms.len() <= super::MAX_TERMS && self.terms.len() <= self.sources.len(), "a source a term");
        for (source, term) in self.terms.iter().enumerate() {
            let taps = &self.taps[term.taps.clone()];
            for tap in taps {
                assert!(tap.depth > 0 && tap.depth.is_multiple_of(isa.tap_depth()), "taps in whole steps");
                let end = tap.start + (count - 1) * tap.step + tap.depth;
                assert!(tap.source == source && end <= self.sources[source].len(), "tap in its source");
            }
            let depth = depth(taps);
            let (mut first, mut length) = (0, 0);
            while first < channels {
                length += isa.dot_panel(first, channels) * depth;
                first += isa.dot_panel(first, channels);
            }
            assert_eq!(bytes(&term.weights).len(), length, "weights of all taps");
            assert_eq!((term.start.len(), term.scale.len()), (first, channels), "a start and a scale a channel");
        }
        self.output.assert_holds(count, channels);
        #[cfg(target_arch = "x86_64")]
        if isa.has_tiles() {
            // SAFETY: the assertions above bound every access; the processor has the instructions.
            return unsafe { super::amx::row(self) };
        }
        #[cfg(target_arch = "aarch64")]
        if isa.0 == Kind::NeonI8mm {
            // SAFETY: the assertions above bound every access; the processor has the instructions.
            return unsafe { super::i8mm::row(self) };
        }
        // SAFETY: the assertions above bound every access of `strip`.
        unsafe { isa.run_dot(self) }
    }
}

/// Inputs of each output.
pub(super) fn depth(taps: &[Tap]) -> usize {
    taps.iter().map(|tap| tap.depth).sum()
}

impl DotKernel for DotRow<'_> {
    #[inline(always)]
    unsafe fn run<D: Dot>(mut self) {
        let channels = self.bias.len();
        // SAFETY: the caller's.
        unsafe {
            if !matches!(self.output, Output::Smallest { .. }) {
                return self.strips::<D>(0..channels);
            }
            // There are many channels: panel by panel, so that the row finds each one's weights in the nearest cache.
            let mut channel = 0;
            while channel < channels {
                let width = panel::<D::Floats>(channels - channel) * D::Floats::LANES;
                self.strips::<D>(channel..channel + width);
                channel += width;
            }
        }
    }
}

/// Vectors of the next panel where `left` channels are left.
pub(super) fn panel<V: Vector>(left: usize) -> usize {
    next_panel(left / V::LANES, V::PANEL)
}

impl DotRow<'_> {
    /// The row in strips of [`BLOCK`] outputs; the last strip overlaps the one before it. `channels` are whole panels.
    #[inline(always)]
    unsafe fn strips<D: Dot>(&mut self, channels: Range<usize>) {
        let mut x = 0;
        while x < self.count {
            // SAFETY: the caller's; no strip reaches past `count`.
            unsafe {
                if self.count >= BLOCK {
                    self.strip::<D, BLOCK>(x.min(self.count - BLOCK), channels.clone());
                    x += BLOCK;
                } else {
                    self.strip::<D, 1>(x, channels.clone());
                    x += 1;
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn strip<D: Dot, const R: usize>(&mut self, x: usize, channels: Range<usize>) {
        // SAFETY: the caller's.
        let mut squares = [unsafe { D::Floats::splat(0.0) }; R];
        let mut channel = channels.start;
        while channel < channels.end {
            let vectors = panel::<D::Floats>(self.bias.len() - channel);
            // SAFETY: the caller's.
            unsafe {
                match vectors {
                    1 => self.block::<D, R, 1>(x, channel, &mut squares),
                    2 => self.block::<D, R, 2>(x, channel, &mut squares),
                    _ => self.block::<D, R, 4>(x, channel, &mut squares),
                }
            }
            channel += vectors * D::Floats::LANES;
        }
        // SAFETY: the caller's.
        unsafe { self.output.end_strip(x, squares) };
    }

    /// R outputs from `x` on, N vectors of channels from `channel` on.
    #[inline(always)]
    unsafe fn block<D: Dot, const R: usize, const N: usize>(
        &mut self,
        x: usize,
        channel: usize,
        squares: &mut [D::Floats; R],
    ) {
        let lanes = D::Floats::LANES;
        // SAFETY: the caller's.
        unsafe {
            let mut totals = [[D::Floats::splat(0.0); N]; R];
            for n in 0..N {
                let bias = D::Floats::load(self.bias.as_ptr().add(channel + n * lanes));
                for row in &mut totals {
                    row[n] = bias;
                }
            }
            for (term, source) in self.terms.iter().zip(self.sources) {
                let taps = self.taps.get_unchecked(term.taps.clone());
                let mut weights = term.weights.as_ptr().cast::<i8>().add(channel * depth(taps));
                let start: [D; N] = std::array::from_fn(|n| D::load(term.start.as_ptr().add(channel + n * lanes)));
                let mut sums = [start; R];
                for tap in taps {
                    let codes = source.as_ptr().add(tap.start + x * tap.step);
                    sums = add_products(sums, codes, tap.step, tap.depth, weights);
                    weights = weights.add(tap.depth * N * lanes);
                }
                for n in 0..N {
                    let scale = D::Floats::load(term.scale.as_ptr().add(channel + n * lanes));
                    for (total, sums) in totals.iter_mut().zip(&sums) {
                        total[n] = sums[n].floats().mul_add(scale, total[n]);
                    }
                }
            }
            self.output.block(totals, x, channel, squares);
        }
    }
}

/// Adds products to a block of R pixels × N vectors of output channels; by value, as in the kernel for f32.
///
/// # Safety
/// As for [`Dot`]; `codes` is valid for `(R − 1) · step + depth` bytes, `weights` for `depth · N` times the lanes.
#[inline(always)]
pub(in crate::infer::kernels) unsafe fn add_products<D: Dot, const R: usize, const N: usize>(
    mut block: [[D; N]; R],
    codes: *const u8,
    step: usize,
    depth: usize,
    weights: *const i8,
) -> [[D; N]; R] {
    let lanes = D::Floats::LANES;
    // SAFETY: the caller's.
    unsafe {
        for k in 0..depth / 4 {
            let row: [D; N] = std::array::from_fn(|n| D::load_weights(weights.add((k * N + n) * 4 * lanes)));
            for (r, sums) in block.iter_mut().enumerate() {
                let codes = D::splat_codes(codes.add(r * step + 4 * k));
                for (sum, weights) in sums.iter_mut().zip(row) {
                    *sum = sum.add_products(codes, weights);
                }
            }
        }
    }
    block
}
