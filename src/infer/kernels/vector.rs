//! What a kernel needs of an instruction set.

use super::LANES;

/// Pixels (or tiles) that the micro-kernel computes together: with a panel of channels, 24 accumulators of 32 registers
/// or 12 of 16.
pub(in super::super) const BLOCK: usize = 6;

/// A register of `LANES` values.
///
/// Every function is unsafe for two reasons: the processor must have the instructions, and pointers must be valid for
/// `LANES` values.
#[allow(clippy::missing_safety_doc)]
pub(super) trait Vector: Copy {
    /// Values in a vector; divides [`super::LANES`].
    const LANES: usize;
    /// Vectors of output channels that the micro-kernel computes together, 2 or 4.
    const PANEL: usize;
    /// Inputs of a pixel for which the micro-kernel asks for weights ahead; 0 where that gains nothing.
    const AHEAD: usize;

    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn splat(value: f32) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// `self · factor + addend`.
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// The larger one; `other` where it is not a number.
    unsafe fn max(self, other: Self) -> Self;
    /// The smaller one; `other` where it is not a number.
    unsafe fn min(self, other: Self) -> Self;
    /// The nearest integer, ties to even.
    unsafe fn round(self) -> Self;
    /// Sum of the lanes.
    unsafe fn sum(self) -> f32;
    /// The numbers that `LANES` bytes are.
    unsafe fn load_codes(from: *const u8) -> Self;
    /// Stores the nearest integers plus `zero`, ties to even before the addition, limited to `least` … 255.
    unsafe fn store_codes(self, zero: i32, least: i32, to: *mut u8);
    /// Asks for the cache line at `from`, which need not be valid.
    unsafe fn prefetch(from: *const f32);
}

/// Adds a product to a block of R pixels × N vectors of output channels.
///
/// The block is passed by value: behind a reference, compilers store it after every step.
///
/// `a` holds the R pixels' `depth` inputs, pixels `step` values apart; `b` is (depth, N · LANES).
///
/// # Safety
/// As for [`Vector`]; `a` is valid for `(R − 1) · step + depth` values, `b` for `depth · N · LANES`.
#[inline(always)]
pub(super) unsafe fn multiply_add<V: Vector, const R: usize, const N: usize>(
    mut block: [[V; N]; R],
    a: *const f32,
    step: usize,
    depth: usize,
    b: *const f32,
) -> [[V; N]; R] {
    // SAFETY: the caller's.
    unsafe {
        for k in 0..depth {
            let mut row = [V::splat(0.0); N];
            for (n, vector) in row.iter_mut().enumerate() {
                *vector = V::load(b.add((k * N + n) * V::LANES));
            }
            if V::AHEAD > 0 {
                for n in (0..N * V::LANES).step_by(LANES) {
                    V::prefetch(b.wrapping_add((k + V::AHEAD) * N * V::LANES + n));
                }
            }
            for (r, sums) in block.iter_mut().enumerate() {
                let input = V::splat(*a.add(r * step + k));
                for (sum, weight) in sums.iter_mut().zip(row) {
                    *sum = input.mul_add(weight, *sum);
                }
            }
        }
    }
    block
}
