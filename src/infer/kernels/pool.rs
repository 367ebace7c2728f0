//! Average pooling by 2 × 2.

use super::vector::Vector;
use super::{Finish, Isa, Kernel};

/// A row of averages of 2 × 2 pixels.
pub(in super::super) struct AverageRows<'a> {
    /// Upper row of `2 · count` pixels.
    pub top: &'a [f32],
    /// Lower row.
    pub bottom: &'a [f32],
    /// `count` pixels.
    pub out: &'a mut [f32],
    /// Values a pixel, a multiple of [`super::LANES`].
    pub pitch: usize,
    /// For the averages.
    pub finish: Finish,
}

impl AverageRows<'_> {
    /// Computes the row.
    ///
    /// # Panics
    /// Where the rows do not have twice the outputs' length: a mistake in the plan.
    pub(in super::super) fn run(self, isa: Isa) {
        assert_eq!(self.pitch % super::LANES, 0, "channels in whole vectors");
        assert_eq!(self.out.len() % self.pitch, 0, "whole pixels");
        assert!(self.top.len() >= 2 * self.out.len() && self.bottom.len() >= 2 * self.out.len(), "two rows");
        // SAFETY: the assertions bound every access.
        unsafe { isa.run(self) }
    }
}

impl Kernel for AverageRows<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        for x in 0..self.out.len() / self.pitch {
            for channel in (0..self.pitch).step_by(V::LANES) {
                let (left, right) = (2 * x * self.pitch + channel, (2 * x + 1) * self.pitch + channel);
                // SAFETY: the caller's.
                unsafe {
                    let top = V::load(self.top.as_ptr().add(left)).add(V::load(self.top.as_ptr().add(right)));
                    let bottom = V::load(self.bottom.as_ptr().add(left)).add(V::load(self.bottom.as_ptr().add(right)));
                    let mean = top.add(bottom).mul(V::splat(0.25));
                    self.finish.apply(mean).store(self.out.as_mut_ptr().add(x * self.pitch + channel));
                }
            }
        }
    }
}
