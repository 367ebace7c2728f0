//! Training: the loop with its checkpoints that both stages share, and stage 2, the joint training of structural student,
//! autoencoder and logical student with the teacher frozen.

mod adam;
mod engine;
mod joint;
mod loss;
mod progress;
mod schedule;
mod snapshot;

use crate::checkpoint::{CheckpointError, ModelRun, Settings};
use crate::data::{DataError, GoodImages, Reading};
use crate::first_stage::FirstStage;
use crate::model::{self, Architecture, Autoencoder, DecoderEnd, Descriptor, Mode, Network};
pub use adam::{Adam, Regularisation};
pub use engine::{Control, Saving, Stage, run};
pub use joint::{Joint, Start};
pub use loss::{LogicalGradient, LossTerms, Losses, joint_loss, joint_loss_with, level_loss};
pub use progress::Progress;
pub use schedule::{Budget, Schedule};
use serde::{Deserialize, Serialize};
pub use snapshot::{Best, Resumed, State, clear, latest};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use tch::{Device, Kind, Tensor};

/// The networks of one product.
#[derive(Debug)]
pub struct Networks {
    /// T.
    pub teacher: Network<Descriptor>,
    /// S1.
    pub structural: Network<Descriptor>,
    /// A.
    pub autoencoder: Network<Autoencoder>,
    /// S2.
    pub logical: Network<Descriptor>,
    /// What the memory sees with; never trained.
    pub first_stage: Option<FirstStage>,
}

/// Why training stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The images cannot be learned from.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A setting that cannot be used.
    #[error("{0}")]
    Setting(String),
    /// The loss is no longer a number.
    #[error("the loss became {loss} at step {step}; {outcome} (try a lower --rate, or --clip 1)")]
    Diverged {
        /// The step, from 0.
        step: usize,
        /// NaN or infinite.
        loss: f64,
        /// What is left.
        outcome: String,
    },
    /// Ctrl-C.
    #[error("stopped at step {step} by Ctrl-C; {outcome}")]
    Interrupted {
        /// The step, from 0.
        step: usize,
        /// What is left.
        outcome: String,
    },
    /// An image can no longer be read.
    #[error("stopped at step {step}: {source}; {outcome}")]
    Lost {
        /// The step, from 0.
        step: usize,
        /// The image and what is wrong with it.
        source: DataError,
        /// What is left.
        outcome: String,
    },
}

impl TrainError {
    /// Nothing to resume in `folder`.
    pub fn no_checkpoint(folder: &Path) -> Self {
        Self::Setting(format!("{}: holds no checkpoint to resume", folder.display()))
    }
}

/// What the paper leaves open in stage 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JointChoices {
    ///
    pub decoder: DecoderEnd,
    ///
    pub logical_gradient: LogicalGradient,
}

/// Settings of the optimiser beside rate and budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Optimiser {
    /// How the rate goes over the budget.
    pub schedule: Schedule,
    /// Stop when the held-back loss has not fallen for so many epochs, and take the weights of its minimum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Weight decay and clipping.
    pub regularisation: Regularisation,
}

impl Networks {
    /// The teacher of a distillation, and fresh weights for the rest.
    ///
    /// # Errors
    /// [`CheckpointError`] where the teacher cannot be read.
    pub fn with_teacher(teacher: &Path, architecture: &Architecture, device: Device) -> Result<Self, CheckpointError> {
        let mut networks = Self {
            teacher: model::descriptor(architecture, device),
            structural: model::descriptor(architecture, device),
            autoencoder: model::autoencoder(architecture, device),
            logical: model::descriptor(architecture, device),
            first_stage: FirstStage::read(teacher, Device::Cpu)?,
        };
        crate::checkpoint::load_weights(&mut networks.teacher, &teacher.join(crate::checkpoint::TEACHER))?;
        networks.teacher.vars.freeze();
        Ok(networks)
    }
}

/// What one training ended with.
#[derive(Debug)]
pub struct Trained {
    /// The networks.
    pub networks: Networks,
    /// How they came about.
    pub run: ModelRun,
}

/// Trains on the good images below `data` until the budget is used, without checkpoints. The optimiser starts anew.
///
/// # Errors
/// [`TrainError`]; nothing is written here.
pub fn train(
    start: Start,
    data: &Path,
    settings: &Settings,
    stop: &AtomicBool,
    progress: &mut Progress,
) -> Result<Trained, TrainError> {
    let mut joint = Joint::new(start, settings, Device::Cpu)?;
    let size = joint.architecture().size;
    let images = GoodImages::read(&[data.to_owned()], settings.seed, size, Reading::default())?;
    joint.use_images(&images);
    let mut control = Control { stop, saving: None, progress };
    let state = run(&mut joint, &images, settings, Resumed::default(), &mut control)?;
    Ok(Trained { run: joint.run_after(&state), networks: joint.networks })
}

/// The same tensor with its channels innermost in memory, the faster layout on CPUs.
pub fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// The kind in which activations are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits with f32's range; parameters stay f32.
    Bf16,
}

impl Precision {
    fn kind(self) -> Kind {
        match self {
            Precision::F32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
        }
    }

    /// The forward pass of a training step at this precision.
    pub fn training(self) -> Mode {
        Mode { train: true, kind: self.kind() }
    }
}
