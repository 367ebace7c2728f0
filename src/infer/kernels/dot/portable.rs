//! The plain twin of the instruction sets.

use super::Dot;
use crate::infer::kernels::portable::Portable;
use crate::infer::kernels::vector::Vector;

/// Four sums, or sixteen bytes.
#[derive(Clone, Copy)]
pub(in super::super) struct PortableDot([i32; 4]);

impl Dot for PortableDot {
    type Floats = Portable;
    const OFFSET: i32 = 0;

    #[inline(always)]
    unsafe fn load(from: *const i32) -> Self {
        // SAFETY: the caller's: 4 sums can be read.
        Self(unsafe { from.cast::<[i32; 4]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn splat_codes(from: *const u8) -> Self {
        // SAFETY: the caller's: 4 codes can be read.
        Self([i32::from_le_bytes(unsafe { from.cast::<[u8; 4]>().read() }); 4])
    }

    #[inline(always)]
    unsafe fn load_weights(from: *const i8) -> Self {
        // SAFETY: the caller's: 16 weights can be read.
        Self(unsafe { from.cast::<[[u8; 4]; 4]>().read() }.map(i32::from_le_bytes))
    }

    #[inline(always)]
    unsafe fn add_products(self, codes: Self, weights: Self) -> Self {
        let mut sums = self.0;
        for ((sum, codes), weights) in sums.iter_mut().zip(codes.0).zip(weights.0) {
            for (code, weight) in codes.to_le_bytes().into_iter().zip(weights.to_le_bytes()) {
                *sum += i32::from(code) * i32::from(weight as i8);
            }
        }
        Self(sums)
    }

    #[inline(always)]
    unsafe fn floats(self) -> Portable {
        let values = self.0.map(|sum| sum as f32);
        // SAFETY: 4 values can be read.
        unsafe { Portable::load(values.as_ptr()) }
    }
}
