//! `mudenet-edge inspect`.

use std::path::PathBuf;

/// Inspect pictures with a model: exit code 0 where all are accepted, 1 where any is rejected, 2 on any error.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  mudenet-edge inspect --model bottle.onnx test/ --out results")]
pub(super) struct Args {
    /// The model file, written by mudenet-export.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Pictures, folders of them, or quoted patterns such as 'parts/**/*.png'.
    #[arg(required = true, value_name = "IMAGE|DIR|GLOB")]
    inputs: Vec<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    anyhow::bail!("{}: {} inputs cannot be inspected yet", args.model.display(), args.inputs.len())
}
