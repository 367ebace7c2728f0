//! `mudenet-export random`.

use super::freeze::LAYOUT;
use anyhow::ensure;
use mudenet_edge::map::Weights;
use mudenet_export::layout::{IMAGES, IMAGES_A_DIRECTION};
use mudenet_export::memory::CANDIDATES;
use mudenet_export::model::Architecture;
use mudenet_export::quantize::Form;
use mudenet_export::random::{Remembering, bundle};
use std::path::PathBuf;

/// Most directions that `freeze` finds, of the good images that it looks at.
const DIRECTIONS: i64 = IMAGES as i64 / IMAGES_A_DIRECTION;

/// Write a model with seeded random weights, to measure latency before anything is trained
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mudenet-export random --memory 2000 -o random.onnx
      as most products: the memory alone, as freeze makes it by default
  mudenet-export random --width half --memory 2000 --weights 0.1,0.1,1 -o all.onnx
      where the trained branches count too
  mudenet-export random --width full --size 256 --seed 1 -o random.onnx
      the trained branches alone")]
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
    /// Embeddings of a first stage to remember, 2000 as `freeze` does: the runtime then computes nothing else, unless --weights
    /// says so; 0 leaves the memory out
    #[arg(long, value_name = "COUNT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=CANDIDATES as i64))]
    memory: u32,
    /// Directions of the memory's layout; 0 turns it off [default: 16 with a memory]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=DIRECTIONS))]
    layout: Option<u32>,
    /// Weights of the structural branch, the logical branch and the memory; the runtime does not compute what has 0
    /// [default: 0,0,1 with a memory]
    #[arg(long, value_name = "S,L,M", value_parser = super::freeze::parse_weights)]
    weights: Option<Weights>,
    /// The model file to write
    #[arg(short, long)]
    out: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let architecture = Architecture::new(args.width, args.size).map_err(anyhow::Error::msg)?;
    ensure!(
        args.memory > 0 || args.layout.unwrap_or(0) == 0,
        "--layout is a part of the memory: it needs --memory above 0"
    );
    ensure!(args.memory > 0 || args.weights.is_none(), "--weights needs --memory above 0");
    let remembering = (args.memory > 0).then(|| Remembering {
        vectors: args.memory as usize,
        directions: args.layout.map_or(LAYOUT, |count| count as usize),
        weights: args.weights.unwrap_or(Weights { structural: 0.0, logical: 0.0, memory: 1.0 }),
    });
    bundle(&architecture, args.seed, args.quantize, remembering)?.save(&args.out)?;
    let memory = if args.memory > 0 { format!(", {} embeddings", args.memory) } else { String::new() };
    println!("{}: random weights, {} channels, {} pixels{memory}", args.out.display(), args.width, args.size);
    Ok(())
}
