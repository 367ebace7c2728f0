//! How values are stored, and what becomes of a sum before it is.

use super::vector::Vector;

/// Activation and rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in super::super) struct Finish {
    /// Replace negative values by 0.
    pub relu: bool,
    /// Round to what 8 bits hold.
    pub grid: Option<Grid>,
}

/// The values `step · n` for the integers `low ≤ n ≤ high`, where 0 is one of them and `high − low` is 255.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct Grid {
    pub step: f32,
    pub low: f32,
    pub high: f32,
}

impl Grid {
    /// The code of 0, where codes count from `low`.
    pub(in super::super) fn zero(self) -> u8 {
        -self.low as u8
    }

    /// How far a code is from that of 0 at most.
    pub(in super::super) fn largest_code_from_zero(self) -> u8 {
        self.zero().max(u8::MAX - self.zero())
    }

    /// The nearest multiple of the step, ties to even, as `low` … `high`; NaN stays.
    #[inline]
    pub(in super::super) fn nearest(self, value: f32) -> f32 {
        self.whole(value) - WHOLE
    }

    /// The same as its code; of NaN any.
    #[inline]
    pub(in super::super) fn code(self, value: f32) -> u8 {
        // A cast would limit once more and look for NaN, value by value.
        (self.whole(value).to_bits() as u8).wrapping_sub(self.low as i32 as u8)
    }

    /// [`Grid::nearest`] above [`WHOLE`]. Limits are whole numbers, so what is limited may be rounded after.
    #[inline]
    fn whole(self, value: f32) -> f32 {
        (value / self.step).clamp(self.low, self.high) + WHOLE
    }
}

/// Numbers near it are whole in f32, and the last bits of what they are made of: an addition rounds as ONNX does, in one
/// instruction for several values, on processors that cannot round, too.
const WHOLE: f32 = 12_582_912.0;

/// A map as it is stored.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Values<'a> {
    Floats(&'a [f32]),
    /// Numbers from 0 to 255.
    Codes(&'a [u8]),
}

/// A map that is written.
#[derive(Debug)]
pub(in super::super) enum ValuesMut<'a> {
    Floats(&'a mut [f32]),
    /// Values in units of one step, rounded; `zero` is the code of 0.
    Codes {
        codes: &'a mut [u8],
        zero: u8,
    },
}

impl<'a> Values<'a> {
    pub(in super::super) fn len(&self) -> usize {
        match self {
            Self::Floats(values) => values.len(),
            Self::Codes(codes) => codes.len(),
        }
    }

    /// What starts at value `at`.
    pub(in super::super) fn from(self, at: usize) -> Self {
        match self {
            Self::Floats(values) => Self::Floats(&values[at..]),
            Self::Codes(codes) => Self::Codes(&codes[at..]),
        }
    }

    /// # Safety
    /// As for [`Vector`].
    #[inline(always)]
    pub(super) unsafe fn load<V: Vector>(&self, at: usize) -> V {
        // SAFETY: the caller's.
        unsafe {
            match self {
                Self::Floats(values) => V::load(values.as_ptr().add(at)),
                Self::Codes(codes) => V::load_codes(codes.as_ptr().add(at)),
            }
        }
    }
}

impl ValuesMut<'_> {
    pub(in super::super) fn len(&self) -> usize {
        match self {
            Self::Floats(values) => values.len(),
            Self::Codes { codes, .. } => codes.len(),
        }
    }

    /// What starts at value `at`.
    pub(in super::super) fn from(&mut self, at: usize) -> ValuesMut<'_> {
        match self {
            Self::Floats(values) => ValuesMut::Floats(&mut values[at..]),
            Self::Codes { codes, zero } => ValuesMut::Codes { codes: &mut codes[at..], zero: *zero },
        }
    }

    /// Stores `sum` once it is finished.
    ///
    /// # Safety
    /// As for [`Vector`].
    #[inline(always)]
    pub(super) unsafe fn store<V: Vector>(&mut self, at: usize, sum: V, finish: &Finish) {
        // SAFETY: the caller's.
        unsafe {
            match self {
                Self::Floats(values) => finish.apply(sum).store(values.as_mut_ptr().add(at)),
                Self::Codes { codes, zero } => {
                    let zero = i32::from(*zero);
                    sum.store_codes(zero, if finish.relu { zero } else { 0 }, codes.as_mut_ptr().add(at));
                }
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_an_integer_rounding() {
        for (step, low) in [(1.0, 0.0), (1.0, -128.0), (0.0173, -117.0), (3e-5, -255.0), (250.0, -3.0)] {
            let grid = Grid { step, low, high: low + 255.0 };
            let near = (-2100..2100).map(|eighth| eighth as f32 * step / 8.0);
            let far = [f32::MAX, f32::MIN, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE, -0.0];
            for value in near.chain(far) {
                let expected = (value / step).round_ties_even().clamp(low, low + 255.0);
                assert_eq!(grid.nearest(value), expected, "{value} in steps of {step}");
                assert_eq!(f32::from(grid.code(value)) + low, expected, "{value} in steps of {step}");
            }
            assert!(grid.nearest(f32::NAN).is_nan());
        }
    }
}
