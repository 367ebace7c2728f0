//! The [`Scorer`] on tract.

use super::{InferError, LevelScores, Scorer};
use crate::bundle::Bundle;
use crate::preprocess::ModelInput;
use std::sync::Arc;
use tract_onnx::prelude::*;

/// A bundle's networks, optimised by tract for this host.
pub struct TractScorer {
    plan: Arc<TypedRunnableModel>,
    height: usize,
    width: usize,
}

impl TractScorer {
    /// Prepares the networks of `bundle`.
    ///
    /// # Errors
    /// [`InferError::Load`] where tract cannot read or optimise the graph.
    pub fn new(bundle: &Bundle) -> Result<Self, InferError> {
        let load = |e: TractError| InferError::Load(format!("{e:#}"));
        let plan = tract_onnx::onnx()
            .model_for_proto_model(bundle.graph())
            .and_then(|model| model.into_optimized())
            .and_then(|model| model.into_runnable())
            .map_err(load)?;
        let preprocess = &bundle.meta().preprocess;
        Ok(Self { plan, height: preprocess.height, width: preprocess.width })
    }
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
