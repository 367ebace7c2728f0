//! MVTec AD: `test/<type>/NNN.png`, `ground_truth/<type>/NNN_mask.png`.

use super::{DataSet, DataSetError, Layout, Sample, TruthFiles, pictures, stem, test_types};
use std::collections::BTreeMap;
use std::path::Path;

pub(super) fn open(root: &Path) -> Result<DataSet, DataSetError> {
    let (kinds, images) = test_types(root)?;
    let mut masks = BTreeMap::new();
    for (kind, name) in kinds.iter().enumerate().skip(1) {
        for mask in pictures(&root.join("ground_truth").join(name))? {
            let stem = stem(&mask);
            masks.insert((kind, stem.strip_suffix("_mask").unwrap_or(&stem).to_owned()), mask);
        }
    }
    let mut samples = vec![];
    for (kind, image) in images {
        let truth = match (kind, masks.remove(&(kind, stem(&image)))) {
            (0, _) => TruthFiles::Good,
            (_, Some(mask)) => TruthFiles::Mask(mask),
            (_, None) => {
                let expected = format!("ground_truth/{}/{}_mask.png", kinds[kind], stem(&image));
                return Err(DataSetError::new(&image, format!("has no mask (expected {expected})")));
            }
        };
        samples.push(Sample { image, kind, truth });
    }
    if let Some(mask) = masks.values().next() {
        return Err(DataSetError::new(mask, "is a mask without an image"));
    }
    Ok(DataSet { layout: Layout::Mvtec, kinds, samples, has_masks: true, has_defects: false })
}
