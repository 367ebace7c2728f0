//! `mudenet-edge calibrate`.

use super::parallel;
use anyhow::{Context, Result, bail};
use mudenet_edge::bundle::Bundle;
use mudenet_edge::capture::{decode, pictures_below};
use mudenet_edge::decide::{Threshold, ThresholdMethod, Wanted, calibrate};
use mudenet_edge::inspector::Inspector;
use mudenet_edge::run::today;
use serde_json::json;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const AFTER_HELP: &str = "\
Methods:
  tolerance  keeps the false-reject rate at the stated confidence, whatever the scores' distribution; needs
             n ≥ ln(1 − confidence) / ln(1 − false-reject) good parts, 299 for 1% at 95%
  quantile   the quantile of the scores seen: an estimate
  tail-fit   the quantile of a distribution fitted to the largest scores: an estimate, for few parts

Examples:
  mudenet-edge calibrate --model bottle.onnx --good good-parts/ --false-reject 1% --confidence 95% -o calibrated.onnx
  mudenet-edge calibrate --model bottle.onnx --good good-parts/ --method tail-fit";

/// Find the threshold that keeps a false-reject rate, from good parts that the model was not trained on
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// The model, written by mudenet-export
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Pictures of good parts that the model was not trained on, sub-folders included
    #[arg(long, value_name = "DIR")]
    good: PathBuf,
    /// Pictures of bad parts, to tell how many the threshold finds
    #[arg(long, value_name = "DIR")]
    bad: Option<PathBuf>,
    /// Share of good parts that may be rejected, such as 1% or 0.01
    #[arg(long, value_name = "RATE", default_value = "1%", value_parser = rate, allow_negative_numbers = true)]
    false_reject: f64,
    /// Confidence that it is kept, or of the interval of an estimate
    #[arg(long, value_name = "RATE", default_value = "95%", value_parser = rate, allow_negative_numbers = true)]
    confidence: f64,
    /// How the threshold is found
    #[arg(long, value_enum, default_value = "tolerance")]
    method: Method,
    /// Write a copy of the model with the new threshold
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Pictures inspected at the same time; as many as there are processor cores where not given
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Method {
    Tolerance,
    Quantile,
    TailFit,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let wanted = Wanted::new(args.false_reject, args.confidence)?;
    let method = match args.method {
        Method::Tolerance => ThresholdMethod::Tolerance,
        Method::Quantile => ThresholdMethod::Quantile,
        Method::TailFit => ThresholdMethod::TailFit,
    };
    let bundle = Bundle::load(&args.model)?;
    let good = pictures_below(&args.good)?;
    if method == ThresholdMethod::Tolerance && wanted.rank(good.len()).is_none() {
        // Too few to be worth scoring: the same refusal, at once.
        calibrate(&vec![0.0; good.len()], wanted, method, None).with_context(|| args.good.display().to_string())?;
    }
    let bad = args.bad.as_deref().map(pictures_below).transpose()?.unwrap_or_default();
    let good = scores(&bundle, &good, args.jobs)?;
    let bad = scores(&bundle, &bad, args.jobs)?;
    let threshold = calibrate(&good, wanted, method, Some(today())).with_context(|| args.good.display().to_string())?;
    if let Some(output) = &args.output {
        write(&bundle, &threshold, output)?;
    }
    let found = (!bad.is_empty())
        .then(|| bad.iter().filter(|score| **score > threshold.value).count() as f64 / bad.len() as f64);
    let mut out = std::io::stdout().lock();
    if args.json {
        let report = json!({
            "threshold": &threshold,
            "good_scores": &good,
            "detection_rate": found,
            "output": &args.output,
        });
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(out, "{}", histogram(&good, threshold.value))?;
        write!(out, "{}", summary(&threshold, found.map(|rate| (rate, bad.len()))))?;
        match &args.output {
            Some(output) => writeln!(out, "written to {}", output.display())?,
            None => writeln!(out, "nothing was written: give -o FILE for a copy of the model with this threshold")?,
        }
    }
    Ok(super::ACCEPTED)
}

