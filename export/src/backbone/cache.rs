//! Targets kept in a folder, so that they are computed once for all runs.

use mudenet_edge::bundle::hex;
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use tch::Tensor;

/// A folder of targets; a file each, named by a hash of all that a target depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetCache {
    folder: PathBuf,
    made_by: String,
}

const NAME: &str = "target";

impl TargetCache {
    /// A cache in `folder` for targets that are `made_by` a backbone and a way to reduce its features.
    pub fn new(folder: PathBuf, made_by: &str) -> Self {
        Self { folder, made_by: made_by.into() }
    }

    /// The target of an image, given by the SHA-256 of its file, and its mirroring; `make` computes it where it is not
    /// there. A folder that cannot be written only costs time.
    pub fn get(&self, sha256: &str, mirrored: (bool, bool), make: impl FnOnce() -> Tensor) -> Tensor {
        let key = format!("{}\n{sha256}\n{mirrored:?}", self.made_by);
        let path = self.folder.join(format!("{}.safetensors", hex(&Sha256::digest(key))));
        if let Some((_, target)) = Tensor::read_safetensors(&path).ok().and_then(|tensors| tensors.into_iter().next()) {
            return target;
        }
        let target = make();
        let part = path.with_extension(format!("{}.part", std::process::id()));
        let saved = std::fs::create_dir_all(&self.folder).is_ok()
            && Tensor::write_safetensors(&[(NAME, &target)], &part).is_ok()
            && std::fs::rename(&part, &path).is_ok();
        if !saved {
            // What is left of it is of no use.
            let _ = std::fs::remove_file(&part);
        }
        target
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    #[test]
    fn a_target_is_computed_once_for_all_that_it_depends_on() {
        let folder = tempfile::tempdir().unwrap();
        let cache = |made_by: &str| TargetCache::new(folder.path().join("cache"), made_by);
        let made = |value: f32| Tensor::from_slice(&[value, 0.1]).to_kind(Kind::Half);
        let unmade = || -> Tensor { panic!("it is there") };
        assert_eq!(cache("a").get("image", (true, false), || made(1.0)), made(1.0));
        assert_eq!(cache("a").get("image", (true, false), unmade), made(1.0));
        assert_eq!(cache("a").get("image", (false, false), || made(2.0)), made(2.0));
        assert_eq!(cache("b").get("image", (true, false), || made(3.0)), made(3.0));
        assert_eq!(cache("a").get("other", (true, false), || made(4.0)), made(4.0));
        let files: Vec<_> = std::fs::read_dir(folder.path().join("cache")).unwrap().collect();
        assert_eq!(files.len(), 4);

        let damaged = files[0].as_ref().unwrap().path();
        std::fs::write(&damaged, "cut").unwrap();
        let values: Vec<Tensor> = [("a", (true, false)), ("a", (false, false)), ("b", (true, false))]
            .map(|(by, mirrored)| cache(by).get("image", mirrored, || made(9.0)))
            .into();
        assert!(values.iter().filter(|value| **value == made(9.0)).count() <= 1);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_no_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let cache = TargetCache::new(file.path().join("below a file"), "a");
        assert_eq!(cache.get("image", (false, false), || Tensor::from(1.0)), Tensor::from(1.0));
    }
}
