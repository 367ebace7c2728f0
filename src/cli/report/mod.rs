//! The report of an evaluation: one HTML file, JSON and CSV.

mod chart;
mod decision;
mod gallery;
mod page;

use super::csv;
use super::evaluate::{Seen, Source};
use anyhow::Result;
pub(super) use decision::Decision;
use gallery::Card;
use mudenet_edge::bundle::RuntimeParity;
use mudenet_edge::decide::ThresholdMethod;
use mudenet_edge::metric::dataset::DataSet;
use mudenet_edge::metric::{Evaluation, Figures};
use mudenet_edge::recipe::Recipe;
use mudenet_edge::record::{branch_word, write_file};
use mudenet_edge::run::today;
use std::io::Write;
use std::path::Path;

/// File name of the page.
pub(super) const PAGE: &str = "report.html";

/// A set, its figures and what was seen of each image.
pub(super) struct Measured<'a> {
    pub(super) set: &'a DataSet,
    pub(super) evaluation: &'a Evaluation,
    /// At the deployed thresholds; none for maps made elsewhere.
    pub(super) decision: Option<Decision>,
    pub(super) seen: Vec<Seen>,
}

impl Measured<'_> {
    /// The figures, and `decision` where there is one.
    pub(super) fn json(&self) -> Result<serde_json::Value> {
        let mut json = serde_json::to_value(&self.evaluation.figures)?;
        if let (Some(decision), Some(json)) = (&self.decision, json.as_object_mut()) {
            json.insert("decision".into(), serde_json::to_value(decision)?);
        }
        Ok(json)
    }
}

/// Everything the report shows.
pub(super) struct Report<'a> {
    measured: &'a Measured<'a>,
    title: String,
    threshold: Option<f32>,
    /// Whose threshold it is.
    whose: &'static str,
    provenance: Vec<(String, String)>,
    cards: Vec<Card>,
    jobs: usize,
}

impl<'a> Report<'a> {
    pub(super) fn new(
        measured: &'a Measured<'a>,
        source: &Source,
        dataset: Option<&Path>,
        jobs: usize,
    ) -> Result<Self> {
        let threshold = match source {
            Source::Model(product) => Some(product.threshold()),
            Source::Maps(_) => measured.evaluation.image.as_ref().map(|image| image.f1_threshold),
        };
        let name = dataset.and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned());
        Ok(Self {
            measured,
            title: name.unwrap_or_else(|| "good and bad parts".into()),
            threshold,
            whose: match source.product().map(|product| product.recipe.as_ref()) {
                None => "that of the largest F1 on this very set",
                Some(None) => "the model's",
                Some(Some(recipe)) if recipe.zones.is_empty() => "the recipe's",
                Some(Some(_)) => "the recipe's; zones at their own, their scores moved by the difference",
            },
            provenance: provenance(measured, source, dataset, threshold)?,
            cards: gallery::cards(measured, source, threshold)?,
            jobs,
        })
    }

    /// Writes `report.html`, `figures.json` and `images.csv` into `folder`.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(&self.measured.json()?)?;
        write_file(&folder.join("figures.json"), |file| writeln!(file, "{json}"))?;
        write_file(&folder.join("images.csv"), |file| file.write_all(self.csv().as_bytes()))?;
        write_file(&folder.join(PAGE), |file| file.write_all(self.page().as_bytes()))?;
        Ok(())
    }

    /// One line an image.
    fn csv(&self) -> String {
        let Measured { set, evaluation, seen, .. } = self.measured;
        let mut text = csv::line(["image", "type", "anomalous", "score", "rejected", "branch", "level", "ms"]);
        for ((sample, score), seen) in set.samples.iter().zip(&evaluation.scores).zip(seen) {
            text += &csv::line([
                sample.image.display().to_string(),
                set.kinds[sample.kind].clone(),
                (sample.kind > 0).to_string(),
                score.to_string(),
                csv::or_empty(self.threshold.map(|t| *score > t)),
                csv::or_empty(seen.driven.map(|(branch, _)| branch_word(branch))),
                csv::or_empty(seen.driven.map(|(_, level)| level)),
                csv::or_empty(seen.elapsed.map(|t| format!("{:.3}", t.as_secs_f64() * 1e3))),
            ]);
        }
        text
    }
}

/// The figures in rows of cells, in percent; the first row holds the headings.
pub(super) fn rows(figures: &Figures) -> Vec<Vec<String>> {
    let percent = |value: Option<f64>| value.map_or("–".to_owned(), |v| format!("{:.2}", 100.0 * v));
    let mut rows =
        vec![["", "images", "AUROC", "AP", "F1-max", "pixel AUROC", "PRO", "sPRO 0.05"].map(str::to_owned).to_vec()];
    rows.push(vec![
        "all".into(),
        figures.n.to_string(),
        percent(figures.image_auroc),
        percent(figures.image_ap),
        percent(figures.image_f1_max),
        percent(figures.pixel_auroc),
        percent(figures.pro),
        percent(figures.spro.as_ref().and_then(|s| s.get("0.05")?.get("mean").copied())),
    ]);
    for (name, of) in &figures.per_type {
        rows.push(vec![
            name.clone(),
            of.n.to_string(),
            percent(of.image_auroc),
            percent(of.image_ap),
            percent(of.image_f1_max),
            percent(of.pixel_auroc),
            percent(of.pro),
            percent(of.spro.as_ref().and_then(|s| s.get("0.05").copied())),
        ]);
    }
    if figures.spro.is_none() {
        rows.iter_mut().for_each(|row| row.truncate(7));
    }
    rows
}

