//! `RECIPE.toml`: a product. Its bundle, the region of the picture that shows it, what of it to ignore, its threshold and
//! those of its zones, and how they were calibrated.

mod calibrated;

use crate::bundle::Bundle;
use crate::capture::{CaptureError, Frame, MAX_PIXELS, Region, Samples, decode};
use crate::config::{Config, parse_toml};
use crate::decide::drift::Baseline;
use crate::golden::{GoldenReport, GoldenSet};
use crate::inspector::Inspector;
use crate::limits::{self, read_text};
use crate::map::{Mask, Zone, Zones};
use crate::record::verdict_word;
use crate::run::{Pipeline, Prepared, Recipes};
pub use calibrated::Calibrated;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A product: `RECIPE.toml`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct Raw {
    /// What people call the product; it stands on the page and in the record.
    name: String,
    /// The model, below the recipe's folder as every path in it.
    model: PathBuf,
    /// SHA-256 of the model, so that no other is taken by mistake.
    sha256: Option<String>,
    /// The part of the picture that is inspected: left, top, width, height in pixels; all of it without.
    region: Option<[usize; 4]>,
    /// A picture whose bright pixels (128 and more) are not inspected; it covers the region.
    ignore: Option<PathBuf>,
    /// Scores above it are rejected, instead of the model's own threshold.
    threshold: Option<f32>,
    /// Folder with pictures of known parts in `good` and `bad`, which must be judged right before the recipe is used.
    golden: Option<PathBuf>,
    /// Leave out the logical branch where the others settle the verdict.
    #[serde(default)]
    cascade: bool,
    /// Parts of the picture with a threshold of their own.
    #[serde(default)]
    zone: Vec<RecipeZone>,
    /// How the thresholds were found; `mudenet-edge calibrate` writes it.
    calibration: Option<Calibrated>,
}

/// A part of the picture with a threshold of its own: `[[zone]]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RecipeZone {
    /// What people call it.
    pub name: String,
    /// First column and row, width and height in pixels of the camera's picture.
    pub area: [usize; 4],
    /// Scores above it are rejected there; without one the product's threshold holds.
    pub threshold: Option<f32>,
}

/// JSON Schema of a recipe's file.
#[cfg(feature = "cli")]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Raw).to_value()
}

/// A product.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// The file it was read from.
    pub path: PathBuf,
    /// What people call the product.
    pub name: String,
    /// The bundle.
    pub model: PathBuf,
    /// What the bundle's SHA-256 must be.
    pub sha256: Option<String>,
    /// The part of the picture that is inspected; all of it without.
    pub region: Option<Region>,
    /// A picture whose bright pixels (128 and more) are not inspected; it covers the region.
    pub ignore: Option<PathBuf>,
    /// Replaces the bundle's threshold.
    pub threshold: Option<f32>,
    /// Parts of the picture with thresholds of their own; they do not overlap.
    pub zones: Vec<RecipeZone>,
    /// How the thresholds were found; `None` too where they were changed since.
    pub calibration: Option<Calibrated>,
    /// Folder of golden samples, which must be judged right before the recipe is used.
    pub golden: Option<PathBuf>,
    /// Leave out the logical branch where the others settle the verdict; see [`Inspector::cascaded`].
    pub cascade: bool,
}

