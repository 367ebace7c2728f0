//! Average pooling by 2 × 2.

use super::vector::Vector;
use super::{Finish, Isa, Kernel, ValuesMut};

/// A row of averages of 2 × 2 pixels.
pub(in super::super) struct AverageRows<'a> {
    /// Outputs in the row.
    pub count: usize,
    /// Upper row of `2 · count` pixels.
    pub top: &'a [f32],
    /// Lower row.
    pub bottom: &'a [f32],
    /// At least `count` pixels.
    pub out: ValuesMut<'a>,
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
        let length = self.count * self.pitch;
        assert!(length <= self.out.len(), "outputs in their slice");
        assert!(self.top.len() >= 2 * length && self.bottom.len() >= 2 * length, "two rows");
        // SAFETY: the assertions bound every access.
        unsafe { isa.run(self) }
    }
}

impl Kernel for AverageRows<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        for x in 0..self.count {
            for channel in (0..self.pitch).step_by(V::LANES) {
                let (left, right) = (2 * x * self.pitch + channel, (2 * x + 1) * self.pitch + channel);
                // SAFETY: the caller's.
                unsafe {
                    let top = V::load(self.top.as_ptr().add(left)).add(V::load(self.top.as_ptr().add(right)));
                    let bottom = V::load(self.bottom.as_ptr().add(left)).add(V::load(self.bottom.as_ptr().add(right)));
                    let mean = top.add(bottom).mul(V::splat(0.25));
                    self.out.store(x * self.pitch + channel, mean, &self.finish);
                }
            }
        }
    }
}
