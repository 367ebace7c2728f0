//! Weights that are whole multiples of a step for each output channel, as those of a quantized model are.

use super::graph::Convolution;

/// Largest magnitude of a code.
const LEVELS: u32 = 127;
/// Largest distance from a whole number: a weight and its step are rounded to f32 each.
const TOLERANCE: f64 = 5e-5;

/// `weight = code · scale`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct EightBits {
    /// In the order of the weights, −127 to 127.
    pub codes: Vec<i8>,
    /// One value an output channel, > 0.
    pub scales: Vec<f32>,
}

impl EightBits {
    /// The codes of a convolution's weights; none where the weights of a channel are not multiples of one step, or need more
    /// than 127 of it.
    ///
    /// tract folds DequantizeLinear into f32 weights before they are seen here; which step they were made with does not
    /// matter where another one gives the same weights.
    pub(super) fn of(convolution: &Convolution) -> Option<Self> {
        let outputs = convolution.bias.len();
        let size = convolution.weights.len() / outputs.max(1);
        let mut found = Self { codes: Vec::with_capacity(convolution.weights.len()), scales: Vec::new() };
        for weights in convolution.weights.chunks_exact(size.max(1)) {
            let largest = weights.iter().fold(0f32, |most, weight| most.max(weight.abs()));
            if !largest.is_finite() {
                return None;
            }
            if largest == 0.0 {
                found.scales.push(1.0);
                found.codes.resize(found.codes.len() + weights.len(), 0);
                continue;
            }
            let steps = |weight: f32, levels: u32| f64::from(weight) / f64::from(largest) * f64::from(levels);
            let is_whole = |steps: f64| (steps - steps.round()).abs() <= TOLERANCE;
            let levels = (1..=LEVELS).find(|levels| weights.iter().all(|weight| is_whole(steps(*weight, *levels))))?;
            found.scales.push((f64::from(largest) / f64::from(levels)) as f32);
            found.codes.extend(weights.iter().map(|weight| steps(*weight, levels).round() as i8));
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convolution(weights: Vec<f32>, outputs: usize) -> Convolution {
        let (weights, bias) = (weights.into(), vec![0.0; outputs]);
        Convolution { weights, bias, kernel: [1, 1], stride: [1, 1], pad: [0, 0], transposed: false }
    }

    #[test]
    fn codes_and_steps_give_the_weights_back() {
        let scales = [0.013f32, 7e-6, 1.0, 0.2];
        let codes: Vec<i8> = (0..4 * 50).map(|i: i32| ((i * 67 + 13) % 255 - 127) as i8).collect();
        let mut codes = codes;
        codes[50..100].iter_mut().for_each(|code| *code /= 3);
        codes[100..150].fill(0);
        let weights: Vec<f32> = codes.iter().zip(0..).map(|(code, i)| f32::from(*code) * scales[i / 50]).collect();
        let found = EightBits::of(&convolution(weights.clone(), 4)).unwrap();
        for (i, weight) in weights.iter().enumerate() {
            let got = f32::from(found.codes[i]) * found.scales[i / 50];
            assert!((got - weight).abs() <= 1e-6 * weight.abs(), "{weight} became {got}");
        }
        assert_eq!(found.codes[..50], codes[..50]);
    }

    #[test]
    fn other_weights_have_no_codes() {
        let weights: Vec<f32> = (0..64).map(|i| (i as f32 * 0.7).sin()).collect();
        assert_eq!(EightBits::of(&convolution(weights, 4)), None);
        let nine_bits: Vec<f32> = (0..255).map(|i| i as f32 * 0.01).collect();
        assert_eq!(EightBits::of(&convolution(nine_bits, 1)), None);
        assert_eq!(EightBits::of(&convolution(vec![f32::NAN, 1.0, f32::INFINITY], 1)), None);
    }
}