/// A recipe that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not TOML of the expected form.
    #[error("{}: line {line}: {reason}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Line of the file, from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A value that breaks a rule.
    #[error("{}: {key}: {reason}", path.display())]
    Rule {
        /// The file.
        path: PathBuf,
        /// Its key.
        key: &'static str,
        /// What is expected, and what was found.
        reason: String,
    },
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] crate::run::LoadError),
    /// The picture to ignore cannot be read.
    #[error(transparent)]
    Ignore(#[from] CaptureError),
    /// The packages that it comes from.
    #[cfg(feature = "update")]
    #[error(transparent)]
    Update(#[from] crate::update::UpdateError),
}

impl Recipe {
    /// Reads a recipe; paths in it are below its folder.
    ///
    /// # Errors
    /// [`RecipeError::Read`], [`RecipeError::Form`] or [`RecipeError::Rule`].
    pub fn load(path: &Path) -> Result<Self, RecipeError> {
        let text =
            read_text(path, limits::SETTINGS).map_err(|source| RecipeError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Like [`Recipe::load`], for the text of the file at `path`.
    ///
    /// # Errors
    /// [`RecipeError::Form`] or [`RecipeError::Rule`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, RecipeError> {
        let raw: Raw =
            parse_toml(text).map_err(|(line, reason)| RecipeError::Form { path: path.to_owned(), line, reason })?;
        let rule = |key, reason| RecipeError::Rule { path: path.to_owned(), key, reason };
        if raw.threshold.is_some_and(|threshold| !threshold.is_finite()) {
            return Err(rule("threshold", "must be a finite number".to_owned()));
        }
        let region = raw.region.map(|[left, top, width, height]| {
            Region::new(left, top, width, height).map_err(|error| rule("region", error.to_string()))
        });
        let folder = path.parent().unwrap_or(Path::new(""));
        zones(&raw.zone, 0.0).map_err(|reason| rule("zone", reason))?;
        Ok(Self {
            path: path.to_owned(),
            name: raw.name,
            model: folder.join(raw.model),
            sha256: raw.sha256,
            region: region.transpose()?,
            ignore: raw.ignore.map(|file| folder.join(file)),
            threshold: raw.threshold,
            golden: raw.golden.map(|samples| folder.join(samples)),
            cascade: raw.cascade,
            calibration: raw.calibration.filter(|of| raw.threshold == Some(of.threshold)).map(|of| of.below(folder)),
            zones: raw.zone,
        })
    }

    /// Makes the recipe ready to inspect and tries it on a grey picture.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub fn prepare(&self) -> Result<Pipeline, RecipeError> {
        Ok(self.prepare_with_hash()?.1)
    }

    /// What good parts looked like when the threshold in use was calibrated; `None` where that is not known.
    ///
    /// # Errors
    /// [`RecipeError::Rule`] where the file that the recipe names for it cannot be read.
    pub fn baseline(&self, bundle: &Bundle) -> Result<Option<Baseline>, RecipeError> {
        if let Some(file) = self.calibration.as_ref().and_then(|calibration| calibration.baseline.as_ref()) {
            let rule = |reason| RecipeError::Rule { path: self.path.clone(), key: "calibration.baseline", reason };
            return calibrated::read_baseline(file).map(Some).map_err(rule);
        }
        // The bundle's was made of whole pictures with the bundle's threshold.
        let as_bundle = self.threshold.is_none() && self.region.is_none() && self.zones.is_empty();
        let calibration = bundle.meta().threshold.calibration.as_ref().filter(|_| as_bundle);
        Ok(calibration.and_then(|calibration| calibration.baseline.clone()))
    }

    /// Inspects the golden samples; `None` where the recipe has none.
    ///
    /// # Errors
    /// What is wrong with their folder.
    pub fn golden_report(&self, pipeline: &mut Pipeline) -> Result<Option<GoldenReport>, String> {
        let samples = self.golden.as_ref().map(|folder| GoldenSet::open(folder)).transpose();
        Ok(samples.map_err(|error| error.to_string())?.map(|samples| samples.check(pipeline)))
    }

    /// Inspects the golden samples, where the recipe has some.
    ///
    /// # Errors
    /// One sentence that names the first that is judged wrong, or what is wrong with their folder.
    pub fn prove(&self, pipeline: &mut Pipeline) -> Result<(), String> {
        let Some(report) = self.golden_report(pipeline)? else { return Ok(()) };
        match report.results.iter().find(|result| !result.is_right()) {
            None => Ok(()),
            Some(wrong) => {
                let (expected, got) = (verdict_word(wrong.expected), verdict_word(wrong.got));
                Err(format!("golden sample {}: expected {expected}, got {got}", wrong.picture.display()))
            }
        }
    }

    /// Like [`Recipe::prepare`], with the bundle's SHA-256.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub fn prepare_with_hash(&self) -> Result<(String, Pipeline), RecipeError> {
        let (bundle, pipeline) = self.open()?;
        Ok((bundle.sha256().to_owned(), pipeline))
    }

    /// Like [`Recipe::prepare`], with the bundle.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub fn open(&self) -> Result<(Bundle, Pipeline), RecipeError> {
        let rule = |key, reason| RecipeError::Rule { path: self.path.clone(), key, reason };
        let load = |source| RecipeError::Model(crate::run::LoadError::Bundle(source));
        let bundle = Bundle::load(&self.model).map_err(load)?;
        if let Some(expected) = self.sha256.as_ref().filter(|hash| !hash.eq_ignore_ascii_case(bundle.sha256())) {
            let got = bundle.sha256();
            return Err(rule("sha256", format!("{} is {got}, expected {expected}", self.model.display())));
        }
        let (height, width) = (bundle.meta().preprocess.height, bundle.meta().preprocess.width);
        let inspector = if self.cascade { Inspector::cascaded(&bundle) } else { Inspector::new(&bundle) };
        let mut inspector = inspector.map_err(|source| {
            RecipeError::Model(crate::run::LoadError::Prepare { path: self.model.clone(), source })
        })?;
        if let Some(threshold) = self.threshold {
            inspector = inspector.with_threshold(threshold);
        }
        if let Some(file) = &self.ignore {
            let picture = decode(file)?;
            let mask = Mask::from_picture(&picture, height, width);
            if mask.covers_everything() {
                return Err(rule("ignore", format!("{} ignores the whole picture", file.display())));
            }
            inspector = inspector.with_mask(mask);
        }
        if let Some(region) = self.region {
            inspector = inspector.with_region(region);
        }
        if !self.zones.is_empty() {
            let top = bundle.meta().scoring.top;
            if top.get() > 1 {
                let reason =
                    format!("zones need a model whose score is the map's maximum, this one's is of {top} pixels");
                return Err(rule("zone", reason));
            }
            let zones = zones(&self.zones, inspector.threshold()).map_err(|reason| rule("zone", reason))?;
            inspector = inspector.with_zones(zones);
        }
        let mut pipeline = Pipeline::new(inspector);
        // Large enough for everything that the recipe says of the picture.
        let ends = self.region.map_or((height, width), |region| (region.bottom(), region.right()));
        let (rows, columns) = self.zones.iter().fold(ends, |(rows, columns), zone| {
            let [left, top, width, height] = zone.area;
            (rows.max(top + height), columns.max(left + width))
        });
        if rows.saturating_mul(columns) > MAX_PIXELS {
            return Err(rule("zone", format!("the zones reach beyond any picture: {columns}×{rows} pixels")));
        }
        let grey =
            Frame::new(columns.max(16), rows.max(16), Samples::Rgb8(vec![128; 3 * columns.max(16) * rows.max(16)]))?;
        match pipeline.inspect(&grey).result {
            Ok(_) => Ok((bundle, pipeline)),
            Err(fault) => Err(rule("model", format!("{} fails on a grey picture: {fault}", self.model.display()))),
        }
    }
}

