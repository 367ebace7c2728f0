//! Labelled test sets on disk: which images, of which type of defect, with which masks.

mod folder;
mod loco;
mod mvtec;
mod truth;
mod visa;

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
pub use truth::PixelTruth;
pub use visa::visa_training;

/// How a labelled set is laid out on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// MVTec AD: `test/<type>`, `ground_truth/<type>/NNN_mask.png`.
    Mvtec,
    /// MVTec LOCO AD: `test/<type>`, `ground_truth/<type>/<id>/*.png`, `defects_config.json`; also the flattened variant
    /// `ground_truth/<type>/<id>.png`.
    Loco,
    /// VisA as distributed: `split_csv/1cls.csv` beside the object's folder.
    Visa,
    /// `good/` and `bad/`, no masks.
    Folder,
}

impl Layout {
    /// How the set in `root` is laid out, by what it holds; `object` as for [`DataSet::open`].
    ///
    /// # Errors
    /// [`DataSetError`] where it is no labelled set.
    pub fn of(root: &Path, object: Option<&str>) -> Result<Self, DataSetError> {
        if !root.is_dir() {
            return Err(DataSetError::new(root, "is not a folder"));
        }
        let absolute = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        let visa = if object.is_some() { Some(absolute.as_path()) } else { absolute.parent() };
        if root.join("defects_config.json").is_file() || root.join("test/logical_anomalies").is_dir() {
            Ok(Self::Loco)
        } else if root.join("test").is_dir() {
            Ok(Self::Mvtec)
        } else if visa.is_some_and(|root| root.join("split_csv").is_dir()) {
            Ok(Self::Visa)
        } else if root.join("good").is_dir() && root.join("bad").is_dir() {
            Ok(Self::Folder)
        } else {
            let reason =
                "holds no labelled set: expected test/, good/ and bad/, or an object of VisA beside split_csv/";
            Err(DataSetError::new(root, reason))
        }
    }
}

/// A labelled test set.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSet {
    /// How it is laid out.
    pub layout: Layout,
    /// Names of the kinds of image; the first is `good`, the others are types of defect.
    pub kinds: Vec<String>,
    /// The test images, in order of kind and name.
    pub samples: Vec<Sample>,
    /// Whether defective pixels are known.
    pub has_masks: bool,
    /// Whether defects are known one by one, with their saturation areas.
    pub has_defects: bool,
}

/// One test image.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The picture.
    pub image: PathBuf,
    /// Index into [`DataSet::kinds`].
    pub kind: usize,
    /// Where its defective pixels are written down.
    pub truth: TruthFiles,
}

/// Where an image's defective pixels are written down.
#[derive(Clone, Debug, PartialEq)]
pub enum TruthFiles {
    /// A good image: nowhere.
    Good,
    /// An anomalous image of a set without masks.
    Unknown,
    /// One mask; pixels that are not zero are defective.
    Mask(PathBuf),
    /// One mask a defect, with the saturation rule of its pixel value.
    Defects(Vec<PathBuf>, std::sync::Arc<DefectRules>),
}

/// Saturation rules by pixel value: `defects_config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct DefectRules {
    path: PathBuf,
    entries: Vec<DefectRule>,
}

/// From which area on a type of defect counts as found.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefectRule {
    /// The type of defect.
    pub defect_name: String,
    /// Value of its pixels in the masks, > 0.
    pub pixel_value: u16,
    /// Part of the defect's area, 0–1, or pixels.
    pub saturation_threshold: f64,
    /// Whether the threshold is a part of the defect's area.
    pub relative_saturation: bool,
}

/// A set that cannot be used: the file or folder and what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct DataSetError {
    /// File or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl DataSet {
    /// Lists the test images of the set in `root`; `object` names the object of a VisA set whose root is given.
    ///
    /// # Errors
    /// [`DataSetError`] where folders or files are missing, or images and masks do not pair up.
    pub fn open(root: &Path, layout: Layout, object: Option<&str>) -> Result<Self, DataSetError> {
        match layout {
            Layout::Mvtec => mvtec::open(root),
            Layout::Loco => loco::open(root),
            Layout::Visa => visa::open(root, object),
            Layout::Folder => folder::open(&root.join("good"), &root.join("bad")),
        }
    }

    /// Lists the images of a folder of good and one of bad parts.
    ///
    /// # Errors
    /// [`DataSetError`] where a folder is missing or both are empty.
    pub fn of_folders(good: &Path, bad: &Path) -> Result<Self, DataSetError> {
        folder::open(good, bad)
    }

    /// A sample's type and file stem, its name in reports and in folders of maps: `<type>/<stem>`.
    pub fn name(&self, sample: &Sample) -> String {
        let stem = sample.image.file_stem().unwrap_or_default().to_string_lossy();
        format!("{}/{stem}", self.kinds.get(sample.kind).map_or("", String::as_str))
    }
}

impl DataSetError {
    pub(super) fn new(path: &Path, reason: impl Into<String>) -> Self {
        Self { path: path.to_owned(), reason: reason.into() }
    }
}

const PICTURES: [&str; 6] = ["png", "jpg", "jpeg", "bmp", "tif", "tiff"];

/// The pictures in a folder, by name.
///
/// # Errors
/// [`DataSetError`] where the folder cannot be read.
pub fn pictures(folder: &Path) -> Result<Vec<PathBuf>, DataSetError> {
    let is_picture = |path: &PathBuf| {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        PICTURES.contains(&extension.as_str()) && path.is_file()
    };
    Ok(entries(folder)?.into_iter().filter(is_picture).collect())
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>, DataSetError> {
    Ok(entries(folder)?.into_iter().filter(|path| path.is_dir()).collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataSetError> {
    let fail = |e: std::io::Error| DataSetError::new(folder, format!("cannot be read: {e}"));
    let mut paths = vec![];
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if !path.file_name().unwrap_or_default().to_string_lossy().starts_with('.') {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The types of a `test` folder, `good` first, and their pictures, each with the index of its type.
type TestTypes = (Vec<String>, Vec<(usize, PathBuf)>);

fn test_types(root: &Path) -> Result<TestTypes, DataSetError> {
    let test = root.join("test");
    let mut types: Vec<String> = folders(&test)?.iter().map(|p| file_name(p)).collect();
    types.retain(|t| t != "good");
    types.insert(0, "good".into());
    let mut images = vec![];
    for (kind, name) in types.iter().enumerate() {
        let folder = test.join(name);
        if kind > 0 || folder.is_dir() {
            images.extend(pictures(&folder)?.into_iter().map(|image| (kind, image)));
        }
    }
    if images.is_empty() {
        return Err(DataSetError::new(&test, "holds no pictures in folders by type of defect"));
    }
    Ok((types, images))
}
