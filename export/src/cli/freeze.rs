//! `mudenet-export freeze`.

use anyhow::{Context, ensure};
use mudenet_edge::bundle::{Bundle, RuntimeParity};
use mudenet_edge::map::{RangeStatistic, Weights};
use mudenet_edge::record::write_file;
use mudenet_export::checkpoint::ModelRun;
use mudenet_export::data::Preset;
use mudenet_export::freeze::{Checks, FreezeOptions, freeze, freeze_stored};
use mudenet_export::memory::{Distance, Remembered};
use mudenet_export::quantize::{Form, Layer, Rounding, Settings};
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
A file in fewer bits is compared with the f32 model on the held-back good images, with --test on labelled ones, and with
--peers in other runtimes. Nothing is written where the scores change by more than this:

                       --f16     --quantize weights   --quantize full
  mean of an output    0.1 %     5 %                  10 %
  image AUROC          0.2       0.2                  0.5 points
  PRO                  0.3       0.3                  1.0 points
  score in a runtime   1 %       1 %                  1 %

Beside such a file, NAME.layers.csv tells how much each layer alone changes the scores.

Examples:
  mudenet-export freeze --run runs/bottle -o bottle.onnx
  mudenet-export freeze --run runs/bottle --quantize weights --test mvtec_ad/bottle --peers .venv/bin/python -o bottle.onnx";

/// Freeze a trained run into one ONNX file for mudenet-edge
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// Folder that `mudenet-export train` wrote
    #[arg(long)]
    run: PathBuf,
    /// Settings by name, as for `distill` and `train`: memory and margin are taken from it, and `paper` takes neither; of
    /// several a later one goes first, and options given beside them before all
    #[arg(long, value_name = "NAME")]
    preset: Vec<String>,
    /// Outer cells of the map to leave out; 0 is the paper (A-017) [default: one for each 64 pixels of the input]
    #[arg(long)]
    margin: Option<usize>,
    /// Gaussian smoothing in pixels of the input; 0 turns it off (A-016) [default: 4 at 256 pixels]
    #[arg(long)]
    sigma: Option<f32>,
    /// Limit each normalised branch to 0–1 before they are added
    #[arg(long)]
    clamp: bool,
    /// What of the held-back good images' scores a range spans: smallest to largest, or the quantiles 0.1 % and 99.9 % (A-030)
    #[arg(long, value_enum, default_value_t)]
    ranges: RangesArg,
    /// Score a picture by the mean of the so many largest pixels of its map; 1 is their maximum, the paper's
    #[arg(long, value_name = "PIXELS", default_value = "1")]
    top: NonZeroUsize,
    /// Reject above this score [default: found from the held-back good images]
    #[arg(long)]
    threshold: Option<f32>,
    /// Store in 8 bits: weights (a quarter of the file, computed in f32), or full (the inputs of the convolutions too, for
    /// hosts whose 8-bit arithmetic is faster)
    #[arg(long, value_enum)]
    quantize: Option<Form>,
    /// How weights lose their bits
    #[arg(long, value_enum, default_value_t)]
    rounding: Rounding,
    /// Keep a weight or input in f32 whose fewer bits alone change the scores by more than this, relative [default: 0.025
    /// with full, for a hundredth of the weights at most; else no limit]
    #[arg(long, value_name = "ERROR")]
    keep_above: Option<f64>,
    /// Train students and autoencoder so many steps through their rounding, to keep what the scores are made of
    #[arg(long, value_name = "STEPS", default_value_t = 0, requires = "quantize")]
    finish: usize,
    /// Store weights in 16 bits: half of the file, computed in f32
    #[arg(long, conflicts_with = "quantize")]
    f16: bool,
    /// Good images to quantize on [default: 16 of the run's training images]
    #[arg(long, value_name = "DIR")]
    calibration: Option<PathBuf>,
    /// A labelled set to compare with the f32 model on: MVTec AD, MVTec LOCO, or good/ and bad/
    #[arg(long, value_name = "DIR")]
    test: Option<PathBuf>,
    /// A Python with onnxruntime, openvino or both, to compare the file in
    #[arg(long, value_name = "PYTHON")]
    peers: Option<PathBuf>,
    /// Write the file even where the scores change more than the limits below
    #[arg(long)]
    force: bool,
    /// Embeddings of good parts to remember as a third branch; 0 turns it off (A-026) [default: 2000]
    #[arg(long, value_name = "COUNT")]
    memory: Option<usize>,
    /// Whose embeddings are remembered (A-029) [default: first-stage, or teacher where the run has no first stage]
    #[arg(long, value_enum)]
    remember: Option<Remembered>,
    /// How the distance to what is remembered counts
    #[arg(long, value_enum, default_value_t)]
    distance: Distance,
    /// Directions in which good parts may vary as a whole; what does not belong together is seen beside them, by the memory;
    /// 0 turns it off (A-032) [default: 16 with a memory]
    #[arg(long, value_name = "COUNT")]
    layout: Option<usize>,
    /// Weights of the structural branch, the logical branch and the memory; the runtime does not compute what has 0
    /// [default: 1,1 without a memory; with one 1 for it, and for the others what they earn on made-up damage of the
    /// held-back images]
    #[arg(long, value_name = "S,L,M", value_parser = parse_weights)]
    weights: Option<Weights>,
    /// The model file to write
    #[arg(short, long)]
    out: PathBuf,
}

