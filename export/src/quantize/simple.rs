//! Quantization by nearest codes and smallest-to-largest ranges: no accuracy is sought.

use super::sequence::remembered_energies;
use super::{Activation, Form, Numbers, Plan, Program, QuantizeError};
use mudenet_edge::bundle::pb;
use std::collections::BTreeMap;
use tch::Tensor;

/// Nearest weights and, for [`Form::Full`], ranges of the activations as seen on `image` (B, 3, H, W).
///
/// # Errors
/// [`QuantizeError`] where the graph has unknown operators.
pub fn simple_plan(model: &pb::ModelProto, form: Form, image: &Tensor) -> Result<Plan, QuantizeError> {
    let _no_grad = tch::no_grad_guard();
    let program = Program::new(model, &Program::scores(model))?;
    let mut plan = Plan::default();
    for (node, conv) in program.convolutions() {
        let (values, shape) = program.weights(conv)?;
        let numbers = Numbers::nearest(&values, shape, conv.output_axis(), form);
        if program.remembers(node) {
            let energies = remembered_energies(&Tensor::from_slice(&numbers.weights(shape)).view(shape));
            let values = Vec::<f32>::try_from(&energies).map_err(|e| QuantizeError::Graph(e.to_string()))?;
            plan.biases.insert(conv.bias.clone(), values);
        }
        plan.weights.insert(conv.weight.clone(), numbers);
    }
    if form == Form::Full {
        let wanted = program.convolved();
        let mut ranges = BTreeMap::new();
        program.run(image, |name, value| {
            if wanted.contains(name) {
                ranges.insert(name.to_owned(), (value.min().double_value(&[]), value.max().double_value(&[])));
            }
            value
        });
        let activation =
            |(name, (low, high)): (String, (f64, f64))| (name, Activation::of_range(low as f32, high as f32));
        plan.activations = ranges.into_iter().map(activation).collect();
    }
    Ok(plan)
}
