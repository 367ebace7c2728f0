//! Rewritten models against the models as they were, both on the processor.

use super::simplify::simplify;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::{Conv, Deconv, KernelFormat, MaxPool, PaddingSpec, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::DataFormat;
use tract_onnx::tract_core::ops::quant::{DequantizeLinearF32, quantize_linear_i8, quantize_linear_u8};

/// Largest difference relative to the largest value.
const TOLERANCE: f32 = 1e-6;

/// Numbers in −1 … 1 from the golden ratio's multiples.
fn values(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|index| ((index + 97 * seed) as f32 * 0.618_034).fract() * 2.0 - 1.0).collect()
}

fn tensor(shape: &[usize], seed: usize) -> Tensor {
    Tensor::from_shape(shape, &values(shape.iter().product(), seed)).unwrap()
}

struct Made {
    model: TypedModel,
    shape: [usize; 4],
}

impl Made {
    /// A model of the operators that `wire` adds after an input of `shape`.
    fn new(shape: [usize; 4], wire: impl FnOnce(&mut TypedModel, OutletId) -> TVec<OutletId>) -> Self {
        let mut model = TypedModel::default();
        let input = model.add_source("input", f32::fact(shape)).unwrap();
        let outputs = wire(&mut model, input);
        model.select_output_outlets(&outputs).unwrap();
        Self { model: model.into_decluttered().unwrap(), shape }
    }

    fn has<O: Op>(&self) -> bool {
        self.model.nodes().iter().any(|node| node.op_is::<O>())
    }

    fn run(&self, image: &Tensor) -> (Vec<usize>, Vec<f32>) {
        let plan = self.model.clone().into_optimized().unwrap().into_runnable().unwrap();
        let outputs = plan.run(tvec![image.clone().into_tvalue()]).unwrap();
        let values = outputs[0].try_as_plain_ram().unwrap().as_slice::<f32>().unwrap().to_vec();
        (outputs[0].shape().to_vec(), values)
    }

    /// Simplified; the results before and after must be alike.
    fn simplified(&self, name: &str) -> Self {
        let mut simple = Self { model: self.model.clone(), shape: self.shape };
        simplify(&mut simple.model).unwrap();
        let image = tensor(&self.shape, 1);
        let (before, after) = (self.run(&image), simple.run(&image));
        assert_eq!(after.0, before.0, "{name}");
        let largest = before.1.iter().fold(0f32, |m, v| m.max(v.abs()));
        let worst = before.1.iter().zip(&after.1).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(worst <= TOLERANCE * largest, "{name}: {worst} of {largest}");
        simple
    }
}

fn spec(kernel: [usize; 2], stride: [usize; 2], pad: [usize; 2], channels: [usize; 2]) -> PoolSpec {
    PoolSpec {
        data_format: DataFormat::NCHW,
        kernel_shape: TVec::from_slice(&kernel),
        padding: PaddingSpec::Explicit(TVec::from_slice(&pad), TVec::from_slice(&pad)),
        dilations: None,
        strides: Some(TVec::from_slice(&stride)),
        input_channels: channels[0],
        output_channels: channels[1],
    }
}

#[test]
fn a_transposed_convolution_becomes_one_of_all_phases() {
    for (kernel, stride, pad, extra, shape) in [
        ([3, 3], [2, 2], [1, 1], [1, 1], [1, 3, 5, 4]),
        ([4, 4], [2, 2], [1, 1], [0, 0], [1, 2, 3, 6]),
        ([2, 3], [2, 3], [0, 0], [0, 0], [1, 2, 4, 3]),
        ([4, 8], [4, 8], [0, 0], [0, 0], [1, 8, 1, 1]),
        ([5, 5], [3, 2], [2, 1], [0, 1], [1, 2, 4, 4]),
        ([3, 3], [1, 1], [1, 1], [0, 0], [1, 2, 4, 5]),
        ([2, 2], [3, 3], [0, 0], [0, 0], [1, 2, 3, 3]),
    ] {
        let name = format!("kernel {kernel:?}, stride {stride:?}, pad {pad:?}, extra {extra:?}");
        let made = Made::new(shape, |model, input| {
            let weights = model.add_const("weights", tensor(&[3, shape[1], kernel[0], kernel[1]], 2)).unwrap();
            let bias = model.add_const("bias", tensor(&[3], 3)).unwrap();
            let operator = Deconv {
                pool_spec: spec(kernel, stride, pad, [shape[1], 3]),
                kernel_format: KernelFormat::OIHW,
                adjustments: TVec::from_slice(&extra),
                group: 1,
            };
            model.wire_node("deconv", operator, &[input, weights, bias]).unwrap()
        });
        assert!(made.has::<Deconv>(), "{name}");
        assert!(!made.simplified(&name).has::<Deconv>(), "{name} is left");
    }
}

