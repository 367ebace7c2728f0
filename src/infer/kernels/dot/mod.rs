//! Convolutions of bytes with 8-bit weights, one row of outputs at a time.
//!
//! Sums are exact in 32 bits: no step of any instruction set saturates, and up to [`MAX_DEPTH`] inputs do not overflow.

#[cfg(target_arch = "x86_64")]
pub(super) mod amx;
#[cfg(target_arch = "aarch64")]
mod i8mm;
#[cfg(target_arch = "aarch64")]
pub(super) mod neon;
mod portable;
mod row;
#[cfg(test)]
mod tests;
mod words;
#[cfg(target_arch = "x86_64")]
pub(super) mod x86;

use super::{Buffer, Isa, Kind, bytes_mut, next_panel};
pub(super) use portable::PortableDot;
pub(super) use row::add_products;
pub(in super::super) use row::{DotRow, DotTerm};
pub(super) use words::{WordKernel, Words};

use super::vector::Vector;

/// Most inputs of one output: twice (start and products) 255 · 127 · this is less than 2³¹.
pub(in super::super) const MAX_DEPTH: usize = 32_768;

/// Most sources of one row.
pub(in crate::infer) const MAX_TERMS: usize = 4;

/// A register of 32-bit sums.
///
/// Every function is unsafe for two reasons: the processor must have the instructions, and pointers must be valid for
/// `LANES` values of 4 bytes.
#[allow(clippy::missing_safety_doc)]
pub(super) trait Dot: Copy {
    /// As many values.
    type Floats: Vector;
    /// What codes are lowered by before they are multiplied: 128 where an instruction set has signed products only.
    const OFFSET: i32;

    unsafe fn load(from: *const i32) -> Self;
    /// Four codes, repeated.
    unsafe fn splat_codes(from: *const u8) -> Self;
    /// Four weights a lane, none of them −128.
    unsafe fn load_weights(from: *const i8) -> Self;
    /// `self` + Σ over four of code · weight.
    unsafe fn add_products(self, codes: Self, weights: Self) -> Self;
    unsafe fn floats(self) -> Self::Floats;
}

/// Work that is compiled for each instruction set with products of bytes.
pub(super) trait DotKernel {
    /// # Safety
    /// As for [`super::Kernel::run`].
    unsafe fn run<D: Dot>(self);
}

