//! 64-bit ARM with the matrix products of ARMv8.6: two pixels of eight codes by two channels of eight weights.

use super::CHAINS;
use super::row::{DotRow, depth, panel};
use crate::infer::kernels::neon::Neon;
use crate::infer::kernels::vector::{BLOCK, Vector};
use crate::infer::kernels::{Output, Tap};
use std::arch::aarch64::*;
use std::arch::asm;
use std::ops::Range;

/// Codes of a pixel, or weights of a channel, in one product.
pub(super) const GROUP: usize = 8;

/// Sums of two pixels by two channels: those of the first pixel are the lower half.
type Square = int32x4_t;

/// # Safety
/// The processor has NEON and I8MM, and [`DotRow::run`] has checked the slices.
#[target_feature(enable = "neon,i8mm")]
pub(super) unsafe fn row(mut row: DotRow) {
    let channels = row.bias.len();
    // SAFETY: the caller's.
    unsafe {
        if !matches!(row.output, Output::Smallest { .. }) {
            return strips(&mut row, 0..channels);
        }
        // There are many channels: panel by panel, so that the row finds each one's weights in the nearest cache.
        let mut channel = 0;
        while channel < channels {
            let width = panel::<Neon>(channels - channel) * Neon::LANES;
            strips(&mut row, channel..channel + width);
            channel += width;
        }
    }
}

/// The row in strips of [`BLOCK`] outputs, or of two; the last strip overlaps the one before it. `channels` are whole panels.
#[inline(always)]
unsafe fn strips(row: &mut DotRow, channels: Range<usize>) {
    let strip = if row.count >= BLOCK { BLOCK } else { row.count.min(2) };
    for x in (0..row.count).step_by(strip) {
        let x = x.min(row.count - strip);
        // SAFETY: the caller's; no strip reaches past the row.
        unsafe {
            if strip == BLOCK {
                self::strip::<{ BLOCK / 2 }>(row, x, channels.clone());
            } else {
                self::strip::<1>(row, x, channels.clone());
            }
        }
    }
}

/// 2 · P outputs from `x` on; a row of one output is both of its pair.
#[inline(always)]
unsafe fn strip<const P: usize>(row: &mut DotRow, x: usize, channels: Range<usize>) {
    // SAFETY: the caller's.
    let mut squares = [[unsafe { Neon::splat(0.0) }; 2]; P];
    let mut channel = channels.start;
    while channel < channels.end {
        let vectors = panel::<Neon>(row.bias.len() - channel);
        // SAFETY: the caller's.
        unsafe {
            match vectors {
                1 => block::<P, 1>(row, x, channel, &mut squares),
                2 => block::<P, 2>(row, x, channel, &mut squares),
                _ => block::<P, 4>(row, x, channel, &mut squares),
            }
        }
        channel += vectors * Neon::LANES;
    }
    for (pixel, square) in squares.as_flattened().iter().enumerate().take(row.count) {
        // SAFETY: the caller's.
        unsafe { row.output.end_strip(x + pixel, [*square]) };
    }
}

/// P pairs of outputs from `x` on, N vectors of channels from `channel` on.
#[inline(always)]
unsafe fn block<const P: usize, const N: usize>(
    row: &mut DotRow,
    x: usize,
    channel: usize,
    squares: &mut [[Neon; 2]; P],
) {
    // SAFETY: the caller's.
    unsafe {
        let bias: [Neon; N] = std::array::from_fn(|n| Neon::load(row.bias.as_ptr().add(channel + n * Neon::LANES)));
        let mut totals = [[bias; 2]; P];
        for (term, source) in row.terms.iter().zip(row.sources) {
            let taps = row.taps.get_unchecked(term.taps.clone());
            let weights = term.weights.as_ptr().cast::<i8>().add(channel * depth(taps));
            let start = term.start.as_ptr().add(channel);
            let sums = products::<P, N>(taps, source.as_ptr(), x, row.count > 1, weights, start);
            for n in 0..N {
                let scale = Neon::load(term.scale.as_ptr().add(channel + n * Neon::LANES));
                for (totals, sums) in totals.iter_mut().zip(&sums) {
                    for (total, sums) in totals.iter_mut().zip(pixels(sums[n])) {
                        total[n] = Neon(vcvtq_f32_s32(sums)).mul_add(scale, total[n]);
                    }
                }
            }
        }
        let squares = squares.as_flattened_mut().iter_mut();
        for (pixel, (totals, square)) in totals.as_flattened().iter().zip(squares).enumerate().take(row.count) {
            let mut squares = [*square];
            row.output.block([*totals], x + pixel, channel, &mut squares);
            *square = squares[0];
        }
    }
}