#[test]
fn a_projection_becomes_a_convolution_again() {
    let made = Made::new([1, 6, 4, 5], |model, input| {
        let weights = model.add_const("weights", tensor(&[3, 6, 1, 1], 2)).unwrap();
        let bias = model.add_const("bias", tensor(&[3], 3)).unwrap();
        let pool_spec = spec([1, 1], [1, 1], [0, 0], [6, 3]);
        let operator = Conv { pool_spec, kernel_fmt: KernelFormat::OIHW, group: 1, q_params: None };
        model.wire_node("conv", operator, &[input, weights, bias]).unwrap()
    });
    assert!(made.has::<EinSum>());
    let simple = made.simplified("projection");
    assert!(simple.has::<Conv>() && !simple.has::<EinSum>());
}

#[test]
fn pools_become_maxima_and_sums() {
    for (kernel, stride, pad, shape) in [
        ([3, 3], [2, 2], [1, 1], [1, 2, 8, 12]),
        ([3, 3], [2, 2], [1, 1], [1, 2, 7, 9]),
        ([2, 2], [2, 2], [0, 0], [1, 3, 6, 8]),
        ([3, 2], [1, 3], [0, 0], [1, 2, 5, 11]),
        ([2, 2], [3, 3], [0, 0], [1, 2, 9, 10]),
    ] {
        let name = format!("kernel {kernel:?}, stride {stride:?}, pad {pad:?} of {shape:?}");
        let pool_spec = spec(kernel, stride, pad, [shape[1], shape[1]]);
        let largest = MaxPool { pool_spec: pool_spec.clone(), with_index_outputs: None };
        let made = Made::new(shape, |model, input| model.wire_node("pool", largest, &[input]).unwrap());
        assert!(made.has::<MaxPool>() && !made.simplified(&name).has::<MaxPool>(), "{name}: largest");
        let mean = SumPool { pool_spec, count_include_pad: false, normalize: true };
        let made = Made::new(shape, |model, input| model.wire_node("pool", mean, &[input]).unwrap());
        // The border's means have fewer pixels.
        assert_eq!(made.simplified(&name).has::<SumPool>(), pad != [0, 0], "{name}: mean");
    }
}

#[test]
fn maps_of_8_bits_become_the_same_values_in_f32() {
    let (step, shape) = (0.011_f32, [1, 3, 16, 16]);
    let quantize: [(_, i32, ElementWise); 2] = [
        ("u8", 100, |step, zero| quantize_linear_u8(step.recip(), zero as u8)),
        ("i8", -20, |step, zero| quantize_linear_i8(step.recip(), zero as i8)),
    ];
    for (name, zero, quantize) in quantize {
        let made = Made::new(shape, |model, input| {
            let stored = model.wire_node("stored", quantize(step, zero), &[input]).unwrap();
            model.wire_node("read", DequantizeLinearF32::new(step, zero), &stored).unwrap()
        });
        assert!(made.has::<DequantizeLinearF32>(), "{name}");
        assert!(!made.simplified(name).has::<DequantizeLinearF32>(), "{name}");
    }
}

type ElementWise = fn(f32, i32) -> tract_onnx::tract_core::ops::element_wise::ElementWiseOp;

#[test]
fn an_activation_keeps_what_is_not_a_number() {
    let made = Made::new([1, 1, 2, 8], |model, input| {
        let zero = model.add_const("zero", tensor0(0f32).broadcast_into_rank(4).unwrap()).unwrap();
        model.wire_node("relu", math::max(), &[input, zero]).unwrap()
    });
    let simple = made.simplified("activation");
    assert!(!simple.has::<TypedBinOp>());
    let broken = Tensor::from_shape(&[1, 1, 2, 8], &[f32::NAN; 16]).unwrap();
    assert!(simple.run(&broken).1.iter().all(|value| value.is_nan()));
}
