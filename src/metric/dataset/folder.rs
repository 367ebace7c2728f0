//! A folder of good and one of bad parts, no masks.

use super::{DataSet, DataSetError, Layout, Sample, TruthFiles, pictures};
use std::path::Path;

pub(super) fn open(good: &Path, bad: &Path) -> Result<DataSet, DataSetError> {
    let sample = |kind, truth: TruthFiles| move |image| Sample { image, kind, truth: truth.clone() };
    let mut samples: Vec<Sample> = pictures(good)?.into_iter().map(sample(0, TruthFiles::Good)).collect();
    samples.extend(pictures(bad)?.into_iter().map(sample(1, TruthFiles::Unknown)));
    if samples.is_empty() {
        return Err(DataSetError::new(good, "holds no pictures, and neither does the folder of bad parts"));
    }
    let kinds = vec!["good".into(), "bad".into()];
    Ok(DataSet { layout: Layout::Folder, kinds, samples, has_masks: false, has_defects: false })
}
