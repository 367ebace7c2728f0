//! The command line: one file a command.

mod evaluate;
mod inspect;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Exit code where every picture was accepted, or the command did what was asked.
const ACCEPTED: u8 = 0;
/// Exit code of `inspect` where a picture was rejected.
const REJECTED: u8 = 1;
/// Exit code of every error.
const FAILED: u8 = 2;

/// Inspection runtime for production lines: camera frame in, anomaly map and pass/fail signal out.
#[derive(Parser)]
#[command(name = "mudenet-edge", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Inspect(inspect::Args),
    Evaluate(evaluate::Args),
}

/// Runs the program; a command that fails prints one sentence and gives [`FAILED`].
pub(crate) fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Inspect(args) => inspect::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
    };
    let code = result.unwrap_or_else(|error| {
        print_error(&format!("{error:#}"));
        FAILED
    });
    ExitCode::from(code)
}

/// Prints one `error: …` line on stderr. That stderr may be closed changes nothing.
fn print_error(reason: &str) {
    use std::io::Write;
    let sentence = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    let _ = writeln!(std::io::stderr(), "error: {sentence}");
}
