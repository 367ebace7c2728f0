//! Sums of products of 16-bit numbers, two at a time, and additions of such numbers.
#![cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, reason = "no other processor multiplies words faster than f32")
)]

use super::Dot;
use crate::infer::kernels::Isa;
#[cfg(target_arch = "x86_64")]
use crate::infer::kernels::Kind;

/// A register of 32-bit sums as [`Dot`] knows it, where four codes are two numbers of 16 bits, and of twice as many such numbers.
#[allow(clippy::missing_safety_doc)]
pub(in super::super) trait Words: Dot {
    unsafe fn splat(value: i16) -> Self;
    /// The numbers that twice `LANES` bytes are.
    unsafe fn load_codes(from: *const u8) -> Self;
    unsafe fn store(self, to: *mut i16);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn times_four(self) -> Self;
}

/// Work that is compiled for each instruction set that [`Isa::has_words`].
pub(in super::super) trait WordKernel {
    /// # Safety
    /// As for [`super::super::Kernel::run`].
    unsafe fn run<W: Words>(self);
}

impl Isa {
    /// Whether products of 16-bit numbers are faster than those of f32.
    pub(in crate::infer) fn has_words(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Amx | Kind::Avx512Vnni | Kind::AvxVnni | Kind::Avx2 => true,
            _ => false,
        }
    }

    /// Products of 16-bit numbers in the time of one of f32, as they run within a layer, and the time of both transforms of one
    /// value in products of f32.
    pub(in crate::infer) fn word_speed(self) -> (f64, f64) {
        match self.0 {
            // An addition besides each, of which more fit a cycle.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => (2.0, 7.0),
            #[cfg(target_arch = "x86_64")]
            Kind::AvxVnni => (1.8, 7.0),
            _ => (1.8, 10.0),
        }
    }

    /// # Safety
    /// [`Isa::has_words`], and every access that `kernel` describes lies in its slices.
    pub(in super::super) unsafe fn run_words(self, kernel: impl WordKernel) {
        // SAFETY: as for `Isa::run`.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            match self.0 {
                Kind::Amx | Kind::Avx512Vnni => x86::with_avx512(kernel),
                Kind::AvxVnni => x86::with_avx(kernel),
                Kind::Avx2 => x86::with_avx2(kernel),
                _ => drop(kernel),
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        drop(kernel);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::super::x86::dot;
    use super::{Dot, WordKernel, Words};
    use crate::infer::kernels::x86::{Avx2, Avx512};
    use std::arch::x86_64::*;

    macro_rules! words {
        ($(#[$doc:meta])* $with:ident, $features:literal, $name:ident, $vector:ident, $floats:ident, $load:ident, $store:ident,
         $splat:ident, $splat_word:ident, $codes:expr, $add:ident, $sub:ident, $shift:ident, $products:ident, $convert:ident) => {
            $(#[$doc])*
            #[derive(Clone, Copy)]
            pub(super) struct $name($vector);

            /// # Safety
            /// The processor has the instructions of the name, and FMA; and as for [`WordKernel::run`].
            #[target_feature(enable = $features)]
            pub(super) unsafe fn $with(kernel: impl WordKernel) {
                // SAFETY: the caller's.
                unsafe { kernel.run::<$name>() }
            }

            dot!($name, $floats, $load, $splat, $products, $convert);

            impl Words for $name {
                #[inline(always)]
                unsafe fn splat(value: i16) -> Self {
                    // SAFETY: the caller's, as in all functions of this trait.
                    Self(unsafe { $splat_word(value) })
                }

                #[inline(always)]
                unsafe fn load_codes(from: *const u8) -> Self {
                    // SAFETY: the caller's.
                    Self(unsafe { $codes(from) })
                }

                #[inline(always)]
                unsafe fn store(self, to: *mut i16) {
                    // SAFETY: the caller's.
                    unsafe { $store(to.cast(), self.0) }
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
                unsafe fn times_four(self) -> Self {
                    // SAFETY: the caller's.
                    Self(unsafe { $shift::<2>(self.0) })
                }
            }
        };
    }

    words!(
        /// AVX-512 VNNI.
        with_avx512,
        "avx512f,avx512bw,avx512vnni,avx2,fma",
        Words512,
        __m512i,
        Avx512,
        _mm512_loadu_si512,
        _mm512_storeu_si512,
        _mm512_set1_epi32,
        _mm512_set1_epi16,
        codes_512,
        _mm512_add_epi16,
        _mm512_sub_epi16,
        _mm512_slli_epi16,
        _mm512_dpwssd_epi32,
        _mm512_cvtepi32_ps
    );
    words!(
        /// AVX-VNNI.
        with_avx,
        "avx2,avxvnni,fma",
        Words256,
        __m256i,
        Avx2,
        _mm256_loadu_si256,
        _mm256_storeu_si256,
        _mm256_set1_epi32,
        _mm256_set1_epi16,
        codes_256,
        _mm256_add_epi16,
        _mm256_sub_epi16,
        _mm256_slli_epi16,
        _mm256_dpwssd_avx_epi32,
        _mm256_cvtepi32_ps
    );
    words!(
        /// AVX2.
        with_avx2,
        "avx2,fma",
        WordsAvx2,
        __m256i,
        Avx2,
        _mm256_loadu_si256,
        _mm256_storeu_si256,
        _mm256_set1_epi32,
        _mm256_set1_epi16,
        codes_256,
        _mm256_add_epi16,
        _mm256_sub_epi16,
        _mm256_slli_epi16,
        multiply_add_256,
        _mm256_cvtepi32_ps
    );

    /// # Safety
    /// The processor has AVX-512 BW; 32 bytes can be read.
    #[inline(always)]
    unsafe fn codes_512(from: *const u8) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_cvtepu8_epi16(_mm256_loadu_si256(from.cast())) }
    }

    /// # Safety
    /// The processor has AVX2; 16 bytes can be read.
    #[inline(always)]
    unsafe fn codes_256(from: *const u8) -> __m256i {
        // SAFETY: the caller's.
        unsafe { _mm256_cvtepu8_epi16(_mm_loadu_si128(from.cast())) }
    }

    /// # Safety
    /// The processor has AVX2.
    #[inline(always)]
    unsafe fn multiply_add_256(sums: __m256i, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the caller's.
        unsafe { _mm256_add_epi32(sums, _mm256_madd_epi16(a, b)) }
    }
}
