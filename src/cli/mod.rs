//! The command line: one file a command.

mod audit;
mod bench;
mod calibrate;
mod collect;
mod csv;
mod demo;
mod device;
mod doctor;
mod drift;
mod evaluate;
mod golden;
mod info;
mod inputs;
mod inspect;
mod install;
mod outputs;
mod parallel;
#[cfg(feature = "page")]
mod password;
mod records;
mod report;
mod run;
mod safe;
mod schema;
mod tune;
#[cfg(feature = "update")]
mod update;

use clap::{Parser, Subcommand};
use mudenet_edge::sentence::sentence;
use std::io::Write;
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
#[command(after_help = "Example:\n  mudenet-edge inspect --model bottle.onnx parts/ --out results")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    Inspect(inspect::Args),
    Evaluate(evaluate::Args),
    Calibrate(calibrate::Args),
    Golden(golden::Args),
    Drift(drift::Args),
    Records(records::Args),
    Audit(audit::Args),
    Bench(bench::Args),
    Run(run::Args),
    #[cfg(feature = "page")]
    Password(password::Args),
    #[cfg(feature = "update")]
    Update(update::Args),
    Doctor(doctor::Args),
    Safe(safe::Args),
    Schema(schema::Args),
    Install(install::Install),
    Uninstall(install::Uninstall),
    Collect(collect::Args),
}

/// Runs the program; a command that fails prints one sentence and gives [`FAILED`].
pub(crate) fn main() -> ExitCode {
    mudenet_edge::guard::silence_guarded_panics();
    if log::set_logger(&Warnings).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
    let result = match Cli::parse().command {
        Command::Demo(args) => demo::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Golden(args) => golden::run(&args),
        Command::Drift(args) => drift::run(&args),
        Command::Records(args) => records::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Run(args) => run::run(&args),
        #[cfg(feature = "page")]
        Command::Password(args) => password::run(&args),
        #[cfg(feature = "update")]
        Command::Update(args) => update::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Safe(args) => safe::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Install(args) => install::install(&args),
        Command::Uninstall(args) => install::uninstall(&args),
        Command::Collect(args) => collect::run(&args),
    };
    let code = result.unwrap_or_else(|error| {
        print_error(&sentence(&*error));
        FAILED
    });
    ExitCode::from(code)
}

/// Prints what the library warns of as one `warning: …` line on stderr.
struct Warnings;

impl log::Log for Warnings {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        metadata.level() <= log::Level::Warn && metadata.target().starts_with("mudenet")
    }

    fn log(&self, record: &log::Record) {
        if self.enabled(record.metadata()) {
            let _ = writeln!(std::io::stderr(), "warning: {}", one_line(&record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

/// Prints one `error: …` line on stderr. That stderr may be closed changes nothing.
fn print_error(reason: &str) {
    let _ = writeln!(std::io::stderr(), "error: {}", one_line(reason));
}

/// `text` without line breaks.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
