//! Layers with PyTorch's initialisation and state-dict names.

use tch::nn::{Init, Path};
use tch::{Kind, Tensor};

/// How a forward pass computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Batch norms use the batch's statistics and update the running ones.
    pub train: bool,
    /// Kind of activations and of the weights as used; parameters stay f32.
    pub kind: Kind,
}

impl Mode {
    /// f32 with running statistics.
    pub const EVAL: Mode = Mode { train: false, kind: Kind::Float };
}

/// PyTorch's default: uniform in ±1/√(fan in), for weights and bias alike.
fn uniform(fan_in: i64) -> Init {
    let bound = 1.0 / (fan_in as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}

/// Convolution, square kernel and stride.
#[derive(Debug)]
pub struct Conv {
    /// (out, in, k, k).
    pub weight: Tensor,
    /// (out).
    pub bias: Option<Tensor>,
    /// Step along both axes.
    pub stride: i64,
    /// Zeros on each side.
    pub padding: i64,
}

impl Conv {
    /// A convolution with bias.
    pub fn new(path: &Path, inputs: i64, outputs: i64, kernel: i64, stride: i64, padding: i64) -> Self {
        let init = uniform(inputs * kernel * kernel);
        let bias = Some(path.var("bias", &[outputs], init));
        Self { bias, ..Self::bare(path, inputs, outputs, kernel, stride, padding) }
    }

    /// A convolution without bias.
    pub fn bare(path: &Path, inputs: i64, outputs: i64, kernel: i64, stride: i64, padding: i64) -> Self {
        let init = uniform(inputs * kernel * kernel);
        let weight = path.var("weight", &[outputs, inputs, kernel, kernel], init);
        Self { weight, bias: None, stride, padding }
    }

    /// (B, in, H, W) → (B, out, H', W').
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Tensor {
        let bias = self.bias.as_ref().map(|b| b.to_kind(mode.kind));
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        x.conv2d(&self.weight.to_kind(mode.kind), bias, stride, padding, [1, 1], 1)
    }
}

/// Transposed convolution, square kernel and stride.
#[derive(Debug)]
pub struct ConvTranspose {
    /// (in, out, k, k).
    pub weight: Tensor,
    /// (out).
    pub bias: Tensor,
    /// Step along both axes of the output.
    pub stride: i64,
    /// Cells cut from each side of the output.
    pub padding: i64,
    /// Cells added at the end of each axis of the output.
    pub output_padding: i64,
}

impl ConvTranspose {
    /// A transposed convolution with bias.
    pub fn new(path: &Path, channels: [i64; 2], kernel: i64, stride: i64, padding: i64, output_padding: i64) -> Self {
        let [inputs, outputs] = channels;
        let init = uniform(outputs * kernel * kernel);
        Self {
            weight: path.var("weight", &[inputs, outputs, kernel, kernel], init),
            bias: path.var("bias", &[outputs], init),
            stride,
            padding,
            output_padding,
        }
    }

    /// (B, in, H, W) → (B, out, H', W').
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Tensor {
        let bias = Some(self.bias.to_kind(mode.kind));
        let (stride, padding, output_padding) = ([self.stride; 2], [self.padding; 2], [self.output_padding; 2]);
        x.conv_transpose2d(&self.weight.to_kind(mode.kind), bias, stride, padding, output_padding, 1, [1, 1])
    }
}

/// Batch normalisation over (B, C, H, W).
#[derive(Debug)]
pub struct BatchNorm {
    /// (C), multiplies.
    pub weight: Tensor,
    /// (C), adds.
    pub bias: Tensor,
    /// (C).
    pub running_mean: Tensor,
    /// (C).
    pub running_var: Tensor,
}

impl BatchNorm {
    /// Added to the variance.
    pub const EPS: f64 = 1e-5;
    const MOMENTUM: f64 = 0.1;

    /// Scale one, shift zero.
    pub fn new(path: &Path, channels: i64) -> Self {
        Self {
            weight: path.var("weight", &[channels], Init::Const(1.0)),
            bias: path.var("bias", &[channels], Init::Const(0.0)),
            running_mean: path.zeros_no_train("running_mean", &[channels]),
            running_var: path.ones_no_train("running_var", &[channels]),
        }
    }

    /// Normalises each channel.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Tensor {
        x.batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&self.running_var),
            mode.train,
            Self::MOMENTUM,
            Self::EPS,
            false,
        )
    }

    /// The (scale, shift) that this layer applies with its running statistics.
    pub fn affine(&self) -> (Tensor, Tensor) {
        let scale = &self.weight / (&self.running_var + Self::EPS).sqrt();
        let shift = &self.bias - &self.running_mean * &scale;
        (scale, shift)
    }
}
