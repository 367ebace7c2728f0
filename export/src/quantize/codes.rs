//! Numbers of 8 bits and what they stand for.

/// Weights of a convolution in 8 bits, one scale for each output channel: `value = code · scale`, codes −127 to 127.
#[derive(Clone, Debug, PartialEq)]
pub struct Codes {
    /// In the order of the weights.
    pub values: Vec<i8>,
    /// One for each output channel, > 0.
    pub scales: Vec<f32>,
    /// The dimension of the output channels: 0, or 1 where transposed.
    pub axis: usize,
}

/// Largest magnitude of a weight's code: symmetric, so that zero is exact and the sign costs nothing.
pub(super) const WEIGHT_LEVELS: f32 = 127.0;

impl Codes {
    /// Rounds `weights` of `shape` to the nearest codes, each channel's largest magnitude being 127.
    pub fn nearest(weights: &[f32], shape: [i64; 4], axis: usize) -> Self {
        let mut scales = vec![0.0f32; shape[axis].max(0) as usize];
        let channel = channels(shape, axis);
        for (index, weight) in weights.iter().enumerate() {
            let scale = &mut scales[channel(index)];
            *scale = scale.max(weight.abs());
        }
        scales.iter_mut().for_each(|scale| *scale = weight_scale(*scale));
        let values = weights.iter().enumerate().map(|(index, weight)| code(*weight, scales[channel(index)])).collect();
        Self { values, scales, axis }
    }

    /// The weights that the codes stand for.
    pub fn weights(&self, shape: [i64; 4]) -> Vec<f32> {
        let channel = channels(shape, self.axis);
        self.values.iter().enumerate().map(|(index, code)| f32::from(*code) * self.scales[channel(index)]).collect()
    }
}

/// The scale with which `largest` gets the code 127; a channel of zeros gets any that is not zero.
pub(super) fn weight_scale(largest: f32) -> f32 {
    if largest > 0.0 { (largest / WEIGHT_LEVELS).max(f32::MIN_POSITIVE) } else { 1.0 }
}

/// The nearest code, ties to even.
pub(super) fn code(weight: f32, scale: f32) -> i8 {
    (weight / scale).round_ties_even().clamp(-WEIGHT_LEVELS, WEIGHT_LEVELS) as i8
}

/// Index into the weights → output channel.
fn channels(shape: [i64; 4], axis: usize) -> impl Fn(usize) -> usize {
    let shape = shape.map(|n| n.max(1) as usize);
    let inner: usize = shape[axis + 1..].iter().product();
    move |index| index / inner % shape[axis]
}

/// Activations in 8 bits: `value = (code − zero_point) · scale`, codes 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Activation {
    /// > 0.
    pub scale: f32,
    /// The code of 0.
    pub zero_point: u8,
}

impl Activation {
    /// Codes for `low` to `high`; the range is widened to hold 0, which is then exact.
    pub fn of_range(low: f32, high: f32) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = if high > low { ((high - low) / 255.0).max(f32::MIN_POSITIVE) } else { 1.0 };
        Self { scale, zero_point: (-low / scale).round_ties_even().clamp(0.0, 255.0) as u8 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_within_half_a_step_and_keep_zero() {
        let shape = [2, 2, 1, 3];
        let weights: Vec<f32> =
            vec![0.5, -1.0, 0.0, 0.013, 0.27, -0.9, 100.0, -3.0, 50.4, 0.2, 0.0, -99.0].into_iter().collect();
        for axis in [0, 1] {
            let codes = Codes::nearest(&weights, shape, axis);
            let back = codes.weights(shape);
            for (index, (weight, got)) in weights.iter().zip(&back).enumerate() {
                let channel = if axis == 0 { index / 6 } else { index / 3 % 2 };
                assert!((weight - got).abs() <= 0.5001 * codes.scales[channel], "{axis}: {weight} {got}");
            }
            assert_eq!((back[2], back[10]), (0.0, 0.0));
            // What 8 bits hold already stays as it is.
            assert_eq!(Codes::nearest(&back, shape, axis), codes);
        }
        let zeros = Codes::nearest(&[0.0; 12], shape, 0);
        assert_eq!(zeros.weights(shape), [0.0; 12]);
    }

    #[test]
    fn activations_hold_zero_and_both_ends() {
        for (low, high) in [(0.0, 6.0), (-2.1, 2.6), (1.0, 3.0), (-4.0, -1.0)] {
            let Activation { scale, zero_point } = Activation::of_range(low, high);
            let value = |code: u8| (f32::from(code) - f32::from(zero_point)) * scale;
            assert_eq!(value(zero_point), 0.0);
            assert!(value(0) <= low + scale / 2.0 && value(255) >= high - scale / 2.0, "{low} {high}");
        }
        assert!(Activation::of_range(0.0, 0.0).scale > 0.0);
    }
}
