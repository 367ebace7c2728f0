//! AVX2 with FMA, and AVX-512.

use super::Kernel;
use super::vector::Vector;
use std::arch::x86_64::*;

/// 8 values.
#[derive(Clone, Copy)]
pub(super) struct Avx2(__m256);

/// 16 values.
#[derive(Clone, Copy)]
pub(super) struct Avx512(__m512);

/// # Safety
/// The processor has AVX-512 F and FMA; and as for [`Kernel::run`].
#[target_feature(enable = "avx512f,avx2,fma")]
pub(super) unsafe fn with_avx512(kernel: impl Kernel) {
    // SAFETY: the caller's.
    unsafe { kernel.run::<Avx512>() }
}

/// # Safety
/// The processor has AVX2 and FMA; and as for [`Kernel::run`].
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn with_avx2(kernel: impl Kernel) {
    // SAFETY: the caller's.
    unsafe { kernel.run::<Avx2>() }
}

macro_rules! vector {
    ($name:ident, $lanes:literal, $panel:literal, $load:ident, $store:ident, $splat:ident, $add:ident,
     $sub:ident, $mul:ident, $fma:ident, $max:ident, $min:ident, $round:expr, $sum:expr) => {
        impl Vector for $name {
            const LANES: usize = $lanes;
            const PANEL: usize = $panel;

            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                // SAFETY: the caller's, as in all functions of this trait.
                Self(unsafe { $load(from) })
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                // SAFETY: the caller's.
                unsafe { $store(to, self.0) }
            }

            #[inline(always)]
            unsafe fn splat(value: f32) -> Self {
                // SAFETY: the caller's.
                Self(unsafe { $splat(value) })
            }

            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                // SAFETY: the caller's.
                Self(unsafe { $add(self.0, other.0) })
            }

            #[inline(always)]
            unsafe fn sub(self, other: Self) -> Self {
                // SAFETY: the caller's.
                Self(unsafe { $sub(self.0, other.0) })
            }

            #[inline(always)]
            unsafe fn mul(self, other: Self) -> Self {
                // SAFETY: the caller's.
                Self(unsafe { $mul(self.0, other.0) })
            }

            #[inline(always)]
            unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
                // SAFETY: the caller's.
                Self(unsafe { $fma(self.0, factor.0, addend.0) })
            }

            #[inline(always)]
            unsafe fn max(self, other: Self) -> Self {
                // SAFETY: the caller's.
                Self(unsafe { $max(self.0, other.0) })
            }

            #[inline(always)]
            unsafe fn min(self, other: Self) -> Self {
                // SAFETY: the caller's.
                Self(unsafe { $min(self.0, other.0) })
            }

            #[inline(always)]
            unsafe fn round(self) -> Self {
                // SAFETY: the caller's.
                Self(unsafe { $round(self.0) })
            }

            #[inline(always)]
            unsafe fn sum(self) -> f32 {
                // SAFETY: the caller's.
                unsafe { $sum(self.0) }
            }

            #[inline(always)]
            unsafe fn prefetch(from: *const f32) {
                // SAFETY: a prefetch does not fault.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
            }
        }
    };
}

vector!(
    Avx512,
    16,
    4,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_set1_ps,
    _mm512_add_ps,
    _mm512_sub_ps,
    _mm512_mul_ps,
    _mm512_fmadd_ps,
    _mm512_max_ps,
    _mm512_min_ps,
    _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>,
    _mm512_reduce_add_ps
);

vector!(
    Avx2,
    8,
    2,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_set1_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_mul_ps,
    _mm256_fmadd_ps,
    _mm256_max_ps,
    _mm256_min_ps,
    _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>,
    sum_avx
);

/// # Safety
/// The processor has AVX.
#[inline(always)]
unsafe fn sum_avx(v: __m256) -> f32 {
    // SAFETY: the caller's.
    unsafe {
        let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }
}
