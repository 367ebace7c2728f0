//! `mudenet-edge bench`.

mod assertion;
mod cascade;
mod compare;
mod machine;
mod measure;
mod report;
mod serve;
mod soak;
mod statistics;

use super::inspect::interrupt_flag;
use super::{ACCEPTED, REJECTED, print_error};
use anyhow::{Context, bail};
use assertion::Assertion;
use machine::{Condition, Machine, peak_rss_mb};
use measure::{Path, STAGES};
use mudenet_edge::bundle::Bundle;
use mudenet_edge::infer::{Engine, Isa, TractScorer};
use report::{Report, Stage, Timed};
use statistics::{Spread, instabilities};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

const AFTER_HELP: &str = "\
Frames run until their times settle, then at least --frames and --seconds are timed. The camera is a picture in memory
and the signal goes nowhere, so that everything else on a frame's path is in the figures. Environment: MUDENET_ISA
(amx, avx512vnni, avx512, avxvnni, avx2, neoni8mm, neondot, neon, portable) and MUDENET_ENGINE (fused, plain) choose what computes the networks on the processor.

Exit code: 0, 1 where an --assert does not hold, 2 where anything failed.

Examples:
  mudenet-edge bench --model part.onnx
  mudenet-edge bench --model part.onnx --threads 1 --json > before.json
  mudenet-edge bench --compare before.json after.json
  mudenet-edge bench --model part.onnx --assert 'p99<40ms' --assert 'fps>25'
  mudenet-edge bench --model part.onnx --tune --plan
  mudenet-edge bench --model part.onnx --soak 30m";

/// Measure a model on this machine: latency, stages, operators, memory
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// The model, written by mudenet-export
    #[arg(long, value_name = "FILE", required_unless_present = "compare")]
    model: Option<PathBuf>,
    /// Picture to inspect [default: a made one of 640×480 pixels, as JPEG]
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Threads that share one frame [default: one a core, or 1 with --streams]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Frames under way at the same time, each on threads of its own: throughput instead of latency
    #[arg(long, value_name = "N", default_value = "1")]
    streams: NonZeroUsize,
    /// Time at least this many frames
    #[arg(long, value_name = "N", default_value = "200")]
    frames: NonZeroUsize,
    /// Time frames for at least this long
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    seconds: Duration,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Fail where a figure breaks a bound: p50, p90, p95, p99, max, mean, load, first (ms), cov (%), fps, rss (MB)
    #[arg(long, value_name = "BOUND")]
    assert: Vec<Assertion>,
    /// Also time a cascade, which leaves out the logical branch where the others settle the verdict (`cascade` of a recipe)
    #[arg(long, conflicts_with_all = ["plan", "soak", "compare", "serve"])]
    cascade: bool,
    /// Print how each operator would be computed, and time nothing
    #[arg(long, conflicts_with_all = ["soak", "assert"])]
    plan: bool,
    /// Run for this long (30s, 30m, 8h), with a line a minute on how times, heat and memory develop
    #[arg(long, value_name = "TIME", value_parser = soak::duration, conflicts_with = "streams")]
    soak: Option<Duration>,
    /// Compare two results of --json and measure nothing
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"], conflicts_with_all = ["model", "plan", "soak"])]
    compare: Option<Vec<PathBuf>>,
    /// Time one frame of the network alone for each line `frame` read, on an input of 32-bit floats: for scripts that
    /// interleave runtimes
    #[arg(long, value_name = "INPUT", conflicts_with_all = ["plan", "soak", "compare"])]
    serve: Option<PathBuf>,
    #[command(flatten)]
    tune: super::tune::Tune,
    #[command(flatten)]
    device: super::device::DeviceArg,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    if let Some([a, b]) = args.compare.as_deref() {
        print!("{}", compare::text(&compare::load(a)?, &compare::load(b)?));
        return Ok(ACCEPTED);
    }
    args.device.install()?;
    args.tune.install();
    let model = args.model.as_deref().context("--model is missing")?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let default = if args.streams.get() > 1 { 1 } else { cores };
    let threads = args.threads.map_or(default, usize::from);
    if let Some(input) = &args.serve {
        serve::run(model, input, threads)?;
        return Ok(ACCEPTED);
    }
    let picture = Arc::new(match &args.image {
        Some(path) => std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?,
        None => made_picture()?,
    });
    let start = now();
    let bundle = Arc::new(Bundle::load(model)?);
    let mut path = Path::new(Arc::clone(&bundle), Arc::clone(&picture), threads, 0)
        .with_context(|| format!("{}", model.display()))?;
    let load_ms = 1e3 * (now() - start).as_secs_f64();
    let preprocess = &bundle.meta().preprocess;
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        model: model.display().to_string(),
        model_sha256: bundle.sha256().to_owned(),
        input: [preprocess.height, preprocess.width],
        machine: Machine::here(),
        engine: super::tune::engine(path.scorer()),
        threads,
        streams: args.streams.get(),
        load_ms,
        operators: operators(path.scorer()),
        not_accelerated: path.scorer().not_accelerated(),
        ..Report::default()
    };
    if args.plan {
        print(args, &report, &report.operators_text())?;
        return Ok(ACCEPTED);
    }
    path.frame().map_err(|e| match &args.image {
        Some(picture) => e.context(format!("{}: cannot be inspected", picture.display())),
        None => e,
    })?;
    report.first_verdict_ms = 1e3 * (now() - start).as_secs_f64();
    let interrupted = interrupt_flag()?;
    let stop = || interrupted.load(Ordering::Relaxed);
    if let Some(time) = args.soak {
        return soak::run(&mut path, time, args.json, &stop);
    }
    measure(args, &bundle, &picture, path, &mut report, &stop)?;
    print(args, &report, &report.text())?;
    let broken: Vec<String> = args.assert.iter().filter_map(|assertion| assertion.broken_by(&report)).collect();
    broken.iter().for_each(|sentence| print_error(sentence));
    Ok(if broken.is_empty() { ACCEPTED } else { REJECTED })
}

