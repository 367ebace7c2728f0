//! `mudenet-export train`.

use super::{Common, stop_flag};
use anyhow::Context;
use mudenet_export::checkpoint::create;
use mudenet_export::train::{Progress, Start, train};
use std::path::PathBuf;

/// Train students and autoencoder on images of good parts
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  mudenet-export train --teacher runs/teacher --data bottle --flip hv --rotate 10 --jitter 0.1 \\\n    --minutes 40 -o runs/bottle"
)]
pub(super) struct Args {
    /// Folder that `mudenet-export distill` wrote
    #[arg(long, required_unless_present = "from")]
    teacher: Option<PathBuf>,
    /// Folder of an earlier training: train its networks further, with the same seed so that the same images stay held
    /// back
    #[arg(long, conflicts_with = "teacher")]
    from: Option<PathBuf>,
    /// Folder of good images, or a category folder of MVTec AD or LOCO
    #[arg(long)]
    data: PathBuf,
    #[command(flatten)]
    common: Common,
    /// Folder for the trained networks
    #[arg(short, long)]
    out: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let settings = args.common.settings(500)?;
    let stop = stop_flag()?;
    create(&args.out)?;
    let mut progress = Progress::new(&args.out.join("metrics.jsonl"), settings.batch).context("metrics.jsonl")?;
    let start = match (&args.teacher, &args.from) {
        (_, Some(run)) => Start::Run(run),
        (Some(teacher), None) => Start::Teacher(teacher),
        (None, None) => anyhow::bail!("--teacher or --from is needed"),
    };
    let trained = train(start, &args.data, &settings, &stop, &mut progress)?;
    trained.run.write(&args.out, &trained.networks)?;
    println!(
        "{}: {} steps on {} images, loss {:.4}; freeze it with: mudenet-export freeze --run {} -o MODEL.onnx",
        args.out.display(),
        trained.run.steps,
        trained.run.training.len(),
        trained.run.losses.total(),
        args.out.display()
    );
    Ok(())
}
