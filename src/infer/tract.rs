//! The [`Scorer`] on tract.

#[cfg(feature = "cuda")]
use super::cuda::Session;
use super::fuse::{Fused, Fusion, Planning, fuse};
use super::kernels::give_back_freed;
use super::tune::{PlanSource, Tuner};
use super::{Engine, InferError, LevelScores, Operator, Scorer};
use crate::bundle::{Bundle, STRUCTURAL};
use crate::map::Branch;
use crate::preprocess::ModelInput;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tract_onnx::prelude::*;

/// A bundle's networks, optimised by tract for this host.
pub struct TractScorer {
    /// One, or in a cascade two, of which the second gives the logical output.
    parts: Vec<Part>,
    /// Levels, rows and columns of the structural and logical outputs.
    cells: [usize; 3],
    /// Levels of the memory.
    memory: usize,
    engine: Engine,
    plan_source: PlanSource,
    height: usize,
    width: usize,
}

struct Part {
    network: Ready,
    fusion: Fusion,
    /// The branches that it gives, in the order of its outputs.
    branches: Vec<Branch>,
}

/// A network that takes images.
enum Ready {
    Host(Arc<TypedRunnableModel>),
    #[cfg(feature = "cuda")]
    Device(Session),
}

impl Ready {
    fn run(&mut self, image: Tensor) -> Result<Vec<Map>, InferError> {
        match self {
            Self::Host(plan) => {
                let outputs = plan.run(tvec!(image.into_tvalue())).map_err(|e| InferError::Run(format!("{e:#}")))?;
                outputs.iter().map(Map::of).collect()
            }
            #[cfg(feature = "cuda")]
            Self::Device(session) => session.run(image),
        }
    }
}

/// The bundle's outputs in the order of its graph, in one part; the last one where the bundle has a memory.
const WHOLE: &[&[Branch]] = &[&Branch::ALL];
/// What a cascade computes first, and after it.
const CASCADE: &[&[Branch]] = &[&[Branch::Structural, Branch::Memory], &[Branch::Logical]];

