//! Training of the rounded weights themselves: gradients pass through the rounding as if it were not there (straight-through
//! estimation, Bengio et al., arXiv 1308.3432; fake quantization, Jacob et al., arXiv 1712.05877).

use super::{Form, Numbers, Op, Plan, Program, QuantizeError};
use mudenet_edge::bundle::pb;
use tch::nn::{Adam, OptimizerConfig, VarStore};
use tch::{Kind, Tensor};

/// Images a step.
const BATCH: i64 = 4;
/// Adam's first learning rate; it falls to 0 with a cosine.
const RATE: f64 = 3e-5;

/// One convolution in training.
struct Layer {
    weight: String,
    bias: String,
    axis: usize,
    /// Float weights behind the codes, and bias; without gradient where they stay.
    values: Tensor,
    bias_values: Tensor,
    trained: bool,
}

/// Trains the weights of `plan` for `steps` on `images` so that the differences that the scores are made of stay those of
/// the f32 `model`; only layers whose name is `trained` change.
///
/// # Errors
/// [`QuantizeError`] where the graph is not as expected.
pub(super) fn finish(
    model: &pb::ModelProto,
    images: &Tensor,
    plan: &mut Plan,
    steps: usize,
    trained: impl Fn(&str) -> bool,
) -> Result<(), QuantizeError> {
    let whole = Program::new(model, &[mudenet_edge::bundle::STRUCTURAL, mudenet_edge::bundle::LOGICAL])?;
    let differences: Vec<&str> =
        whole.nodes.iter().filter(|node| matches!(node.op, Op::Sub)).map(|node| node.output.as_str()).collect();
    let exact = Program::new(model, &differences)?;
    let mut rounded = Program::new(model, &differences)?;
    let vars = VarStore::new(tch::Device::Cpu);
    let layers = layers(&exact, plan, &vars, trained)?;
    let torch = |e: tch::TchError| QuantizeError::Graph(e.to_string());
    let mut adam = Adam::default().build(&vars, RATE).map_err(torch)?;
    let count = images.size().first().copied().unwrap_or(0);
    for step in 0..steps {
        let indices = Tensor::randint(count, [BATCH.min(count)], (Kind::Int64, tch::Device::Cpu));
        let batch = images.index_select(0, &indices);
        let targets = tch::no_grad(|| exact.run(&batch, |_, value| value));
        for layer in &layers {
            rounded.constants.insert(layer.weight.clone(), layer.rounded());
            rounded.constants.insert(layer.bias.clone(), layer.bias_values.shallow_clone());
        }
        let got = rounded.run(&batch, |name, value| plan.seen(name, value));
        let part = |(got, target): (&Tensor, &Tensor)| {
            (got - target).square().mean(Kind::Float) / (target.square().mean(Kind::Float) + 1e-12)
        };
        let parts: Vec<Tensor> = got.iter().zip(&targets).map(part).collect();
        let progress = step as f64 / steps as f64;
        adam.set_lr(RATE * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()));
        adam.backward_step(&Tensor::stack(&parts, 0).mean(Kind::Float));
    }
    let _no_grad = tch::no_grad_guard();
    for layer in layers.iter().filter(|layer| layer.trained) {
        let values = |t: &Tensor| Vec::<f32>::try_from(t.contiguous().view(-1)).map_err(torch);
        let shape = <[i64; 4]>::try_from(layer.values.size())
            .map_err(|_| QuantizeError::Graph(format!("weight {}: expected four dimensions", layer.weight)))?;
        let numbers = Numbers::nearest(&values(&layer.values)?, shape, layer.axis, Form::Weights);
        plan.weights.insert(layer.weight.clone(), numbers);
        plan.biases.insert(layer.bias.clone(), values(&layer.bias_values)?);
    }
    Ok(())
}

fn layers(
    program: &Program,
    plan: &Plan,
    vars: &VarStore,
    trained: impl Fn(&str) -> bool,
) -> Result<Vec<Layer>, QuantizeError> {
    let mut layers = Vec::new();
    for (node, conv) in program.convolutions() {
        let (float, shape) = program.weights(conv)?;
        let numbers = plan.weights.get(&conv.weight);
        let start = numbers.map_or(float, |numbers| numbers.weights(shape));
        let start = Tensor::from_slice(&start).view(shape);
        let bias = match plan.biases.get(&conv.bias) {
            Some(values) => Tensor::from_slice(values),
            None => program.constants.get(&conv.bias).map(Tensor::copy).unwrap_or_default(),
        };
        let trained = numbers.is_some() && trained(&node.output);
        let variable = |suffix: &str, value: &Tensor| {
            if !trained {
                return value.shallow_clone();
            }
            // A dot separates the parts of a variable's name.
            let name = format!("{}_{suffix}", node.output.replace('.', "_"));
            vars.root().var_copy(&name, value)
        };
        layers.push(Layer {
            weight: conv.weight.clone(),
            bias: conv.bias.clone(),
            axis: conv.output_axis(),
            values: variable("weight", &start),
            bias_values: variable("bias", &bias),
            trained,
        });
    }
    Ok(layers)
}

impl Layer {
    /// The weights that the nearest codes stand for.
    fn rounded(&self) -> Tensor {
        if !self.trained {
            return self.values.shallow_clone();
        }
        let others: Vec<i64> = (0..4).filter(|dim| *dim != self.axis as i64).collect();
        let largest = tch::no_grad(|| self.values.abs().amax(others.as_slice(), false));
        let scale = (largest / 127.0).clamp_min(f64::from(f32::MIN_POSITIVE)).detach();
        let zero = Tensor::zeros(scale.size(), (Kind::Int, scale.device()));
        self.values.fake_quantize_per_channel_affine(&scale, &zero, self.axis as i64, -127, 127)
    }
}