/// Error of the scores from which on `full` leaves a tensor in f32. Measured on bottle, metal_plate and tray: see
/// docs/quantization.md.
const KEEP_ABOVE: f64 = 0.025;
/// Share of the weights that `full` may leave in f32, which keeps the file below 28 % of f32.
const KEEP_SHARE: f64 = 0.01;
/// Embeddings that a model remembers unless asked otherwise.
const MEMORY: usize = 2000;
/// Directions of a layout unless asked otherwise.
pub(super) const LAYOUT: usize = 16;

/// [`RangeStatistic`] on the command line.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum RangesArg {
    #[default]
    MinMax,
    Quantiles,
}

impl From<RangesArg> for RangeStatistic {
    fn from(arg: RangesArg) -> Self {
        match arg {
            RangesArg::MinMax => RangeStatistic::MinMax,
            RangesArg::Quantiles => RangeStatistic::Quantiles,
        }
    }
}

pub(super) fn parse_weights(text: &str) -> Result<Weights, String> {
    let expected = || format!("expected three numbers ≥ 0 like 0.1,0.1,1, got {text:?}");
    let numbers: Vec<f32> =
        text.split(',').map(|n| n.trim().parse().map_err(|_| expected())).collect::<Result<_, _>>()?;
    match numbers[..] {
        [structural, logical, memory] if numbers.iter().all(|n| n.is_finite() && *n >= 0.0) => {
            Ok(Weights { structural, logical, memory })
        }
        _ => Err(expected()),
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let (run, networks) = ModelRun::read(&args.run)?;
    let preset = Preset::all(&args.preset).map_err(anyhow::Error::msg)?;
    let memory = args.memory.or(preset.memory).unwrap_or(MEMORY);
    ensure!(memory > 0 || args.layout.unwrap_or(0) == 0, "--layout is a part of the memory: it needs --memory above 0");
    let options = FreezeOptions {
        margin: args.margin.or(preset.margin),
        sigma: args.sigma,
        clamp: args.clamp,
        threshold: args.threshold,
        memory,
        remembered: args.remember,
        distance: args.distance,
        layout: args.layout.unwrap_or(if memory == 0 { 0 } else { LAYOUT }),
        weights: args.weights,
        ranges: args.ranges.into(),
        top: args.top,
    };
    let form = args.quantize.or(args.f16.then_some(Form::F16));
    let Some(form) = form else {
        let besides = args.test.is_some() || args.peers.is_some() || args.force;
        ensure!(!besides, "--test, --peers and --force compare a file in fewer bits: add --quantize or --f16");
        let bundle = freeze(&run, &networks, &options).with_context(|| format!("{}", args.run.display()))?;
        bundle.save(&args.out)?;
        println!("{}: {}", args.out.display(), summary(&bundle));
        earned(&bundle).iter().for_each(|told| println!("{told}"));
        return Ok(());
    };
    let (keep_above, keep_share) = match (args.keep_above, form) {
        (Some(error), _) => (error, 1.0),
        (None, Form::Full) => (KEEP_ABOVE, KEEP_SHARE),
        (None, _) => (f64::INFINITY, 0.0),
    };
    let settings = Settings { form, rounding: args.rounding, keep_above, keep_share, finish: args.finish };
    let checks = Checks {
        calibration: args.calibration.clone(),
        test: args.test.clone(),
        peers: args.peers.clone(),
        force: args.force,
    };
    let stored = freeze_stored(&run, &networks, &options, &settings, &checks)
        .with_context(|| format!("{}", args.run.display()))?;
    let table = args.out.with_extension("layers.csv");
    write_file(&table, |file| file.write_all(csv(&stored.layers, form).as_bytes()))?;
    stored.bundle.save(&args.out)?;
    println!("{}: {}", args.out.display(), summary(&stored.bundle));
    earned(&stored.bundle).iter().for_each(|told| println!("{told}"));
    if let Some(report) = &stored.bundle.meta().parity.storage {
        print!("{report}");
    }
    for beyond in &stored.beyond {
        println!("beyond the limits: {beyond}");
    }
    println!("recommended: {}", recommendation(form, stored.beyond.is_empty()));
    Ok(())
}

/// Which form to take, from what was measured of this one.
fn recommendation(form: Form, within: bool) -> &'static str {
    match (form, within) {
        (Form::Weights, true) => "this file; --quantize full only for a runtime and host that compute faster in 8 bits",
        (Form::Full, true) => "this file where runtime and host compute faster in 8 bits, --quantize weights elsewhere",
        (Form::F16, true) => "--quantize weights, half as large again, if it stays within its limits",
        (Form::Full, false) => "--quantize weights, or --finish or --keep-above to bring this form within the limits",
        (Form::Weights, false) => "the f32 file, or --finish or --keep-above to bring this form within the limits",
        (Form::F16, false) => "the f32 file",
    }
}

