//! Command line of `mudenet-export`: one file a command.

mod distill;
mod freeze;
mod random;
mod synth;
mod train;

use clap::{Parser, Subcommand};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Parser)]
#[command(
    name = "mudenet-export",
    version,
    about = "Learns a product from images of good parts and freezes it into one ONNX file"
)]
struct Program {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    Distill(distill::Args),
    Train(train::Args),
    Freeze(freeze::Args),
    Random(random::Args),
    Synth(synth::SynthArgs),
}

pub(crate) fn main() -> ExitCode {
    let program = Program::parse();
    let outcome = quiet_threads().and_then(|()| match &program.command {
        Subcommands::Distill(args) => distill::run(args),
        Subcommands::Train(args) => train::run(args),
        Subcommands::Freeze(args) => freeze::run(args),
        Subcommands::Random(args) => random::run(args),
        Subcommands::Synth(args) => synth::run(args),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Restarts the program with `OMP_WAIT_POLICY=passive` unless the policy is set: libtorch's threads would otherwise spin
/// between operations, which costs several times the training time on a shared machine. OpenMP reads it at start only.
fn quiet_threads() -> anyhow::Result<()> {
    const POLICY: &str = "OMP_WAIT_POLICY";
    if std::env::var_os(POLICY).is_none() {
        let program = std::env::current_exe()?;
        return Err(Command::new(program).args(std::env::args_os().skip(1)).env(POLICY, "passive").exec().into());
    }
    Ok(())
}

/// A flag that Ctrl-C sets; a second Ctrl-C ends the program at once.
fn stop_flag() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(2);
        }
    })?;
    Ok(stop)
}

/// Settings that both training commands take.
#[derive(clap::Args)]
struct Common {
    /// Images a step.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=512))]
    batch: u16,
    /// Adam's learning rate.
    #[arg(long, default_value_t = 1e-3)]
    rate: f64,
    /// Stop after so many passes over the images.
    #[arg(long, group = "budget")]
    epochs: Option<usize>,
    /// Stop after so many minutes (the result then depends on the machine's speed).
    #[arg(long, group = "budget")]
    minutes: Option<f64>,
    /// Seed of split, order, augmentation and initial weights.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Kind of the activations in training.
    #[arg(long, value_enum, default_value_t)]
    precision: mudenet_export::train::Precision,
    /// Mirror images at random: h (left–right), v (top–bottom), hv or none.
    #[arg(long, default_value = "none", value_parser = ["none", "h", "v", "hv"])]
    flip: String,
    /// Rotate images at random by up to so many degrees.
    #[arg(long, default_value_t = 0.0)]
    rotate: f64,
    /// Change brightness, contrast and saturation at random by up to this part.
    #[arg(long, default_value_t = 0.0)]
    jitter: f64,
}

impl Common {
    fn settings(&self, default_epochs: usize) -> anyhow::Result<mudenet_export::checkpoint::Settings> {
        use mudenet_export::train::Budget;
        let budget = match (self.epochs, self.minutes) {
            (_, Some(minutes)) => Budget::Minutes(minutes),
            (epochs, None) => Budget::Epochs(epochs.unwrap_or(default_epochs)),
        };
        let within = |name: &str, value: f64, low: f64, high: f64| {
            anyhow::ensure!((low..=high).contains(&value), "--{name}: expected {low} to {high}, got {value}");
            Ok(())
        };
        within("rate", self.rate, 1e-9, 1.0)?;
        within("minutes", self.minutes.unwrap_or(1.0), 0.0, 100_000.0)?;
        within("rotate", self.rotate, 0.0, 180.0)?;
        within("jitter", self.jitter, 0.0, 0.9)?;
        Ok(mudenet_export::checkpoint::Settings {
            seed: self.seed,
            batch: self.batch.into(),
            rate: self.rate,
            budget,
            precision: self.precision,
            augmentation: mudenet_export::data::Augmentation {
                horizontal: self.flip.contains('h'),
                vertical: self.flip.contains('v'),
                rotation: self.rotate,
                jitter: self.jitter,
            },
        })
    }
}
