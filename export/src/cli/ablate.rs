//! `mudenet-export ablate`.

use super::stop_flag;
use anyhow::{Context, bail, ensure};
use mudenet_edge::bundle::Bundle;
use mudenet_edge::metric::dataset::{DataSet, Layout};
use mudenet_edge::record::{write_file, write_png};
use mudenet_export::ablate::{Measurement, Outcome, Trial, csv, evaluate, markdown, picture, trials};
use mudenet_export::backbone::TargetKind;
use mudenet_export::data::{Flip, Preset, good_images};
use mudenet_export::model::choice_name;
use mudenet_export::train::{Precision, latest};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

const AFTER_HELP: &str = "\
Each choice is trained and measured like the default, with the same images, budget and seeds; what does not depend on it
is shared. The folder holds every run, ablation.csv (one line a seed), ablation.md (a table for ASSUMPTIONS.md) and
ablation.png. Started again with the same options, it goes on where it was stopped.

Example:
  mudenet-export ablate --data data/tray --backbone resnet50v2.safetensors --assumptions A-003,A-014 --seeds 3 \\
    --epochs 40 --width quarter -o runs/ablation";

/// Measure the alternatives of assumptions against the default on equal budgets
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// A labelled set: MVTec AD, MVTec LOCO, an object of VisA, or good/ and bad/
    #[arg(long)]
    data: PathBuf,
    /// ImageNet weights, see `mudenet-export distill`
    #[arg(long)]
    backbone: PathBuf,
    /// Assumptions by number, separated by commas; see ASSUMPTIONS.md
    #[arg(long, value_delimiter = ',', required = true)]
    assumptions: Vec<String>,
    /// Number of seeds, counted from 1
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// Epochs of `train`
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Epochs of `distill` [default: those of `train`]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    teacher_epochs: Option<u32>,
    /// Size of the networks
    #[arg(long, default_value = "quarter", value_parser = super::distill::width)]
    width: i64,
    /// Pixels a side of the input, a multiple of 64
    #[arg(long, default_value_t = 256)]
    size: i64,
    /// What all teachers are distilled to
    #[arg(long, value_enum, default_value_t = TargetKind::Principal)]
    target: TargetKind,
    /// Augmentation by name or .toml file, see `mudenet-export presets`; the teacher takes its flips only
    #[arg(long)]
    preset: Option<String>,
    /// Embeddings of good parts that all models remember; 0 shows what the trained branches do alone (A-026) [default: as
    /// `freeze`]
    #[arg(long, value_name = "COUNT")]
    memory: Option<usize>,
    /// Kind of the activations in training
    #[arg(long, value_enum, default_value_t)]
    precision: Precision,
    /// Folder for all runs and the tables
    #[arg(short, long)]
    out: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let stop = stop_flag()?;
    let trials = trials(&args.assumptions, &choice_name(&args.target)).map_err(anyhow::Error::msg)?;
    let set = DataSet::open(&args.data, Layout::of(&args.data, None)?, None)?;
    good_images(&args.data)?;
    let flip = match &args.preset {
        Some(name) => Preset::find(name).map_err(anyhow::Error::msg)?.flip.unwrap_or_default(),
        None => Flip::None,
    };
    ensure!(args.backbone.is_file(), "{}: is not a file", args.backbone.display());
    args.pin()?;

    let mut measurements = Vec::new();
    let total = trials.len() as u64 * args.seeds;
    for seed in 1..=args.seeds {
        for trial in &trials {
            let number = measurements.len() as u64 + 1;
            eprintln!("{number} of {total}: {}, seed {seed}", trial.name());
            let outcome = Job { args, trial, seed, flip, stop: &stop }.outcome(&set)?;
            measurements.push(Measurement { trial: trial.clone(), seed, outcome });
            args.report(&measurements)?;
        }
    }
    print!("{}", markdown(&measurements));
    Ok(())
}

impl Args {
    /// Writes down what all runs in the folder have in common; a folder with other runs is an error.
    fn pin(&self) -> anyhow::Result<()> {
        let path = self.out.join("ablation.toml");
        let common = format!(
            "data = {:?}\nbackbone = {:?}\nepochs = {}\nteacher_epochs = {}\nwidth = {}\nsize = {}\ntarget = {:?}\n\
             preset = {:?}\nprecision = {:?}\nmemory = {:?}\n",
            std::path::absolute(&self.data)?,
            std::path::absolute(&self.backbone)?,
            self.epochs,
            self.teacher_epochs.unwrap_or(self.epochs),
            self.width,
            self.size,
            choice_name(&self.target),
            self.preset.as_deref().unwrap_or("none"),
            choice_name(&self.precision),
            self.memory.map_or("default".into(), |count| count.to_string()),
        );
        if let Ok(earlier) = std::fs::read_to_string(&path) {
            let lines = earlier.lines().zip(common.lines());
            if let Some((had, now)) = lines.clone().find(|(had, now)| had != now) {
                bail!("{}: has `{had}`, now `{now}` is asked for; choose another folder", path.display());
            }
            return Ok(());
        }
        Ok(write_file(&path, |out| out.write_all(common.as_bytes()))?)
    }

