//! Adam (Kingma & Ba 2015, algorithm 1) with a state that can be saved.

use tch::Tensor;
use tch::nn::VarStore;

/// Adam over the trainable variables of some networks.
#[derive(Debug)]
pub struct Adam {
    slots: Vec<Slot>,
    step: i32,
}

#[derive(Debug)]
struct Slot {
    parameter: Tensor,
    mean: Tensor,
    square: Tensor,
}

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPS: f64 = 1e-8;

impl Adam {
    /// An optimiser over every trainable variable of `stores`.
    pub fn new(stores: &[&VarStore]) -> Self {
        let parameters = stores.iter().flat_map(|vars| vars.trainable_variables());
        let slots = parameters
            .map(|parameter| Slot { mean: parameter.zeros_like(), square: parameter.zeros_like(), parameter })
            .collect();
        Self { slots, step: 0 }
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
        tch::no_grad(|| {
            for slot in &mut self.slots {
                let gradient = slot.parameter.grad();
                let _ = slot.mean.lerp_(&gradient, 1.0 - BETA1);
                let _ = slot.square.g_mul_scalar_(BETA2).addcmul_(&gradient, &(&gradient * (1.0 - BETA2)));
                let denominator = (&slot.square / correction2).sqrt() + EPS;
                let _ = slot.parameter.addcdiv_(&(&slot.mean * (-rate / correction1)), &denominator);
            }
        });
    }
}