fn scores(bundle: &Bundle, pictures: &[PathBuf], jobs: Option<NonZeroUsize>) -> Result<Vec<f32>> {
    let scores = Mutex::new(vec![f32::NAN; pictures.len()]);
    let worker = || Ok(Inspector::new(bundle)?);
    parallel::for_each(pictures.len(), jobs, "inspecting", worker, |inspector, index| {
        let path = &pictures[index];
        let inspection = inspector.inspect(&decode(path)?).with_context(|| path.display().to_string())?;
        if !inspection.score.value.is_finite() {
            bail!("{}: its score is not a finite number", path.display());
        }
        if let Ok(mut scores) = scores.lock() {
            scores[index] = inspection.score.value;
        }
        Ok(())
    })?;
    Ok(scores.into_inner().unwrap_or_default())
}

fn write(bundle: &Bundle, threshold: &Threshold, output: &Path) -> Result<()> {
    let mut meta = bundle.meta().clone();
    meta.threshold = threshold.clone();
    let calibrated = Bundle::assemble(bundle.graph().clone(), &meta)
        .map_err(|reason| anyhow::anyhow!("{}: {reason}", output.display()))?;
    Ok(calibrated.save(output)?)
}

/// Rows of the histogram.
const ROWS: usize = 16;
/// Characters of its longest bar.
const LONGEST_BAR: usize = 50;

/// The good parts' scores, lying down, with the threshold's row marked.
fn histogram(scores: &[f32], threshold: f32) -> String {
    let all = || scores.iter().copied().chain([threshold]);
    let (min, max) = (all().fold(f32::INFINITY, f32::min), all().fold(f32::NEG_INFINITY, f32::max));
    let width = if max > min { (max - min) / ROWS as f32 } else { 1.0 };
    let row = |score: f32| (((score - min) / width) as usize).min(ROWS - 1);
    let mut counts = [0_usize; ROWS];
    scores.iter().for_each(|score| counts[row(*score)] += 1);
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let mut text = String::from("scores of the good parts\n");
    for (i, count) in counts.iter().enumerate() {
        let bar = "█".repeat((count * LONGEST_BAR).div_ceil(most));
        let mark = if i == row(threshold) { " ◀ threshold" } else { "" };
        text += &format!("{:>10.4}  {count:>5}  {bar}{mark}\n", min + i as f32 * width);
    }
    text
}

fn summary(threshold: &Threshold, found: Option<(f64, usize)>) -> String {
    let percent = |rate: f64| format!("{:.4}", 100.0 * rate).trim_end_matches('0').trim_end_matches('.').to_owned();
    let mut text = format!("threshold {} from {} good parts\n", threshold.value, threshold.good_parts);
    if let Some(calibration) = &threshold.calibration {
        let (rate, confidence) = (percent(calibration.false_reject), percent(calibration.confidence));
        match calibration.interval {
            None => {
                text += &format!("rejects at most {rate} % of good parts, with {confidence} % confidence\n");
                let expected = percent(calibration.expected_false_reject);
                text += &format!("expected false-reject rate: {expected} %\n");
            }
            Some([low, high]) => {
                let end = |value: Option<f32>| value.map_or("not bounded by so few parts".into(), |v| v.to_string());
                text += &format!("an estimate of the threshold that rejects {rate} % of good parts, not a promise\n");
                text += &format!("{confidence} % confidence interval: {} to {}\n", end(low), end(high));
            }
        }
    }
    if let Some((rate, parts)) = found {
        text += &format!("finds {} % of {parts} bad parts\n", percent(rate));
    }
    text
}

/// `1%` or `0.01`.
fn rate(text: &str) -> Result<f64, String> {
    let (number, scale) = match text.strip_suffix('%') {
        Some(number) => (number.trim(), 0.01),
        None => (text, 1.0),
    };
    match number.parse::<f64>().map(|value| value * scale) {
        Ok(rate) if rate > 0.0 && rate < 1.0 => Ok(rate),
        _ => Err("expected a rate between 0 and 100 %, such as 1% or 0.01".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_percentages_or_fractions() {
        assert_eq!(rate("5%"), Ok(0.05));
        assert_eq!(rate("0.25"), Ok(0.25));
        for text in ["0", "1", "100%", "-1%", "nan", "", "one"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_histogram_counts_every_part_and_marks_one_row() {
        let scores: Vec<f32> = (0..300).map(|i| (i as f32 * 0.37).sin()).collect();
        let text = histogram(&scores, 0.9);
        let counts = text.lines().skip(1).map(|line| line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap());
        assert_eq!(counts.sum::<usize>(), 300);
        assert_eq!(text.matches("threshold").count(), 1);
        assert!(histogram(&[1.0; 4], 1.0).contains("◀"));
    }
}
