//! The engine as an operator of tract.

use crate::infer::Operator;
use crate::infer::engine::{Choice, Graph, Network, Workspace};
use crate::infer::kernels::Isa;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tract_onnx::tract_core::internal::*;

/// Many layers of a model as one operator: maps (n, c, h, w) in, maps out, one image after the other.
#[derive(Clone, Debug)]
pub(in super::super) struct Fused {
    /// Empty until [`Fused::plan`].
    network: Arc<OnceLock<Network>>,
    /// Names of the network's nodes in the model.
    names: Arc<Vec<String>>,
    outputs: TVec<TypedFact>,
    /// n.
    images: usize,
    /// Memory of earlier runs; as many pieces as runs were ever under way at once.
    idle: Arc<Mutex<Vec<Workspace>>>,
}

impl Fused {
    /// An operator that cannot run before it has a plan.
    pub(super) fn new(names: Vec<String>, outputs: TVec<TypedFact>, images: usize) -> Self {
        Self { network: Arc::default(), names: Arc::new(names), outputs, images, idle: Arc::default() }
    }

    /// Makes this operator and its clones ready to run. The first plan stays.
    pub(super) fn plan(&self, isa: Isa, graph: Graph, choices: &[Option<Choice>]) {
        self.network.get_or_init(|| Network::new(isa, graph, choices));
    }

    /// Where an image's maps lie among `length` values of all images.
    fn part(&self, image: usize, length: usize) -> Range<usize> {
        let each = length / self.images;
        image * each..(image + 1) * each
    }

    pub(in super::super) fn operators(&self) -> Vec<Operator> {
        self.network.get().map(|network| network.operators(&self.names)).unwrap_or_default()
    }

    /// See [`Network::time_with`].
    pub(in super::super) fn time_with(&self, clock: fn() -> Duration) {
        self.network.get().into_iter().for_each(|network| network.time_with(clock));
    }

    /// See [`Network::take_times`].
    pub(in super::super) fn take_times(&self) -> Vec<Duration> {
        self.network.get().map(Network::take_times).unwrap_or_default()
    }
}

impl PartialEq for Fused {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.network, &other.network)
    }
}

impl Eq for Fused {}

impl Op for Fused {
    fn name(&self) -> StaticName {
        "FusedConvolutions".into()
    }

    fn validation(&self) -> Validation {
        Validation::Rounding
    }

    op_as_typed_op!();
}

impl EvalOp for Fused {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let inputs = inputs.iter().map(|input| input.try_as_plain_ram()).collect::<TractResult<TVec<_>>>()?;
        let inputs = inputs.iter().map(|input| input.as_slice::<f32>()).collect::<TractResult<TVec<_>>>()?;
        let network = self.network.get().context("an operator without a plan")?;
        let zeros = |fact: &TypedFact| Tensor::zero::<f32>(fact.shape.as_concrete().unwrap_or_default());
        let mut outputs = self.outputs.iter().map(zeros).collect::<TractResult<TVec<_>>>()?;
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let workspace = idle().pop();
        let mut workspace = workspace.unwrap_or_else(|| network.workspace());
        {
            let mut views = outputs.iter_mut().map(|t| t.try_as_plain_ram_mut()).collect::<TractResult<TVec<_>>>()?;
            let mut maps = views.iter_mut().map(|v| v.as_slice_mut::<f32>()).collect::<TractResult<Vec<_>>>()?;
            for image in 0..self.images {
                let inputs: TVec<&[f32]> = inputs.iter().map(|maps| &maps[self.part(image, maps.len())]).collect();
                let mut outputs: TVec<&mut [f32]> = TVec::new();
                for maps in &mut maps {
                    let part = self.part(image, maps.len());
                    outputs.push(&mut maps[part]);
                }
                network.run(&mut workspace, &inputs, &mut outputs);
            }
        }
        idle().push(workspace);
        Ok(outputs.into_iter().map(|output| output.into_tvalue()).collect())
    }
}

impl TypedOp for Fused {
    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(self.outputs.clone())
    }

    as_op!();
}
