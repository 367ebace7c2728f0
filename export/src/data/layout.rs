//! Where a data set keeps its good training images.

use super::{DataError, enough};
use mudenet_edge::capture::{CaptureError, pictures_below};
use mudenet_edge::metric::dataset::visa_training;
use std::path::{Path, PathBuf};

/// The good training images of `folder`, absolute, sorted by name. What the folder holds says how it is laid out:
///
/// | it holds | it is | images |
/// |---|---|---|
/// | `train/good` | a category of MVTec AD or MVTec LOCO AD | those in `train/good` |
/// | `good` | a plain set, perhaps with `bad` beside it | those in `good` |
/// | – , and `../split_csv/1cls.csv` is there | an object of VisA | those that the list names for training |
/// | pictures | a folder of good images | all below it |
///
/// # Errors
/// [`DataError::Image`] where it cannot be listed, [`DataError::List`] where VisA's list cannot be used,
/// [`DataError::TooFew`] under [`super::MIN_IMAGES`].
pub fn good_images(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let absolute = std::path::absolute(folder);
    let absolute = absolute.map_err(|source| CaptureError::Read { path: folder.to_owned(), source })?;
    let inner = [absolute.join("train").join("good"), absolute.join("good")];
    let paths = match (inner.iter().find(|path| path.is_dir()), visa_training(&absolute)?) {
        (Some(inner), _) => pictures_below(inner)?,
        (None, Some(listed)) => listed,
        (None, None) => pictures_below(&absolute)?,
    };
    enough(paths.len(), folder)?;
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn pictures(folder: &Path, count: usize) {
        fs::create_dir_all(folder).unwrap();
        for i in 0..count {
            fs::write(folder.join(format!("{i}.png")), "").unwrap();
        }
    }

    fn found(root: &Path) -> Vec<String> {
        let below = |path: &PathBuf| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        good_images(root).unwrap().iter().map(below).collect()
    }

    #[test]
    fn each_layout_gives_its_good_training_images_only() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for category in ["train/good", "test/good", "test/scratch", "validation/good", "ground_truth/scratch"] {
            pictures(&root.join("mvtec").join(category), 9);
        }
        assert_eq!(found(&root.join("mvtec")).len(), 9);
        assert!(found(&root.join("mvtec")).iter().all(|path| path.starts_with("train/good/")));

        pictures(&root.join("plain/good"), 8);
        pictures(&root.join("plain/bad"), 20);
        assert!(found(&root.join("plain")).iter().all(|path| path.starts_with("good/")));

        pictures(&root.join("flat/deeper"), 8);
        assert_eq!(found(&root.join("flat")).len(), 8);

        let images = root.join("visa/candle/Data/Images");
        pictures(&images.join("Normal"), 12);
        pictures(&images.join("Anomaly"), 12);
        fs::create_dir_all(root.join("visa/split_csv")).unwrap();
        let mut list = String::from("object,split,label,image,mask\n");
        for i in 0..12 {
            let split = if i < 9 { "train" } else { "test" };
            list += &format!("candle,{split},normal,candle/Data/Images/Normal/{i}.png,\n");
            list += &format!("candle,test,anomaly,candle/Data/Images/Anomaly/{i}.png,candle/Data/Masks/{i}.png\n");
            list += &format!("pcb1,train,normal,pcb1/Data/Images/Normal/{i}.png,\n");
        }
        fs::write(root.join("visa/split_csv/1cls.csv"), list).unwrap();
        let expected: Vec<String> = (0..9).map(|i| format!("Data/Images/Normal/{i}.png")).collect();
        assert_eq!(found(&root.join("visa/candle")), expected);
        let whole = good_images(&root.join("visa")).unwrap_err().to_string();
        assert!(whole.contains("name the folder of one of them"), "{whole}");
    }

    #[test]
    fn seven_images_are_too_few() {
        let root = tempfile::tempdir().unwrap();
        pictures(&root.path().join("good"), 7);
        let said = good_images(root.path()).unwrap_err().to_string();
        assert!(said.contains("holds 7 images, learning needs at least 8"), "{said}");
    }
}