/// A JSON value for people; of long lists only the length.
fn words(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) if list.len() > LONG_LIST => format!("{} values", list.len()),
        Value::Array(list) => list.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| match value {
                Value::Object(_) => format!("{} ({})", key.replace('_', " "), words(value)),
                _ => format!("{} {}", key.replace('_', " "), words(value)),
            };
            map.iter().map(entry).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// Values of a list that are shown one by one.
const LONG_LIST: usize = 12;

fn provenance(
    measured: &Measured<'_>,
    source: &Source,
    dataset: Option<&Path>,
    threshold: Option<f32>,
) -> Result<Vec<(String, String)>> {
    let mut rows: Vec<(String, String)> = vec![];
    let mut add = |name: &str, value: String| rows.push((name.to_owned(), value));
    add("Evaluated on", today());
    add("Program", format!("mudenet-edge {}", env!("CARGO_PKG_VERSION")));
    if let Some(dataset) = dataset {
        add("Data set", format!("{} ({:?} layout)", dataset.display(), measured.set.layout));
    }
    match source {
        Source::Maps(folder) => {
            add("Maps", folder.display().to_string());
            if let Some(threshold) = threshold {
                add("Threshold", format!("{threshold}: that of the largest F1 on this very set, no model was given"));
            }
        }
        Source::Model(product) => {
            let bundle = &product.bundle;
            let meta = bundle.meta();
            if let Some(recipe) = &product.recipe {
                of_recipe(recipe, &product.zone_thresholds(), &mut add);
            }
            add("Model, SHA-256", bundle.sha256().to_owned());
            let method = match meta.threshold.method {
                ThresholdMethod::Provisional => "provisional: promises no false-reject rate",
                ThresholdMethod::Manual => "set by hand",
                ThresholdMethod::Tolerance => "tolerance bound",
                ThresholdMethod::Quantile => "quantile, an estimate",
                ThresholdMethod::TailFit => "fitted tail, an estimate",
            };
            let mut text =
                format!("{} ({method}), from {} good parts", meta.threshold.value, meta.threshold.good_parts);
            if let Some(calibration) = &meta.threshold.calibration {
                text += &format!(
                    ", false-reject rate {} %, confidence {} %",
                    100.0 * calibration.false_reject,
                    100.0 * calibration.confidence
                );
            }
            let name = if product.recipe.is_some() { "Threshold of the model" } else { "Threshold" };
            add(name, text);
            let RuntimeParity { structural, logical, memory } = meta.parity.tract;
            let remembers = !meta.scoring.ranges.memory.is_empty();
            let memory = if remembers { format!(", {memory:.1e} memory") } else { String::new() };
            add(
                "Parity with the trainer",
                format!(
                    "largest relative difference {structural:.1e} structural, {logical:.1e} logical{memory}, over {} images",
                    meta.parity.images
                ),
            );
            match &meta.parity.storage {
                None => add("Stored as", "f32".into()),
                Some(report) => {
                    add("Stored as", format!("{}, {}", report.form.words(), report.method));
                    add("Parity with the f32 model", report.float.to_string());
                    for (runtime, agreement) in &report.runtimes {
                        add(&format!("Parity with {runtime}"), agreement.to_string());
                    }
                }
            }
            for (name, value) in &meta.training {
                add(&format!("Training: {}", name.replace('_', " ")), words(value));
            }
            for (name, value) in &meta.assumptions {
                add(name, value.clone());
            }
        }
    }
    Ok(rows)
}

fn of_recipe(recipe: &Recipe, zones: &[(String, f32)], add: &mut impl FnMut(&str, String)) {
    add("Recipe", format!("{}, {}", recipe.name, recipe.path.display()));
    if let Some(region) = recipe.region {
        let (left, top) = (region.left(), region.top());
        let (width, height) = (region.right() - left, region.bottom() - top);
        add("Region", format!("{width}×{height} pixels from column {left}, row {top}"));
    }
    if let Some(ignore) = &recipe.ignore {
        add("Ignored", ignore.display().to_string());
    }
    if let Some(threshold) = recipe.threshold {
        let found = recipe.calibration.as_ref().map(|of| {
            let (rate, confidence) = (100.0 * of.false_reject, 100.0 * of.confidence);
            let method = serde_json::to_value(of.method).ok().map(|method| words(&method)).unwrap_or_default();
            format!(
                " ({method}, from {} good parts, false-reject rate {rate} %, confidence {confidence} %)",
                of.good_parts
            )
        });
        add("Threshold", format!("{threshold}{}", found.unwrap_or_default()));
    }
    for (name, threshold) in zones {
        add(&format!("Zone {name}"), format!("threshold {threshold}"));
    }
}
