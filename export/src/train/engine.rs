//! The loop that both stages of training run in.

use super::snapshot::{self, Resumed, State};
use super::{Adam, Progress, TrainError};
use crate::checkpoint::{CheckpointError, Settings};
use crate::data::{Batch, GoodImages, Loader, standardise};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tch::Tensor;
use tch::nn::VarStore;

/// What is trained.
pub trait Stage {
    /// The command that trains it, for messages.
    fn command(&self) -> &'static str;

    /// The networks whose weights change, with their names.
    fn trained(&self) -> Vec<(&'static str, &VarStore)>;

    /// Loss terms of a batch, whose pixels are standardised; their sum is minimised. Where not `train`, batch norms use
    /// their running statistics.
    fn terms(&mut self, batch: &Batch, train: bool) -> Vec<(&'static str, Tensor)>;

    /// Writes the run, as it is after `state`, into `folder`.
    ///
    /// # Errors
    /// [`CheckpointError`].
    fn write(&self, folder: &Path, state: &State) -> Result<(), CheckpointError>;
}

/// When checkpoints are written.
#[derive(Clone, Debug, PartialEq)]
pub struct Saving {
    /// The run's folder.
    pub folder: PathBuf,
    /// After so much time.
    pub every: Duration,
    /// After so many steps, too.
    pub steps: Option<usize>,
}

/// What is outside of the training itself.
pub struct Control<'a> {
    /// Ends training at the next step.
    pub stop: &'a AtomicBool,
    /// Checkpoints; `None`: nothing is written.
    pub saving: Option<Saving>,
    /// Where progress goes.
    pub progress: &'a mut Progress,
}

/// Trains until the budget is used, or until the held-back loss no longer falls where `settings` have a patience.
///
/// # Errors
/// [`TrainError::Diverged`], [`TrainError::Interrupted`] or [`TrainError::Data`]; where there is a [`Saving`], the last
/// good checkpoint is in its folder then.
pub fn run(
    stage: &mut dyn Stage,
    images: &GoodImages,
    settings: &Settings,
    resumed: Resumed,
    control: &mut Control,
) -> Result<State, TrainError> {
    let mut engine = Engine::new(stage, settings, resumed)?;
    let training = std::sync::Arc::clone(&images.training);
    let pool = std::sync::Arc::clone(&images.pool);
    let mut loader = Loader::new(training, pool, settings.batch, settings.seed, settings.augmentation);
    let an_epoch = loader.steps_an_epoch();
    let (earlier, started) = (engine.state.seconds, Instant::now());
    let mut saved = (engine.state.step, Instant::now());
    loop {
        let step = engine.state.step;
        engine.state.seconds = earlier + started.elapsed().as_secs_f64();
        let elapsed = Duration::from_secs_f64(engine.state.seconds);
        let fraction = settings.budget.progress(step, an_epoch, elapsed);
        if fraction >= 1.0 || engine.no_longer_improves(an_epoch) {
            break;
        }
        if control.stop.load(Ordering::Relaxed) {
            return Err(TrainError::Interrupted { step, outcome: engine.save_and_tell(control) });
        }
        if let Some(saving) = &control.saving {
            let due = saved.1.elapsed() >= saving.every || saving.steps.is_some_and(|n| step - saved.0 >= n);
            if step > saved.0 && due {
                if let Err(error) = engine.save(&saving.folder) {
                    control
                        .progress
                        .say(&format!("warning: {error}; training goes on, the previous checkpoint is kept"));
                }
                control.progress.flush();
                saved = (step, Instant::now());
            }
        }
        let batch = loader.batch(step).map_err(|source| TrainError::Lost {
            step,
            source,
            outcome: engine.save_and_tell(control),
        })?;
        let (values, total) = engine.losses(&batch, true);
        if !total.1.is_finite() {
            let loss = total.1;
            return Err(TrainError::Diverged { step, loss, outcome: engine.kept(control) });
        }
        engine.adam.step(&total.0, settings.optimiser.schedule.rate(settings.rate, fraction));
        engine.state.step += 1;
        control.progress.step(step, fraction, &values);
        engine.state.losses = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        if settings.optimiser.patience.is_some() && engine.state.step % an_epoch == 0 {
            let loss = engine.held_back_loss(images)?;
            control.progress.held_back(step, loss);
            engine.note(loss);
        }
    }
    control.progress.finish();
    engine.take_best();
    Ok(engine.state)
}

struct Engine<'a> {
    stage: &'a mut dyn Stage,
    settings: &'a Settings,
    adam: Adam,
    state: State,
    best: Vec<(String, Tensor)>,
}

