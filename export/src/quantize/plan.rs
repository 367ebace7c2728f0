//! Which tensors go to 8 bits, and how.

use super::error::scores_error;
use super::finish::finish;
use super::observe::{Observed, Observer, observe};
use super::sequence::{quantize_weights, remembered_energies};
use super::{Activation, Form, MIN_IMAGES, Numbers, Op, Plan, Program, QuantizeError, Rounding, rewrite};
use mudenet_edge::bundle::{INPUT, pb};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tch::Tensor;

/// Images on which single layers are measured.
const FEW: i64 = 2;

/// How a graph is to be quantized.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What is stored in fewer bits.
    pub form: Form,
    /// How weights become codes.
    pub rounding: Rounding,
    /// Tensors whose error alone, as in [`Layer`], is above this stay in f32.
    pub keep_above: f64,
    /// Largest share of all weights that stay in f32 for that, 0–1; those whose errors are largest come first.
    pub keep_share: f64,
    /// Steps of training the rounded weights of every network but the teacher; 8-bit forms only.
    pub finish: usize,
}

/// A quantized graph.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// The graph.
    pub model: pb::ModelProto,
    /// What was measured for each layer.
    pub layers: Vec<Layer>,
}

/// One convolution: what fewer bits do to the scores where nothing else has them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    /// Its name in the graph.
    pub name: String,
    /// Number of weights.
    pub weights: usize,
    /// Relative error of the scores with the nearest weights, mean over branches and levels.
    pub weight_error: f64,
    /// Whether its weights are in fewer bits.
    pub weights_quantized: bool,
    /// The same with its input in 8 bits; `None` where only weights are quantized.
    pub input_error: Option<f64>,
    /// The rule that found the range of the input.
    pub observer: Option<Observer>,
    /// Whether its input is in 8 bits.
    pub input_quantized: bool,
}

/// Quantizes `model`, measured on `images` (B, 3, H, W) of good parts.
///
/// # Errors
/// [`QuantizeError`] where the images are too few or blank, or the graph has unknown operators.
pub fn quantize(model: &pb::ModelProto, images: &Tensor, settings: &Settings) -> Result<Quantized, QuantizeError> {
    let _no_grad = tch::no_grad_guard();
    // Of the positions that are looked at: the same file every time.
    tch::manual_seed(0);
    let count = images.size().first().copied().unwrap_or(0);
    if count < MIN_IMAGES {
        return Err(QuantizeError::TooFew(count));
    }
    let spread =
        |image: Tensor| (image.amax([1i64, 2].as_slice(), false) - image.amin([1i64, 2].as_slice(), false)).max();
    if (0..count).all(|index| spread(images.get(index)).double_value(&[]) == 0.0) {
        return Err(QuantizeError::Blank(count));
    }
    let program = Program::new(model, &Program::scores(model))?;
    let few = images.narrow(0, 0, FEW);
    let mut known = HashMap::new();
    let expected = program.run(&few, |name, value| {
        known.insert(name.to_owned(), value.shallow_clone());
        value
    });
    let full = settings.form == Form::Full;
    let observed = if full { observe(&program, &known, &expected) } else { Observed::default() };
    let mut layers = Vec::new();
    let mut activations = BTreeMap::new();
    for (node, conv) in program.convolutions() {
        let (values, shape) = program.weights(conv)?;
        let nearest = Numbers::nearest(&values, shape, conv.output_axis(), settings.form).weights(shape);
        let nearest = Tensor::from_slice(&nearest).view(shape);
        let mut changed = HashMap::from([(conv.weight.clone(), nearest.shallow_clone())]);
        if program.remembers(node) {
            changed.insert(conv.bias.clone(), remembered_energies(&nearest));
        }
        let weight_error = scores_error(&program.rerun(&known, changed), &expected);
        let input = node.inputs.first().map_or(INPUT, String::as_str);
        let input_error = observed.errors.get(input).copied();
        let layer = Layer {
            name: node.output.clone(),
            weights: values.len(),
            weight_error,
            weights_quantized: true,
            input_error,
            observer: observed.observers.get(input).copied(),
            input_quantized: input_error.is_some_and(|error| error <= settings.keep_above),
        };
        if layer.input_quantized
            && let Some(activation) = observed.activations.get(input)
        {
            activations.insert(input.to_owned(), *activation);
        }
        layers.push(layer);
    }
    let float = keep(&program, settings, &mut layers);
    keep_whole(&program, &float, &mut activations, &mut layers);
    let mut plan: Plan = quantize_weights(&program, images, settings, activations, &float)?;
    if settings.finish > 0 && settings.form != Form::F16 {
        // The students follow the teacher, whose own rounding is part of what they are compared with.
        tch::with_grad(|| finish(model, images, &mut plan, settings.finish, |layer| !layer.starts_with("teacher/")))?;
    }
    Ok(Quantized { model: rewrite(model, &plan)?, layers })
}

/// The weights that stay in f32, which is noted in `layers`.
fn keep(program: &Program, settings: &Settings, layers: &mut [Layer]) -> BTreeSet<String> {
    let all: usize = layers.iter().map(|layer| layer.weights).sum();
    let mut left = settings.keep_share * all as f64;
    let mut sensitive: Vec<_> =
        layers.iter_mut().zip(program.convolutions()).filter(|(l, _)| l.weight_error > settings.keep_above).collect();
    sensitive.sort_by(|(a, _), (b, _)| b.weight_error.total_cmp(&a.weight_error));
    let mut float = BTreeSet::new();
    for (layer, (_, conv)) in sensitive {
        if layer.weights as f64 <= left {
            left -= layer.weights as f64;
            layer.weights_quantized = false;
            float.insert(conv.weight.clone());
        }
    }
    float
}

/// Leaves in f32 what a layer of f32 weights reads where its output is in 8 bits: between tensors of 8 bits ONNX Runtime
/// (1.32) takes it upon itself to round the weights as well, with one scale for all channels.
fn keep_whole(
    program: &Program,
    float: &BTreeSet<String>,
    activations: &mut BTreeMap<String, Activation>,
    layers: &mut [Layer],
) {
    let kept: Vec<&String> = program
        .convolutions()
        .filter(|(node, conv)| {
            let relu = program.nodes.iter().find(|n| matches!(n.op, Op::Relu) && n.inputs.contains(&node.output));
            let eight_bits = |name: &String| activations.contains_key(name);
            float.contains(&conv.weight)
                && (eight_bits(&node.output) || relu.is_some_and(|relu| eight_bits(&relu.output)))
        })
        .filter_map(|(node, _)| node.inputs.first())
        .collect();
    for input in kept {
        activations.remove(input);
        let readers = program.convolutions().filter(|(node, _)| node.inputs.first() == Some(input));
        for (node, _) in readers {
            layers.iter_mut().filter(|layer| layer.name == node.output).for_each(|layer| layer.input_quantized = false);
        }
    }
}
