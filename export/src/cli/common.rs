//! What both training commands take, and how they run.

use anyhow::Context;
use mudenet_edge::record::write_png;
use mudenet_export::checkpoint::{Settings, claim, file_error};
use mudenet_export::data::{Augmentation, Flip, GoodImages, Preset, Reading};
use mudenet_export::device::{DeviceChoice, describe, pick};
use mudenet_export::plot::{curves, read_metrics};
use mudenet_export::train::{
    Budget, Control, JointChoices, Optimiser, Precision, Progress, Regularisation, Resumed, Saving, Schedule, Stage,
    State, clear, latest, run,
};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tch::Device;

/// Settings that decide what a training gives; a resumed one has them from its checkpoint.
#[derive(clap::Args)]
pub(super) struct Common {
    /// Settings by name: `paper`, a category of MVTec AD, MVTec LOCO or VisA (see `mudenet-export presets`), or a .toml
    /// file; of several a later one goes first, and options given beside them before all
    #[arg(long, value_name = "NAME", conflicts_with = "resume")]
    preset: Vec<String>,
    /// Images a step [default: 8]
    #[arg(long, conflicts_with = "resume", value_parser = clap::value_parser!(u16).range(1..=512))]
    batch: Option<u16>,
    /// Adam's learning rate [default: 0.001]
    #[arg(long, conflicts_with = "resume")]
    rate: Option<f64>,
    /// How the rate goes: hold (constant for 70 % of the budget, then a cosine to a hundredth), constant, cosine
    /// [default: hold]
    #[arg(long, value_enum, conflicts_with = "resume")]
    schedule: Option<Schedule>,
    /// Stop after so many passes over the images [default: 500]
    #[arg(long, group = "budget", conflicts_with = "resume")]
    epochs: Option<usize>,
    /// Stop after so many minutes (the result then depends on the machine's speed)
    #[arg(long, group = "budget", conflicts_with = "resume")]
    minutes: Option<f64>,
    /// Stop when the loss of the held-back images has not fallen for so many epochs, and take the weights of its minimum
    #[arg(long, value_name = "EPOCHS", conflicts_with = "resume")]
    patience: Option<usize>,
    /// Weight decay, added to the gradient [default: 0]
    #[arg(long, conflicts_with = "resume")]
    weight_decay: Option<f64>,
    /// Shorten gradients to this norm; 0 for no limit [default: 0]
    #[arg(long, value_name = "NORM", conflicts_with = "resume")]
    clip: Option<f64>,
    /// Seed of split, order, augmentation and initial weights [default: 1]
    #[arg(long, conflicts_with = "resume")]
    seed: Option<u64>,
    /// Kind of the activations in training [default: f32]
    #[arg(long, value_enum, conflicts_with = "resume")]
    precision: Option<Precision>,
    /// Mirror images at random: h (left–right), v (top–bottom), hv or none [default: none]
    #[arg(long, value_enum, conflicts_with = "resume")]
    flip: Option<Flip>,
    /// Rotate images at random by up to so many degrees [default: 0]
    #[arg(long, conflicts_with = "resume")]
    rotate: Option<f64>,
    /// Change brightness, contrast and saturation at random by up to this part [default: 0]
    #[arg(long, conflicts_with = "resume")]
    jitter: Option<f64>,
}

/// Settings that do not change what a training gives.
#[derive(clap::Args)]
pub(super) struct Running {
    /// Leave out images that cannot be read, naming them
    #[arg(long, conflicts_with = "resume")]
    skip_bad: bool,
    /// Accept pictures of different shapes: each is brought to one square, so each is distorted differently
    #[arg(long, conflicts_with = "resume")]
    mixed_shapes: bool,
    /// Where to compute: auto takes the GPU where it can be used
    #[arg(long, value_enum, default_value_t)]
    device: DeviceChoice,
    /// Threads that read and vary images; the images do not depend on it [default: one a processor core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    workers: usize,
    /// Minutes between checkpoints
    #[arg(long, value_name = "MINUTES", default_value_t = 5.0)]
    save_minutes: f64,
    /// Steps between checkpoints
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..))]
    save_steps: Option<u32>,
    /// Replace a run that is in the folder already
    #[arg(long, conflicts_with = "resume")]
    overwrite: bool,
}

impl Common {
    /// The presets' settings.
    pub(super) fn preset(&self) -> anyhow::Result<Preset> {
        Preset::all(&self.preset).map_err(anyhow::Error::msg)
    }

