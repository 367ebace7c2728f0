//! The [`Scorer`] on tract.

#[cfg(feature = "cuda")]
use super::cuda::Session;
use super::device::Device;
use super::fuse::{Fused, Fusion, Planning, fuse};
use super::kernels::give_back_freed;
use super::tune::{PlanSource, Tuner};
use super::{InferError, Isa, LevelScores, Operator, Scorer};
use crate::bundle::Bundle;
use crate::preprocess::ModelInput;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tract_onnx::prelude::*;

/// Environment variable that names the instruction set to use, by a name that [`Isa::named`] takes.
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
    /// tract's CUDA runtime, on the first device; this project's operators have no part in it.
    Cuda,
}

impl Engine {
    /// The fastest engine on the installed [`Device`], unless [`ENGINE_VARIABLE`] or [`ISA_VARIABLE`] ask for another one of the
    /// processor's.
    ///
    /// # Errors
    /// [`InferError::Load`] where a variable holds something unknown or this processor lacks the instruction set.
    pub fn from_environment() -> Result<Self, InferError> {
        if Device::installed() == Device::Cuda {
            return Ok(Self::Cuda);
        }
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

impl std::fmt::Display for Engine {
    /// `fused, avx512`, `plain tract` or `tract on CUDA`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fused(isa) => write!(f, "fused, {}", isa.name()),
            Self::Plain => f.write_str("plain tract"),
            Self::Cuda => f.write_str("tract on CUDA"),
        }
    }
}

/// A bundle's networks, optimised by tract for this host.
pub struct TractScorer {
    /// One, or in a cascade two: all outputs but the logical one, and that one.
    parts: Vec<Part>,
    engine: Engine,
    plan_source: PlanSource,
    height: usize,
    width: usize,
}

struct Part {
    network: Ready,
    fusion: Fusion,
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

/// All outputs in one part.
const WHOLE: [fn(usize) -> bool; 1] = [|_| true];
/// Where the bundle's outputs stand in the graph.
const LOGICAL_OUTPUT: usize = 1;

impl TractScorer {
    /// Prepares the networks of `bundle`, whose memory is free again early where it is given away, on
    /// [`Engine::from_environment`], with the plan of an installed [`Tuner`].
    ///
    /// # Errors
    /// [`InferError::Load`] where tract cannot read or optimise the graph.
    pub fn new<'a>(bundle: impl Into<Cow<'a, Bundle>>) -> Result<Self, InferError> {
        Self::with_parts(bundle.into(), Engine::from_environment()?, &WHOLE, Tuner::installed())
    }

    /// Prepares the networks of `bundle` on `engine`, each layer as `tuner` finds it to be fastest on the threads of the
    /// current rayon pool.
    ///
    /// # Errors
    /// [`InferError::Load`] where tract cannot read or optimise the graph.
    pub fn tuned<'a>(bundle: impl Into<Cow<'a, Bundle>>, engine: Engine, tuner: &Tuner) -> Result<Self, InferError> {
        Self::with_parts(bundle.into(), engine, &WHOLE, Some(tuner))
    }

    /// Prepares the networks of `bundle` on `engine`.
    ///
    /// # Errors
    /// [`InferError::Load`] where tract cannot read or optimise the graph.
    pub fn with_engine<'a>(bundle: impl Into<Cow<'a, Bundle>>, engine: Engine) -> Result<Self, InferError> {
        Self::with_parts(bundle.into(), engine, &WHOLE, None)
    }

    /// Like [`TractScorer::with_engine`], so that [`Scorer::score_until`] can leave out the logical branch, and with the plan
    /// of an installed [`Tuner`].
    ///
    /// # Errors
    /// [`InferError::Load`] where tract cannot read or optimise the graph.
    pub fn cascaded<'a>(bundle: impl Into<Cow<'a, Bundle>>, engine: Engine) -> Result<Self, InferError> {
        let parts: [fn(usize) -> bool; 2] = [|output| output != LOGICAL_OUTPUT, |output| output == LOGICAL_OUTPUT];
        Self::with_parts(bundle.into(), engine, &parts, Tuner::installed())
    }

    fn with_parts(
        bundle: Cow<'_, Bundle>,
        engine: Engine,
        parts: &[fn(usize) -> bool],
        tuner: Option<&Tuner>,
    ) -> Result<Self, InferError> {
        if engine == Engine::Cuda {
            super::check_cuda()?;
        }
        let tuner = tuner.filter(|_| matches!(engine, Engine::Fused(_)));
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
        let parts = parts.map(|(graph, outputs)| prepare(graph, engine, *outputs, &mut planning));
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
        Ok(Self { parts, engine, plan_source, height, width })
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

/// The graph of those outputs that `outputs` wants.
fn prepare(
    model: InferenceModel,
    engine: Engine,
    outputs: fn(usize) -> bool,
    planning: &mut Planning,
) -> Result<Part, InferError> {
    let mut fusion = Fusion::default();
    let mut model = decluttered(model, outputs).map_err(load)?;
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
    Ok(Part { network, fusion })
}

fn on_host(model: TypedModel) -> Result<Ready, InferError> {
    model.into_optimized().and_then(TypedModel::into_runnable).map(Ready::Host).map_err(load)
}

fn decluttered(mut model: InferenceModel, outputs: fn(usize) -> bool) -> TractResult<TypedModel> {
    let wanted = model.output_outlets()?.iter().enumerate().filter(|(index, _)| outputs(*index));
    let wanted: Vec<OutletId> = wanted.map(|(_, outlet)| *outlet).collect();
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
        let image = self.image(input)?;
        match &mut self.parts[..] {
            [whole] => {
                let mut maps = whole.network.run(image)?;
                if maps.len() <= LOGICAL_OUTPUT {
                    return Err(InferError::Shape(format!("expected 2 or 3 outputs, the network gave {}", maps.len())));
                }
                let logical = maps.remove(LOGICAL_OUTPUT);
                scores(maps)?.with_logical(logical.values)
            }
            [first, logical] => {
                let scores = scores(first.network.run(image.clone())?)?;
                if is_settled(&scores) {
                    return Ok(scores);
                }
                let logical = logical.network.run(image)?.pop();
                scores.with_logical(logical.map(|map| map.values).unwrap_or_default())
            }
            parts => Err(InferError::Run(format!("expected 1 or 2 parts, got {}", parts.len()))),
        }
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

/// The structural scores, and those of a memory.
fn scores(maps: Vec<Map>) -> Result<LevelScores, InferError> {
    let count = maps.len();
    let mut maps = maps.into_iter();
    let (Some(structural), memory, None) = (maps.next(), maps.next(), maps.next()) else {
        return Err(InferError::Shape(format!(
            "expected the structural output and a memory's, the network gave {count}"
        )));
    };
    let Map { channels, height, width, values } = structural;
    let scores = LevelScores::structural_only(channels, height, width, values)?;
    match memory {
        Some(memory) => scores.with_memory(memory.height, memory.width, &memory.values),
        None => Ok(scores),
    }
}
