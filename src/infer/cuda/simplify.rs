//! What tract's CUDA runtime computes on the processor, between two copies, said in operators that it computes on the device.

use crate::infer::engine::{Convolution, Pick, Pooling};
use crate::infer::fuse::{linear, map_shape, pool, relu_input, rounded};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Pad, PadMode, Slice};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::{Conv, Deconv, KernelFormat, MaxPool, PaddingSpec, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{DataFormat, leaky_relu};
use tract_onnx::tract_core::ops::quant::DequantizeLinearF32;

/// Largest window of a pool that is taken apart, a side.
const LARGEST_WINDOW: usize = 8;

/// Replaces what can be replaced in a decluttered model; every result is the same function, rounded elsewhere.
pub(super) fn simplify(model: &mut TypedModel) -> TractResult<()> {
    Rewriter::<()>::default()
        .with_rule_for::<Deconv>("transposed convolution", |_, model, node, _, _| deconvolve(model, node))
        .with_rule_for::<EinSum>("projection", |_, model, node, _, _| project(model, node))
        .with_rule_for::<MaxPool>("largest", |_, model, node, _, _| pick(model, node))
        .with_rule_for::<SumPool>("mean", |_, model, node, _, _| pick(model, node))
        .with_rule_for::<TypedBinOp>("activation", |_, model, node, _, _| activate(model, node))
        .with_rule_for::<DequantizeLinearF32>("rounded", |_, model, node, _, _| round(model, node))
        .rewrite(&(), model)
}

/// Operators added to a model in place of one node.
struct Patch<'a> {
    patch: TypedModelPatch,
    model: &'a TypedModel,
    node: &'a TypedNode,
    wire: OutletId,
    added: usize,
}

impl<'a> Patch<'a> {
    /// Begins with `input` as one map with an axis of images.
    fn from(model: &'a TypedModel, node: &'a TypedNode, input: OutletId) -> TractResult<Self> {
        let mut patch = TypedModelPatch::default();
        let wire = patch.tap_model(model, input)?;
        let mut this = Self { patch, model, node, wire, added: 0 };
        if model.outlet_fact(input)?.rank() == 3 {
            this.then(AxisOp::Add(0))?;
        }
        Ok(this)
    }

    fn name(&mut self) -> String {
        self.added += 1;
        format!("{}.device.{}", self.node.name, self.added)
    }

    fn constant(&mut self, tensor: Tensor) -> TractResult<OutletId> {
        let name = self.name();
        self.patch.add_const(name, tensor)
    }

    fn wired(&mut self, operator: impl Into<Box<dyn TypedOp>>, inputs: &[OutletId]) -> TractResult<OutletId> {
        let name = self.name();
        let wires = self.patch.wire_node(name, operator, inputs)?;
        wires.first().copied().context("an operator without a result")
    }

    fn then(&mut self, operator: impl Into<Box<dyn TypedOp>>) -> TractResult<()> {
        self.wire = self.wired(operator, &[self.wire])?;
        Ok(())
    }

    fn with_value(&mut self, operator: TypedBinOp, value: f32) -> TractResult<()> {
        let value = self.constant(Tensor::from_shape(&[1, 1, 1, 1], &[value])?)?;
        self.wire = self.wired(operator, &[self.wire, value])?;
        Ok(())
    }

    fn reshape(&mut self, axis: usize, from: &[usize], to: &[usize]) -> TractResult<()> {
        let dims = |dims: &[usize]| dims.iter().map(|dim| dim.to_dim()).collect();
        self.then(AxisOp::Reshape(axis, dims(from), dims(to)))
    }

