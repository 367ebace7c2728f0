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
#[derive(Debug)]
pub struct Adam {
    slots: Vec<Slot>,
    step: i32,
    regularisation: Regularisation,
}

#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Tensor,
    mean: Tensor,
    square: Tensor,
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
        for (network, vars) in networks {
            let mut variables: Vec<_> = vars.variables().into_iter().filter(|(_, v)| v.requires_grad()).collect();
            variables.sort_by(|a, b| a.0.cmp(&b.0));
            slots.extend(variables.into_iter().map(|(name, parameter)| Slot {
                name: format!("{network}.{name}"),
                mean: parameter.zeros_like(),
                square: parameter.zeros_like(),
                parameter,
            }));
        }
        Self { slots, step: 0, regularisation }
    }

    /// One step down the gradient of `loss` at learning rate `rate`.
    pub fn step(&mut self, loss: &Tensor, rate: f64) {
        for slot in &mut self.slots {
            slot.parameter.zero_grad();
        }
        loss.backward();
        self.step += 1;
        let correction1 = 1.0 - BETA1.powi(self.step);
        let correction2 = 1.0 - BETA2.powi(self.step);
        let decay = self.regularisation.weight_decay;
        tch::no_grad(|| {
            let shortening = self.shortening();
            for slot in &mut self.slots {
                let mut gradient = slot.parameter.grad();
                if let Some(factor) = &shortening {
                    gradient *= factor;
                }
                if decay > 0.0 {
                    gradient += &slot.parameter * decay;
                }
                let _ = slot.mean.lerp_(&gradient, 1.0 - BETA1);
                let _ = slot.square.g_mul_scalar_(BETA2).addcmul_(&gradient, &(&gradient * (1.0 - BETA2)));
                let denominator = (&slot.square / correction2).sqrt() + EPS;
                let _ = slot.parameter.addcdiv_(&(&slot.mean * (-rate / correction1)), &denominator);
            }
        });
    }

    /// The factor that brings the gradients to the largest norm, as PyTorch's `clip_grad_norm_` computes it.
    fn shortening(&self) -> Option<Tensor> {
        let clip = self.regularisation.clip;
        if clip <= 0.0 {
            return None;
        }
        let norms: Vec<Tensor> = self.slots.iter().map(|slot| slot.parameter.grad().norm()).collect();
        let norm = Tensor::stack(&norms, 0).norm();
        Some((clip / (norm + 1e-6)).clamp_max(1.0))
    }

    /// Whether every parameter is a finite number.
    pub fn parameters_are_finite(&self) -> bool {
        tch::no_grad(|| {
            let sums: Vec<Tensor> = self.slots.iter().map(|slot| slot.parameter.sum(Kind::Double)).collect();
            sums.is_empty() || Tensor::stack(&sums, 0).isfinite().all().int64_value(&[]) != 0
        })
    }

    /// Steps taken.
    pub fn steps(&self) -> i32 {
        self.step
    }

    /// Both moments of every parameter, named after it.
    pub fn moments(&self) -> Vec<(String, Tensor)> {
        let of = |slot: &Slot| {
            [
                (format!("{}.mean", slot.name), slot.mean.shallow_clone()),
                (format!("{}.square", slot.name), slot.square.shallow_clone()),
            ]
        };
        self.slots.iter().flat_map(of).collect()
    }

    /// Takes over the moments of an optimiser over the same networks after `steps` steps.
    ///
    /// # Errors
    /// A sentence where a moment is missing or of another shape.
    pub fn restore(&mut self, steps: i32, moments: Vec<(String, Tensor)>) -> Result<(), String> {
        let mut moments: HashMap<String, Tensor> = moments.into_iter().collect();
        for slot in &mut self.slots {
            for (kind, moment) in [("mean", &mut slot.mean), ("square", &mut slot.square)] {
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
