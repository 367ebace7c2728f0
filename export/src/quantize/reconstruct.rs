//! Weights of one convolution rounded so that its output stays, not so that each weight stays.
//!
//! The codes are found by column after column, every rounding error being passed on to the columns that are still free
//! (optimal brain compression; GPTQ, Frantar et al., arXiv 2210.17323, algorithm 1). Before that, the float weights are
//! moved by the least squares that make up for what the layers before have lost.

use super::codes::{Codes, Numbers, code, weight_scale};
use super::{Convolution, QuantizeError};
use tch::{Kind, Tensor};
use tract_onnx::prelude::f16;

/// Positions of the output that are looked at in each image, at most.
const POSITIONS: i64 = 4096;
/// Added to the diagonal of XXᵀ, relative to its mean.
const DAMPING: f64 = 0.01;
/// Fewest samples for each weight of a channel with which the weights are moved at all.
const SAMPLES_A_WEIGHT: f64 = 2.0;

/// A convolution in fewer bits.
#[derive(Clone, Debug)]
pub(super) struct Reconstructed {
    pub numbers: Numbers,
    pub bias: Vec<f32>,
}

/// Quantizes `conv` (weights (out, in, k, k) or transposed, bias) whose input will be `x` (B, in, H, W), so that its
/// output comes close to `target` (B, out, H', W').
///
/// With too few samples the codes are the nearest ones and only the bias is fitted.
pub(super) fn reconstruct(
    conv: &Convolution,
    weight: &Tensor,
    x: &Tensor,
    target: &Tensor,
    positions: &Tensor,
    half: bool,
) -> Result<Reconstructed, QuantizeError> {
    let shape = <[i64; 4]>::try_from(weight.size())
        .map_err(|_| QuantizeError::Graph(format!("weight {}: expected four dimensions", conv.weight)))?;
    let rows = matrix(conv, weight);
    let sums = Sums::collect(conv, &rows, x, target, positions);
    let channels = rows.size()[0] as usize;
    let inputs = rows.size()[1] as usize;
    let scale =
        |row: &[f64]| if half { 0.0 } else { weight_scale(row.iter().fold(0.0f64, |m, v| m.max(v.abs())) as f32) };
    let (rounded, scales): (Vec<Vec<f64>>, Vec<f32>) = if sums.count < SAMPLES_A_WEIGHT * inputs as f64 {
        let nearest = |row: &[f64]| {
            let scale = scale(row);
            (row.iter().map(|weight| nearest(*weight, scale)).collect(), scale)
        };
        numbers(&rows).chunks(inputs).map(nearest).unzip()
    } else {
        sums.rounded(&rows, scale)
    };
    let rounded = Tensor::from_slice(&rounded.concat()).view([channels as i64, inputs as i64]);
    // The mean of the output is that of the target.
    let bias = &sums.target_mean - rounded.mv(&sums.input_mean);
    let bias = numbers(&bias).into_iter().map(|v| v as f32).collect();
    let values = restore(conv, &rounded, shape);
    let numbers = if half {
        Numbers::Half(numbers(&values).into_iter().map(|v| v as f32).collect())
    } else {
        let mut of_channel = [1i64; 4];
        of_channel[conv.output_axis()] = channels as i64;
        let codes = values / Tensor::from_slice(&scales).to_kind(Kind::Double).view(of_channel);
        let values = numbers(&codes).into_iter().map(|code| code.round() as i8).collect();
        Numbers::Codes(Codes { values, scales, axis: conv.output_axis() })
    };
    Ok(Reconstructed { numbers, bias })
}

/// Positions that [`reconstruct`] looks at in an output of `height` × `width`, drawn from libtorch's generator.
pub(super) fn draw_positions(height: i64, width: i64) -> Tensor {
    let all = height * width;
    let order = Tensor::randperm(all, (Kind::Int64, tch::Device::Cpu));
    order.narrow(0, 0, all.min(POSITIONS))
}

/// Sums over samples; inputs are columns of patches, K = in · k · k.
struct Sums {
    count: f64,
    /// (K).
    input_mean: Tensor,
    /// (out).
    target_mean: Tensor,
    /// Σ x xᵀ of centred inputs: (K, K).
    gram: Tensor,
    /// Σ (target − W x) xᵀ, centred: (out, K).
    residual: Tensor,
}

