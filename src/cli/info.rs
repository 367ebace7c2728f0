//! `mudenet-edge inspect --info`: what a model file says of itself.

use anyhow::Result;
use mudenet_edge::bundle::{Bundle, Meta, RuntimeParity};
use mudenet_edge::decide::{Threshold, ThresholdMethod};
use mudenet_edge::infer::{Engine, TractScorer};
use mudenet_edge::map::{Branch, Range, Scoring};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// Prints what `model` holds beside its weights, as text or as one JSON object.
pub(super) fn print(model: &Path, json: bool) -> Result<()> {
    let bundle = Bundle::load(model)?;
    let bytes = std::fs::metadata(model)?.len();
    let meta = bundle.meta();
    let scorer = TractScorer::new(&bundle)?;
    let text = if json {
        let operators = scorer.operators();
        let operators: Vec<_> = operators
            .iter()
            .map(|operator| serde_json::json!({"name": operator.name, "method": operator.method, "shape": operator.shape}))
            .collect();
        let object = serde_json::json!({
            "model": model, "sha256": bundle.sha256(), "bytes": bytes,
            "preprocess": meta.preprocess, "scoring": meta.scoring, "threshold": meta.threshold,
            "assumptions": meta.assumptions, "training": meta.training, "parity": meta.parity,
            "engine": super::tune::engine(&scorer), "operators": operators, "not_accelerated": scorer.not_accelerated(),
            "left_out": scorer.left_out().iter().map(|branch| branch.name()).collect::<Vec<_>>(),
        });
        format!("{object}\n")
    } else {
        readable(model, bundle.sha256(), bytes, meta) + &plan(&scorer)
    };
    Ok(write!(std::io::stdout(), "{text}")?)
}

fn readable(model: &Path, sha256: &str, bytes: u64, meta: &Meta) -> String {
    let mut text = format!("model      {}, {bytes} bytes\nsha256     {sha256}\n", model.display());
    let Scoring { ranges, margin, gaussian, clamp, weights, top, .. } = &meta.scoring;
    text += &format!("input      {}×{} pixels\n", meta.preprocess.height, meta.preprocess.width);
    text += &format!("map        smoothed by σ {}, margin {margin}", gaussian.sigma);
    text += if *clamp { ", branches limited to 0–1\n" } else { "\n" };
    if top.get() > 1 {
        text += &format!("score      mean of the map's {top} largest pixels\n");
    }
    for branch in Branch::ALL.into_iter().filter(|branch| !ranges.of(*branch).is_empty()) {
        let range = |Range { min, max }: &Range| format!("{min:.3}–{max:.3}");
        let list = ranges.of(branch).iter().map(range).collect::<Vec<_>>().join(", ");
        text += &format!("{:10} good parts at {list}, weight {}\n", branch.name(), weights.of(branch));
    }
    text += &format!("threshold  {}\n", threshold(&meta.threshold));
    if let (Some(least), Some(most)) = (meta.parity.good_scores.first(), meta.parity.good_scores.last()) {
        text += &format!("good parts {least:.4}–{most:.4} on {} held-back images\n", meta.parity.good_scores.len());
    }
    for (key, value) in &meta.training {
        let value = value.to_string();
        // Lists such as the sampled channels are for programs: `--json`.
        if value.len() <= 200 {
            text += &format!("{key}: {value}\n");
        }
    }
    for (key, choice) in &meta.assumptions {
        text += &format!("{key}      {choice}\n");
    }
    let parity = &meta.parity;
    if parity.images > 0 {
        let RuntimeParity { structural, logical, memory } = parity.tract;
        let memory = if ranges.memory.is_empty() { String::new() } else { format!(", {memory:.1e} memory") };
        text += &format!(
            "parity     with training {structural:.1e} structural, {logical:.1e} logical{memory} on {} images\n",
            parity.images
        );
    }
    match &parity.storage {
        Some(report) => text += &report.to_string(),
        None => text += "stored as  f32\n",
    }
    text
}

/// How this machine computes the networks; `bench --plan` lists each operator.
fn plan(scorer: &TractScorer) -> String {
    let mut methods: BTreeMap<String, usize> = BTreeMap::new();
    for operator in scorer.operators() {
        *methods.entry(operator.method).or_default() += 1;
    }
    let counted: Vec<String> =
        methods.iter().map(|(method, count)| format!("           {count} × {method}\n")).collect();
    let left = scorer.not_accelerated();
    let left = left.iter().map(|reason| format!("           not accelerated: {reason}\n"));
    let without =
        scorer.left_out().into_iter().map(|branch| format!("           without {}: its weight is 0\n", branch.name()));
    let none = "           by none of this program's own operators, which are the processor's\n";
    let none = if scorer.engine() == Engine::Cuda { none } else { "" };
    let lines: String = counted.into_iter().chain(without).chain(left).collect();
    format!("computed   {}\n{none}{lines}", super::tune::engine(scorer))
}

fn threshold(threshold: &Threshold) -> String {
    let Threshold { value, method, good_parts, calibration } = threshold;
    let method = match method {
        ThresholdMethod::Provisional => "provisional",
        ThresholdMethod::Manual => "set by hand",
        ThresholdMethod::Tolerance => "tolerance bound",
        ThresholdMethod::Quantile => "quantile",
        ThresholdMethod::TailFit => "tail fit",
    };
    let mut text = format!("{value:.4}, {method}");
    if *good_parts > 0 {
        text += &format!(" from {good_parts} good parts");
    }
    if let Some(calibration) = calibration {
        text += &format!(
            ", false rejects {} % with {} % confidence",
            100.0 * calibration.false_reject,
            100.0 * calibration.confidence
        );
    }
    text
}
