//! AVX2 with FMA, and AVX-512.

use super::Kernel;
use super::vector::Vector;
use std::arch::x86_64::*;

/// 8 values.
#[derive(Clone, Copy)]
pub(super) struct Avx2(pub(super) __m256);

/// 16 values.
#[derive(Clone, Copy)]
pub(super) struct Avx512(pub(super) __m512);

/// Whether vectors of AVX-512 are computed in one go, where there are any: AMD's Zen 4, family 19h, takes two halves in turn.
pub(super) fn is_as_wide_as_avx512() -> bool {
    /// The vendor's name in the order of the registers.
    const AMD: [u32; 3] = [0x6874_7541, 0x444d_4163, 0x6974_6e65];
    // SAFETY: every 64-bit processor has the instruction and these leaves; it has no effect.
    #[allow(unused_unsafe, reason = "newer compilers know that it is safe")]
    let (vendor, version) = unsafe { (__cpuid(0), __cpuid(1).eax) };
    let family = (version >> 8 & 0xf) + (version >> 20 & 0xff);
    [vendor.ebx, vendor.ecx, vendor.edx] != AMD || family > 0x19
}

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
     $sub:ident, $mul:ident, $fma:ident, $max:ident, $min:ident, $round:expr, $sum:expr, $load_codes:ident, $store_codes:ident) => {
        impl Vector for $name {
            const LANES: usize = $lanes;
            const PANEL: usize = $panel;
            const AHEAD: usize = 8;

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
            unsafe fn load_codes(from: *const u8) -> Self {
                // SAFETY: the caller's.
                Self(unsafe { $load_codes(from) })
            }

            #[inline(always)]
            unsafe fn store_codes(self, zero: i32, least: i32, to: *mut u8) {
                // SAFETY: the caller's.
                unsafe { $store_codes(self.0, zero, least, to) }
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
    _mm512_reduce_add_ps,
    load_codes_avx512,
    store_codes_avx512
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
    sum_avx,
    load_codes_avx2,
    store_codes_avx2
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

/// # Safety
/// The processor has AVX-512 F; 16 bytes can be read.
#[inline(always)]
unsafe fn load_codes_avx512(from: *const u8) -> __m512 {
    // SAFETY: the caller's.
    unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()))) }
}

/// # Safety
/// The processor has AVX-512 F; 16 bytes can be written.
#[inline(always)]
unsafe fn store_codes_avx512(values: __m512, zero: i32, least: i32, to: *mut u8) {
    // SAFETY: the caller's.
    unsafe {
        // What is no integer of 32 bits would become the smallest one.
        let values = _mm512_min_ps(values, _mm512_set1_ps(512.0));
        let codes = _mm512_add_epi32(_mm512_cvtps_epi32(values), _mm512_set1_epi32(zero));
        let codes = _mm512_max_epi32(codes, _mm512_set1_epi32(least));
        _mm_storeu_si128(to.cast(), _mm512_cvtusepi32_epi8(codes));
    }
}

/// # Safety
/// The processor has AVX2; 8 bytes can be read.
#[inline(always)]
unsafe fn load_codes_avx2(from: *const u8) -> __m256 {
    // SAFETY: the caller's.
    unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()))) }
}

/// # Safety
/// The processor has AVX2; 8 bytes can be written.
#[inline(always)]
unsafe fn store_codes_avx2(values: __m256, zero: i32, least: i32, to: *mut u8) {
    // SAFETY: the caller's.
    unsafe {
        // As above.
        let values = _mm256_min_ps(values, _mm256_set1_ps(512.0));
        let codes = _mm256_add_epi32(_mm256_cvtps_epi32(values), _mm256_set1_epi32(zero));
        let codes = _mm256_max_epi32(codes, _mm256_set1_epi32(least));
        let words = _mm_packs_epi32(_mm256_castsi256_si128(codes), _mm256_extracti128_si256::<1>(codes));
        _mm_storel_epi64(to.cast(), _mm_packus_epi16(words, words));
    }
}
