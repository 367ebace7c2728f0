//! `mudenet-edge calibrate`.

mod areas;
mod parts;
mod product;
mod text;

use super::audit;
use anyhow::{Context, Result};
use mudenet_edge::capture::pictures_below;
use mudenet_edge::decide::{Costs, Scored, Threshold, ThresholdMethod, Wanted, calibrate};
use parts::{Changes, Parts};
pub(super) use product::Product;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

const AFTER_HELP: &str = "\
Methods:
  tolerance  keeps the false-reject rate at the stated confidence, whatever the scores' distribution; needs
             n ≥ ln(1 − confidence) / ln(1 − false-reject) good parts, 299 for 1% at 95%
  quantile   the quantile of the scores seen: an estimate
  tail-fit   the quantile of a distribution fitted to the largest scores: an estimate, for few parts

A recipe with zones gets a threshold for each of them and one for the rest. So that all together keep the false-reject rate,
each of n areas gets an nth of it, at a confidence that errs an nth as often: more good parts are needed.

With --from-records the scores are those of parts that the box accepted: a good part that it rejected is not among them, so
the threshold can come out too low. Look at the rejects first. Of a recipe with zones, the parts that were inspected with
zones of the same names count: where a zone was moved since, take --last of the parts after that.

Examples:
  mudenet-edge calibrate --model bottle.onnx --good good-parts/ --false-reject 1% --confidence 95% -o calibrated.onnx
  mudenet-edge calibrate --model bottle.onnx --good good-parts/ --method tail-fit
  mudenet-edge calibrate --recipe bottle.toml --good good-parts/ -o bottle.toml
  mudenet-edge calibrate --model bottle.onnx --good good/ --bad bad/ --bad-share 0.5% --miss-cost 200
  mudenet-edge calibrate --model bottle.onnx --from-records /var/lib/mudenet/record --last 1000 -o calibrated.onnx
  mudenet-edge calibrate --recipe bottle.toml --from-records /var/lib/mudenet/record -o bottle.toml";

/// Find a threshold that keeps a false-reject rate, from pictures of good parts
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// The model, written by mudenet-export
    #[arg(long, value_name = "FILE", required_unless_present = "recipe")]
    model: Option<PathBuf>,
    /// A recipe instead: pictures are inspected with its region, mask and zones, and each zone gets a threshold of its own
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    recipe: Option<PathBuf>,
    /// Pictures of good parts that the model was not trained on, sub-folders included
    #[arg(long, value_name = "DIR", required_unless_present = "from_records")]
    good: Option<PathBuf>,
    /// Take the scores of accepted parts from the record of a running box
    #[arg(long, value_name = "DIR", conflicts_with_all = ["good", "bad"])]
    from_records: Option<PathBuf>,
    /// Of the record, the newest N accepted parts; all where not given
    #[arg(long, value_name = "N", requires = "from_records")]
    last: Option<usize>,
    /// Pictures of bad parts, to tell how many the threshold finds and what others would cost
    #[arg(long, value_name = "DIR")]
    bad: Option<PathBuf>,
    /// Share of bad parts on the line, for the costs
    #[arg(long, value_name = "RATE", default_value = "1%", value_parser = rate, requires = "bad")]
    bad_share: f64,
    /// Cost of a bad part that is not found, where that of a rejected good part is 1
    #[arg(long, value_name = "COST", default_value = "50", value_parser = cost, requires = "bad")]
    miss_cost: f64,
    /// Share of good parts that may be rejected, such as 1% or 0.01
    #[arg(long, value_name = "RATE", default_value = "1%", value_parser = rate, allow_hyphen_values = true)]
    false_reject: f64,
    /// Confidence that it is kept, or of the interval of an estimate
    #[arg(long, value_name = "RATE", default_value = "95%", value_parser = rate, allow_hyphen_values = true)]
    confidence: f64,
    /// How the threshold is found
    #[arg(long, value_enum, default_value = "tolerance")]
    method: Method,
    /// Write a copy of the model or the recipe with the new threshold; a recipe may be replaced by itself, its comments
    /// stay. With --from-records, the record's audit log notes it
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Who calibrates, for the audit log; the system's user where not given
    #[arg(long, value_name = "NAME", requires = "from_records")]
    by: Option<String>,
    /// Pictures inspected at the same time; as many as there are processor cores where not given
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: super::device::DeviceArg,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Method {
    Tolerance,
    Quantile,
    TailFit,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    args.device.install()?;
    let wanted = Wanted::new(args.false_reject, args.confidence)?;
    let method = match args.method {
        Method::Tolerance => ThresholdMethod::Tolerance,
        Method::Quantile => ThresholdMethod::Quantile,
        Method::TailFit => ThresholdMethod::TailFit,
    };
    let product = Product::open(args.model.as_deref(), args.recipe.as_deref())?;
    let zones = product.zones();
    let source = args.from_records.as_deref().or(args.good.as_deref()).unwrap_or(Path::new(""));
    let good = match &args.from_records {
        Some(folder) => Parts::of_records(&product, folder, args.last.unwrap_or(usize::MAX))?,
        None => {
            let pictures = pictures_below(source)?;
            let each = wanted.shared_by(zones.len() + 1);
            if method == ThresholdMethod::Tolerance && each.rank(pictures.len()).is_none() {
                // Too few to be worth scoring: the same refusal, at once.
                calibrate(&vec![0.0; pictures.len()], each, method, None)
                    .with_context(|| source.display().to_string())?;
            }
            Parts::of_pictures(&product, &pictures, args.jobs)?
        }
    };
    let bad = args.bad.as_deref().map(pictures_below).transpose()?.unwrap_or_default();
    let bad = Parts::of_pictures(&product, &bad, args.jobs)?;
    let found = areas::calibrate_areas(&good, wanted, method).with_context(|| source.display().to_string())?;
    let changes =
        args.from_records.as_deref().map(|folder| Changes::of(&product, folder, |entry| found.rejects(entry, &zones)));
    let costs = Costs { bad_share: args.bad_share, miss: args.miss_cost };
    let (good_scores, bad_scores) = (found.scores(&good), found.scores(&bad));
    let found = Found {
        scored: Scored::new(&good_scores, &bad_scores, costs),
        changes: changes.transpose()?,
        zones: zones.iter().cloned().zip(found.zones).collect(),
        threshold: found.threshold,
        good_scores,
        bad: bad.len(),
        costs,
    };
    found.print(args)?;
    if let Some(output) = &args.output {
        let values: Vec<f32> = found.zones.iter().map(|(_, zone)| zone.value).collect();
        product.write(&found.threshold, &values, good.baseline(&found.good_scores), output)?;
        if let Some(record) = &args.from_records {
            let (mut old, mut new) = (json!(product.threshold()), json!(found.threshold));
            if !zones.is_empty() {
                let before: BTreeMap<_, _> = product.zone_thresholds().into_iter().collect();
                let after: BTreeMap<_, _> = found.zones.iter().map(|(name, zone)| (name, zone.value)).collect();
                old = json!({ "threshold": old, "zones": before });
                new = json!({ "threshold": new, "zones": after });
            }
            let who = args.by.clone().unwrap_or_else(audit::user);
            audit::note(record, &who, &format!("threshold of {}", output.display()), old, new)?;
        }
    }
    if !args.json {
        let text = match &args.output {
            Some(output) => format!("written to {}", output.display()),
            None => "nothing was written: give -o FILE for a copy with this threshold".into(),
        };
        writeln!(std::io::stdout(), "{text}")?;
    }
    Ok(super::ACCEPTED)
}

