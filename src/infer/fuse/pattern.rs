//! Nodes of a decluttered tract model → layers of the engine's graph.

use crate::infer::engine::{Convolution, Pick, Pooling, Shape, Weights};
use crate::infer::kernels::Grid;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::{Conv, Deconv, KernelFormat, MaxPool, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::math::{Add, Max, Mul, Square, Sub};
use tract_onnx::tract_core::ops::nn::{DataFormat, Reduce, Reducer};
use tract_onnx::tract_core::ops::quant::{DequantizeLinearF32, QuantizeLinearI8, QuantizeLinearU8};

/// A layer as it stands in the model.
pub(super) struct Pattern {
    pub kind: Kind,
    /// The convolved maps, each with its convolution; one for [`Kind::Convolve`], two for [`Kind::Squares`].
    pub terms: Vec<(OutletId, Convolution)>,
    pub shape: Shape,
}

/// What a [`Pattern`] does with its convolutions.
pub(super) enum Kind {
    Convolve { residual: Option<OutletId>, relu: bool, pool: bool, grid: Option<Grid> },
    Squares,
    Smallest,
    Pool { input: OutletId, pooling: Pooling },
}

impl Pattern {
    /// Every map that the layer reads.
    pub(super) fn inputs(&self) -> impl Iterator<Item = OutletId> {
        let residual = match self.kind {
            Kind::Convolve { residual, .. } => residual,
            Kind::Pool { input, .. } => Some(input),
            Kind::Squares | Kind::Smallest => None,
        };
        self.terms.iter().map(|(input, _)| *input).chain(residual).collect::<Vec<_>>().into_iter()
    }
}

/// The longest layer that ends at `outlet`; the reason where there is none.
pub(super) fn layer(model: &TypedModel, outlet: OutletId) -> Result<Pattern, String> {
    let pattern = |kind, terms| Ok(Pattern { kind, terms, shape: map_shape(model, outlet)? });
    if let Some(terms) = squares(model, outlet) {
        pattern(Kind::Squares, terms?)
    } else if let Some(all) = reduced(model, outlet, Reducer::Min) {
        pattern(Kind::Smallest, vec![linear(model, all)?])
    } else {
        convolve(model, outlet).or_else(|reason| {
            let (input, pooling) = pool(model, outlet).ok_or(reason)?;
            pattern(Kind::Pool { input, pooling }, vec![])
        })
    }
}

/// Whether the node is one that layers are made around.
pub(super) fn is_convolution(node: &TypedNode) -> bool {
    node.op_is::<Conv>() || node.op_is::<Deconv>() || node.op_is::<EinSum>()
}

/// Rounded(Pool(ReLU(convolution + residual))), every part but the convolution optional; of a layer's map that others read
/// before the ReLU, that alone, and of a pool the rounding.
fn convolve(model: &TypedModel, outlet: OutletId) -> Result<Pattern, String> {
    let rounded = rounded_input(model, outlet);
    let (exact, grid) = rounded.map_or((outlet, None), |(exact, grid)| (exact, Some(grid)));
    let pooled = pool_input(model, exact);
    let activated = pooled.unwrap_or(exact);
    let positive = relu_input(model, activated);
    let sum = positive.unwrap_or(activated);
    if positive.is_some() && pooled.is_none() && is_shared(model, sum) && layer(model, sum).is_ok() {
        let kind = Kind::Convolve { residual: Some(sum), relu: true, pool: false, grid };
        return Ok(Pattern { kind, terms: vec![], shape: map_shape(model, outlet)? });
    }
    let (term, residual) =
        match linear(model, sum).map(|term| (term, None)).or_else(|reason| residual_sum(model, sum).ok_or(reason)) {
            Ok(found) => found,
            Err(_) if grid.is_some() && pool(model, exact).is_some() => {
                let kind = Kind::Convolve { residual: Some(exact), relu: false, pool: false, grid };
                return Ok(Pattern { kind, terms: vec![], shape: map_shape(model, outlet)? });
            }
            Err(reason) => return Err(reason),
        };
    if pooled.is_some() && (term.1.transposed || residual.is_some()) {
        return Err("pooling after more than a convolution and its activation".into());
    }
    let kind = Kind::Convolve { residual, relu: positive.is_some(), pool: pooled.is_some(), grid };
    Ok(Pattern { kind, terms: vec![term], shape: map_shape(model, outlet)? })
}

/// Whether more than one layer reads a map, or the model gives it.
fn is_shared(model: &TypedModel, outlet: OutletId) -> bool {
    model.outlet_successors(outlet).len() > 1 || model.output_outlets().is_ok_and(|outputs| outputs.contains(&outlet))
}

/// The two convolutions of Σ_c (a − b)², the second one's sign turned; none where it is something else.
fn squares(model: &TypedModel, outlet: OutletId) -> Option<Result<Vec<(OutletId, Convolution)>, String>> {
    let square = model.node(reduced(model, outlet, Reducer::Sum)?.node);
    let squared = match square.op_as::<ElementWiseOp>() {
        Some(op) => op.0.is::<Square>(),
        None => binary::<Mul>(square).is_some_and(|[a, b]| a == b),
    };
    let [left, right] = binary::<Sub>(model.node(square.inputs.first().filter(|_| squared)?.node))?;
    Some(linear(model, left).and_then(|left| {
        let mut right = linear(model, right)?;
        right.1.weights.iter_mut().chain(right.1.bias.iter_mut()).for_each(|value| *value = -*value);
        let same = left.1.bias.len() == right.1.bias.len();
        if same { Ok(vec![left, right]) } else { Err("difference of unequal numbers of channels".into()) }
    }))
}

/// The map whose channels are made one by `reducer`.
fn reduced(model: &TypedModel, outlet: OutletId, reducer: Reducer) -> Option<OutletId> {
    let node = model.node(outlet.node);
    let reduce = node.op_as::<Reduce>()?;
    (*reduce.axes == [1] && reduce.reducer == reducer).then(|| node.inputs.first().copied())?
}

fn binary<O: tract_onnx::tract_core::ops::binary::BinMiniOp>(node: &TypedNode) -> Option<[OutletId; 2]> {
    let op = node.op_as::<TypedBinOp>()?;
    let [a, b] = node.inputs[..] else { return None };
    op.0.is::<O>().then_some([a, b])
}

/// The map that is quantized and dequantized with one scale, and what it is rounded to; none where its exact values are
/// wanted, too.
fn rounded_input(model: &TypedModel, outlet: OutletId) -> Option<(OutletId, Grid)> {
    let (exact, grid) = rounded(model, outlet)?;
    let stored = *model.node(outlet.node).inputs.first()?;
    let used_once = |outlet| model.outlet_successors(outlet).len() == 1;
    (used_once(exact) && used_once(stored)).then_some((exact, grid))
}

/// The map that is quantized and dequantized with one scale, and what it is rounded to.
pub(in crate::infer) fn rounded(model: &TypedModel, outlet: OutletId) -> Option<(OutletId, Grid)> {
    let dequantize = model.node(outlet.node);
    let DequantizeLinearF32 { scale, zero_point } = dequantize.op_as()?;
    let quantize = model.node(dequantize.inputs.first()?.node);
    let op = &quantize.op_as::<ElementWiseOp>()?.0;
    let (inverse, zero, lowest, highest) = match (op.downcast_ref(), op.downcast_ref()) {
        (Some(QuantizeLinearU8 { scale, zero_point }), _) => (*scale, i32::from(*zero_point), 0, 255),
        (_, Some(QuantizeLinearI8 { scale, zero_point })) => (*scale, i32::from(*zero_point), -128, 127),
        _ => return None,
    };
    let exact = *quantize.inputs.first()?;
    let same = scale.recip() == inverse && *zero_point == zero && scale.is_normal() && *scale > 0.0;
    let grid = Grid { step: *scale, low: (lowest - zero) as f32, high: (highest - zero) as f32 };
    same.then_some((exact, grid))
}

fn pool_input(model: &TypedModel, outlet: OutletId) -> Option<OutletId> {
    let node = model.node(outlet.node);
    let pool = node.op_as::<SumPool>()?;
    let input = *node.inputs.first()?;
    let (from, to) = (map_shape(model, input).ok()?, map_shape(model, outlet).ok()?);
    let halves = from.height == 2 * to.height && from.width == 2 * to.width;
    let spec = &pool.pool_spec;
    let fits = pool.normalize && *spec.kernel_shape == [2, 2] && *spec.strides() == [2, 2] && plain(spec);
    (fits && halves && pads(spec, from) == [0, 0]).then_some(input)
}

/// A window over each channel whose padding counts for nothing.
pub(in crate::infer) fn pool(model: &TypedModel, outlet: OutletId) -> Option<(OutletId, Pooling)> {
    let node = model.node(outlet.node);
    let input = *node.inputs.first()?;
    let from = map_shape(model, input).ok()?;
    let (spec, pick) = match (node.op_as::<MaxPool>(), node.op_as::<SumPool>()) {
        (Some(op), _) if outlet.slot == 0 && op.with_index_outputs.is_none() => (&op.pool_spec, Pick::Largest),
        (_, Some(op)) if op.normalize => {
            let beyond = op.pool_spec.computed_padding(&[from.height, from.width]);
            let padded = beyond.iter().any(|axis| axis.pad_before > 0 || axis.pad_after > 0);
            (!(op.count_include_pad && padded)).then_some((&op.pool_spec, Pick::Mean))?
        }
        _ => return None,
    };
    let (window, strides) = (&spec.kernel_shape, spec.strides());
    let ([rows, columns], [down, across]) = (&window[..], &strides[..]) else { return None };
    let pad = pads(spec, from);
    let of = [from.height, from.width];
    let pooling = Pooling { pick, window: [*rows, *columns], stride: [*down, *across], pad, of };
    // A window beyond the border alone would have nothing to pick from.
    let to = map_shape(model, outlet).ok()?;
    let last = |outputs: usize, axis: usize| {
        (outputs.max(1) - 1) * pooling.stride[axis] < pad[axis] + [from.height, from.width][axis]
    };
    let inside = pad[0] < *rows && pad[1] < *columns && last(to.height, 0) && last(to.width, 1);
    (plain(spec) && inside && to.channels == from.channels).then_some((input, pooling))
}

pub(in crate::infer) fn relu_input(model: &TypedModel, outlet: OutletId) -> Option<OutletId> {
    let [a, b] = binary::<Max>(model.node(outlet.node))?;
    let is_zero = |outlet| constant(model, outlet).is_some_and(|values| values == [0.0]);
    if is_zero(b) { Some(a) } else { is_zero(a).then_some(b) }
}

type WithResidual = ((OutletId, Convolution), Option<OutletId>);

fn residual_sum(model: &TypedModel, outlet: OutletId) -> Option<WithResidual> {
    let [a, b] = binary::<Add>(model.node(outlet.node))?;
    if map_shape(model, a).ok()? != map_shape(model, b).ok()? {
        return None;
    }
    let used_once = |outlet: OutletId| model.outlet_successors(outlet).len() == 1;
    let order = if used_once(b) && !used_once(a) { [(b, a), (a, b)] } else { [(a, b), (b, a)] };
    order.into_iter().find_map(|(sum, residual)| Some((linear(model, sum).ok()?, Some(residual))))
}

/// A convolution with its bias: its input and itself.
pub(in crate::infer) fn linear(model: &TypedModel, outlet: OutletId) -> Result<(OutletId, Convolution), String> {
    let node = model.node(outlet.node);
    map_shape(model, outlet)?;
    if let Some(op) = node.op_as::<Conv>() {
        return convolution(model, node, &op.pool_spec, &op.kernel_fmt, op.group, op.q_params.is_some(), None);
    }
    if let Some(op) = node.op_as::<Deconv>() {
        let adjustments = Some(&*op.adjustments);
        return convolution(model, node, &op.pool_spec, &op.kernel_format, op.group, false, adjustments);
    }
    if node.op_is::<EinSum>() {
        return projection(model, node);
    }
    if let Some([a, b]) = binary::<Add>(node) {
        for (sum, bias) in [(a, b), (b, a)] {
            let Some(values) = constant(model, bias) else { continue };
            let (input, mut convolution) = projection(model, model.node(sum.node))?;
            let channels = convolution.bias.len();
            let shape = model.outlet_fact(bias).map_err(|e| e.to_string())?.shape.as_concrete().unwrap_or_default();
            let a_channel = shape == [1, channels, 1, 1] || shape == [channels, 1, 1];
            if values.len() != 1 && (!a_channel || values.len() != channels) {
                return Err("a constant that is not one value a channel is added".into());
            }
            let values = values.iter().cycle();
            convolution.bias.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            return Ok((input, convolution));
        }
    }
    Err(format!("{} is not a convolution", node.op.name()))
}

fn convolution(
    model: &TypedModel,
    node: &TypedNode,
    spec: &PoolSpec,
    format: &KernelFormat,
    group: usize,
    quantized: bool,
    adjustments: Option<&[usize]>,
) -> Result<(OutletId, Convolution), String> {
    let [input, kernel, bias] = node.inputs[..] else { return Err("quantized".into()) };
    if quantized {
        return Err("quantized".into());
    }
    if group != 1 {
        return Err(format!("{group} groups"));
    }
    if !plain(spec) || *format != KernelFormat::OIHW {
        return Err("not a two-dimensional convolution without dilation in channel, row, column order".into());
    }
    let from = map_shape(model, input)?;
    let weights = constant(model, kernel).ok_or("weights that are not constant")?;
    let bias = constant(model, bias).ok_or("a bias that is not constant")?;
    let [rows, columns] = spec.kernel_shape[..] else { return Err("not two-dimensional".into()) };
    let (outputs, strides) = (spec.output_channels, spec.strides());
    if weights.len() != outputs * from.channels * rows * columns || !(bias.len() == 1 || bias.len() == outputs) {
        return Err(format!("{} weights and {} biases do not fit its shape", weights.len(), bias.len()));
    }
    let pad = match adjustments {
        None => pads(spec, from),
        Some(adjustments) => {
            let size = [from.height, from.width];
            let padding = spec
                .padding
                .compute_for_deconv(&size, &spec.kernel_shape, &spec.dilations(), &strides, adjustments)
                .map_err(|e| e.to_string())?;
            [padding[0].pad_before, padding[1].pad_before]
        }
    };
    let convolution = Convolution {
        weights: shared(model, kernel)?,
        bias: bias.iter().copied().cycle().take(outputs).collect(),
        kernel: [rows, columns],
        stride: [strides[0], strides[1]],
        pad,
        transposed: adjustments.is_some(),
    };
    Ok((input, convolution))
}

/// A 1 × 1 convolution, which decluttering turns into a matrix product over the channels.
fn projection(model: &TypedModel, node: &TypedNode) -> Result<(OutletId, Convolution), String> {
    let op = node.op_as::<EinSum>().ok_or_else(|| format!("{} is not a convolution", node.op.name()))?;
    let other = || format!("the matrix product {} is not a 1×1 convolution", op.axes);
    let ([a, b], None) = (&node.inputs[..], op.q_params) else { return Err("quantized".into()) };
    let (inputs, outputs) = op.axes.to_strs();
    let letters: Vec<Vec<char>> = inputs.iter().chain(&outputs).map(|s| s.chars().collect()).collect();
    let [first, second, output] = &letters[..] else { return Err(other()) };
    let swapped = constant(model, *a).is_some();
    let (input, weights, map, matrix) = if swapped { (*b, *a, second, first) } else { (*a, *b, first, second) };
    let outlet = weights;
    let weights = constant(model, outlet).ok_or("weights that are not constant")?;
    // Where there is one image only, tract may drop the axis of images.
    let split = |axes: &[char]| match *axes {
        [n, c, h, w] => Some((Some(n), c, [h, w])),
        [c, h, w] => Some((None, c, [h, w])),
        _ => None,
    };
    let (Some((n, i, from)), Some((n_out, o, to))) = (split(map), split(output)) else { return Err(other()) };
    if from != to || (n != n_out && n.is_some() && n_out.is_some()) {
        return Err(other());
    }
    let channels = map_shape(model, input)?.channels;
    let outputs = weights.len() / channels.max(1);
    let weights = match matrix[..] {
        [first, second] if (first, second) == (o, i) => shared(model, outlet)?,
        [first, second] if (first, second) == (i, o) => {
            (0..outputs * channels).map(|index| weights[index % channels * outputs + index / channels]).collect()
        }
        _ => return Err(other()),
    };
    let bias = vec![0.0; outputs];
    let one = [1, 1];
    Ok((input, Convolution { weights, bias, kernel: one, stride: one, pad: [0, 0], transposed: false }))
}

/// (channels, rows, columns) of the map of f32 that each image of the model has there; with one image also without an axis
/// of images.
pub(in crate::infer) fn map_shape(model: &TypedModel, outlet: OutletId) -> Result<Shape, String> {
    let fact = model.outlet_fact(outlet).map_err(|e| e.to_string())?;
    let images = images(model);
    let shape = match fact.shape.as_concrete() {
        Some(&[count, channels, height, width]) if count == images => Some(Shape { channels, height, width }),
        Some(&[channels, height, width]) if images == 1 => Some(Shape { channels, height, width }),
        _ => None,
    };
    let is_map = |shape: &Shape| {
        fact.datum_type == f32::datum_type() && fact.is_plain() && shape.channels * shape.height * shape.width > 0
    };
    let expected = if images == 1 { "one map".to_string() } else { format!("{images} maps") };
    shape.filter(is_map).ok_or_else(|| format!("{fact:?} is not {expected} of f32"))
}

/// Images that the model takes at once: the first axis of its first input.
pub(super) fn images(model: &TypedModel) -> usize {
    let input = model.input_outlets().ok().and_then(|inputs| model.outlet_fact(*inputs.first()?).ok());
    match input.and_then(|fact| fact.shape.as_concrete()) {
        Some(&[images, _, _, _]) => images,
        _ => 1,
    }
}

fn constant(model: &TypedModel, outlet: OutletId) -> Option<&[f32]> {
    values(model.outlet_fact(outlet).ok()?.konst.as_ref()?)
}

fn values(constant: &Tensor) -> Option<&[f32]> {
    constant.try_as_plain_ram().ok()?.as_slice::<f32>().ok()
}

/// A constant of f32 as the model holds it.
struct Constant(Arc<Tensor>);

impl AsRef<[f32]> for Constant {
    fn as_ref(&self) -> &[f32] {
        values(&self.0).unwrap_or_default()
    }
}

/// The values of a constant, which are not copied.
fn shared(model: &TypedModel, outlet: OutletId) -> Result<Weights, String> {
    let constant = model.outlet_fact(outlet).ok().and_then(|fact| fact.konst.clone());
    constant.map(|tensor| Weights::Shared(Arc::new(Constant(tensor)))).ok_or("weights that are not constant".into())
}

fn plain(spec: &PoolSpec) -> bool {
    matches!(spec.data_format, DataFormat::NCHW | DataFormat::CHW)
        && spec.rank() == 2
        && spec.dilations().iter().all(|d| *d == 1)
}

fn pads(spec: &PoolSpec, from: Shape) -> [usize; 2] {
    let padding = spec.computed_padding(&[from.height, from.width]);
    [padding[0].pad_before, padding[1].pad_before]
}