impl Isa {
    /// Whether products of bytes pay on this processor: they are faster than those of f32, or as fast and take a quarter of
    /// the memory.
    pub(in super::super) fn has_dot_products(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Amx | Kind::Avx512Vnni | Kind::AvxVnni | Kind::Avx2 => true,
            #[cfg(target_arch = "aarch64")]
            Kind::NeonI8mm | Kind::NeonDot => true,
            _ => false,
        }
    }

    /// Whether products of bytes are done in whole tiles.
    pub(in super::super) fn has_tiles(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        if self.0 == Kind::Amx {
            return true;
        }
        false
    }

    /// Products of bytes in the time of one of f32, as they run within a layer.
    pub(in super::super) fn dot_speed(self) -> f64 {
        #[cfg(target_arch = "x86_64")]
        if self.0 == Kind::Avx2 {
            return 1.2;
        }
        match (self.has_tiles(), self.group()) {
            (true, _) => 20.0,
            (_, 4) => 3.4,
            _ => 6.4,
        }
    }

    /// The channels of [`DotTerm::start`] come in multiples of this.
    pub(in super::super) fn dot_width(self) -> usize {
        if self.has_tiles() { 2 * super::LANES } else { super::LANES }
    }

    /// The inputs of a tap come in multiples of this many bytes.
    pub(in super::super) fn tap_depth(self) -> usize {
        if self.has_tiles() { 64 } else { self.group() }
    }

    /// Neighbouring inputs of one channel that are multiplied by one instruction.
    fn group(self) -> usize {
        #[cfg(target_arch = "aarch64")]
        if self.0 == Kind::NeonI8mm {
            return i8mm::GROUP;
        }
        4
    }

    /// What a code counts as in the sums is lowered by this.
    pub(in super::super) fn code_offset(self) -> i32 {
        match self.0 {
            #[cfg(target_arch = "aarch64")]
            Kind::NeonDot => neon::NeonDot::OFFSET,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => x86::DotAvx2::OFFSET,
            _ => PortableDot::OFFSET,
        }
    }

    /// Channels of the panel of weights that starts at channel `first`.
    fn dot_panel(self, first: usize, channels: usize) -> usize {
        let vectors = if self.has_tiles() { 2 } else { next_panel((channels - first) / self.lanes(), self.panel()) };
        vectors * self.lanes()
    }

    /// Reorders a (depth, channels) matrix: panel by panel, each (depth / group, panel width, group), where a group is of 4
    /// inputs, or of 8 with I8MM.
    ///
    /// `channels` is a multiple of [`super::LANES`], the depth one of [`Isa::tap_depth`].
    pub(in super::super) fn pack_codes(self, matrix: &[i8], channels: usize) -> Buffer {
        let (depth, group) = (matrix.len() / channels.max(1), self.group());
        let mut packed = Vec::with_capacity(matrix.len());
        let mut first = 0;
        while first < channels {
            let width = self.dot_panel(first, channels);
            for start in (0..depth).step_by(group) {
                for channel in first..first + width {
                    let weight = |k: usize| matrix[(start + k) * channels + channel] as u8;
                    packed.extend((0..group).map(|k| if channel < channels { weight(k) } else { 0 }));
                }
            }
            first += width;
        }
        let mut buffer = Buffer::zeroed(packed.len().div_ceil(4));
        bytes_mut(&mut buffer)[..packed.len()].copy_from_slice(&packed);
        buffer
    }

    /// Does at least `steps` products of bytes of what lies in the nearest memory and returns how many they were: the time it takes
    /// is the most that one core can do. 0 where `Isa::has_dot_products` is not.
    pub fn dot_products(self, steps: usize) -> u64 {
        if !self.has_dot_products() {
            return 0;
        }
        #[cfg(target_arch = "x86_64")]
        if self.has_tiles() {
            // SAFETY: the processor has the instructions.
            return unsafe { amx::products(steps) };
        }
        #[cfg(target_arch = "aarch64")]
        if self.0 == Kind::NeonI8mm {
            // SAFETY: the processor has the instructions.
            return unsafe { i8mm::chains(steps) };
        }
        // SAFETY: the kernel touches no memory of others.
        unsafe { self.run_dot(Chains { steps }) };
        (steps * CHAINS * self.lanes() * 4) as u64
    }

    /// # Safety
    /// Every access that `kernel` describes lies in its slices.
    unsafe fn run_dot(self, kernel: impl DotKernel) {
        // SAFETY: as for `Isa::run`.
        unsafe {
            match self.0 {
                #[cfg(target_arch = "x86_64")]
                Kind::Amx | Kind::Avx512Vnni => x86::with_avx512(kernel),
                #[cfg(target_arch = "x86_64")]
                Kind::AvxVnni => x86::with_avx(kernel),
                #[cfg(target_arch = "x86_64")]
                Kind::Avx2 => x86::with_avx2(kernel),
                #[cfg(target_arch = "aarch64")]
                Kind::NeonDot => neon::with_neon(kernel),
                _ => kernel.run::<PortableDot>(),
            }
        }
    }
}

/// Registers that are worked on at a time.
const CHAINS: usize = 12;

struct Chains {
    steps: usize,
}

impl DotKernel for Chains {
    #[inline(always)]
    unsafe fn run<D: Dot>(self) {
        const ROWS: usize = CHAINS / 2;
        let (codes, weights) = ([3u8; 4 * ROWS], [[1i8; 64]; 2]);
        // SAFETY: the caller's; the arrays are as long as two of the longest registers.
        unsafe {
            let mut sums = [[D::load([0i32; 16].as_ptr()); 2]; ROWS];
            for _ in 0..self.steps {
                // Read anew, so that nothing of a product is left for the next step.
                let (codes, weights) = (std::hint::black_box(codes.as_ptr()), std::hint::black_box(&weights));
                let weights = weights.each_ref().map(|weights| D::load_weights(weights.as_ptr()));
                for (r, row) in sums.iter_mut().enumerate() {
                    let codes = D::splat_codes(codes.add(4 * r));
                    for (sum, weights) in row.iter_mut().zip(weights) {
                        *sum = sum.add_products(codes, weights);
                    }
                }
            }
            let mut total = D::Floats::splat(0.0);
            for sum in sums.as_flattened() {
                total = total.add(sum.floats());
            }
            std::hint::black_box(total.sum());
        }
    }
}