/// Sums of P pairs of pixels by N vectors of channels, each two squares.
///
/// # Safety
/// As for [`row`].
#[inline(always)]
unsafe fn products<const P: usize, const N: usize>(
    taps: &[Tap],
    source: *const u8,
    x: usize,
    has_pairs: bool,
    mut weights: *const i8,
    start: *const i32,
) -> [[[Square; 2]; N]; P] {
    // SAFETY: the caller's.
    unsafe {
        let start = |n: usize, half: usize| {
            let channels = vld1_s32(start.add(n * Neon::LANES + 2 * half));
            vcombine_s32(channels, channels)
        };
        let mut sums = [std::array::from_fn(|n| [start(n, 0), start(n, 1)]); P];
        for tap in taps {
            let codes = source.add(tap.start + x * tap.step);
            let next = if has_pairs { tap.step } else { 0 };
            for k in (0..tap.depth).step_by(GROUP) {
                let pairs: [uint8x16_t; P] = std::array::from_fn(|pair| {
                    let upper = codes.add(2 * pair * tap.step + k);
                    vcombine_u8(vld1_u8(upper), vld1_u8(upper.add(next)))
                });
                for n in 0..N {
                    for half in 0..2 {
                        let channels = vld1q_s8(weights);
                        weights = weights.add(2 * GROUP);
                        for (sums, pair) in sums.iter_mut().zip(pairs) {
                            sums[n][half] = add_product(sums[n][half], pair, channels);
                        }
                    }
                }
            }
        }
        sums
    }
}

/// `sums` + codes · weightsᵀ, of 2 pixels and 2 channels.
///
/// # Safety
/// The processor has I8MM.
#[inline(always)]
unsafe fn add_product(mut sums: Square, codes: uint8x16_t, weights: int8x16_t) -> Square {
    // SAFETY: the caller's; registers only. Rust has no stable intrinsic for it.
    unsafe {
        asm!(
            ".arch_extension i8mm",
            "usmmla {sums:v}.4s, {codes:v}.16b, {weights:v}.16b",
            sums = inout(vreg) sums,
            codes = in(vreg) codes,
            weights = in(vreg) weights,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}

/// Four channels of either pixel.
///
/// # Safety
/// The processor has NEON.
#[inline(always)]
unsafe fn pixels(squares: [Square; 2]) -> [int32x4_t; 2] {
    // SAFETY: the caller's.
    unsafe {
        let [lower, upper] = squares.map(|square| vreinterpretq_s64_s32(square));
        [vzip1q_s64(lower, upper), vzip2q_s64(lower, upper)].map(|pixel| vreinterpretq_s32_s64(pixel))
    }
}

/// See [`super::Isa::dot_products`].
///
/// # Safety
/// The processor has NEON and I8MM.
#[target_feature(enable = "neon,i8mm")]
pub(super) unsafe fn chains(steps: usize) -> u64 {
    let (codes, weights) = (std::hint::black_box([3u8; 16]), std::hint::black_box([1i8; 16]));
    // SAFETY: the caller's; 16 bytes can be read of either.
    unsafe {
        let (codes, weights) = (vld1q_u8(codes.as_ptr()), vld1q_s8(weights.as_ptr()));
        let mut sums = [vdupq_n_s32(0); CHAINS];
        for _ in 0..steps {
            for sum in &mut sums {
                *sum = add_product(*sum, codes, weights);
            }
        }
        std::hint::black_box(sums);
    }
    (steps * CHAINS * 2 * 2 * GROUP) as u64
}
