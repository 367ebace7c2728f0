//! Where `inspect --out` puts its files.

use super::inputs::Picture;
use anyhow::{Context, bail};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// The folder of `--out`: `maps/….tiff` and `overlays/….png`.
pub(super) struct Outputs {
    maps: PathBuf,
    overlays: PathBuf,
}

impl Outputs {
    pub(super) fn new(out: &Path) -> Self {
        Self { maps: out.join("maps"), overlays: out.join("overlays") }
    }

    /// The folders that results lie in.
    pub(super) fn folders(&self) -> [PathBuf; 2] {
        [self.maps.clone(), self.overlays.clone()]
    }

    /// Makes the folders, and refuses pictures whose results would overwrite each other or a picture.
    pub(super) fn prepare(&self, pictures: &[&Picture]) -> anyhow::Result<()> {
        let mut owners: HashMap<PathBuf, &Path> = HashMap::new();
        let sources: HashSet<PathBuf> = pictures.iter().filter_map(|p| p.path.canonicalize().ok()).collect();
        for picture in pictures {
            let [map, overlay] = self.files(picture);
            if let Some(other) = owners.insert(overlay.clone(), &picture.path) {
                bail!(
                    "{} and {} would both be written to {}: give the folder that holds both, or inspect them one by one",
                    other.display(),
                    picture.path.display(),
                    overlay.display()
                );
            }
            for file in [map, overlay] {
                if file.canonicalize().is_ok_and(|file| sources.contains(&file)) {
                    bail!("{}: is a picture to inspect and a result to write: choose another --out", file.display());
                }
            }
        }
        for folder in self.folders() {
            std::fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
        }
        Ok(())
    }

    /// The map and the overlay of a picture.
    pub(super) fn files(&self, picture: &Picture) -> [PathBuf; 2] {
        let named = |root: &Path, extension: &str| {
            let mut name = picture.below.file_stem().unwrap_or_default().to_owned();
            name.push(extension);
            root.join(picture.below.with_file_name(name))
        };
        [named(&self.maps, ".tiff"), named(&self.overlays, ".png")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(path: &str, below: &str) -> Picture {
        Picture { path: path.into(), below: below.into() }
    }

    #[test]
    fn results_mirror_the_folder_without_the_extension() {
        let [map, overlay] = Outputs::new(Path::new("o")).files(&picture("p/good/1.2.png", "good/1.2.png"));
        assert_eq!((map.to_str(), overlay.to_str()), (Some("o/maps/good/1.2.tiff"), Some("o/overlays/good/1.2.png")));
    }

    #[test]
    fn two_pictures_of_one_name_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (picture("x/a.png", "a.png"), picture("y/a.jpg", "a.jpg"));
        let outputs = Outputs::new(folder.path());
        let error = outputs.prepare(&[&a, &b]).unwrap_err().to_string();
        assert!(error.starts_with("x/a.png and y/a.jpg would both be written to"), "{error}");
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
        outputs.prepare(&[&a]).unwrap();
    }

    #[test]
    fn a_picture_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("overlays/a.png");
        std::fs::create_dir(folder.path().join("overlays")).unwrap();
        std::fs::write(&path, "").unwrap();
        let error = Outputs::new(folder.path()).prepare(&[&picture(path.to_str().unwrap(), "a.png")]).unwrap_err();
        assert!(error.to_string().contains("choose another --out"), "{error}");
    }
}
