//! Stage 1: distillation of the teacher from a frozen ImageNet backbone (Eq. 14–16).

use crate::backbone::{TargetCache, TargetExtractor};
use crate::checkpoint::{CheckpointError, TEACHER, TeacherRun, load_weights};
use crate::data::{Batch, Variant};
use crate::first_stage::FirstStage;
use crate::model::{self, Descriptor, Mode, Network};
use crate::train::{Resumed, Stage, State, TrainError, latest, level_loss};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

/// Most bytes of targets kept in memory.
const CACHE_BYTES: usize = 2 << 30;

/// how a target of a quarter of the image's size meets embeddings of half of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum MatchSizes {
    /// The target is upsampled bilinearly.
    #[default]
    Bilinear,
    /// The target is repeated.
    Nearest,
    /// The embeddings are averaged 2×2.
    DownsampleTeacher,
}

/// A distillation of a teacher.
#[derive(Debug)]
pub struct Distillation {
    /// T.
    pub teacher: Network<Descriptor>,
    run: TeacherRun,
    targets: Targets,
    first_stage: Option<FirstStage>,
}

impl Distillation {
    /// A distillation that begins; `run` gives architecture and settings.
    pub fn new(run: TeacherRun, extractor: TargetExtractor, device: Device) -> Self {
        tch::manual_seed(run.settings.seed as i64);
        let teacher = model::descriptor(&run.architecture, device);
        Self {
            teacher,
            run,
            targets: Targets { extractor, cache: HashMap::new(), bytes: 0, disk: None },
            first_stage: None,
        }
    }

    /// Keeps targets in a folder, too.
    #[must_use]
    pub fn with_cache(mut self, cache: TargetCache) -> Self {
        self.targets.disk = Some(cache);
        self
    }

    /// Keeps the backbone's first stage with the teacher.
    #[must_use]
    pub fn with_first_stage(mut self, stage: Option<FirstStage>) -> Self {
        self.first_stage = stage;
        self
    }

    /// The run of the newest checkpoint in `folder`, for [`Distillation::resume`].
    ///
    /// # Errors
    /// [`TrainError::Setting`] where there is none, [`TrainError::Checkpoint`] where it cannot be read.
    pub fn checkpoint(folder: &Path) -> Result<TeacherRun, TrainError> {
        let (_, checkpoint) = latest(folder).ok_or_else(|| TrainError::no_checkpoint(folder))?;
        Ok(TeacherRun::read(&checkpoint)?)
    }

    /// A distillation that goes on from the newest checkpoint in `folder`.
    ///
    /// # Errors
    /// [`TrainError::Setting`] where there is none, [`TrainError::Checkpoint`] where it cannot be read.
    pub fn resume(folder: &Path, extractor: TargetExtractor, device: Device) -> Result<(Self, Resumed), TrainError> {
        let (_, checkpoint) = latest(folder).ok_or_else(|| TrainError::no_checkpoint(folder))?;
        let mut distillation = Self::new(TeacherRun::read(&checkpoint)?, extractor, device);
        load_weights(&mut distillation.teacher, &checkpoint.join(TEACHER))?;
        distillation.first_stage = FirstStage::read(&checkpoint, Device::Cpu)?;
        Ok((distillation, Resumed::read(&checkpoint)?))
    }

    /// The run as it is after `state`.
    pub fn run_after(&self, state: &State) -> TeacherRun {
        let loss = state.losses.get("distillation").copied().unwrap_or(f64::NAN);
        TeacherRun { steps: state.step, loss, ..self.run.clone() }
    }
}

impl Stage for Distillation {
    fn command(&self) -> &'static str {
        "distill"
    }

    fn trained(&self) -> Vec<(&'static str, &VarStore)> {
        vec![("teacher", &self.teacher.vars)]
    }

    fn terms(&mut self, batch: &Batch, train: bool) -> Vec<(&'static str, Tensor)> {
        let settings = &self.run.settings;
        let keep = settings.augmentation.mirrors_only();
        let mut wanted = Vec::new();
        for (i, (key, variant)) in (0..).zip(batch.keys.iter().zip(&batch.variants)) {
            wanted.push(self.targets.of(key, *variant, &batch.pixels.narrow(0, i, 1).contiguous(), keep));
        }
        let half = self.run.architecture.size / 2;
        let target = Tensor::cat(&wanted, 0).to_device(batch.pixels.device()).to_kind(Kind::Float);
        let mode = Mode { train, ..settings.precision.training() };
        let mut embeddings = self.teacher.net.forward(&batch.pixels, mode);
        let target = match self.run.match_sizes {
            MatchSizes::Bilinear => target.upsample_bilinear2d([half, half], false, None, None),
            MatchSizes::Nearest => target.upsample_nearest2d([half, half], None, None),
            MatchSizes::DownsampleTeacher => {
                let halve = |e: &Tensor| e.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>);
                embeddings = embeddings.iter().map(halve).collect();
                target
            }
        };
        let target = target.to_kind(mode.kind);
        let levels: Vec<Tensor> = embeddings.iter().map(|_| target.shallow_clone()).collect();
        vec![("distillation", level_loss(&levels, &embeddings))]
    }

    fn write(&self, folder: &Path, state: &State) -> Result<(), CheckpointError> {
        self.run_after(state).write(folder, &self.teacher)?;
        self.first_stage.as_ref().map_or(Ok(()), |stage| stage.write(folder))
    }
}

/// Targets, each computed once where the augmentation allows it.
#[derive(Debug)]
struct Targets {
    extractor: TargetExtractor,
    cache: HashMap<(String, bool, bool, Option<u64>), Tensor>,
    bytes: usize,
    disk: Option<TargetCache>,
}

impl Targets {
    fn of(&mut self, key: &str, variant: Variant, image: &Tensor, keep: bool) -> Tensor {
        let sha256 = key;
        let key = (sha256.to_owned(), variant.horizontal, variant.vertical, variant.damage);
        if let Some(target) = self.cache.get(&key).filter(|_| keep) {
            return target.shallow_clone();
        }
        let make = || self.extractor.target(image).to_kind(Kind::Half).to_device(Device::Cpu);
        let target = match &self.disk {
            Some(disk) if keep && variant.damage.is_none() => {
                disk.get(sha256, (variant.horizontal, variant.vertical), make)
            }
            _ => make(),
        };
        let bytes = 2 * target.numel();
        if keep && self.bytes + bytes <= CACHE_BYTES {
            self.bytes += bytes;
            self.cache.insert(key, target.shallow_clone());
        }
        target
    }
}