    /// Options, then the preset's settings, then defaults.
    pub(super) fn settings(&self) -> anyhow::Result<Settings> {
        let preset = self.preset()?;
        let within = |name: &str, value: f64, low: f64, high: f64| {
            anyhow::ensure!((low..=high).contains(&value), "--{name}: expected {low} to {high}, got {value}");
            Ok(value)
        };
        // A budget on the command line replaces a preset's, whichever kind it is.
        let (epochs, minutes) = match (self.epochs, self.minutes) {
            (None, None) => (preset.epochs, preset.minutes),
            given => given,
        };
        let budget = match (epochs, minutes) {
            (Some(_), Some(_)) => anyhow::bail!("the preset gives both epochs and minutes, expected one of them"),
            (_, Some(minutes)) => Budget::Minutes(within("minutes", minutes, 0.0, 100_000.0)?),
            (epochs, None) => Budget::Epochs(epochs.unwrap_or(500)),
        };
        let flip = self.flip.or(preset.flip).unwrap_or_default();
        let batch = self.batch.or(preset.batch).unwrap_or(8);
        anyhow::ensure!((1..=512).contains(&batch), "batch: expected 1 to 512, got {batch}");
        let patience = self.patience.or(preset.patience);
        anyhow::ensure!(patience != Some(0), "--patience: expected at least 1 epoch, got 0");
        Ok(Settings {
            seed: self.seed.or(preset.seed).unwrap_or(1),
            batch: batch.into(),
            rate: within("rate", self.rate.or(preset.rate).unwrap_or(1e-3), 1e-9, 1.0)?,
            budget,
            precision: self.precision.or(preset.precision).unwrap_or_default(),
            augmentation: Augmentation {
                horizontal: matches!(flip, Flip::H | Flip::Hv),
                vertical: matches!(flip, Flip::V | Flip::Hv),
                rotation: within("rotate", self.rotate.or(preset.rotate).unwrap_or(0.0), 0.0, 180.0)?,
                jitter: within("jitter", self.jitter.or(preset.jitter).unwrap_or(0.0), 0.0, 0.9)?,
                damage: 0.0,
            },
            joint: JointChoices::default(),
            optimiser: Optimiser {
                schedule: self.schedule.or(preset.schedule).unwrap_or_default(),
                patience,
                regularisation: Regularisation {
                    weight_decay: within(
                        "weight-decay",
                        self.weight_decay.or(preset.weight_decay).unwrap_or(0.0),
                        0.0,
                        1.0,
                    )?,
                    clip: within("clip", self.clip.or(preset.clip).unwrap_or(0.0), 0.0, 1e9)?,
                },
            },
        })
    }
}

impl Running {
    /// The device, told to the user.
    pub(super) fn device(&self) -> anyhow::Result<Device> {
        let device = pick(self.device)?;
        eprintln!("training on {}", describe(device));
        Ok(device)
    }

    /// How images are read.
    pub(super) fn reading(&self) -> Reading {
        Reading { skip_bad: self.skip_bad, mixed_shapes: self.mixed_shapes, workers: self.workers }
    }

    /// Trains `stage` in `folder` and writes the run there. Nothing in the folder is touched before this.
    pub(super) fn carry_out(
        &self,
        stage: &mut dyn Stage,
        images: &GoodImages,
        settings: &Settings,
        resumed: Option<Resumed>,
        folder: &Path,
        stop: &AtomicBool,
    ) -> anyhow::Result<(State, f64)> {
        anyhow::ensure!(self.save_minutes > 0.0, "--save-minutes: expected more than 0, got {}", self.save_minutes);
        for (path, reason) in &images.skipped {
            eprintln!(
                "warning: left out: {}",
                if reason.is_empty() { path.display().to_string() } else { reason.clone() }
            );
        }
        let log = folder.join("metrics.jsonl");
        let progress = match &resumed {
            None => {
                claim(folder, self.overwrite)?;
                images.manifest().write(folder)?;
                Progress::new(&log, settings.batch)
            }
            Some(resumed) => Progress::resume(&log, settings.batch, resumed.state.step, resumed.state.seconds),
        };
        let mut progress = progress.map_err(|e| file_error(&log, &e))?;
        let every = Duration::try_from_secs_f64(60.0 * self.save_minutes).context("--save-minutes")?;
        let steps = self.save_steps.map(|steps| steps as usize);
        let saving = Saving { folder: folder.to_owned(), every, steps };
        let mut control = Control { stop, saving: Some(saving), progress: &mut progress };
        let state = run(stage, images, settings, resumed.unwrap_or_default(), &mut control)?;
        stage.write(folder, &state).with_context(|| match latest(folder) {
            Some((step, _)) => format!(
                "trained {} steps, but the run cannot be saved; once it can, go on from step {step} with: mudenet-export \
                 {} --resume {}",
                state.step,
                stage.command(),
                folder.display()
            ),
            None => format!("trained {} steps, but the run cannot be saved", state.step),
        })?;
        clear(folder)?;
        draw_losses(folder, &log);
        Ok((state, progress.speed()))
    }
}

/// `losses.png` beside the log. A picture that cannot be made must not fail a training that is done.
fn draw_losses(folder: &Path, log: &Path) {
    let picture = read_metrics(log).ok().and_then(|metrics| curves(&folder.display().to_string(), &metrics));
    if let Some(Err(error)) = picture.map(|picture| write_png(&folder.join("losses.png"), &picture)) {
        eprintln!("warning: {error}");
    }
}
