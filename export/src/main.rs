//! The `mudenet-export` program.

use clap::Parser;
use mudenet_export::cli::synth;
use std::process::ExitCode;

/// Trains MuDeNet on images of good parts and freezes it into one ONNX bundle.
#[derive(Parser)]
#[command(version)]
enum Command {
    Synth(synth::SynthArgs),
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Synth(args) => synth::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
