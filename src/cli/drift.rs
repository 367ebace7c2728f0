//! `mudenet-edge drift`.

use super::ACCEPTED;
use anyhow::{Result, bail};
use mudenet_edge::bundle::Bundle;
use mudenet_edge::decide::Verdict;
use mudenet_edge::decide::drift::{Advice, Baseline, Direction, Drift, Finding, Limits, Sample, examine};
use mudenet_edge::record::journal::{Entry, Records, Selection, Stamp};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;

/// Exit code where the station should be looked at.
const WATCH: u8 = 1;
/// Exit code where the threshold should be calibrated again.
const RECALIBRATE: u8 = 3;

const AFTER_HELP: &str = "\
Accepted parts are compared with the good parts of the model's calibration: their scores, and brightness and sharpness of
their pictures, by a two-sample Kolmogorov–Smirnov test and a CUSUM. Models without `calibrate` know scores only.

Exit code: 0 stable; 1 watch: light, focus or scores changed; 3 recalibrate: scores of good parts are others than at
calibration; 2 an error.

Example:
  mudenet-edge drift --records /var/lib/mudenet/record --model bottle.onnx";

/// Tell whether good parts still look as they did at calibration
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// The record's folder
    #[arg(long, value_name = "DIR")]
    records: PathBuf,
    /// The model that the parts were inspected with
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Look at the newest N accepted parts
    #[arg(long, value_name = "N", default_value = "500")]
    last: usize,
    /// From this time or day on, UTC
    #[arg(long, value_name = "TIME")]
    since: Option<Stamp>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let bundle = Bundle::load(&args.model)?;
    let records = Records::open(&args.records)?;
    let model = Some(bundle.sha256().to_owned());
    let selection = Selection { since: args.since, verdicts: vec![Verdict::Accept], model, ..Selection::default() };
    let entries = records.last(args.last, &selection)?;
    if entries.is_empty() {
        let (records, model) = (args.records.display(), args.model.display());
        bail!("{records}: holds no accepted part that was inspected with {model}");
    }
    let parts: Vec<Sample> = entries.iter().filter_map(sample).collect();
    let drift = examine(&baseline(&bundle), &parts, Limits::once())?;
    let mut out = std::io::stdout().lock();
    if args.json {
        let findings: Vec<&Finding> = drift.findings.iter().flatten().collect();
        let report = json!({
            "advice": drift.advice,
            "parts": parts.len(),
            "from": entries.first().map(|e| e.time),
            "to": entries.last().map(|e| e.time),
            "findings": findings,
        });
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(out, "{}", text(&drift, &entries))?;
    }
    Ok(match drift.advice {
        Advice::Stable => ACCEPTED,
        Advice::Watch => WATCH,
        Advice::Recalibrate => RECALIBRATE,
    })
}

fn sample(entry: &Entry) -> Option<Sample> {
    Some(Sample { score: entry.score?, brightness: entry.brightness, sharpness: entry.sharpness })
}

/// What the model's calibration saw; the held-back images of its training where it was never calibrated.
fn baseline(bundle: &Bundle) -> Baseline {
    let meta = bundle.meta();
    let calibrated = meta.threshold.calibration.as_ref().and_then(|calibration| calibration.baseline.clone());
    calibrated.unwrap_or_else(|| Baseline::new(&meta.parity.good_scores, &[], &[])).accepted(meta.threshold.value)
}

fn text(drift: &Drift, entries: &[Entry]) -> String {
    let mut text = String::new();
    if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
        text += &format!("{} accepted parts from {} to {}\n", entries.len(), first.time, last.time);
    }
    text += &format!("{:12}{:>12}{:>12}{:>10}{:>10}  shift\n", "", "calibration", "now", "distance", "p");
    for finding in drift.findings.iter().flatten() {
        text += &format!(
            "{:12}{:>12.4}{:>12.4}{:>10.3}{:>10}  {}\n",
            finding.quantity.name(),
            finding.median_before,
            finding.median_now,
            finding.distance,
            format!("{:.1e}", finding.p),
            match finding.shift {
                Some(Direction::Up) => "up",
                Some(Direction::Down) => "down",
                None => "–",
            }
        );
    }
    text + &drift.to_string() + "\n"
}
