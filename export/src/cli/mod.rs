//! Command line of `mudenet-export`: one file a command.

mod ablate;
mod common;
mod distill;
mod freeze;
mod presets;
mod random;
mod synth;
mod train;

use clap::{Parser, Subcommand};
use mudenet_edge::sentence::sentence;
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
    Presets(presets::Args),
    Ablate(ablate::Args),
    Random(random::Args),
    Synth(synth::SynthArgs),
}

pub(crate) fn main() -> ExitCode {
    let program = Program::parse();
    let outcome = quiet_threads().and_then(|()| match &program.command {
        Subcommands::Distill(args) => distill::run(args),
        Subcommands::Train(args) => train::run(args),
        Subcommands::Freeze(args) => freeze::run(args),
        Subcommands::Presets(args) => presets::run(args),
        Subcommands::Ablate(args) => ablate::run(args),
        Subcommands::Random(args) => random::run(args),
        Subcommands::Synth(args) => synth::run(args),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", sentence(&*error));
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