impl<'a> Engine<'a> {
    fn new(stage: &'a mut dyn Stage, settings: &'a Settings, resumed: Resumed) -> Result<Self, TrainError> {
        let mut adam = Adam::named(&stage.trained(), settings.optimiser.regularisation);
        let Resumed { state, moments, best } = resumed;
        if let Some(moments) = moments {
            adam.restore(state.step as i32, moments).map_err(TrainError::Setting)?;
        }
        Ok(Self { stage, settings, adam, state, best })
    }

    /// Values of the loss terms; their sum as tensor and number.
    fn losses(&mut self, batch: &Batch, train: bool) -> (Vec<(&'static str, f64)>, (Tensor, f64)) {
        let device = self.stage.trained().first().map_or(tch::Device::Cpu, |(_, vars)| vars.device());
        let pixels = super::channels_last(&standardise(&batch.pixels.to_device(device)));
        let batch = Batch { pixels, keys: batch.keys.clone(), variants: batch.variants.clone() };
        let terms = self.stage.terms(&batch, train);
        // All at once: each reading waits for a GPU.
        let numbers = terms.iter().map(|(_, term)| term.detach()).collect::<Vec<_>>();
        let numbers = Tensor::stack(&numbers, 0).to_device(tch::Device::Cpu);
        let value = |i: usize| numbers.double_value(&[i as i64]);
        let values: Vec<_> = terms.iter().enumerate().map(|(i, (name, _))| (*name, value(i))).collect();
        let sum = terms.into_iter().map(|(_, term)| term).reduce(|a, b| a + b).unwrap_or_else(|| Tensor::from(0.0));
        let number = values.iter().map(|(_, value)| value).sum();
        (values, (sum, number))
    }

    /// Mean over the held-back images, none varied.
    fn held_back_loss(&mut self, images: &GoodImages) -> Result<f64, TrainError> {
        let _no_grad = tch::no_grad_guard();
        let held_back = &images.held_back;
        let all: Vec<usize> = (0..held_back.len()).collect();
        let mut sum = 0.0;
        for indices in all.chunks(self.settings.batch) {
            let batch = Batch::plain(held_back, indices)?;
            sum += self.losses(&batch, false).1.1 * indices.len() as f64;
        }
        Ok(sum / held_back.len().max(1) as f64)
    }

    fn note(&mut self, loss: f64) {
        if self.state.best.is_none_or(|best| loss < best.loss) {
            self.state.best = Some(snapshot::Best { loss, step: self.state.step });
            self.best = snapshot::weights(&self.stage.trained(), true);
        }
    }

    fn no_longer_improves(&self, an_epoch: usize) -> bool {
        let (Some(patience), Some(best)) = (self.settings.optimiser.patience, self.state.best) else { return false };
        self.state.step - best.step >= patience * an_epoch
    }

    fn take_best(&mut self) {
        let current = snapshot::weights(&self.stage.trained(), false);
        tch::no_grad(|| {
            for (name, best) in self.best.drain(..) {
                if let Some((_, tensor)) = current.iter().find(|(other, _)| *other == name) {
                    tensor.shallow_clone().copy_(&best);
                }
            }
        });
    }

    fn save(&self, folder: &Path) -> Result<PathBuf, CheckpointError> {
        if !self.adam.parameters_are_finite() {
            return Err(CheckpointError::NotFinite { step: self.state.step });
        }
        snapshot::save(folder, self.stage, &self.adam, &self.state, &self.best)
    }

    /// What is left of a training that ends here, for the end of a sentence.
    fn save_and_tell(&self, control: &mut Control) -> String {
        control.progress.finish();
        let Some(saving) = &control.saving else { return "nothing was written".into() };
        match self.save(&saving.folder) {
            Ok(_) => {
                format!("continue with: mudenet-export {} --resume {}", self.stage.command(), saving.folder.display())
            }
            Err(error) => format!("{error}; {}", self.kept(control)),
        }
    }

    /// The last checkpoint, for the end of a sentence.
    fn kept(&self, control: &mut Control) -> String {
        control.progress.finish();
        let Some(saving) = &control.saving else { return "nothing was written".into() };
        match snapshot::latest(&saving.folder) {
            Some((step, path)) => format!("the checkpoint of step {step} is kept in {}", path.display()),
            None => "no checkpoint was written yet".into(),
        }
    }
}
