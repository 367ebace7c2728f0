//! Models that take several images, against tract alone.

use super::{Fusion, Planning, fuse};
use crate::infer::kernels::Isa;
use crate::infer::made::{Made, spec, tensor};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::{Conv, Deconv, KernelFormat, MaxPool, SumPool};
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};
use tract_onnx::tract_core::ops::quant::{DequantizeLinearF32, quantize_linear_u8};

/// Largest difference relative to the largest value.
const TOLERANCE: f32 = 2e-5;

fn conv(model: &mut TypedModel, name: &str, input: OutletId, [o, i, kernel, stride]: [usize; 4]) -> OutletId {
    let weights = model.add_const(format!("{name}.weights"), tensor(&[o, i, kernel, kernel], o + kernel)).unwrap();
    let bias = model.add_const(format!("{name}.bias"), tensor(&[o], i)).unwrap();
    let pool_spec = spec([kernel; 2], [stride; 2], [kernel / 2; 2], [i, o]);
    let operator = Conv { pool_spec, kernel_fmt: KernelFormat::OIHW, group: 1, q_params: None };
    model.wire_node(name, operator, &[input, weights, bias]).unwrap()[0]
}

fn relu(model: &mut TypedModel, name: &str, input: OutletId) -> OutletId {
    let zero = model.add_const(format!("{name}.zero"), tensor0(0f32).broadcast_into_rank(4).unwrap()).unwrap();
    model.wire_node(name, math::max(), &[input, zero]).unwrap()[0]
}

/// Every kind of layer that an exported model has, after an input of `images` pictures.
fn every_layer(images: usize) -> Made {
    Made::new([images, 3, 20, 28], |model, input| {
        let stem = conv(model, "stem", input, [18, 3, 3, 2]);
        let stem = relu(model, "stem.relu", stem);
        let trunk = conv(model, "trunk", stem, [18, 18, 5, 1]);
        let trunk = model.wire_node("residual", math::add(), &[trunk, stem]).unwrap()[0];
        let trunk = relu(model, "trunk.relu", trunk);
        let fine = conv(model, "fine", trunk, [18, 18, 3, 1]);
        let pool_spec = spec([2; 2], [2; 2], [0; 2], [18; 2]);
        let mean = SumPool { pool_spec, count_include_pad: false, normalize: true };
        let coarse = model.wire_node("coarse", mean, &[fine]).unwrap()[0];
        let weights = model.add_const("up.weights", tensor(&[18, 18, 3, 3], 5)).unwrap();
        let bias = model.add_const("up.bias", tensor(&[18], 6)).unwrap();
        let up = Deconv {
            pool_spec: spec([3; 2], [2; 2], [1; 2], [18; 2]),
            kernel_format: KernelFormat::OIHW,
            adjustments: tvec![1, 1],
            group: 1,
        };
        let up = model.wire_node("up", up, &[coarse, weights, bias]).unwrap()[0];
        let [left, right] = [("left", up), ("right", trunk)].map(|(name, map)| conv(model, name, map, [32, 18, 1, 1]));
        let difference = model.wire_node("difference", math::sub(), &[left, right]).unwrap()[0];
        let square = model.wire_node("square", math::square(), &[difference]).unwrap()[0];
        let sum = Reduce { axes: tvec![1], reducer: Reducer::Sum };
        model.wire_node("sum", sum, &[square]).unwrap()
    })
}

#[test]
fn each_of_several_images_is_computed_as_if_alone() {
    for isa in Isa::available() {
        for images in [1, 2, 3, 16] {
            let name = format!("{images} images, {}", isa.name());
            let mut fusion = Fusion::default();
            let fused = every_layer(images).changed(&name, TOLERANCE, |model| {
                fusion = fuse(model, isa, &mut Planning::Estimate).unwrap();
            });
            assert_eq!((fusion.left.as_slice(), fusion.networks.len()), (&[] as &[String], 1), "{name}");
            assert!(!fused.has::<Conv>() && !fused.has::<Deconv>(), "{name}");
        }
    }
}

