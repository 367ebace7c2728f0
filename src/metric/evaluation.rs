//! A labelled set and the maps of its images → every figure.

use super::dataset::{DataSet, DataSetError, Layout, PixelTruth};
use super::{ImageFigures, Labelled, MetricError, PixelFigures, PixelSweep, SPRO_LIMITS, image_figures};
use crate::map::AnomalyMap;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Collects the maps of a set's images, from any number of threads.
pub struct Evaluator<'a> {
    set: &'a DataSet,
    pixels: Option<PixelSweep>,
    images: Mutex<Images>,
}

#[derive(Default)]
struct Images {
    scores: Vec<(usize, f32)>,
    resized: usize,
}

/// An image whose map cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// The set's files.
    #[error(transparent)]
    DataSet(#[from] DataSetError),
    /// The image's map.
    #[error("{}: {reason}", path.display())]
    Image {
        /// The picture.
        path: PathBuf,
        /// Why it has no figures.
        reason: MetricError,
    },
    /// The sweep over all pixels.
    #[error(transparent)]
    Metric(#[from] MetricError),
}

/// The figures of a set, 0–1, larger is better; `None` where undefined, see [`Figures::notes`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Number of images.
    pub n: usize,
    /// AUROC of the image scores; for LOCO the mean over its types of defect, each with the good images.
    pub image_auroc: Option<f64>,
    /// Average precision of the image scores, all types together.
    pub image_ap: Option<f64>,
    /// Largest F1 over all thresholds on the image scores, all types together.
    pub image_f1_max: Option<f64>,
    /// AUROC of all pixels of all images.
    pub pixel_auroc: Option<f64>,
    /// PRO up to a false-positive rate of 0.3, all types together.
    pub pro: Option<f64>,
    /// sPRO by limit of the false-positive rate: each type of defect with the good images, and the mean.
    pub spro: Option<BTreeMap<String, BTreeMap<String, f64>>>,
    /// The figures of each type of defect with the good images.
    pub per_type: BTreeMap<String, TypeFigures>,
    /// What is undefined and why, what was resized.
    pub notes: Vec<String>,
}

/// The figures of one type of defect with the good images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TypeFigures {
    /// Number of images of this type, the good ones not counted.
    pub n: usize,
    /// See [`Figures`].
    pub image_auroc: Option<f64>,
    /// See [`Figures`].
    pub image_ap: Option<f64>,
    /// See [`Figures`].
    pub image_f1_max: Option<f64>,
    /// See [`Figures`].
    pub pixel_auroc: Option<f64>,
    /// See [`Figures`].
    pub pro: Option<f64>,
    /// By limit of the false-positive rate.
    pub spro: Option<BTreeMap<String, f64>>,
}

/// Everything an evaluation found.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The headline figures.
    pub figures: Figures,
    /// ROC of the image scores, all types together; `None` where undefined.
    pub image: Option<ImageFigures>,
    /// Curves of the pixels, all types together.
    pub pixels: PixelFigures,
    /// Curves of the pixels by type of defect, in the order of the set's kinds from 1.
    pub pixels_per_type: Vec<PixelFigures>,
    /// Score of each sample, by its index in the set.
    pub scores: Vec<f32>,
}

impl<'a> Evaluator<'a> {
    /// An evaluator of `set`.
    pub fn new(set: &'a DataSet) -> Self {
        let pixels = set.has_masks.then(|| PixelSweep::new(set.kinds.len()));
        Self { set, pixels, images: Mutex::default() }
    }

    /// See [`PixelSweep::with_memory`]; before the first map.
    #[must_use]
    pub fn with_memory(mut self, memory: usize) -> Self {
        self.pixels = self.pixels.map(|_| PixelSweep::with_memory(self.set.kinds.len(), memory));
        self
    }

    /// Adds the map of sample `index`, whose picture has `height` × `width` pixels, and its image score. The map is
    /// brought to the picture's size, at which the masks are.
    ///
    /// # Errors
    /// [`EvaluationError`] naming the picture or mask at fault.
    pub fn add(
        &self,
        index: usize,
        map: &AnomalyMap,
        score: f32,
        height: usize,
        width: usize,
    ) -> Result<(), EvaluationError> {
        let Some(sample) = self.set.samples.get(index) else { return Ok(()) };
        let fail = |reason| EvaluationError::Image { path: sample.image.clone(), reason };
        if !score.is_finite() {
            return Err(fail(MetricError::NotFinite));
        }
        let resize = (map.0.height, map.0.width) != (height, width);
        if let Some(pixels) = &self.pixels {
            let truth = PixelTruth::read(&sample.truth, height, width)?;
            let resized = if resize { Some(map.resized(height, width)) } else { None };
            let values = &resized.as_ref().unwrap_or(map).0.values;
            if let Some(truth) = truth.as_truth() {
                pixels.add(sample.kind, values, width, truth).map_err(fail)?;
            }
        }
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        images.scores.push((index, score));
        images.resized += usize::from(resize && self.pixels.is_some());
        Ok(())
    }

