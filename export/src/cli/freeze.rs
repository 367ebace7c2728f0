//! `mudenet-export freeze`.

use anyhow::Context;
use mudenet_export::checkpoint::ModelRun;
use mudenet_export::freeze::{FreezeOptions, freeze};
use std::path::PathBuf;

/// Freeze a trained run into one ONNX file for mudenet-edge
#[derive(clap::Args)]
#[command(after_help = "Example:\n  mudenet-export freeze --run runs/bottle -o bottle.onnx")]
pub(super) struct Args {
    /// Folder that `mudenet-export train` wrote
    #[arg(long)]
    run: PathBuf,
    /// Outer cells of the map to leave out; 0 is the paper (A-017) [default: one for each 64 pixels of the input]
    #[arg(long)]
    margin: Option<usize>,
    /// Gaussian smoothing in pixels of the input; 0 turns it off (A-016) [default: 4 at 256 pixels]
    #[arg(long)]
    sigma: Option<f32>,
    /// Limit each normalised branch to 0–1 before they are added
    #[arg(long)]
    clamp: bool,
    /// Reject above this score [default: found from the held-back good images]
    #[arg(long)]
    threshold: Option<f32>,
    /// The model file to write
    #[arg(short, long)]
    out: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let (run, networks) = ModelRun::read(&args.run)?;
    let options =
        FreezeOptions { margin: args.margin, sigma: args.sigma, clamp: args.clamp, threshold: args.threshold };
    let bundle = freeze(&run, &networks, &options).with_context(|| format!("{}", args.run.display()))?;
    bundle.save(&args.out)?;
    let meta = bundle.meta();
    println!(
        "{}: threshold {:.4} from {} good parts; parity with training {:.1e} structural, {:.1e} logical on {} images",
        args.out.display(),
        meta.threshold.value,
        meta.threshold.good_parts,
        meta.parity.tract.structural,
        meta.parity.tract.logical,
        meta.parity.images
    );
    Ok(())
}
