//! Small models of tract, for tests of what changes models.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops where it fails")]

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::{PaddingSpec, PoolSpec};
use tract_onnx::tract_core::ops::nn::DataFormat;

/// Numbers in −1 … 1 from the golden ratio's multiples.
fn values(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|index| ((index + 97 * seed) as f32 * 0.618_034).fract() * 2.0 - 1.0).collect()
}

pub(super) fn tensor(shape: &[usize], seed: usize) -> Tensor {
    Tensor::from_shape(shape, &values(shape.iter().product(), seed)).unwrap()
}

/// A model with one input, and its shape.
pub(super) struct Made {
    pub model: TypedModel,
    shape: [usize; 4],
}

impl Made {
    /// A model of the operators that `wire` adds after an input of `shape`.
    pub(super) fn new(shape: [usize; 4], wire: impl FnOnce(&mut TypedModel, OutletId) -> TVec<OutletId>) -> Self {
        let mut model = TypedModel::default();
        let input = model.add_source("input", f32::fact(shape)).unwrap();
        let outputs = wire(&mut model, input);
        model.select_output_outlets(&outputs).unwrap();
        Self { model: model.into_decluttered().unwrap(), shape }
    }

    pub(super) fn has<O: Op>(&self) -> bool {
        self.model.nodes().iter().any(|node| node.op_is::<O>())
    }

    /// The first output: shape and values.
    pub(super) fn run(&self, image: &Tensor) -> (Vec<usize>, Vec<f32>) {
        let plan = self.model.clone().into_optimized().unwrap().into_runnable().unwrap();
        let outputs = plan.run(tvec![image.clone().into_tvalue()]).unwrap();
        let values = outputs[0].try_as_plain_ram().unwrap().as_slice::<f32>().unwrap().to_vec();
        (outputs[0].shape().to_vec(), values)
    }

    /// The model after `change`; what it gives before and after must be alike but for a share of its largest value.
    pub(super) fn changed(&self, name: &str, tolerance: f32, change: impl FnOnce(&mut TypedModel)) -> Self {
        let mut changed = Self { model: self.model.clone(), shape: self.shape };
        change(&mut changed.model);
        let image = tensor(&self.shape, 1);
        let (before, after) = (self.run(&image), changed.run(&image));
        assert_eq!(after.0, before.0, "{name}");
        let largest = before.1.iter().fold(0f32, |m, v| m.max(v.abs()));
        let worst = before.1.iter().zip(&after.1).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(worst <= tolerance * largest, "{name}: {worst} of {largest}");
        changed
    }
}

/// Windows and channels of a convolution or pool.
pub(super) fn spec(kernel: [usize; 2], stride: [usize; 2], pad: [usize; 2], channels: [usize; 2]) -> PoolSpec {
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