/// As in a residual network that activates before it convolves.
#[test]
fn a_sum_that_is_activated_and_added_to_is_computed_once() {
    let made = Made::new([1, 3, 12, 20], |model, input| {
        let mut sum = conv(model, "stem", input, [24, 3, 3, 1]);
        for block in ["first", "second"] {
            let active = relu(model, &format!("{block}.relu"), sum);
            let part = conv(model, &format!("{block}.reduce"), active, [16, 24, 1, 1]);
            let part = relu(model, &format!("{block}.middle"), part);
            let part = conv(model, &format!("{block}.expand"), part, [24, 16, 1, 1]);
            sum = model.wire_node(format!("{block}.sum"), math::add(), &[part, sum]).unwrap()[0];
        }
        tvec![relu(model, "last", sum)]
    });
    for isa in Isa::available() {
        let mut fusion = Fusion::default();
        made.changed(isa.name(), TOLERANCE, |model| fusion = fuse(model, isa, &mut Planning::Estimate).unwrap());
        assert_eq!((fusion.left.as_slice(), fusion.networks.len()), (&[] as &[String], 1), "{}", isa.name());
        let operators = fusion.networks[0].operators();
        let computing: Vec<&str> =
            operators.iter().filter(|operator| operator.direct > 0).map(|operator| &*operator.name).collect();
        assert_eq!(computing, ["stem", "first.middle", "first.sum", "second.middle", "last"], "{}", isa.name());
    }
}

/// As a quantized residual network that activates before it convolves begins.
#[test]
fn the_rounding_of_a_pool_keeps_layers_together() {
    let made = Made::new([1, 3, 16, 24], |model, input| {
        let stem = conv(model, "stem", input, [24, 3, 3, 1]);
        let pool_spec = spec([3; 2], [2; 2], [1; 2], [24; 2]);
        let mut map = model.wire_node("pool", MaxPool { pool_spec, with_index_outputs: None }, &[stem]).unwrap()[0];
        let mean =
            SumPool { pool_spec: spec([4; 2], [4; 2], [0; 2], [16; 2]), count_include_pad: false, normalize: true };
        for (name, channels) in [("first", 24), ("second", 16)] {
            let stored = model.wire_node(format!("{name}.store"), quantize_linear_u8(20.0, 100), &[map]).unwrap();
            let read = DequantizeLinearF32::new(0.05, 100);
            let read = model.wire_node(format!("{name}.read"), read, &stored).unwrap()[0];
            map = conv(model, name, read, [16, channels, 1, 1]);
            if name == "first" {
                map = model.wire_node("mean", mean.clone(), &[map]).unwrap()[0];
            }
        }
        tvec![map]
    });
    for isa in Isa::available() {
        let mut fusion = Fusion::default();
        let fused =
            made.changed(isa.name(), TOLERANCE, |model| fusion = fuse(model, isa, &mut Planning::Estimate).unwrap());
        assert_eq!((fusion.left.as_slice(), fusion.networks.len()), (&[] as &[String], 1), "{}", isa.name());
        assert!(
            !fused.has::<MaxPool>() && !fused.has::<SumPool>() && !fused.has::<DequantizeLinearF32>(),
            "{}",
            isa.name()
        );
    }
}

/// A map that all images share is none of theirs.
#[test]
fn a_map_for_all_images_stays_with_tract() {
    let made = Made::new([2, 3, 8, 8], |model, input| {
        let map = conv(model, "map", input, [16, 3, 3, 1]);
        let shared = model.add_const("shared", tensor(&[1, 16, 8, 8], 9)).unwrap();
        model.wire_node("sum", math::add(), &[map, shared]).unwrap()
    });
    made.changed("a shared map", TOLERANCE, |model| {
        assert_eq!(fuse(model, Isa::best(), &mut Planning::Estimate).unwrap().networks.len(), 1);
    });
}
