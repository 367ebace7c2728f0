//! Networks with seeded weights, for measuring latency: it does not depend on training.

mod memory;

use crate::freeze::{FreezeError, to_onnx, unranged_meta};
use crate::model::{Architecture, Network, autoencoder, descriptor};
use crate::quantize::{Form, rewrite, simple_plan};
use crate::train::Networks;
use mudenet_edge::bundle::Bundle;
use mudenet_edge::infer::{Engine, Scorer, TractScorer};
use mudenet_edge::map::{Range, RangeObserver, RangeStatistic, Weights};
use mudenet_edge::preprocess::ModelInput;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Tensor};

/// Four networks with PyTorch's initial weights and batch norms that are not the identity.
pub fn networks(architecture: &Architecture, seed: u64) -> Networks {
    tch::manual_seed(seed as i64);
    let networks = Networks {
        teacher: descriptor(architecture, Device::Cpu),
        structural: descriptor(architecture, Device::Cpu),
        autoencoder: autoencoder(architecture, Device::Cpu),
        logical: descriptor(architecture, Device::Cpu),
        first_stage: None,
    };
    for network in [&networks.teacher, &networks.structural, &networks.logical] {
        unsettle(network);
    }
    networks
}

/// The memory of a bundle and what counts beside it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Remembering {
    /// Embeddings of a first stage with as many channels as `distill` keeps.
    pub vectors: usize,
    /// Directions of the layout; 0 for none.
    pub directions: usize,
    /// The runtime does not compute what has 0.
    pub weights: Weights,
}

/// A bundle of [`networks`], its ranges and activations measured on one seeded noise picture.
///
/// # Errors
/// [`FreezeError`].
pub fn bundle(
    architecture: &Architecture,
    seed: u64,
    quantize: Option<Form>,
    remembering: Option<Remembering>,
) -> Result<Bundle, FreezeError> {
    let mut networks = networks(architecture, seed);
    let size = architecture.size as usize;
    let mut meta = unranged_meta(size);
    let mut memory = None;
    if let Some(wanted) = remembering {
        let stage = memory::first_stage(seed);
        memory = Some(memory::memory(&stage, wanted, architecture.size, seed)?);
        networks.first_stage = Some(stage);
        meta.scoring.weights = wanted.weights;
        meta.scoring.ranges.memory = vec![Range { min: 0.0, max: 1.0 }];
    }
    let mut onnx = to_onnx(&networks, architecture, memory.as_ref())?;
    meta.training.insert("random_weights".into(), seed.into());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let noise: Vec<f32> = (0..3 * size * size).map(|_| rng.random_range(-2.0..2.0)).collect();
    if let Some(form) = quantize {
        let side = size as i64;
        let plan = simple_plan(&onnx, form, &Tensor::from_slice(&noise).view([1, 3, side, side]))?;
        onnx = rewrite(&onnx, &plan)?;
    }
    let unscored = Bundle::assemble(onnx.clone(), &meta).map_err(FreezeError::Bundle)?;
    let scores = TractScorer::with_engine(&unscored, Engine::from_environment()?)?
        .score(&ModelInput::new(size, size, noise)?)?;
    let mut observer = RangeObserver::new(meta.scoring.margin, RangeStatistic::MinMax);
    observer.observe(&scores)?;
    meta.scoring.ranges = observer.finish().ok_or(FreezeError::NoImages)?;
    meta.threshold.value = 1.0;
    Bundle::assemble(onnx, &meta).map_err(FreezeError::Bundle)
}

/// Normal noise of its own generator, for libtorch's is one for the whole process.
pub(crate) fn noise(shape: &[i64], seed: u64) -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let uniform: Vec<f32> = (0..shape.iter().product()).map(|_: i64| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_slice(&uniform).view(shape).erfinv() * std::f64::consts::SQRT_2
}

fn unsettle<N>(network: &Network<N>) {
    tch::no_grad(|| {
        let mut variables: Vec<_> = network.vars.variables().into_iter().collect();
        // The store has no order of its own, and the order decides which numbers a tensor draws.
        variables.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, mut tensor) in variables {
            if name.ends_with("running_mean") {
                let _ = tensor.uniform_(-0.3, 0.3);
            } else if name.ends_with("running_var") || (name.contains("bn") && name.ends_with("weight")) {
                let _ = tensor.uniform_(0.5, 1.5);
            }
        }
    });
}