/// Everything there is to show.
struct Found {
    threshold: Threshold,
    /// Name and threshold of each zone.
    zones: Vec<(String, Threshold)>,
    /// Scores of the good parts, zones moved to the threshold of the rest.
    good_scores: Vec<f32>,
    /// Number of bad parts.
    bad: usize,
    costs: Costs,
    scored: Option<Scored>,
    changes: Option<Changes>,
}

impl Found {
    /// Shows it, before anything is written.
    fn print(&self, args: &Args) -> Result<()> {
        let mut out = std::io::stdout().lock();
        let value = self.threshold.value;
        if args.json {
            let trade_off = self.scored.as_ref().map(|scored| {
                json!({
                    "costs": self.costs,
                    "cheapest": scored.cheapest(),
                    "thresholds": text::trade_offs(scored),
                })
            });
            let changes = self.changes.as_ref().map(|changes| {
                json!({ "parts": changes.parts, "to_reject": changes.to_reject, "to_accept": changes.to_accept })
            });
            let zones: Vec<_> = self.zones.iter().map(|(name, of)| json!({ "name": name, "threshold": of })).collect();
            let report = json!({
                "threshold": &self.threshold,
                "zones": zones,
                "good_scores": &self.good_scores,
                "detection_rate": self.scored.as_ref().map(|scored| scored.at(value).detection),
                "trade_off": trade_off,
                "changes": changes,
                "output": &args.output,
            });
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
            return Ok(());
        }
        write!(out, "{}", text::histogram(&self.good_scores, value))?;
        write!(out, "{}", text::summary(&self.threshold))?;
        write!(out, "{}", text::zones(&self.zones))?;
        if let Some(scored) = &self.scored {
            write!(out, "{}", text::costs(scored, value, self.costs, self.bad))?;
        }
        if let Some(changes) = &self.changes {
            write!(out, "{}", text::changes(changes))?;
        }
        Ok(())
    }
}

/// `1%` or `0.01`.
fn rate(text: &str) -> Result<f64, String> {
    let (number, whole) = match text.strip_suffix('%') {
        Some(number) => (number.trim(), 100.0),
        None => (text, 1.0),
    };
    match number.parse::<f64>().map(|value| value / whole) {
        Ok(rate) if rate > 0.0 && rate < 1.0 => Ok(rate),
        _ => Err("expected a rate between 0 and 100 %, such as 1% or 0.01".into()),
    }
}

/// A number from 0.
fn cost(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(cost) if cost >= 0.0 && cost.is_finite() => Ok(cost),
        _ => Err("expected a number from 0".into()),
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
}
