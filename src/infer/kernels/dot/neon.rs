//! 64-bit ARM with the dot products of ARMv8.2.

use super::{Dot, DotKernel};
use crate::infer::kernels::neon::Neon;
use std::arch::aarch64::*;
use std::arch::asm;

/// 4 sums, or 16 bytes.
#[derive(Clone, Copy)]
pub(in super::super) struct NeonDot(int32x4_t);

/// # Safety
/// The processor has NEON and dot products; and as for [`DotKernel::run`].
#[target_feature(enable = "neon,dotprod")]
pub(in super::super) unsafe fn with_neon(kernel: impl DotKernel) {
    // SAFETY: the caller's.
    unsafe { kernel.run::<NeonDot>() }
}

impl Dot for NeonDot {
    type Floats = Neon;
    // SDOT takes signed bytes; a mixed product needs I8MM.
    const OFFSET: i32 = 128;

    #[inline(always)]
    unsafe fn load(from: *const i32) -> Self {
        // SAFETY: the caller's, as in all functions of this trait.
        Self(unsafe { vld1q_s32(from) })
    }

    #[inline(always)]
    unsafe fn splat_codes(from: *const u8) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let codes = vdupq_n_u32(from.cast::<u32>().read_unaligned());
            Self(vreinterpretq_s32_u32(veorq_u32(codes, vdupq_n_u32(0x8080_8080))))
        }
    }

    #[inline(always)]
    unsafe fn load_weights(from: *const i8) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { vreinterpretq_s32_s8(vld1q_s8(from)) })
    }

    #[inline(always)]
    unsafe fn add_products(self, codes: Self, weights: Self) -> Self {
        let mut sums = self.0;
        // SAFETY: the caller's; registers only. Rust has no stable intrinsic for it.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "sdot {sums:v}.4s, {codes:v}.16b, {weights:v}.16b",
                sums = inout(vreg) sums,
                codes = in(vreg) codes.0,
                weights = in(vreg) weights.0,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        Self(sums)
    }

    #[inline(always)]
    unsafe fn floats(self) -> Neon {
        // SAFETY: the caller's.
        Neon(unsafe { vcvtq_f32_s32(self.0) })
    }
}
