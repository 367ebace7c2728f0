//! `mudenet-edge safe`.

use super::ACCEPTED;
use super::run::devices::outputs;
use mudenet_edge::config::Config;
use std::io::Write;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
READY, OK and an accepting gate become inactive, NG and ERROR active. It fails where another program holds the lines, such as a box
that runs. The service does this whenever the box has ended.

Example:
  mudenet-edge safe --config box.toml";

/// Set the output lines to their safe levels, at which nothing is accepted
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// The station
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let config = Config::load(&args.config)?;
    outputs(&config)?;
    writeln!(std::io::stdout(), "{} output lines are at their safe levels", config.outputs.len())?;
    Ok(ACCEPTED)
}
