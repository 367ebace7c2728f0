//! What the machine could do at most.

use super::vector::Vector;
use super::{Isa, Kernel};

/// Multiply-adds from registers to registers, as many at a time as hide their latency.
struct Chains {
    steps: usize,
}

/// Registers that are worked on at a time.
const CHAINS: usize = 12;

impl Isa {
    /// Does `steps` rounds of multiply-adds that depend on nothing but their register and returns how many they were:
    /// the time it takes is the most that one core can do.
    pub fn multiply_adds(self, steps: usize) -> u64 {
        // SAFETY: the kernel touches no memory.
        unsafe { self.run(Chains { steps }) };
        (steps * CHAINS * self.lanes()) as u64
    }
}

impl Kernel for Chains {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        // SAFETY: the caller's; no memory is touched.
        unsafe {
            let (factor, addend) = (V::splat(0.999), V::splat(0.001));
            let mut sums = [V::splat(0.5); CHAINS];
            for _ in 0..self.steps {
                for sum in &mut sums {
                    *sum = sum.mul_add(factor, addend);
                }
            }
            let mut total = V::splat(0.0);
            for sum in sums {
                total = total.add(sum);
            }
            std::hint::black_box(total.sum());
        }
    }
}