    /// A convolution of stride 1 that begins `before` rows and columns above and left of the map, and ends as far below it.
    fn convolve(&mut self, weights: Tensor, bias: &[f32], before: [usize; 2]) -> TractResult<()> {
        let &[outputs, inputs, rows, columns] = weights.shape() else { bail!("weights of {:?}", weights.shape()) };
        let pads = TVec::from_slice(&before);
        let pool_spec = PoolSpec {
            data_format: DataFormat::NCHW,
            kernel_shape: tvec![rows, columns],
            padding: PaddingSpec::Explicit(pads.clone(), pads),
            dilations: None,
            strides: None,
            input_channels: inputs,
            output_channels: outputs,
        };
        let operator = Conv { pool_spec, kernel_fmt: KernelFormat::OIHW, group: 1, q_params: None };
        let weights = self.constant(weights)?;
        let bias = self.constant(Tensor::from_shape(&[outputs], bias)?)?;
        self.wire = self.wired(operator, &[self.wire, weights, bias])?;
        Ok(())
    }

    /// Ends here, with the axes that the node's result has.
    fn finish(mut self) -> TractResult<Option<TypedModelPatch>> {
        let outlet = self.node.id.into();
        if self.model.outlet_fact(outlet)?.rank() == 3 {
            self.then(AxisOp::Rm(0))?;
        }
        self.patch.shunt_outside(self.model, outlet, self.wire)?;
        Ok(Some(self.patch))
    }
}

/// A transposed convolution as a convolution that gives every phase of the stride channels of its own.
fn deconvolve(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let outlet = OutletId::from(node.id);
    let (Ok((input, convolution)), Ok(to)) = (linear(model, outlet), map_shape(model, outlet)) else { return Ok(None) };
    let Ok(from) = map_shape(model, input) else { return Ok(None) };
    let Convolution { weights, bias, kernel: [rows, columns], stride: [down, across], pad, .. } = &convolution;
    // Taps of one phase; each phase has a result before the first input and after the last.
    let taps = [rows.div_ceil(*down), columns.div_ceil(*across)];
    let made = [from.height + taps[0] - 1, from.width + taps[1] - 1];
    if pad[0] + to.height > made[0] * down || pad[1] + to.width > made[1] * across {
        return Ok(None);
    }
    let outputs = to.channels;
    let mut phases = Vec::with_capacity(outputs * down * across * from.channels * taps[0] * taps[1]);
    for (output, y, x) in iterate(outputs, *down, *across) {
        for (input, row, column) in iterate(from.channels, taps[0], taps[1]) {
            let (row, column) = (y + down * (taps[0] - 1 - row), x + across * (taps[1] - 1 - column));
            let inside = row < *rows && column < *columns;
            let at = ((output * from.channels + input) * rows + row) * columns + column;
            phases.push(if inside { weights.get(at).copied().unwrap_or_default() } else { 0.0 });
        }
    }
    let all = outputs * down * across;
    let weights = Tensor::from_shape(&[all, from.channels, taps[0], taps[1]], &phases)?;
    let bias: Vec<f32> = bias.iter().flat_map(|bias| std::iter::repeat_n(*bias, down * across)).collect();
    let mut patch = Patch::from(model, node, input)?;
    patch.convolve(weights, &bias, [taps[0] - 1, taps[1] - 1])?;
    patch.reshape(1, &[all], &[outputs, *down, *across])?;
    patch.then(AxisOp::Move(2, 4))?;
    patch.then(AxisOp::Move(2, 5))?;
    patch.reshape(2, &[made[0], *down], &[made[0] * down])?;
    patch.reshape(3, &[made[1], *across], &[made[1] * across])?;
    for (axis, first, size, of) in [(2, pad[0], to.height, made[0] * down), (3, pad[1], to.width, made[1] * across)] {
        if size < of {
            patch.then(Slice::new(axis, first, first + size))?;
        }
    }
    patch.finish()
}

/// A product over the channels as the 1×1 convolution that it was.
fn project(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let Ok((input, convolution)) = linear(model, node.id.into()) else { return Ok(None) };
    let Convolution { weights, bias, .. } = &convolution;
    let inputs = weights.len() / bias.len().max(1);
    let weights = Tensor::from_shape(&[bias.len(), inputs, 1, 1], weights)?;
    let mut patch = Patch::from(model, node, input)?;
    patch.convolve(weights, bias, [0, 0])?;
    patch.finish()
}