impl TractScorer {
    /// Prepares the networks of `bundle`, whose memory is free again early where it is given away, on
    /// [`Engine::from_environment`], with the plan of an installed [`Tuner`]. A branch whose weight in the bundle's scoring is 0
    /// is left out where another one's is not, and has scores of 0: the map is the same.
    ///
    /// # Errors
    /// [`InferError::Load`] where tract cannot read or optimise the graph.
    pub fn new<'a>(bundle: impl Into<Cow<'a, Bundle>>) -> Result<Self, InferError> {
        let bundle = bundle.into();
        let parts = weighted(WHOLE, &bundle);
        Self::with_parts(bundle, Engine::from_environment()?, &parts, Tuner::installed())
    }

    /// Prepares the networks of `bundle` on `engine`, each layer as `tuner` finds it to be fastest on the threads of the
    /// current rayon pool; branches as in [`TractScorer::new`].
    ///
    /// # Errors
    /// [`InferError::Load`] where tract cannot read or optimise the graph.
    pub fn tuned<'a>(bundle: impl Into<Cow<'a, Bundle>>, engine: Engine, tuner: &Tuner) -> Result<Self, InferError> {
        let bundle = bundle.into();
        let parts = weighted(WHOLE, &bundle);
        Self::with_parts(bundle, engine, &parts, Some(tuner))
    }

    /// Prepares the networks of `bundle` on `engine`, those of every branch.
    ///
    /// # Errors
    /// [`InferError::Load`] where tract cannot read or optimise the graph.
    pub fn with_engine<'a>(bundle: impl Into<Cow<'a, Bundle>>, engine: Engine) -> Result<Self, InferError> {
        let bundle = bundle.into();
        let parts = present(WHOLE, &bundle);
        Self::with_parts(bundle, engine, &parts, None)
    }

    /// Like [`TractScorer::new`] on `engine`, so that [`Scorer::score_until`] can leave out the logical branch.
    ///
    /// # Errors
    /// [`InferError::Load`] where tract cannot read or optimise the graph.
    pub fn cascaded<'a>(bundle: impl Into<Cow<'a, Bundle>>, engine: Engine) -> Result<Self, InferError> {
        let bundle = bundle.into();
        let parts = weighted(CASCADE, &bundle);
        Self::with_parts(bundle, engine, &parts, Tuner::installed())
    }

    fn with_parts(
        bundle: Cow<'_, Bundle>,
        engine: Engine,
        parts: &[Vec<Branch>],
        tuner: Option<&Tuner>,
    ) -> Result<Self, InferError> {
        if engine == Engine::Cuda {
            super::check_cuda()?;
        }
        let tuner = tuner.filter(|_| matches!(engine, Engine::Fused(_)));
        let (cells, memory) = (cells(&bundle)?, bundle.meta().scoring.ranges.memory.len());
        let (name, model) = (engine.to_string(), bundle.sha256().to_owned());
        let (height, width) = (bundle.meta().preprocess.height, bundle.meta().preprocess.width);
        let mut planning = match tuner {
            None => Planning::Estimate,
            Some(tuner) => match tuner.recall(&model, &name) {
                Some(known) => Planning::Known(known),
                None => Planning::Measure(tuner.clock(), Default::default()),
            },
        };
        let graph = tract_onnx::onnx().model_for_proto_model(bundle.graph()).map_err(load)?;
        // A bundle that was given away holds its weights no longer than needed.
        drop(bundle);
        let graphs = vec![graph; parts.len()];
        let parts = graphs.into_iter().zip(parts);
        let parts = parts.map(|(graph, branches)| prepare(graph, engine, branches, &mut planning));
        let parts = parts.collect::<Result<_, _>>()?;
        let plan_source = match &planning {
            Planning::Estimate => PlanSource::Estimated,
            Planning::Known(_) => PlanSource::Remembered,
            Planning::Measure(_, found) => {
                tuner.into_iter().for_each(|tuner| tuner.remember(&model, &name, found));
                PlanSource::Measured
            }
        };
        give_back_freed();
        Ok(Self { parts, cells, memory, engine, plan_source, height, width })
    }

    /// What computes the networks.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Where the choice between ways to compute a layer is from.
    pub fn plan_source(&self) -> PlanSource {
        self.plan_source
    }

    /// What this project's operators compute, in an order of the graph; nothing on other engines than [`Engine::Fused`].
    pub fn operators(&self) -> Vec<Operator> {
        self.networks().flat_map(Fused::operators).collect()
    }

    /// Convolutions that tract computes although [`Engine::Fused`] was asked for, and operators that the processor computes on
    /// [`Engine::Cuda`], each with the reason.
    pub fn not_accelerated(&self) -> Vec<String> {
        self.parts.iter().flat_map(|part| part.fusion.left.iter().cloned()).collect()
    }

    /// The bundle's branches that are not computed.
    pub fn left_out(&self) -> Vec<Branch> {
        let has = |branch: &Branch| *branch != Branch::Memory || self.memory > 0;
        let computed = |branch: &Branch| self.parts.iter().any(|part| part.branches.contains(branch));
        Branch::ALL.into_iter().filter(|branch| has(branch) && !computed(branch)).collect()
    }

    /// Takes the time of every operator from now on, read from `clock`.
    pub fn time_with(&self, clock: fn() -> Duration) {
        self.networks().for_each(|network| network.time_with(clock));
    }

    /// The time that each of [`TractScorer::operators`] took since the last call, of all threads together; nothing
    /// without [`TractScorer::time_with`].
    pub fn take_times(&self) -> Vec<Duration> {
        self.networks().flat_map(Fused::take_times).collect()
    }

    fn networks(&self) -> impl Iterator<Item = &Fused> {
        self.parts.iter().flat_map(|part| &part.fusion.networks)
    }

    fn image(&self, input: &ModelInput) -> Result<Tensor, InferError> {
        if (input.height(), input.width()) != (self.height, self.width) {
            return Err(InferError::Shape(format!(
                "the network takes {}×{} pixels, got {}×{}",
                self.height,
                self.width,
                input.height(),
                input.width()
            )));
        }
        let image = Tensor::from_shape(&[1, 3, self.height, self.width], input.values());
        image.map_err(|e| InferError::Run(format!("{e:#}")))
    }
}

fn load(error: TractError) -> InferError {
    InferError::Load(format!("{error:#}"))
}

/// Those branches of `parts` that the bundle has.
fn present(parts: &[&[Branch]], bundle: &Bundle) -> Vec<Vec<Branch>> {
    let ranges = &bundle.meta().scoring.ranges;
    let has = |branch: &Branch| *branch != Branch::Memory || !ranges.memory.is_empty();
    parts.iter().map(|part| part.iter().copied().filter(has).collect()).collect()
}

/// Those of them that count: all where none does.
fn weighted(parts: &[&[Branch]], bundle: &Bundle) -> Vec<Vec<Branch>> {
    let present = present(parts, bundle);
    let counts = |branch: &Branch| bundle.meta().scoring.weights.of(*branch) > 0.0;
    let weighted: Vec<Vec<Branch>> = present
        .iter()
        .map(|part| part.iter().copied().filter(counts).collect())
        .filter(|part: &Vec<_>| !part.is_empty())
        .collect();
    if weighted.is_empty() { present } else { weighted }
}

/// Levels, rows and columns of the structural and logical outputs.
fn cells(bundle: &Bundle) -> Result<[usize; 3], InferError> {
    let shape = bundle.output_shape(STRUCTURAL).unwrap_or_default();
    let sizes: Vec<usize> = shape.iter().filter_map(|size| usize::try_from(*size).ok()).collect();
    match sizes[..] {
        [1, levels, height, width] => Ok([levels, height, width]),
        _ => Err(InferError::Shape(format!("expected a structural output of (1, L, h, w), the bundle has {shape:?}"))),
    }
}

