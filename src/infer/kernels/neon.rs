//! 64-bit ARM.

use super::Kernel;
use super::vector::Vector;
use std::arch::aarch64::*;

/// 4 values.
#[derive(Clone, Copy)]
pub(super) struct Neon(pub(super) float32x4_t);

/// # Safety
/// The processor has NEON; and as for [`Kernel::run`].
#[target_feature(enable = "neon")]
pub(super) unsafe fn with_neon(kernel: impl Kernel) {
    // SAFETY: the caller's.
    unsafe { kernel.run::<Neon>() }
}

impl Vector for Neon {
    const LANES: usize = 4;
    const PANEL: usize = 4;
    const AHEAD: usize = 0;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's, as in all functions of this trait.
        Self(unsafe { vld1q_f32(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's.
        unsafe { vst1q_f32(to, self.0) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { vdupq_n_f32(value) })
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { vaddq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { vsubq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { vmulq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { vfmaq_f32(addend.0, self.0, factor.0) })
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { vmaxq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { vminq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn round(self) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { vrndnq_f32(self.0) })
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: the caller's.
        unsafe { vaddvq_f32(self.0) }
    }

    #[inline(always)]
    unsafe fn load_codes(from: *const u8) -> Self {
        // SAFETY: the caller's: 4 bytes can be read.
        unsafe {
            let bytes = vcreate_u8(u64::from(from.cast::<u32>().read_unaligned()));
            Self(vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(bytes)))))
        }
    }

    #[inline(always)]
    unsafe fn store_codes(self, zero: i32, least: i32, to: *mut u8) {
        // SAFETY: the caller's: 4 bytes can be written.
        unsafe {
            let codes = vqaddq_s32(vcvtnq_s32_f32(self.0), vdupq_n_s32(zero));
            let codes = vminq_s32(vmaxq_s32(codes, vdupq_n_s32(least)), vdupq_n_s32(255));
            let narrow = vmovn_u16(vcombine_u16(vreinterpret_u16_s16(vmovn_s32(codes)), vdup_n_u16(0)));
            to.cast::<u32>().write_unaligned(vget_lane_u32::<0>(vreinterpret_u32_u8(narrow)));
        }
    }

    #[inline(always)]
    unsafe fn prefetch(from: *const f32) {
        // SAFETY: a prefetch does not fault and changes nothing.
        unsafe { std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) from, options(nostack, preserves_flags, readonly)) }
    }
}
