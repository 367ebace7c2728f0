//! The [`Scorer`] on tract.

use super::fuse::{Fused, Fusion, fuse};
use super::{InferError, Isa, LevelScores, Operator, Scorer};
use crate::bundle::Bundle;
use crate::preprocess::ModelInput;
use std::sync::Arc;
use std::time::Duration;
use tract_onnx::prelude::*;

/// Environment variable that names the instruction set to use: `avx512`, `avx2`, `neon` or `portable`.
pub const ISA_VARIABLE: &str = "MUDENET_ISA";
/// Environment variable that turns this project's operators off: `plain`.
pub const ENGINE_VARIABLE: &str = "MUDENET_ENGINE";

/// What computes a bundle's networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// tract, with this project's operators in place of what they can compute.
    Fused(Isa),
    /// tract alone.
    Plain,
}

impl Engine {
    /// The fastest engine, unless [`ENGINE_VARIABLE`] or [`ISA_VARIABLE`] ask for another.
    ///
    /// # Errors
    /// [`InferError::Load`] where a variable holds something unknown or this processor lacks the instruction set.
    pub fn from_environment() -> Result<Self, InferError> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        match variable(ENGINE_VARIABLE).as_deref() {
            Some("plain") => return Ok(Self::Plain),
            None | Some("fused") => {}
            Some(other) => {
                let reason = format!("{ENGINE_VARIABLE}: expected fused or plain, got {other:?}");
                return Err(InferError::Load(reason));
            }
        }
        let isa = variable(ISA_VARIABLE).map(|name| Isa::named(&name));
        let isa = isa.transpose().map_err(|reason| InferError::Load(format!("{ISA_VARIABLE}: {reason}")))?;
        Ok(Self::Fused(isa.unwrap_or_else(Isa::best)))
    }
}

/// A bundle's networks, optimised by tract for this host.
pub struct TractScorer {
    plan: Arc<TypedRunnableModel>,
    engine: Engine,
    fusion: Fusion,
    height: usize,
    width: usize,
}

impl TractScorer {
    /// Prepares the networks of `bundle` on [`Engine::from_environment`].
    ///
    /// # Errors
    /// [`InferError::Load`] where tract cannot read or optimise the graph.
    pub fn new(bundle: &Bundle) -> Result<Self, InferError> {
        Self::with_engine(bundle, Engine::from_environment()?)
    }

    /// Prepares the networks of `bundle` on `engine`.
    ///
    /// # Errors
    /// [`InferError::Load`] where tract cannot read or optimise the graph.
    pub fn with_engine(bundle: &Bundle, engine: Engine) -> Result<Self, InferError> {
        let load = |e: TractError| InferError::Load(format!("{e:#}"));
        let (plan, fusion) = prepare(bundle, engine).map_err(load)?;
        let preprocess = &bundle.meta().preprocess;
        Ok(Self { plan, engine, fusion, height: preprocess.height, width: preprocess.width })
    }

    /// What computes the networks.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// What this project's operators compute, in an order of the graph; nothing on [`Engine::Plain`].
    pub fn operators(&self) -> Vec<Operator> {
        self.fusion.networks.iter().flat_map(Fused::operators).collect()
    }

    /// Convolutions that tract computes although [`Engine::Fused`] was asked for, each with the reason.
    pub fn not_accelerated(&self) -> &[String] {
        &self.fusion.left
    }

    /// Takes the time of every operator from now on, read from `clock`.
    pub fn time_with(&self, clock: fn() -> Duration) {
        self.fusion.networks.iter().for_each(|network| network.time_with(clock));
    }

    /// The time that each of [`TractScorer::operators`] took since the last call, of all threads together; nothing
    /// without [`TractScorer::time_with`].
    pub fn take_times(&self) -> Vec<Duration> {
        self.fusion.networks.iter().flat_map(Fused::take_times).collect()
    }
}

fn prepare(bundle: &Bundle, engine: Engine) -> TractResult<(Arc<TypedRunnableModel>, Fusion)> {
    let mut fusion = Fusion::default();
    let model = tract_onnx::onnx().model_for_proto_model(bundle.graph())?;
    let mut model = model.into_typed()?.into_decluttered()?;
    if let Engine::Fused(isa) = engine {
        fusion = fuse(&mut model, isa)?;
        if !fusion.left.is_empty() {
            log::warn!("not accelerated: {}", fusion.left.join("; "));
        }
    }
    Ok((model.into_optimized()?.into_runnable()?, fusion))
}

impl Scorer for TractScorer {
    fn score(&mut self, input: &ModelInput) -> Result<LevelScores, InferError> {
        if (input.height(), input.width()) != (self.height, self.width) {
            return Err(InferError::Shape(format!(
                "the network takes {}×{} pixels, got {}×{}",
                self.height,
                self.width,
                input.height(),
                input.width()
            )));
        }
        let run = |e: TractError| InferError::Run(format!("{e:#}"));
        let image = Tensor::from_shape(&[1, 3, self.height, self.width], input.values()).map_err(run)?;
        let outputs = self.plan.run(tvec!(image.into())).map_err(run)?;
        let [structural, logical] = outputs.as_slice() else {
            return Err(InferError::Shape(format!("expected 2 outputs, the network gave {}", outputs.len())));
        };
        let &[1, levels, height, width] = structural.shape() else {
            return Err(InferError::Shape(format!("expected (1, L, h, w), the network gave {:?}", structural.shape())));
        };
        let values =
            |tensor: &TValue| -> TractResult<Vec<f32>> { Ok(tensor.try_as_plain_ram()?.as_slice::<f32>()?.to_vec()) };
        LevelScores::new(levels, height, width, values(structural).map_err(run)?, values(logical).map_err(run)?)
    }
}
