//! `mudenet-export random`.

use mudenet_export::model::Architecture;
use mudenet_export::quantize::Form;
use mudenet_export::random::bundle;
use std::path::PathBuf;

/// Write a model with seeded random weights, to measure latency before anything is trained
#[derive(clap::Args)]
#[command(after_help = "Example:\n  mudenet-export random --width half --size 256 --seed 1 -o random.onnx")]
pub(super) struct Args {
    /// Size of the networks: full (64/128 channels), half (32/64), quarter (16/32), or a number of channels
    #[arg(long, default_value = "full", value_parser = super::distill::width)]
    width: i64,
    /// Pixels a side of the input, a multiple of 64
    #[arg(long, default_value_t = 256)]
    size: i64,
    /// Same seed, same weights
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Store in 8 bits: weights, or full (weights and the inputs of the convolutions); without attention to accuracy
    #[arg(long, value_enum)]
    quantize: Option<Form>,
    /// The model file to write
    #[arg(short, long)]
    out: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let architecture = Architecture::new(args.width, args.size).map_err(anyhow::Error::msg)?;
    bundle(&architecture, args.seed, args.quantize)?.save(&args.out)?;
    println!("{}: random weights, {} channels, {} pixels", args.out.display(), args.width, args.size);
    Ok(())
}