impl Sums {
    fn collect(conv: &Convolution, rows: &Tensor, x: &Tensor, target: &Tensor, positions: &Tensor) -> Self {
        let (outputs, inputs) = (rows.size()[0], rows.size()[1]);
        let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Double, tch::Device::Cpu));
        let mut gram = zeros(&[inputs, inputs]);
        let mut cross = zeros(&[outputs, inputs]);
        let (mut input, mut output) = (zeros(&[inputs]), zeros(&[outputs]));
        let mut count = 0.0;
        for image in 0..x.size()[0] {
            let patches = patches(conv, &x.narrow(0, image, 1), rows, positions);
            let target = target.get(image).view([outputs, -1]).index_select(1, positions);
            count += positions.size()[0] as f64;
            gram += patches.matmul(&patches.tr()).to_kind(Kind::Double);
            cross += target.matmul(&patches.tr()).to_kind(Kind::Double);
            let sum = |t: &Tensor| t.sum_dim_intlist([1i64].as_slice(), false, Kind::Double);
            input += sum(&patches);
            output += sum(&target);
        }
        let (input_mean, target_mean) = (input / count, output / count);
        let gram = gram - input_mean.outer(&input_mean) * count;
        let cross = cross - target_mean.outer(&input_mean) * count;
        let residual = cross - rows.matmul(&gram);
        Self { count, input_mean, target_mean, gram, residual }
    }

    /// The rounded weights of each output channel and its scale.
    fn rounded(&self, rows: &Tensor, scale: impl Fn(&[f64]) -> f32) -> (Vec<Vec<f64>>, Vec<f32>) {
        let inputs = rows.size()[1];
        let damping = self.gram.diagonal(0, 0, 1).mean(Kind::Double) * DAMPING + f64::MIN_POSITIVE.sqrt();
        let damped = &self.gram + Tensor::eye(inputs, (Kind::Double, tch::Device::Cpu)) * damping;
        let inverse = Tensor::cholesky_inverse(&damped.linalg_cholesky(false), false);
        let moved = rows + self.residual.matmul(&inverse);
        // The columns that matter most first, while the others can still make up for them.
        let order = self.gram.diagonal(0, 0, 1).argsort(0, true);
        let ordered = inverse.index_select(0, &order).index_select(1, &order);
        let factor = numbers(&ordered.linalg_cholesky(true));
        let weights = numbers(&moved.index_select(1, &order));
        let order: Vec<usize> = numbers(&order.to_kind(Kind::Double)).into_iter().map(|i| i as usize).collect();
        let rounded = |row: &[f64]| {
            let scale = scale(row);
            (round_row(row.to_vec(), &factor, &order, scale), scale)
        };
        weights.chunks(order.len()).map(rounded).unzip()
    }
}

/// Rounds one channel, `factor` being the upper Cholesky factor of the inverse of XXᵀ; columns are in `order`, the result
/// is not.
fn round_row(mut row: Vec<f64>, factor: &[f64], order: &[usize], scale: f32) -> Vec<f64> {
    let mut values = vec![0.0; row.len()];
    for (index, &column) in order.iter().enumerate() {
        let factors = &factor[index * order.len()..][..order.len()];
        let rounded = nearest(row[index], scale);
        values[column] = rounded;
        let error = (row[index] - rounded) / factors[index];
        row[index..].iter_mut().zip(&factors[index..]).for_each(|(value, factor)| *value -= error * factor);
    }
    values
}

/// The nearest number with a code, or of 16 bits where `scale` is 0.
fn nearest(weight: f64, scale: f32) -> f64 {
    if scale == 0.0 {
        f64::from(f16::from_f64(weight).to_f32())
    } else {
        f64::from(code(weight as f32, scale)) * f64::from(scale)
    }
}

/// Weights as a matrix (out, in · k · k) over [`patches`], f64.
fn matrix(conv: &Convolution, weight: &Tensor) -> Tensor {
    let weight = weight.to_kind(Kind::Double);
    let forward = if conv.transposed { weight.transpose(0, 1).flip([2, 3]) } else { weight };
    forward.contiguous().view([forward.size()[0], -1])
}

/// The inverse of [`matrix`]'s reordering.
fn restore(conv: &Convolution, rows: &Tensor, shape: [i64; 4]) -> Tensor {
    let [first, second, height, width] = shape;
    if conv.transposed {
        rows.view([second, first, height, width]).flip([2, 3]).transpose(0, 1)
    } else {
        rows.view(shape)
    }
}