fn zones(zones: &[RecipeZone], threshold: f32) -> Result<Zones, String> {
    let zone = |zone: &RecipeZone| Zone {
        name: zone.name.as_str().into(),
        area: zone.area,
        threshold: zone.threshold.unwrap_or(threshold),
    };
    Zones::new(zones.iter().map(zone).collect())
}

/// Recipes in files, by their numbers.
#[derive(Clone, Debug)]
pub struct RecipeFiles(pub BTreeMap<u16, PathBuf>);

impl Recipes for RecipeFiles {
    fn load(&mut self, number: u16) -> Result<Prepared, String> {
        let file = self.0.get(&number).ok_or_else(|| format!("recipe {number} is not in [recipes.files]"))?;
        let recipe = Recipe::load(&resolved(file)).map_err(|error| error.to_string())?;
        let (bundle, mut pipeline) = recipe.open().map_err(|error| error.to_string())?;
        recipe.prove(&mut pipeline)?;
        let baseline = recipe.baseline(&bundle).map_err(|error| error.to_string())?;
        let prepared = Prepared::new(number, recipe.name, bundle.sha256().to_owned(), pipeline);
        Ok(match baseline {
            Some(baseline) => prepared.with_baseline(baseline),
            None => prepared,
        })
    }
}

/// The recipes of a station that inspects real parts: those of signed packages are on trial until they were loaded, and
/// `tell` is told where one is taken back.
///
/// # Errors
/// One sentence where `update.key` is no key.
#[cfg(feature = "update")]
pub fn of_station(config: &Config, tell: impl FnMut(String) + Send + 'static) -> Result<Box<dyn Recipes>, RecipeError> {
    match &config.update {
        None => Ok(Box::new(RecipeFiles(config.recipes.clone()))),
        Some(settings) => Ok(Box::new(crate::update::TriedRecipes::new(config, settings, Box::new(tell))?)),
    }
}

/// The recipes of a station.
///
/// # Errors
/// None in a program without signed packages.
#[cfg(not(feature = "update"))]
pub fn of_station(
    config: &Config,
    _tell: impl FnMut(String) + Send + 'static,
) -> Result<Box<dyn Recipes>, RecipeError> {
    Ok(Box::new(RecipeFiles(config.recipes.clone())))
}

/// The file by the real name of its folder, so that all that a recipe names is of one release where a link to releases
/// changes meanwhile.
fn resolved(file: &Path) -> PathBuf {
    match (file.parent().map(Path::canonicalize), file.file_name()) {
        (Some(Ok(folder)), Some(name)) => folder.join(name),
        _ => file.to_owned(),
    }
}
