//! VisA as distributed: `split_csv/1cls.csv` lists every object's images with label and mask.

use super::{DataSet, DataSetError, Layout, Sample, TruthFiles, file_name};
use std::path::{Path, PathBuf};

const LIST: &str = "split_csv/1cls.csv";

pub(super) fn open(root: &Path, object: Option<&str>) -> Result<DataSet, DataSetError> {
    let (root, object) = match object {
        Some(object) => (root.to_owned(), object.to_owned()),
        None => root_and_object(root)?,
    };
    let list = root.join(LIST);
    let mut samples = vec![];
    for row in rows(&list)?.into_iter().filter(|row| row.object == object && row.split == "test") {
        let image = root.join(row.image);
        let (kind, truth) = match (row.label.as_str(), row.mask.as_str()) {
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

/// The good training images of the VisA object in `folder`, by name; `None` where the folder is no object of VisA.
///
/// # Errors
/// [`DataSetError`] where the list cannot be read or names no training image, or where `folder` is VisA's root.
pub fn visa_training(folder: &Path) -> Result<Option<Vec<PathBuf>>, DataSetError> {
    let beside = folder.parent().is_some_and(|parent| parent.join(LIST).is_file());
    if !beside && !folder.join(LIST).is_file() {
        return Ok(None);
    }
    let (root, object) = root_and_object(folder)?;
    let list = root.join(LIST);
    let rows = rows(&list)?.into_iter();
    let wanted = rows.filter(|row| row.object == object && row.split == "train" && row.label == "normal");
    let mut images: Vec<PathBuf> = wanted.map(|row| root.join(row.image)).collect();
    if images.is_empty() {
        return Err(DataSetError::new(&list, format!("lists no good training images of {object}")));
    }
    images.sort();
    Ok(Some(images))
}

fn root_and_object(folder: &Path) -> Result<(PathBuf, String), DataSetError> {
    if folder.join(LIST).is_file() {
        return Err(DataSetError::new(folder, "holds several objects: name the folder of one of them"));
    }
    let folder = folder.canonicalize().map_err(|e| DataSetError::new(folder, format!("cannot be read: {e}")))?;
    Ok((folder.parent().unwrap_or(&folder).to_owned(), file_name(&folder)))
}

struct Row {
    object: String,
    split: String,
    label: String,
    image: String,
    mask: String,
}

fn rows(list: &Path) -> Result<Vec<Row>, DataSetError> {
    let text = std::fs::read_to_string(list).map_err(|e| DataSetError::new(list, format!("cannot be read: {e}")))?;
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').map(str::trim).collect();
    if header != ["object", "split", "label", "image", "mask"] {
        let got = header.join(",");
        return Err(DataSetError::new(list, format!("expected the columns object,split,label,image,mask, got {got}")));
    }
    let mut rows = vec![];
    for (i, line) in lines.enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let fields: Vec<String> = line.split(',').map(|field| field.trim().to_owned()).collect();
        let [object, split, label, image, mask] = fields.try_into().map_err(|fields: Vec<_>| {
            DataSetError::new(list, format!("line {}: expected 5 fields, got {}", i + 2, fields.len()))
        })?;
        rows.push(Row { object, split, label, image, mask });
    }
    Ok(rows)
}