/// The graph of some branches.
fn prepare(
    model: InferenceModel,
    engine: Engine,
    branches: &[Branch],
    planning: &mut Planning,
) -> Result<Part, InferError> {
    let mut fusion = Fusion::default();
    let mut model = decluttered(model, branches).map_err(load)?;
    let network = match engine {
        Engine::Fused(isa) => {
            fusion = fuse(&mut model, isa, planning).map_err(load)?;
            on_host(model)?
        }
        Engine::Plain => on_host(model)?,
        #[cfg(feature = "cuda")]
        Engine::Cuda => {
            let session = Session::new(model)?;
            fusion.left.clone_from(&session.on_host);
            Ready::Device(session)
        }
        #[cfg(not(feature = "cuda"))]
        Engine::Cuda => {
            super::check_cuda()?;
            on_host(model)?
        }
    };
    if !fusion.left.is_empty() {
        log::warn!("not accelerated: {}", fusion.left.join("; "));
    }
    Ok(Part { network, fusion, branches: branches.to_vec() })
}

fn on_host(model: TypedModel) -> Result<Ready, InferError> {
    model.into_optimized().and_then(TypedModel::into_runnable).map(Ready::Host).map_err(load)
}

fn decluttered(mut model: InferenceModel, branches: &[Branch]) -> TractResult<TypedModel> {
    let outputs = Branch::ALL.iter().zip(model.output_outlets()?).filter(|(branch, _)| branches.contains(branch));
    let wanted: Vec<OutletId> = outputs.map(|(_, outlet)| *outlet).collect();
    model.select_output_outlets(&wanted)?;
    give_back_freed();
    model.into_typed()?.into_decluttered()
}

impl Scorer for TractScorer {
    fn score(&mut self, input: &ModelInput) -> Result<LevelScores, InferError> {
        self.score_until(input, &mut |_| false)
    }

    fn score_until(
        &mut self,
        input: &ModelInput,
        is_settled: &mut dyn FnMut(&LevelScores) -> bool,
    ) -> Result<LevelScores, InferError> {
        let mut image = self.image(input)?;
        let mut scores = None;
        let last = self.parts.len().saturating_sub(1);
        for (index, part) in self.parts.iter_mut().enumerate() {
            if scores.as_ref().is_some_and(&mut *is_settled) {
                return scores.ok_or_else(nothing);
            }
            let given = if index < last { image.clone() } else { std::mem::take(&mut image) };
            let maps = part.network.run(given)?;
            scores = Some(with_maps(scores, self.cells, &part.branches, maps)?);
        }
        let mut scores = scores.ok_or_else(nothing)?;
        if self.memory > scores.levels(Branch::Memory) {
            scores = scores.with_memory(1, 1, &vec![0.0; self.memory])?;
        }
        if scores.levels(Branch::Logical) == 0 {
            scores = scores.with_logical(vec![0.0; self.cells.iter().product()])?;
        }
        Ok(scores)
    }
}

/// One output of the network.
pub(super) struct Map {
    channels: usize,
    height: usize,
    width: usize,
    values: Vec<f32>,
}

impl Map {
    pub(super) fn of(tensor: &TValue) -> Result<Self, InferError> {
        let &[1, channels, height, width] = tensor.shape() else {
            return Err(InferError::Shape(format!("expected (1, L, h, w), the network gave {:?}", tensor.shape())));
        };
        let values = || -> TractResult<Vec<f32>> { Ok(tensor.try_as_plain_ram()?.as_slice::<f32>()?.to_vec()) };
        let values = values().map_err(|e| InferError::Run(format!("{e:#}")))?;
        Ok(Self { channels, height, width, values })
    }
}

/// `before`, if that is something, and what a part gave for its `branches`; structural scores of 0 where no part gives them.
fn with_maps(
    before: Option<LevelScores>,
    cells: [usize; 3],
    branches: &[Branch],
    maps: Vec<Map>,
) -> Result<LevelScores, InferError> {
    if maps.len() != branches.len() {
        return Err(InferError::Shape(format!("expected {} outputs, the network gave {}", branches.len(), maps.len())));
    }
    let (mut structural, mut logical, mut memory) = (None, None, None);
    for (branch, map) in branches.iter().zip(maps) {
        match branch {
            Branch::Structural => structural = Some(map),
            Branch::Logical => logical = Some(map),
            Branch::Memory => memory = Some(map),
        }
    }
    let [channels, height, width] = cells;
    let none = || Map { channels, height, width, values: vec![0.0; channels * height * width] };
    let mut scores = match before {
        Some(before) => before,
        None => {
            let Map { channels, height, width, values } = structural.unwrap_or_else(none);
            LevelScores::structural_only(channels, height, width, values)?
        }
    };
    if let Some(memory) = memory {
        scores = scores.with_memory(memory.height, memory.width, &memory.values)?;
    }
    match logical {
        Some(logical) => scores.with_logical(logical.values),
        None => Ok(scores),
    }
}

fn nothing() -> InferError {
    InferError::Run("no branch is computed".into())
}