    /// The figures of all images added.
    ///
    /// # Errors
    /// [`EvaluationError::Metric`] where the sweep over the pixels fails.
    pub fn finish(self) -> Result<Evaluation, EvaluationError> {
        let set = self.set;
        let (pixels, pixels_per_type) = match self.pixels {
            Some(pixels) => pixels.finish()?,
            None => (PixelFigures::default(), vec![PixelFigures::default(); set.kinds.len().saturating_sub(1)]),
        };
        let Images { mut scores, resized } = self.images.into_inner().unwrap_or_else(PoisonError::into_inner);
        scores.sort_by_key(|(index, _)| *index);
        let labelled = |kinds: &dyn Fn(usize) -> bool| -> Vec<Labelled> {
            let of = scores.iter().map(|(index, score)| (set.samples[*index].kind, *score));
            of.filter(|(kind, _)| kinds(*kind)).map(|(kind, score)| Labelled { score, anomalous: kind > 0 }).collect()
        };
        let mut notes = vec![];
        let image = image_figures(&labelled(&|_| true)).map_err(|e| notes.push(e.to_string())).ok();
        let mut per_type = BTreeMap::new();
        for (kind, pixels) in (1..).zip(&pixels_per_type) {
            let images = labelled(&|k| k == 0 || k == kind);
            let n = images.iter().filter(|i| i.anomalous).count();
            per_type.insert(short(&set.kinds[kind]), TypeFigures::new(n, image_figures(&images).ok(), pixels));
        }
        let spro = spro(&per_type);
        let image_auroc =
            if set.layout == Layout::Loco { mean(per_type.values().map(|t| t.image_auroc)) } else { None };
        if !set.has_masks {
            notes.push("the set has no masks: no pixel AUROC, no PRO".into());
        } else if set.layout == Layout::Loco && !set.has_defects {
            notes.push("the masks are not one PNG a defect: AUROC and PRO only, no sPRO".into());
        }
        if resized > 0 {
            notes.push(format!("the maps of {resized} images were resized to the images' size, bilinear"));
        }
        let figures = Figures {
            n: scores.len(),
            image_auroc: image_auroc.or(image.as_ref().map(|i| i.auroc)),
            image_ap: image.as_ref().map(|i| i.ap),
            image_f1_max: image.as_ref().map(|i| i.f1_max),
            pixel_auroc: pixels.auroc,
            pro: pixels.pro,
            spro,
            per_type,
            notes,
        };
        let scores = scores.into_iter().map(|(_, score)| score).collect();
        Ok(Evaluation { figures, image, pixels, pixels_per_type, scores })
    }
}

impl TypeFigures {
    fn new(n: usize, image: Option<ImageFigures>, pixels: &PixelFigures) -> Self {
        Self {
            n,
            image_auroc: image.as_ref().map(|i| i.auroc),
            image_ap: image.as_ref().map(|i| i.ap),
            image_f1_max: image.as_ref().map(|i| i.f1_max),
            pixel_auroc: pixels.auroc,
            pro: pixels.pro,
            spro: pixels.spro.map(|values| SPRO_LIMITS.iter().map(f64::to_string).zip(values).collect()),
        }
    }
}

/// `logical_anomalies` → `logical`.
fn short(kind: &str) -> String {
    kind.strip_suffix("_anomalies").unwrap_or(kind).to_owned()
}

fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values: Vec<f64> = values.collect::<Option<_>>()?;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn spro(per_type: &BTreeMap<String, TypeFigures>) -> Option<BTreeMap<String, BTreeMap<String, f64>>> {
    let types: Vec<(&String, &BTreeMap<String, f64>)> =
        per_type.iter().map(|(name, figures)| Some((name, figures.spro.as_ref()?))).collect::<Option<_>>()?;
    let of_limit = |limit: &f64| {
        let limit = limit.to_string();
        let mut values: BTreeMap<String, f64> =
            types.iter().filter_map(|(name, spro)| Some(((*name).clone(), *spro.get(&limit)?))).collect();
        values.insert("mean".into(), mean(values.values().copied().map(Some))?);
        Some((limit, values))
    };
    if types.is_empty() { None } else { SPRO_LIMITS.iter().map(of_limit).collect() }
}
