//! `mudenet-edge golden`.

use super::{ACCEPTED, REJECTED};
use anyhow::Result;
use mudenet_edge::decide::Verdict;
use mudenet_edge::golden::{GoldenReport, GoldenResult, GoldenSet};
use mudenet_edge::record::verdict_word;
use mudenet_edge::run::Pipeline;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
DIR/good holds pictures of parts that must be accepted, DIR/bad of parts that must be rejected. Take them with the box
itself, and again whenever light or camera change.

Exit code: 0 where every part is judged right, 1 where any is not, 2 an error.

Example:
  mudenet-edge golden --model bottle.onnx golden-samples/";

/// Self-test: known-good parts must be accepted, known-bad ones rejected
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// The model, written by mudenet-export
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// The folder of the golden samples
    #[arg(value_name = "DIR")]
    samples: PathBuf,
    /// Reject above this score instead of the model's own threshold
    #[arg(long, value_name = "SCORE", allow_negative_numbers = true)]
    threshold: Option<f32>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: super::device::DeviceArg,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    args.device.install()?;
    let set = GoldenSet::open(&args.samples)?;
    let report = set.check(&mut Pipeline::load(&args.model, args.threshold)?);
    let mut out = std::io::stdout().lock();
    if args.json {
        let results: Vec<Value> = report.results.iter().map(object).collect();
        let report = json!({ "passed": report.passed(), "threshold": report.threshold, "samples": results });
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(out, "{}", text(&report))?;
    }
    Ok(if report.passed() { ACCEPTED } else { REJECTED })
}

fn object(result: &GoldenResult) -> Value {
    json!({
        "image": result.picture,
        "expected": verdict_word(result.expected),
        "got": verdict_word(result.got),
        "score": result.score,
        "error": result.error,
    })
}

fn text(report: &GoldenReport) -> String {
    let mut text = String::new();
    for result in report.results.iter().filter(|result| !result.is_right()) {
        let (expected, got) = (verdict_word(result.expected), verdict_word(result.got));
        let why = match (result.score, &result.error) {
            (_, Some(error)) => error.clone(),
            (Some(score), None) => format!("score {score:.4}, threshold {:.4}", report.threshold),
            (None, None) => String::new(),
        };
        text += &format!("{}: expected {expected}, got {got}  {why}\n", result.picture.display());
    }
    let right = |verdict| report.results.iter().filter(|r| r.expected == verdict && r.is_right()).count();
    let all = |verdict| report.results.iter().filter(|r| r.expected == verdict).count();
    text += &format!(
        "{} of {} good parts accepted, {} of {} bad parts rejected\n",
        right(Verdict::Accept),
        all(Verdict::Accept),
        right(Verdict::Reject),
        all(Verdict::Reject)
    );
    if let Some((good, bad)) = report.scores() {
        text += &format!("good up to {good:.4}, threshold {:.4}, bad from {bad:.4}\n", report.threshold);
    }
    text += if report.passed() { "PASSED\n" } else { "FAILED\n" };
    text
}
