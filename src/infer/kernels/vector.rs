//! What a kernel needs of an instruction set.

/// A register of `LANES` values.
///
/// Every function is unsafe for two reasons: the processor must have the instructions, and pointers must be valid for
/// `LANES` values.
#[allow(clippy::missing_safety_doc)]
pub(super) trait Vector: Copy {
    /// Values in a vector; divides [`super::LANES`].
    const LANES: usize;
    /// Vectors of output channels that the micro-kernel computes together.
    const PANEL: usize;
    /// Vector registers of the processor, 16 or 32.
    const REGISTERS: usize;

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
    /// Sum of the lanes.
    unsafe fn sum(self) -> f32;
}

/// Adds a product to a block of R pixels × N vectors of output channels.
///
/// `a` holds the R pixels' `depth` inputs, pixels `step` values apart; `b` is (depth, N · LANES).
///
/// # Safety
/// As for [`Vector`]; `a` is valid for `(R − 1) · step + depth` values, `b` for `depth · N · LANES`.
#[inline(always)]
pub(super) unsafe fn multiply_add<V: Vector, const R: usize, const N: usize>(
    block: &mut [[V; N]; R],
    a: *const f32,
    step: usize,
    depth: usize,
    b: *const f32,
) {
    // SAFETY: the caller's.
    unsafe {
        for k in 0..depth {
            let mut row = [V::splat(0.0); N];
            for (n, vector) in row.iter_mut().enumerate() {
                *vector = V::load(b.add((k * N + n) * V::LANES));
            }
            for (r, sums) in block.iter_mut().enumerate() {
                let input = V::splat(*a.add(r * step + k));
                for (sum, weight) in sums.iter_mut().zip(row) {
                    *sum = input.mul_add(weight, *sum);
                }
            }
        }
    }
}
