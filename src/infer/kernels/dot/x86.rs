//! AVX-512 VNNI, AVX-VNNI, and AVX2.

use super::{Dot, DotKernel};
use crate::infer::kernels::x86::{Avx2, Avx512};
use std::arch::x86_64::*;

/// 16 sums.
#[derive(Clone, Copy)]
pub(in super::super) struct Dot512(__m512i);

/// 8 sums.
#[derive(Clone, Copy)]
pub(in super::super) struct Dot256(__m256i);

/// # Safety
/// The processor has AVX-512 F and VNNI, and FMA; and as for [`DotKernel::run`].
#[target_feature(enable = "avx512f,avx512vnni,avx2,fma")]
pub(in super::super) unsafe fn with_avx512(kernel: impl DotKernel) {
    // SAFETY: the caller's.
    unsafe { kernel.run::<Dot512>() }
}

/// # Safety
/// The processor has AVX2, AVX-VNNI and FMA; and as for [`DotKernel::run`].
#[target_feature(enable = "avx2,avxvnni,fma")]
pub(in super::super) unsafe fn with_avx(kernel: impl DotKernel) {
    // SAFETY: the caller's.
    unsafe { kernel.run::<Dot256>() }
}

/// # Safety
/// The processor has AVX2 and FMA; and as for [`DotKernel::run`].
#[target_feature(enable = "avx2,fma")]
pub(in super::super) unsafe fn with_avx2(kernel: impl DotKernel) {
    // SAFETY: the caller's.
    unsafe { kernel.run::<DotAvx2>() }
}

/// 8 sums, of products in 16 bits.
#[derive(Clone, Copy)]
pub(in super::super) struct DotAvx2(__m256i);

impl Dot for DotAvx2 {
    type Floats = Avx2;
    /// So that two products together, 2 · 128 · 127 at most, are less than 2¹⁵.
    const OFFSET: i32 = 128;

    #[inline(always)]
    unsafe fn load(from: *const i32) -> Self {
        // SAFETY: the caller's, as in all functions of this trait.
        Self(unsafe { _mm256_loadu_si256(from.cast()) })
    }

    #[inline(always)]
    unsafe fn splat_codes(from: *const u8) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let codes = _mm256_set1_epi32(from.cast::<i32>().read_unaligned());
            Self(_mm256_xor_si256(codes, _mm256_set1_epi8(-128)))
        }
    }

    #[inline(always)]
    unsafe fn load_weights(from: *const i8) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { _mm256_loadu_si256(from.cast()) })
    }

    #[inline(always)]
    unsafe fn add_products(self, codes: Self, weights: Self) -> Self {
        // SAFETY: the caller's. The first factor's bytes have no sign, so that goes to the second one's.
        unsafe {
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(codes.0), _mm256_sign_epi8(weights.0, codes.0));
            Self(_mm256_add_epi32(self.0, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))))
        }
    }

    #[inline(always)]
    unsafe fn floats(self) -> Avx2 {
        // SAFETY: the caller's.
        Avx2(unsafe { _mm256_cvtepi32_ps(self.0) })
    }
}

/// A register of sums, of products by one instruction.
macro_rules! dot {
    ($name:ident, $floats:ident, $load:ident, $splat:ident, $products:ident, $convert:ident) => {
        impl Dot for $name {
            type Floats = $floats;
            const OFFSET: i32 = 0;

            #[inline(always)]
            unsafe fn load(from: *const i32) -> Self {
                // SAFETY: the caller's, as in all functions of this trait.
                Self(unsafe { $load(from.cast()) })
            }

            #[inline(always)]
            unsafe fn splat_codes(from: *const u8) -> Self {
                // SAFETY: the caller's.
                Self(unsafe { $splat(from.cast::<i32>().read_unaligned()) })
            }

            #[inline(always)]
            unsafe fn load_weights(from: *const i8) -> Self {
                // SAFETY: the caller's.
                Self(unsafe { $load(from.cast()) })
            }

            #[inline(always)]
            unsafe fn add_products(self, codes: Self, weights: Self) -> Self {
                // SAFETY: the caller's.
                Self(unsafe { $products(self.0, codes.0, weights.0) })
            }

            #[inline(always)]
            unsafe fn floats(self) -> $floats {
                // SAFETY: the caller's.
                $floats(unsafe { $convert(self.0) })
            }
        }
    };
}

pub(super) use dot;

dot!(Dot512, Avx512, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_dpbusd_epi32, _mm512_cvtepi32_ps);
dot!(Dot256, Avx2, _mm256_loadu_si256, _mm256_set1_epi32, _mm256_dpbusd_avx_epi32, _mm256_cvtepi32_ps);
