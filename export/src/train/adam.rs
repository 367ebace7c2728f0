//! Adam (Kingma & Ba 2015, algorithm 1) with a state that can be saved.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use tch::nn::VarStore;
use tch::{Kind, Tensor};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPS: f64 = 1e-8;

/// What is done to gradients before Adam sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Regularisation {
    /// Times the weight, added to its gradient, as PyTorch's Adam does; 0 for none.
    pub weight_decay: f64,
    /// Largest Euclidean norm of all gradients together; longer ones are shortened to it. 0 for no limit.
    pub clip: f64,
}

/// Adam over the trainable variables of some networks.
///
/// Variables and moments lie one after the other in one tensor each, so that a step is a few operations instead of some for
/// each variable, of which a GPU would see little but the overhead.
#[derive(Debug)]
pub struct Adam {
    slots: Vec<Slot>,
    parameters: Tensor,
    mean: Tensor,
    square: Tensor,
    step: i32,
    regularisation: Regularisation,
}

/// Where a variable lies.
#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Tensor,
    first: i64,
}

impl Slot {
    /// Its part of a tensor of all variables.
    fn part(&self, all: &Tensor) -> Tensor {
        all.narrow(0, self.first, self.parameter.numel() as i64).view_as(&self.parameter)
    }
}

impl Adam {
    /// An optimiser over every trainable variable of `stores`.
    pub fn new(stores: &[&VarStore]) -> Self {
        let named: Vec<(String, &VarStore)> = (0..).map(|i: usize| i.to_string()).zip(stores.iter().copied()).collect();
        let named: Vec<(&str, &VarStore)> = named.iter().map(|(name, vars)| (name.as_str(), *vars)).collect();
        Self::named(&named, Regularisation::default())
    }

    /// An optimiser over every trainable variable of `networks`, which are told apart by their names.
    pub fn named(networks: &[(&str, &VarStore)], regularisation: Regularisation) -> Self {
        let mut slots = Vec::new();
        let mut first = 0;
        for (network, vars) in networks {
            let mut variables: Vec<_> = vars.variables().into_iter().filter(|(_, v)| v.requires_grad()).collect();
            variables.sort_by(|a, b| a.0.cmp(&b.0));
            for (name, parameter) in variables {
                let length = parameter.numel() as i64;
                slots.push(Slot { name: format!("{network}.{name}"), parameter, first });
                first += length;
            }
        }
        let parameters = tch::no_grad(|| flat(slots.iter().map(|slot| slot.parameter.detach())));
        for slot in &mut slots {
            let part = slot.part(&parameters);
            slot.parameter.set_data(&part);
        }
        let (mean, square) = (parameters.zeros_like(), parameters.zeros_like());
        Self { slots, parameters, mean, square, step: 0, regularisation }
    }

    /// One step down the gradient of `loss` at learning rate `rate`.
    pub fn step(&mut self, loss: &Tensor, rate: f64) {
        let parameters: Vec<&Tensor> = self.slots.iter().map(|slot| &slot.parameter).collect();
        let gradients = Tensor::run_backward(&[loss], &parameters, false, false);
        self.step += 1;
        let correction1 = 1.0 - BETA1.powi(self.step);
        let correction2 = 1.0 - BETA2.powi(self.step);
        let Regularisation { weight_decay, clip } = self.regularisation;
        tch::no_grad(|| {
            let mut gradient = flat(gradients.into_iter());
            if clip > 0.0 {
                // As PyTorch's `clip_grad_norm_`.
                gradient *= (clip / (gradient.norm() + 1e-6)).clamp_max(1.0);
            }
            if weight_decay > 0.0 {
                gradient += &self.parameters * weight_decay;
            }
            let _ = self.mean.lerp_(&gradient, 1.0 - BETA1);
            let _ = self.square.g_mul_scalar_(BETA2).addcmul_(&gradient, &(&gradient * (1.0 - BETA2)));
            let denominator = (&self.square / correction2).sqrt() + EPS;
            let _ = self.parameters.addcdiv_(&(&self.mean * (-rate / correction1)), &denominator);
        });
    }

    /// Whether every parameter is a finite number.
    pub fn parameters_are_finite(&self) -> bool {
        tch::no_grad(|| self.parameters.isfinite().all().int64_value(&[]) != 0)
    }

    /// Steps taken.
    pub fn steps(&self) -> i32 {
        self.step
    }

    /// Both moments of every parameter, named after it.
    pub fn moments(&self) -> Vec<(String, Tensor)> {
        let of = |slot: &Slot| {
            [("mean", &self.mean), ("square", &self.square)]
                .map(|(kind, all)| (format!("{}.{kind}", slot.name), slot.part(all)))
        };
        self.slots.iter().flat_map(of).collect()
    }

    /// Takes over the moments of an optimiser over the same networks after `steps` steps.
    ///
    /// # Errors
    /// A sentence where a moment is missing or of another shape.
    pub fn restore(&mut self, steps: i32, moments: Vec<(String, Tensor)>) -> Result<(), String> {
        let mut moments: HashMap<String, Tensor> = moments.into_iter().collect();
        for slot in &self.slots {
            for (kind, all) in [("mean", &self.mean), ("square", &self.square)] {
                let mut moment = slot.part(all);
                let name = format!("{}.{kind}", slot.name);
                let stored = moments.remove(&name).ok_or_else(|| format!("{name} is missing"))?;
                if stored.size() != moment.size() {
                    return Err(format!("{name}: expected the shape {:?}, got {:?}", moment.size(), stored.size()));
                }
                moment.copy_(&stored);
            }
        }
        self.step = steps;
        Ok(())
    }
}

/// All elements of all tensors, one after the other; no element for no tensor.
fn flat(tensors: impl Iterator<Item = Tensor>) -> Tensor {
    let flat: Vec<Tensor> = tensors.map(|tensor| tensor.reshape([-1])).collect();
    if flat.is_empty() { Tensor::zeros([0], (Kind::Float, tch::Device::Cpu)) } else { Tensor::cat(&flat, 0) }
}