/// What the trial of the trained branches came to, where there was one.
fn earned(bundle: &Bundle) -> Option<String> {
    let meta = bundle.meta();
    let told = meta.assumptions.get("A-027").filter(|told| told.contains('('))?;
    let left_out = meta.scoring.weights.structural == 0.0 && meta.scoring.weights.logical == 0.0;
    Some(format!(
        "{told}{}",
        if left_out { ": a box leaves the trained branches out, which saves most of the time" } else { "" }
    ))
}

fn summary(bundle: &Bundle) -> String {
    let meta = bundle.meta();
    let RuntimeParity { structural, logical, memory } = meta.parity.tract;
    let remembers = !meta.scoring.ranges.memory.is_empty();
    let memory = if remembers { format!(", {memory:.1e} memory") } else { String::new() };
    format!(
        "threshold {:.4} from {} good parts; parity with training {structural:.1e} structural, {logical:.1e} logical{memory} on \
         {} images",
        meta.threshold.value, meta.threshold.good_parts, meta.parity.images
    )
}

/// A line a layer, the most sensitive first.
fn csv(layers: &[Layer], form: Form) -> String {
    let mut layers: Vec<&Layer> = layers.iter().collect();
    layers.sort_by(|a, b| b.weight_error.total_cmp(&a.weight_error));
    let mut text = String::from("layer,weights,weight_error,weights_in,input_error,observer,input_in\n");
    let fewer = if form == Form::F16 { "f16" } else { "int8" };
    let bits = |quantized| if quantized { fewer } else { "f32" };
    for layer in layers {
        let input = layer.input_error.map(|error| format!("{error:.3e}")).unwrap_or_default();
        let observer = layer.observer.map(|observer| observer.name()).unwrap_or_default();
        let (name, weights, error) = (&layer.name, layer.weights, layer.weight_error);
        let (weights_in, input_in) = (bits(layer.weights_quantized), bits(layer.input_quantized));
        text += &format!("{name},{weights},{error:.3e},{weights_in},{input},{observer},{input_in}\n");
    }
    text
}