fn measure(
    args: &Args,
    bundle: &Arc<Bundle>,
    picture: &Arc<Vec<u8>>,
    mut path: Path,
    report: &mut Report,
    stop: &(dyn Fn() -> bool + Sync),
) -> anyhow::Result<()> {
    let (warm_up, warm) = path.warm_up()?;
    report.warm_up_frames = warm_up;
    report.before = Condition::now();
    let mut others = Vec::new();
    for stream in 1..args.streams.get() {
        let mut other = Path::new(Arc::clone(bundle), Arc::clone(picture), report.threads, stream)?;
        other.frame()?;
        others.push(other);
    }
    let (frames, seconds) = (args.frames.get().div_ceil(args.streams.get()), args.seconds);
    let start = now();
    let times = std::thread::scope(|scope| {
        let run = |path: &mut Path| measure::frames(path, frames, seconds, stop);
        let others: Vec<_> = others.iter_mut().map(|other| scope.spawn(move || run(other))).collect();
        let mut times = run(&mut path)?;
        for other in others {
            match other.join() {
                Ok(more) => times.extend(more?),
                Err(_) => bail!("a stream failed"),
            }
        }
        Ok(times)
    })?;
    let elapsed = (now() - start).as_secs_f64();
    report.after = Condition::now();
    let whole: Vec<f64> = times.iter().map(|stages| stages.iter().sum()).collect();
    report.frames = times.len();
    report.latency = Spread::of(&whole);
    report.frames_per_second = times.len() as f64 / elapsed;
    report.unstable = instabilities(&whole);
    if !warm {
        report.unstable.push("the times did not settle while warming up".to_owned());
    }
    if report.after.throttled > report.before.throttled {
        report.unstable.push("the processor was throttled".to_owned());
    }
    let stage = |(index, name): (usize, &&str)| {
        let spread = Spread::of(&times.iter().map(|stages| stages[index]).collect::<Vec<_>>());
        Stage { name: (*name).to_owned(), p50: spread.p50, p99: spread.p99 }
    };
    report.stages = STAGES.iter().enumerate().map(stage).collect();
    report.peak_rss_mb = peak_rss_mb();
    // After everything else: the clock that is read around each operator costs a little.
    time_operators(&mut path, report)?;
    (report.peak_gmacs, report.peak_dot_gmacs) = peaks()?;
    if args.cascade {
        drop(path);
        report.cascade = Some(cascade::measure(bundle, picture, report.threads)?);
    }
    Ok(())
}

/// Frames over which operators are timed.
const OPERATOR_FRAMES: usize = 20;

fn time_operators(path: &mut Path, report: &mut Report) -> anyhow::Result<()> {
    path.scorer().time_with(now);
    let mut times = vec![Vec::new(); report.operators.len()];
    for _ in 0..OPERATOR_FRAMES {
        path.frame()?;
        for (all, time) in times.iter_mut().zip(path.scorer().take_times()) {
            all.push(1e3 * time.as_secs_f64());
        }
    }
    for (operator, times) in report.operators.iter_mut().zip(&times) {
        operator.ms = Some(statistics::median(times));
    }
    Ok(())
}

/// The operators of a scorer, not timed.
fn operators(scorer: &TractScorer) -> Vec<Timed> {
    let timed = |operator: mudenet_edge::infer::Operator| Timed {
        name: operator.name,
        method: operator.method,
        shape: operator.shape,
        direct_mmacs: operator.direct as f64 / 1e6,
        planned_mmacs: operator.planned as f64 / 1e6,
        integer: operator.integer,
        ms: None,
    };
    scorer.operators().into_iter().map(timed).collect()
}

/// 10⁹ multiply-adds a second of one core on the instruction set in use, of f32 and of bytes: the best of several short
/// tries, so that others on the machine lower it least.
fn peaks() -> anyhow::Result<(f64, Option<f64>)> {
    const STEPS: usize = 1 << 20;
    let isa = match Engine::from_environment()? {
        Engine::Fused(isa) => isa,
        Engine::Plain | Engine::Cuda => Isa::best(),
    };
    let best = |products: fn(Isa, usize) -> u64| {
        let rate = |_| {
            let start = now();
            let done = products(isa, STEPS);
            done as f64 / (now() - start).as_secs_f64() / 1e9
        };
        (0..20).map(rate).fold(0.0, f64::max)
    };
    Ok((best(Isa::multiply_adds), Some(best(Isa::dot_products)).filter(|peak| *peak > 0.0)))
}

fn print(args: &Args, report: &Report, text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout();
    if args.json { writeln!(out, "{}", serde_json::to_string_pretty(report)?) } else { write!(out, "{text}") }
        .context("the result cannot be printed")
}

/// A smooth picture with some texture, as a camera would send it.
fn made_picture() -> anyhow::Result<Vec<u8>> {
    let picture = image::RgbImage::from_fn(640, 480, |x, y| {
        let texture = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)) >> 27;
        image::Rgb([x / 4 + texture, y / 3 + texture, (x + y) / 6 + texture].map(|value| value.min(255) as u8))
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Jpeg).context("the made picture cannot be encoded")?;
    Ok(bytes.into_inner())
}

/// Time since the first call.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn now() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "expected seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}
