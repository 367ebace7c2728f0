//! What becomes of a sum before it is stored.

use super::vector::Vector;

/// Activation and rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in super::super) struct Finish {
    /// Replace negative values by 0.
    pub relu: bool,
    /// Round to what 8 bits hold.
    pub grid: Option<Grid>,
}

/// The values `step · n` for the integers `low ≤ n ≤ high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct Grid {
    pub step: f32,
    pub low: f32,
    pub high: f32,
}

impl Finish {
    /// # Safety
    /// As for [`Vector`].
    #[inline(always)]
    pub(super) unsafe fn apply<V: Vector>(&self, value: V) -> V {
        // SAFETY: the caller's.
        unsafe {
            let mut value = value;
            if self.relu {
                value = V::splat(0.0).max(value);
            }
            if let Some(Grid { step, low, high }) = self.grid {
                // ONNX's QuantizeLinear: ties to even.
                let steps = value.mul(V::splat(1.0 / step)).round();
                value = V::splat(high).min(V::splat(low).max(steps)).mul(V::splat(step));
            }
            value
        }
    }
}
