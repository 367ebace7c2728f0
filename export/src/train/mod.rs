//! Stage 2: joint training of structural student, autoencoder and logical student with the teacher frozen.

mod adam;
mod loss;
mod progress;
mod schedule;

use crate::checkpoint::{CheckpointError, ModelRun, Settings, TeacherRun};
use crate::data::{self, DataError, Images, epoch_order};
use crate::model::{self, Autoencoder, Descriptor, Mode, Network};
pub use adam::Adam;
pub use loss::{Losses, joint_loss, level_loss};
pub use progress::Progress;
pub use schedule::{Budget, learning_rate};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
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
    #[error("the loss became {loss} at step {step}; nothing was written (try a lower --rate)")]
    Diverged {
        /// The step, from 0.
        step: usize,
        /// NaN or infinite.
        loss: f64,
    },
    /// Ctrl-C.
    #[error("stopped at step {step} by Ctrl-C; nothing was written")]
    Interrupted {
        /// The step, from 0.
        step: usize,
    },
}

impl Networks {
    /// The teacher of a distillation, and fresh weights for the rest.
    ///
    /// # Errors
    /// [`CheckpointError`] where the teacher cannot be read.
    pub fn with_teacher(teacher: &Path, run: &TeacherRun, device: Device) -> Result<Self, CheckpointError> {
        let architecture = &run.architecture;
        let mut networks = Self {
            teacher: model::descriptor(architecture, device),
            structural: model::descriptor(architecture, device),
            autoencoder: model::autoencoder(architecture, device),
            logical: model::descriptor(architecture, device),
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

/// Where the networks of a training come from.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// The folder of a distillation; students and autoencoder have fresh weights.
    Teacher(&'a Path),
    /// The folder of an earlier training, whose networks are trained further.
    Run(&'a Path),
}

impl Start<'_> {
    fn networks(self) -> Result<(TeacherRun, usize, Networks), CheckpointError> {
        match self {
            Start::Teacher(folder) => {
                let run = TeacherRun::read(folder)?;
                let networks = Networks::with_teacher(folder, &run, Device::Cpu)?;
                Ok((run, 0, networks))
            }
            Start::Run(folder) => {
                let (run, networks) = ModelRun::read(folder)?;
                Ok((run.teacher, run.steps, networks))
            }
        }
    }
}

/// Trains on the good images below `data` until the budget is used. The optimiser starts anew.
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
    tch::manual_seed(settings.seed as i64);
    let (teacher_run, earlier_steps, networks) = start.networks()?;
    let (training, held_back) = data::split(data::good_images(data)?, settings.seed);
    let images = Images::read(&training, teacher_run.architecture.size)?;
    let mut adam = Adam::new(&[&networks.structural.vars, &networks.autoencoder.vars, &networks.logical.vars]);
    let mode = Mode { train: true, kind: settings.precision.kind() };
    let mut losses = Losses::default();
    let steps = run_epochs(&images, settings, stop, |step, batch, rate, fraction| {
        let teacher = tch::no_grad(|| networks.teacher.net.forward(batch, Mode { train: false, ..mode }));
        let structural = networks.structural.net.forward(batch, mode);
        let autoencoder = networks.autoencoder.net.forward(batch, mode);
        let logical = networks.logical.net.forward(batch, mode);
        let terms = joint_loss(&teacher, &structural, &autoencoder, &logical);
        adam.step(&terms.total(), rate);
        losses = terms.values();
        progress.step(step, fraction, &losses.named());
        losses.total()
    })?;
    progress.finish();
    let run = ModelRun {
        architecture: teacher_run.architecture,
        teacher: teacher_run,
        settings: settings.clone(),
        steps: earlier_steps + steps,
        losses,
        training,
        held_back,
    };
    Ok(Trained { networks, run })
}

/// Calls `step(number, standardised batch, learning rate, used part of the budget) -> loss` until the budget is used;
/// the number of steps.
///
/// # Errors
/// [`TrainError::Diverged`] or [`TrainError::Interrupted`].
pub fn run_epochs(
    images: &Images,
    settings: &Settings,
    stop: &AtomicBool,
    mut step: impl FnMut(usize, &Tensor, f64, f64) -> f64,
) -> Result<usize, TrainError> {
    run_batches(images.len(), settings, stop, |number, epoch, batch, rate, fraction| {
        let variants: Vec<Tensor> = batch
            .iter()
            .map(|&i| settings.augmentation.draw(settings.seed, epoch, i).apply(&images.pixels.get(i as i64)))
            .collect();
        step(number, &channels_last(&data::standardise(&Tensor::stack(&variants, 0))), rate, fraction)
    })
}

/// Calls `step(number, epoch, image indices, learning rate, used part of the budget) -> loss` until the budget is used.
///
/// # Errors
/// [`TrainError::Diverged`] or [`TrainError::Interrupted`].
pub fn run_batches(
    images: usize,
    settings: &Settings,
    stop: &AtomicBool,
    mut step: impl FnMut(usize, usize, &[usize], f64, f64) -> f64,
) -> Result<usize, TrainError> {
    let batch_size = settings.batch.clamp(1, images);
    // Incomplete batches would weigh their images more; the order changes every epoch.
    let steps_an_epoch = images / batch_size;
    let started = Instant::now();
    let mut number = 0;
    for epoch in 0.. {
        let order = epoch_order(images, settings.seed, epoch);
        for batch in order.chunks_exact(batch_size) {
            let fraction = settings.budget.progress(number, steps_an_epoch, started.elapsed());
            if fraction >= 1.0 {
                return Ok(number);
            }
            if stop.load(Ordering::Relaxed) {
                return Err(TrainError::Interrupted { step: number });
            }
            let loss = step(number, epoch, batch, learning_rate(settings.rate, fraction), fraction);
            if !loss.is_finite() {
                return Err(TrainError::Diverged { step: number, loss });
            }
            number += 1;
        }
    }
    Ok(number)
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