    fn report(&self, measurements: &[Measurement]) -> anyhow::Result<()> {
        let text = |name: &str, text: String| write_file(&self.out.join(name), |out| out.write_all(text.as_bytes()));
        text("ablation.csv", csv(measurements))?;
        text("ablation.md", markdown(measurements))?;
        let title = format!("{}, {} epochs, width {}", self.data.display(), self.epochs, self.width);
        Ok(write_png(&self.out.join("ablation.png"), &picture(&title, measurements))?)
    }
}

/// One trial with one seed.
struct Job<'a> {
    args: &'a Args,
    trial: &'a Trial,
    seed: u64,
    flip: Flip,
    stop: &'a AtomicBool,
}

impl Job<'_> {
    /// The figures, from an earlier start of the ablation where they are there.
    fn outcome(&self, set: &DataSet) -> anyhow::Result<Outcome> {
        let folder = self.args.out.join(format!("seed-{}", self.seed));
        let figures = folder.join(format!("{}.json", self.trial.name()));
        if let Ok(text) = std::fs::read_to_string(&figures) {
            return serde_json::from_str(&text).with_context(|| figures.display().to_string());
        }
        let teacher = self.teacher(&folder)?;
        let model = self.model(&folder, &teacher)?;
        let bundle = folder.join(format!("{}.onnx", self.trial.name()));
        let mut freeze: Vec<String> = vec!["freeze".into(), "--run".into(), text(&model)?, "-o".into(), text(&bundle)?];
        if let Some(count) = self.args.memory {
            freeze.extend(["--memory".into(), count.to_string()]);
        }
        freeze.extend(self.trial.freeze.iter().cloned());
        self.command(&freeze)?;
        let outcome = evaluate(&Bundle::load(&bundle)?, set)?;
        write_file(&figures, |out| Ok(serde_json::to_writer(out, &outcome)?))?;
        Ok(outcome)
    }

    fn teacher(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let args = self.args;
        let out = folder.join(self.trial.teacher());
        let mut options = vec!["--backbone".into(), text(&args.backbone)?, "--data".into(), text(&args.data)?];
        options.extend(["--width".into(), args.width.to_string(), "--size".into(), args.size.to_string()]);
        options.extend(["--epochs".into(), args.teacher_epochs.unwrap_or(args.epochs).to_string()]);
        if !self.trial.distill.iter().any(|option| option == "--target") {
            options.extend(["--target".into(), choice_name(&args.target)]);
        }
        options.extend(["--flip".into(), choice_name(&self.flip)]);
        options.extend(self.trial.distill.iter().cloned());
        self.training("distill", &out, "teacher.toml", options)?;
        Ok(out)
    }

    fn model(&self, folder: &Path, teacher: &Path) -> anyhow::Result<PathBuf> {
        let args = self.args;
        let out = folder.join(self.trial.model());
        let mut options = vec!["--teacher".into(), text(teacher)?, "--data".into(), text(&args.data)?];
        options.extend(["--epochs".into(), args.epochs.to_string()]);
        if let Some(preset) = &args.preset {
            options.extend(["--preset".into(), preset.clone()]);
        }
        options.extend(self.trial.train.iter().cloned());
        self.training("train", &out, "model.toml", options)?;
        Ok(out)
    }

    /// Trains unless `out` holds the finished run, from the last checkpoint where there is one.
    fn training(&self, command: &str, out: &Path, finished: &str, options: Vec<String>) -> anyhow::Result<()> {
        if latest(out).is_some() {
            return self.command(&[command.into(), "--resume".into(), text(out)?]);
        }
        if out.join(finished).is_file() {
            return Ok(());
        }
        let mut all = vec![command.into(), "-o".into(), text(out)?, "--seed".into(), self.seed.to_string()];
        all.extend(["--precision".into(), choice_name(&self.args.precision)]);
        all.extend(options);
        self.command(&all)
    }

    /// Runs this program with `options`; it says itself what goes wrong.
    fn command(&self, options: &[String]) -> anyhow::Result<()> {
        ensure!(!self.stop.load(Ordering::Relaxed), "stopped by Ctrl-C; the same command goes on from here");
        let status =
            Command::new(std::env::current_exe()?).args(options).stdout(std::process::Stdio::null()).status()?;
        let stopped = self.stop.load(Ordering::Relaxed);
        ensure!(!stopped, "stopped by Ctrl-C; the same command goes on from here");
        ensure!(status.success(), "`mudenet-export {}` failed", options.join(" "));
        Ok(())
    }
}

fn text(path: &Path) -> anyhow::Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{}: is not UTF-8", path.display()))
}
