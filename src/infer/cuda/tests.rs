//! Rewritten models against the models as they were, both on the processor.

use super::simplify::simplify;
use crate::infer::made::{Made, spec, tensor};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::{Conv, Deconv, KernelFormat, MaxPool, SumPool};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::quant::{DequantizeLinearF32, quantize_linear_i8, quantize_linear_u8};

/// Largest difference relative to the largest value.
const TOLERANCE: f32 = 1e-6;

impl Made {
    /// Simplified; the results before and after must be alike.
    fn simplified(&self, name: &str) -> Self {
        self.changed(name, TOLERANCE, |model| simplify(model).unwrap())
    }
}

#[test]
fn a_transposed_convolution_becomes_one_of_all_phases() {
    for (kernel, stride, pad, extra, shape) in [
        ([3, 3], [2, 2], [1, 1], [1, 1], [1, 3, 5, 4]),
        ([3, 3], [2, 2], [1, 1], [1, 1], [2, 3, 5, 4]),
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
