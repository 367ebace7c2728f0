//! Stage 2: joint training of structural student, autoencoder and logical student with the teacher frozen.

use super::engine::Stage;
use super::snapshot::{Resumed, State, latest};
use super::{Losses, Networks, TrainError, joint_loss_with};
use crate::checkpoint::{CheckpointError, ModelRun, Settings, TeacherRun};
use crate::data::{Batch, GoodImages};
use crate::model::{Architecture, Mode, choice_name};
use std::path::Path;
use tch::Device;
use tch::nn::VarStore;

/// Where the networks of a training come from.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// The folder of a distillation; students and autoencoder have fresh weights.
    Teacher(&'a Path),
    /// The folder of an earlier training, whose networks are trained further.
    Run(&'a Path),
}

impl Start<'_> {
    fn networks(self, settings: &Settings, device: Device) -> Result<(ModelRun, Networks), TrainError> {
        match self {
            Start::Teacher(folder) => {
                let teacher = TeacherRun::read(folder)?;
                let mut architecture = teacher.architecture;
                architecture.choices.decoder = settings.joint.decoder;
                let networks = Networks::with_teacher(folder, &architecture, device)?;
                let run = ModelRun {
                    steps: 0,
                    training: vec![],
                    held_back: vec![],
                    architecture,
                    losses: Losses::default(),
                    settings: settings.clone(),
                    teacher,
                };
                Ok((run, networks))
            }
            Start::Run(folder) => {
                let (run, networks) = ModelRun::read_on(folder, device)?;
                let (had, wanted) = (run.architecture.choices.decoder, settings.joint.decoder);
                if had != wanted {
                    return Err(TrainError::Setting(format!(
                        "{}: was trained with --decoder {}, so it cannot be trained further with --decoder {} (A-012)",
                        folder.display(),
                        choice_name(&had),
                        choice_name(&wanted)
                    )));
                }
                Ok((ModelRun { settings: settings.clone(), ..run }, networks))
            }
        }
    }
}

/// A training of the networks of one product.
#[derive(Debug)]
pub struct Joint {
    /// The networks.
    pub networks: Networks,
    run: ModelRun,
    earlier_steps: usize,
}

impl Joint {
    /// A training that begins, at step 0 and with a new optimiser.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] where the teacher or earlier run cannot be read.
    pub fn new(start: Start, settings: &Settings, device: Device) -> Result<Self, TrainError> {
        tch::manual_seed(settings.seed as i64);
        let (run, networks) = start.networks(settings, device)?;
        Ok(Self { networks, earlier_steps: run.steps, run })
    }

    /// A training that goes on from the newest checkpoint in `folder`.
    ///
    /// # Errors
    /// [`TrainError::Setting`] where there is none, [`TrainError::Checkpoint`] where it cannot be read.
    pub fn resume(folder: &Path, device: Device) -> Result<(Self, Resumed), TrainError> {
        let (_, checkpoint) = latest(folder).ok_or_else(|| TrainError::no_checkpoint(folder))?;
        let (run, networks) = ModelRun::read_on(&checkpoint, device)?;
        let resumed = Resumed::read(&checkpoint)?;
        let earlier_steps = run.steps.saturating_sub(resumed.state.step);
        Ok((Self { networks, run, earlier_steps }, resumed))
    }

    /// Takes note of the images that it is trained on.
    pub fn use_images(&mut self, images: &GoodImages) {
        self.run.training = images.training.paths();
        self.run.held_back = images.held_back.paths();
    }

    /// Size of the networks.
    pub fn architecture(&self) -> &Architecture {
        &self.run.architecture
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.run.settings
    }

    /// The run as it is after `state`.
    pub fn run_after(&self, state: &State) -> ModelRun {
        let term = |name: &str| state.losses.get(name).copied().unwrap_or_default();
        let losses =
            Losses { structural: term("structural"), autoencoder: term("autoencoder"), logical: term("logical") };
        ModelRun { steps: self.earlier_steps + state.step, losses, ..self.run.clone() }
    }
}

impl Stage for Joint {
    fn command(&self) -> &'static str {
        "train"
    }

    fn trained(&self) -> Vec<(&'static str, &VarStore)> {
        let Networks { structural, autoencoder, logical, .. } = &self.networks;
        vec![
            ("structural_student", &structural.vars),
            ("autoencoder", &autoencoder.vars),
            ("logical_student", &logical.vars),
        ]
    }

    fn terms(&mut self, batch: &Batch, train: bool) -> Vec<(&'static str, tch::Tensor)> {
        let mode = Mode { train, ..self.run.settings.precision.training() };
        let Networks { teacher, structural, autoencoder, logical, .. } = &self.networks;
        let image = &batch.pixels;
        let target = tch::no_grad(|| teacher.net.forward(image, Mode { train: false, ..mode }));
        let structural = structural.net.forward(image, mode);
        let reconstruction = autoencoder.net.forward(image, mode);
        let logical = logical.net.forward(image, mode);
        let gradient = self.run.settings.joint.logical_gradient;
        joint_loss_with(gradient, &target, &structural, &reconstruction, &logical).named()
    }

    fn write(&self, folder: &Path, state: &State) -> Result<(), CheckpointError> {
        self.run_after(state).write(folder, &self.networks)
    }
}
