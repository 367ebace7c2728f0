//! MVTec LOCO AD: `test/<type>/<id>.png`, `ground_truth/<type>/<id>/*.png`, one PNG a defect.

use super::{
    DataSet, DataSetError, DefectRule, DefectRules, Layout, Sample, TruthFiles, folders, pictures, stem, test_types,
};
use crate::limits::{self, read_text};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub(super) fn open(root: &Path) -> Result<DataSet, DataSetError> {
    let (kinds, images) = test_types(root)?;
    let flattened = is_flattened(root, &kinds)?;
    let rules = if flattened { None } else { Some(Arc::new(DefectRules::read(&root.join("defects_config.json"))?)) };
    let mut truths = BTreeMap::new();
    for (kind, name) in kinds.iter().enumerate().skip(1) {
        let folder = root.join("ground_truth").join(name);
        if let Some(rules) = &rules {
            for defects in folders(&folder)? {
                let masks = pictures(&defects)?;
                if masks.is_empty() {
                    return Err(DataSetError::new(&defects, "holds no masks"));
                }
                truths.insert((kind, stem(&defects)), (defects, TruthFiles::Defects(masks, rules.clone())));
            }
        } else {
            for mask in pictures(&folder)? {
                let id = stem(&mask);
                let id = id.strip_suffix("_mask").unwrap_or(&id).to_owned();
                truths.insert((kind, id), (mask.clone(), TruthFiles::Mask(mask)));
            }
        }
    }
    let mut samples = vec![];
    for (kind, image) in images {
        let truth = match (kind, truths.remove(&(kind, stem(&image)))) {
            (0, _) => TruthFiles::Good,
            (_, Some((_, truth))) => truth,
            (_, None) => {
                let expected = format!("ground_truth/{}/{}", kinds[kind], stem(&image));
                return Err(DataSetError::new(&image, format!("has no masks (expected {expected})")));
            }
        };
        samples.push(Sample { image, kind, truth });
    }
    if let Some((path, _)) = truths.values().next() {
        return Err(DataSetError::new(path, "is a mask without an image"));
    }
    Ok(DataSet { layout: Layout::Loco, kinds, samples, has_masks: true, has_defects: !flattened })
}

/// Whether masks lie flat in the folders of their types, rather than one a defect in a folder an image.
fn is_flattened(root: &Path, kinds: &[String]) -> Result<bool, DataSetError> {
    for name in &kinds[1..] {
        let folder = root.join("ground_truth").join(name);
        if !folders(&folder)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(kinds.len() > 1)
}

impl DefectRules {
    /// Reads `defects_config.json`.
    ///
    /// # Errors
    /// [`DataSetError`] where it cannot be read or a value is missing or out of range.
    pub fn read(path: &Path) -> Result<Self, DataSetError> {
        let text =
            read_text(path, limits::SETTINGS).map_err(|e| DataSetError::new(path, format!("cannot be read: {e}")))?;
        let entries: Vec<DefectRule> =
            serde_json::from_str(&text).map_err(|e| DataSetError::new(path, e.to_string()))?;
        for entry in &entries {
            let threshold = entry.saturation_threshold;
            let limit = if entry.relative_saturation { 1.0 } else { f64::MAX };
            if !(threshold > 0.0 && threshold <= limit) {
                let range = if entry.relative_saturation { "above 0 and up to 1" } else { "above 0" };
                let name = &entry.defect_name;
                return Err(DataSetError::new(
                    path,
                    format!("{name}: saturation_threshold: expected a number {range}, got {threshold}"),
                ));
            }
        }
        Ok(Self { path: path.to_owned(), entries })
    }

    /// The area in pixels from which on a defect of `area` pixels with this pixel value counts as found, ≥ 1.
    ///
    /// # Errors
    /// [`DataSetError`] where no entry has the value.
    pub fn saturation(&self, pixel_value: u16, area: u64) -> Result<u64, DataSetError> {
        let rule = self.entries.iter().find(|e| e.pixel_value == pixel_value).ok_or_else(|| {
            DataSetError::new(&self.path, format!("has no entry with pixel_value {pixel_value}, which a mask uses"))
        })?;
        let saturation = if rule.relative_saturation {
            (rule.saturation_threshold * area as f64) as u64
        } else {
            (rule.saturation_threshold as u64).min(area)
        };
        Ok(saturation.max(1))
    }
}
