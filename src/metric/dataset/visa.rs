//! VisA as distributed: `split_csv/1cls.csv` lists every object's images with label and mask.

use super::{DataSet, DataSetError, Layout, Sample, TruthFiles, file_name};
use std::path::Path;

pub(super) fn open(root: &Path, object: Option<&str>) -> Result<DataSet, DataSetError> {
    let list = Path::new("split_csv/1cls.csv");
    let (root, object) = match object {
        Some(object) => (root.to_owned(), object.to_owned()),
        None if root.join(list).is_file() => {
            return Err(DataSetError::new(root, "holds several objects: name the folder of one of them"));
        }
        None => {
            let root = root.canonicalize().map_err(|e| DataSetError::new(root, format!("cannot be read: {e}")))?;
            (root.parent().unwrap_or(&root).to_owned(), file_name(&root))
        }
    };
    let list = root.join(list);
    let text = std::fs::read_to_string(&list).map_err(|e| DataSetError::new(&list, format!("cannot be read: {e}")))?;
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').map(str::trim).collect();
    if header != ["object", "split", "label", "image", "mask"] {
        let got = header.join(",");
        return Err(DataSetError::new(&list, format!("expected the columns object,split,label,image,mask, got {got}")));
    }
    let mut samples = vec![];
    for (i, line) in lines.enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let &[of, split, label, image, mask] = fields.as_slice() else {
            return Err(DataSetError::new(&list, format!("line {}: expected 5 fields, got {}", i + 2, fields.len())));
        };
        if of != object || split != "test" {
            continue;
        }
        let image = root.join(image);
        let (kind, truth) = match (label, mask) {
            ("normal", _) => (0, TruthFiles::Good),
            (_, "") => return Err(DataSetError::new(&image, "has no mask")),
            (_, mask) => (1, TruthFiles::Mask(root.join(mask))),
        };
        samples.push(Sample { image, kind, truth });
    }
    if samples.is_empty() {
        return Err(DataSetError::new(&list, format!("lists no test images of {object}")));
    }
    samples.sort_by(|a, b| (a.kind, &a.image).cmp(&(b.kind, &b.image)));
    let kinds = vec!["good".into(), "anomaly".into()];
    Ok(DataSet { layout: Layout::Visa, kinds, samples, has_masks: true, has_defects: false })
}
