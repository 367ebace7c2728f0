//! One walk through the graph that quantizes layer after layer, each on what the layers before it really give.

use super::reconstruct::{draw_positions, reconstruct};
use super::{Activation, Convolution, Form, Node, Numbers, Op, Plan, Program, QuantizeError, Rounding, Settings};
use mudenet_edge::bundle::INPUT;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tch::{Kind, Tensor};

type Values = HashMap<String, Tensor>;

/// Quantizes the weights of `program` on `images` (B, 3, H, W), `activations` being in 8 bits where they are read; the
/// weights `float` stay as they are.
///
/// Each layer aims at what keeps the scores: a layer whose output is added to another map makes up for that map's error
/// too, and one whose output is compared with another map follows that map's error, so that both sides share it.
///
/// # Errors
/// [`QuantizeError`] where the graph is not as expected.
pub(super) fn quantize_weights(
    program: &Program,
    images: &Tensor,
    settings: &Settings,
    activations: BTreeMap<String, Activation>,
    float: &BTreeSet<String>,
) -> Result<Plan, QuantizeError> {
    let _no_grad = tch::no_grad_guard();
    let mut plan = Plan { activations, ..Plan::default() };
    let mut exact: Values = HashMap::from([(INPUT.to_owned(), images.shallow_clone())]);
    let mut rounded: Values = HashMap::from([(INPUT.to_owned(), plan.seen(INPUT, images.shallow_clone()))]);
    for (node, unused) in program.nodes.iter().zip(program.last_uses()) {
        let missing = || QuantizeError::Graph(format!("node {}: an input is not known", node.output));
        let expected = program.step(node, &exact).ok_or_else(missing)?;
        let got = match &node.op {
            Op::Conv(conv) => {
                let x = node.inputs.first().and_then(|input| rounded.get(input)).ok_or_else(missing)?;
                let target = &expected + aim(program, node, &exact, &rounded);
                let (weight, bias) = if program.remembers(node) {
                    remembered(program, conv, settings, float, &mut plan)?
                } else {
                    layer(program, conv, x, &target, settings, float, &mut plan)?
                };
                conv.apply(x, &weight, Some(&bias))
            }
            _ => program.step(node, &rounded).ok_or_else(missing)?,
        };
        rounded.insert(node.output.clone(), plan.seen(&node.output, got));
        exact.insert(node.output.clone(), expected);
        for name in unused {
            exact.remove(&name);
            rounded.remove(&name);
        }
    }
    Ok(plan)
}

fn constant(program: &Program, name: &String) -> Result<Tensor, QuantizeError> {
    let found = program.constants.get(name).map(Tensor::shallow_clone);
    found.ok_or_else(|| QuantizeError::Graph(format!("there is no weight {name}")))
}

/// Rounds remembered vectors to the nearest codes, and their energies with them: what is computed is then the distance to
/// the rounded vectors, and not a difference of numbers that do not belong together.
fn remembered(
    program: &Program,
    conv: &Convolution,
    settings: &Settings,
    float: &BTreeSet<String>,
    plan: &mut Plan,
) -> Result<(Tensor, Tensor), QuantizeError> {
    if float.contains(&conv.weight) {
        return Ok((constant(program, &conv.weight)?, constant(program, &conv.bias)?));
    }
    let (values, shape) = program.weights(conv)?;
    let numbers = Numbers::nearest(&values, shape, conv.output_axis(), settings.form);
    let weight = Tensor::from_slice(&numbers.weights(shape)).view(shape);
    let bias = remembered_energies(&weight);
    let energies = Vec::<f32>::try_from(&bias).map_err(|e| QuantizeError::Graph(e.to_string()))?;
    plan.weights.insert(conv.weight.clone(), numbers);
    plan.biases.insert(conv.bias.clone(), energies);
    Ok((weight, bias))
}

/// |v|² of the vectors v that are stored as weights −2 v, (K, D, 1, 1) → (K).
pub(super) fn remembered_energies(weight: &Tensor) -> Tensor {
    weight.square().sum_dim_intlist([1i64, 2, 3].as_slice(), false, Kind::Float) * 0.25
}

/// Quantizes one convolution into `plan`; its weights and bias as they then are.
fn layer(
    program: &Program,
    conv: &Convolution,
    x: &Tensor,
    target: &Tensor,
    settings: &Settings,
    float: &BTreeSet<String>,
    plan: &mut Plan,
) -> Result<(Tensor, Tensor), QuantizeError> {
    let (values, shape) = program.weights(conv)?;
    let constant = |name: &String| constant(program, name);
    let stays = float.contains(&conv.weight);
    if settings.rounding == Rounding::Reconstruct && !stays {
        let size = target.size();
        let positions = draw_positions(size[2], size[3]);
        let half = settings.form == Form::F16;
        let layer = reconstruct(conv, &constant(&conv.weight)?, x, target, &positions, half)?;
        let weight = Tensor::from_slice(&layer.numbers.weights(shape)).view(shape);
        let bias = Tensor::from_slice(&layer.bias);
        plan.weights.insert(conv.weight.clone(), layer.numbers);
        plan.biases.insert(conv.bias.clone(), layer.bias);
        return Ok((weight, bias));
    }
    let mut weight = constant(&conv.weight)?;
    if !stays {
        let numbers = Numbers::nearest(&values, shape, conv.output_axis(), settings.form);
        weight = Tensor::from_slice(&numbers.weights(shape)).view(shape);
        plan.weights.insert(conv.weight.clone(), numbers);
    }
    let bias = constant(&conv.bias)?;
    if settings.rounding == Rounding::Nearest {
        return Ok((weight, bias));
    }
    // The mean of each channel becomes that of the target.
    let mean = |t: &Tensor| t.mean_dim([0i64, 2, 3].as_slice(), false, Kind::Float);
    let bias = bias + mean(target) - mean(&conv.apply(x, &weight, Some(&constant(&conv.bias)?)));
    let values = Vec::<f32>::try_from(&bias).map_err(|e| QuantizeError::Graph(e.to_string()))?;
    plan.biases.insert(conv.bias.clone(), values);
    Ok((weight, bias))
}

/// What `node`'s output should differ by from its float value: the error of the map that it is added to with the sign
/// turned, or the error of the map that it is compared with.
fn aim(program: &Program, node: &Node, exact: &Values, rounded: &Values) -> Tensor {
    let mut readers = program.nodes.iter().filter(|reader| reader.inputs.contains(&node.output));
    let error = |name: &String| Some(rounded.get(name)? - exact.get(name)?);
    let nothing = || Tensor::zeros([1i64], (Kind::Float, tch::Device::Cpu));
    let (Some(reader), None) = (readers.next(), readers.next()) else { return nothing() };
    let other = reader.inputs.iter().find(|input| **input != node.output);
    let aim = match reader.op {
        Op::Add => other.and_then(error).map(|error| -error),
        Op::Sub => other.and_then(error),
        _ => None,
    };
    aim.unwrap_or_else(nothing)
}

impl Plan {
    /// What the readers of `name` see of `value`.
    pub(super) fn seen(&self, name: &str, value: Tensor) -> Tensor {
        match self.activations.get(name) {
            Some(activation) => activation.rounded(&value),
            None => value,
        }
    }
}