/// What each of `positions` of the output is computed from: (in · k · k, positions). A transposed convolution is one
/// with turned kernel over an input with zeros between.
fn patches(conv: &Convolution, x: &Tensor, rows: &Tensor, positions: &Tensor) -> Tensor {
    let channels = x.size()[1];
    let kernel = ((rows.size()[1] / channels) as f64).sqrt().round() as i64;
    let (x, padding, stride) = if conv.transposed {
        let (height, width, stride) = (x.size()[2], x.size()[3], conv.stride);
        let side = |n: i64| (n - 1) * stride + 1 + conv.output_padding;
        let spread = Tensor::zeros([1, channels, side(height), side(width)], (x.kind(), x.device()));
        let end = |n: i64| (n - 1) * stride + 1;
        let mut filled = spread.slice(2, 0, end(height), stride).slice(3, 0, end(width), stride);
        filled.copy_(x);
        (spread, kernel - 1 - conv.padding, 1)
    } else {
        (x.shallow_clone(), conv.padding, conv.stride)
    };
    let columns = x.im2col([kernel; 2], [1, 1], [padding; 2], [stride; 2]);
    columns.squeeze_dim(0).index_select(1, positions)
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    // A contiguous tensor of doubles is always readable.
    Vec::<f64>::try_from(tensor.to_kind(Kind::Double).contiguous().view(-1)).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::random::noise;

    const FORWARD: Convolution = Convolution {
        weight: String::new(),
        bias: String::new(),
        transposed: false,
        stride: 1,
        padding: 1,
        output_padding: 0,
    };

    fn cases() -> [(Convolution, [i64; 4]); 3] {
        [
            (FORWARD, [6, 5, 3, 3]),
            (Convolution { stride: 2, ..FORWARD }, [6, 5, 3, 3]),
            (Convolution { transposed: true, stride: 2, output_padding: 1, ..FORWARD }, [5, 6, 3, 3]),
        ]
    }

    /// Neighbouring pixels and channels alike, as behind a layer of a network: (4, 5, 24, 24).
    fn smooth() -> Tensor {
        let noise = noise(&[4, 5, 6, 6], 1);
        let common = noise.mean_dim([1i64].as_slice(), true, Kind::Float);
        (noise * 0.3 + common).upsample_bilinear2d([24, 24], false, None, None).relu()
    }

    /// What is stored, and the output that it gives.
    fn stored(conv: &Convolution, weight: &Tensor, x: &Tensor, target: &Tensor, half: bool) -> (Numbers, Tensor) {
        let positions = draw_positions(target.size()[2], target.size()[3]);
        let Reconstructed { numbers, bias } = reconstruct(conv, weight, x, target, &positions, half).unwrap();
        let shape = <[i64; 4]>::try_from(weight.size()).unwrap();
        let rounded = Tensor::from_slice(&numbers.weights(shape)).view(shape);
        let output = conv.apply(x, &rounded, Some(&Tensor::from_slice(&bias)));
        (numbers, output)
    }

    #[test]
    fn weights_that_8_bits_hold_stay_as_they_are() {
        for (conv, shape) in cases() {
            let x = smooth();
            let weight = noise(&shape, 2);
            let values = Vec::<f32>::try_from(weight.view(-1)).unwrap();
            let codes = Codes::nearest(&values, shape, conv.output_axis());
            let weight = Tensor::from_slice(&codes.weights(shape)).view(shape);
            let bias = noise(&[6], 3);
            let target = conv.apply(&x, &weight, Some(&bias));
            let (got, output) = stored(&conv, &weight, &x, &target, false);
            let Numbers::Codes(got) = got else { panic!("not 8 bits") };
            assert_eq!(got.values, codes.values);
            assert!((output - target).abs().max().double_value(&[]) < 1e-3);
        }
    }

    #[test]
    fn outputs_come_closer_to_the_target_than_with_the_nearest_codes() {
        for (conv, shape) in cases() {
            let x = smooth();
            let weight = noise(&shape, 2);
            let target = conv.apply(&x, &weight, None::<&Tensor>);
            // What a layer before has lost: a part that can be won back, and noise that cannot.
            let noise = noise(&x.size(), 4) * 0.01;
            let seen = &x * 0.97 + &noise;
            let lost = conv.apply(&noise, &weight, None::<&Tensor>).square().mean(Kind::Double).double_value(&[]);
            let values = Vec::<f32>::try_from(weight.view(-1)).unwrap();
            let codes = Codes::nearest(&values, shape, conv.output_axis()).weights(shape);
            let halves: Vec<f32> = values.iter().map(|v| f16::from_f32(*v).to_f32()).collect();
            for (nearest, half) in [(codes, false), (halves, true)] {
                let (_, output) = stored(&conv, &weight, &seen, &target, half);
                let nearest = conv.apply(&seen, &Tensor::from_slice(&nearest).view(shape), None::<&Tensor>);
                let error = |output: &Tensor| (output - &target).square().mean(Kind::Double).double_value(&[]) - lost;
                assert!(error(&output) < 0.5 * error(&nearest), "{} {}", error(&output), error(&nearest));
            }
        }
    }
}
