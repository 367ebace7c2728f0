//! `mudenet-export synth`: makes a data set.

use indicatif::{ProgressBar, ProgressStyle};
use mudenet_export::synth::{MAX_SIZE, MIN_SIZE, Plan, Product, dataset};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// Make a data set of product images in LOCO layout: good ones, defective ones and exact masks.
///
/// The same options give the same files, and larger counts add pictures without changing the others. Use it to try out
/// training, evaluation and the demo where no real images are at hand.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Example:\n  mudenet-export synth --product tray --size 256 -o data/tray")]
pub(super) struct SynthArgs {
    /// What is on the pictures.
    #[arg(long, value_enum, default_value_t = Product::Tray)]
    pub product: Product,
    /// Same seed, same pictures.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Pixels along each side of a picture.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(i64::from(MIN_SIZE)..=i64::from(MAX_SIZE)))]
    pub size: u32,
    /// Good pictures to train on.
    #[arg(long, default_value_t = 200, value_parser = count())]
    pub train: u32,
    /// Good pictures to calibrate on.
    #[arg(long, default_value_t = 60, value_parser = count())]
    pub validation: u32,
    /// Good pictures to test on.
    #[arg(long, default_value_t = 60, value_parser = count())]
    pub test_good: u32,
    /// Pictures of each kind of defect; there are four logical and five structural kinds.
    #[arg(long, default_value_t = 10, value_parser = count())]
    pub per_defect: u32,
    /// The folder to write; must be empty or not exist yet.
    #[arg(short, long, value_name = "FOLDER")]
    pub out: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// One sentence naming the folder or file that could not be written.
pub(super) fn run(args: &SynthArgs) -> anyhow::Result<()> {
    let plan = Plan {
        product: args.product,
        seed: args.seed,
        size: args.size,
        train: args.train,
        validation: args.validation,
        test_good: args.test_good,
        per_defect: args.per_defect,
    };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} pictures, {eta} left")?;
    let stop = super::stop_flag()?;
    let bar = ProgressBar::new(plan.count() as u64).with_style(style);
    let written = dataset::write(&plan, &args.out, &|| {
        bar.inc(1);
        !stop.load(Ordering::Relaxed)
    });
    bar.finish_and_clear();
    written?;
    println!("{}: {} pictures of {} × {} pixels", args.out.display(), plan.count(), plan.size, plan.size);
    Ok(())
}

fn count() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(0..=100_000)
}