/// A pool as maxima or sums of shifted maps, one axis after the other.
fn pick(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let outlet = OutletId::from(node.id);
    let (Some((input, pooling)), Ok(to)) = (pool(model, outlet), map_shape(model, outlet)) else { return Ok(None) };
    let Pooling { pick, window, stride, pad, of } = pooling;
    let made = [to.height, to.width];
    let beyond = |axis: usize| (made[axis] - 1) * stride[axis] + window[axis] > pad[axis] + of[axis];
    let padded = pad != [0, 0] || beyond(0) || beyond(1);
    // A mean leaves out what lies beyond the border.
    if window.iter().any(|side| *side > LARGEST_WINDOW) || (pick == Pick::Mean && padded) {
        return Ok(None);
    }
    let mut patch = Patch::from(model, node, input)?;
    for axis in [0, 1] {
        // Rows in groups of one stride each, so that a tap is a row of the group.
        let groups = made[axis] + window[axis].div_ceil(stride[axis]) - 1;
        let rows = groups * stride[axis];
        let kept = (rows - pad[axis].min(rows)).min(of[axis]);
        if kept < of[axis] {
            patch.then(Slice::new(2 + axis, 0, kept))?;
        }
        let mut pads = vec![(0, 0); 4];
        pads[2 + axis] = (pad[axis], rows - pad[axis] - kept);
        if pads[2 + axis] != (0, 0) {
            // Rows of a mean that lie beyond the border belong to groups that no window reaches.
            let value = if pick == Pick::Largest { f32::NEG_INFINITY } else { 0.0 };
            patch.then(Pad { pads, mode: PadMode::Constant(rctensor0(value)) })?;
        }
        patch.reshape(2 + axis, &[rows], &[groups, stride[axis]])?;
        let all = patch.wire;
        let mut sum = None;
        for tap in 0..window[axis] {
            let (group, phase) = (tap / stride[axis], tap % stride[axis]);
            patch.wire = all;
            patch.then(Slice::new(2 + axis, group, group + made[axis]))?;
            patch.then(Slice::new(3 + axis, phase, phase + 1))?;
            patch.then(AxisOp::Rm(3 + axis))?;
            let operator = if pick == Pick::Largest { math::max() } else { math::add() };
            sum = Some(match sum {
                None => patch.wire,
                Some(before) => patch.wired(operator, &[before, patch.wire])?,
            });
        }
        patch.wire = sum.unwrap_or(all);
    }
    if pick == Pick::Mean {
        patch.with_value(math::mul(), 1.0 / (window[0] * window[1]) as f32)?;
    }
    patch.finish()
}

/// An activation that keeps what is not a number, which the device's maximum would hide.
fn activate(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let Some(input) = relu_input(model, node.id.into()) else { return Ok(None) };
    if map_shape(model, input).is_err() {
        return Ok(None);
    }
    let mut patch = Patch::from(model, node, input)?;
    patch.then(leaky_relu(0.0))?;
    patch.finish()
}

/// A map that is held in 8 bits, as f32 of the same few values.
fn round(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let outlet = OutletId::from(node.id);
    let Some((exact, grid)) = rounded(model, outlet) else { return Ok(None) };
    if map_shape(model, exact).is_err() || map_shape(model, outlet).is_err() {
        return Ok(None);
    }
    let mut patch = Patch::from(model, node, exact)?;
    patch.with_value(math::mul(), grid.step.recip())?;
    patch.then(math::round_half_to_even())?;
    patch.with_value(math::max(), grid.low)?;
    patch.with_value(math::min(), grid.high)?;
    patch.with_value(math::mul(), grid.step)?;
    patch.finish()
}

fn iterate(a: usize, b: usize, c: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a).flat_map(move |a| (0..b).flat_map(move |b| (0..c).map(move |c| (a, b, c))))
}
