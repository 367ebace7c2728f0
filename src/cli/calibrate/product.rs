//! What is calibrated: a model by itself, or a recipe with its region, mask and zones.

use anyhow::{Context, Result, anyhow, bail};
use mudenet_edge::bundle::Bundle;
use mudenet_edge::decide::Threshold;
use mudenet_edge::decide::drift::Baseline;
use mudenet_edge::inspector::Inspector;
use mudenet_edge::recipe::{Calibrated, Recipe};
use mudenet_edge::record::write_file;
use mudenet_edge::run::Pipeline;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};
use toml_edit::{DocumentMut, Item, Table, value};

/// A bundle, and the recipe that uses it.
pub(in crate::cli) struct Product {
    pub(in crate::cli) bundle: Bundle,
    pub(in crate::cli) recipe: Option<Recipe>,
}

impl Product {
    /// Reads the one that is given.
    pub(in crate::cli) fn open(model: Option<&Path>, recipe: Option<&Path>) -> Result<Self> {
        let recipe = recipe.map(Recipe::load).transpose()?;
        let bundle = match (&recipe, model) {
            (Some(recipe), _) => recipe.open()?.0,
            (None, Some(model)) => Bundle::load(model)?,
            (None, None) => return Err(anyhow!("give either --model or --recipe")),
        };
        Ok(Self { bundle, recipe })
    }

    /// Ready to inspect as the line would, but without a cascade, whose scores are bounds.
    pub(in crate::cli) fn pipeline(&self) -> Result<Pipeline> {
        Ok(match &self.recipe {
            Some(recipe) => Recipe { cascade: false, ..recipe.clone() }.prepare()?,
            None => Pipeline::new(Inspector::new(&self.bundle)?),
        })
    }

    /// Names of the zones.
    pub(super) fn zones(&self) -> Vec<String> {
        self.zone_thresholds().into_iter().map(|(name, _)| name).collect()
    }

    /// Names of the zones with the thresholds in use so far.
    pub(in crate::cli) fn zone_thresholds(&self) -> Vec<(String, f32)> {
        let zones = self.recipe.iter().flat_map(|recipe| &recipe.zones);
        zones.map(|zone| (zone.name.clone(), zone.threshold.unwrap_or(self.threshold()))).collect()
    }

    /// The threshold in use so far.
    pub(in crate::cli) fn threshold(&self) -> f32 {
        let own = self.recipe.as_ref().and_then(|recipe| recipe.threshold);
        own.unwrap_or(self.bundle.meta().threshold.value)
    }

    /// Writes a copy with the thresholds: a model, or a recipe whose comments stay, with its baseline beside it.
    pub(super) fn write(&self, threshold: &Threshold, zones: &[f32], baseline: Baseline, output: &Path) -> Result<()> {
        match &self.recipe {
            None => {
                let mut threshold = threshold.clone();
                if let Some(calibration) = &mut threshold.calibration {
                    calibration.baseline = Some(baseline);
                }
                let mut meta = self.bundle.meta().clone();
                meta.threshold = threshold;
                let calibrated = Bundle::assemble(self.bundle.graph().clone(), &meta)
                    .map_err(|reason| anyhow!("{}: {reason}", output.display()))?;
                Ok(calibrated.save(output)?)
            }
            Some(recipe) => write_recipe(recipe, threshold, zones, &baseline, output),
        }
    }
}

fn write_recipe(
    recipe: &Recipe,
    threshold: &Threshold,
    zones: &[f32],
    baseline: &Baseline,
    output: &Path,
) -> Result<()> {
    let text = std::fs::read_to_string(&recipe.path).with_context(|| recipe.path.display().to_string())?;
    let mut document: DocumentMut = text.parse().with_context(|| recipe.path.display().to_string())?;
    let seen = serde_json::to_string(baseline)?;
    // A name of its own for each content: the file of a calibration before stays as it is.
    let stem = output.file_stem().unwrap_or_default().to_string_lossy();
    let hash = Sha256::digest(&seen);
    let name = format!("{stem}-baseline-{:02x}{:02x}{:02x}{:02x}.json", hash[0], hash[1], hash[2], hash[3]);
    document["threshold"] = value(shortest(threshold.value)?);
    if let Some(tables) = document.get_mut("zone").and_then(Item::as_array_of_tables_mut) {
        for (table, zone) in tables.iter_mut().zip(zones) {
            table["threshold"] = value(shortest(*zone)?);
        }
    }
    if let Some(of) = &threshold.calibration {
        let calibrated = Calibrated {
            threshold: threshold.value,
            method: threshold.method,
            good_parts: threshold.good_parts,
            false_reject: of.false_reject,
            confidence: of.confidence,
            expected_false_reject: of.expected_false_reject,
            date: of.date.clone(),
            baseline: Some(PathBuf::from(&name)),
        };
        document["calibration"] = Item::Table(table(&calibrated)?);
    }
    let new = document.to_string();
    let written = Recipe::parse(&new, output)?;
    if !written.zones.iter().map(|zone| zone.threshold).eq(zones.iter().copied().map(Some)) {
        bail!("{}: write its zones as [[zone]] tables, so that each can get its threshold", recipe.path.display());
    }
    write_file(&output.with_file_name(&name), |file| file.write_all(seen.as_bytes()))?;
    Ok(write_file(output, |file| file.write_all(new.as_bytes()))?)
}

fn table(calibrated: &Calibrated) -> Result<Table> {
    let mut table = Table::new();
    table["threshold"] = value(shortest(calibrated.threshold)?);
    table["method"] = value(serde_json::to_value(calibrated.method)?.as_str().unwrap_or_default());
    table["good_parts"] = value(i64::try_from(calibrated.good_parts)?);
    table["false_reject"] = value(calibrated.false_reject);
    table["confidence"] = value(calibrated.confidence);
    table["expected_false_reject"] = value(calibrated.expected_false_reject);
    if let Some(date) = &calibrated.date {
        table["date"] = value(date.as_str());
    }
    if let Some(baseline) = &calibrated.baseline {
        table["baseline"] = value(baseline.to_string_lossy().as_ref());
    }
    Ok(table)
}

/// The shortest decimal fraction that reads as the same number.
fn shortest(value: f32) -> Result<f64> {
    Ok(value.to_string().parse()?)
}
