//! From folders to training and held-back images, everything checked.

use super::{DataError, Images, MIN_IMAGES, Manifest, Set, enough, good_images, pool, split};
use rayon::ThreadPool;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// How images are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Leave out what cannot be read, instead of failing.
    pub skip_bad: bool,
    /// Accept pictures of different shapes, which are distorted in different ways when brought to one square.
    pub mixed_shapes: bool,
    /// Threads that read and vary images; 0 for one a processor core. The images do not depend on it.
    pub workers: usize,
}

/// The images of a run.
#[derive(Clone, Debug)]
pub struct GoodImages {
    /// Trained on.
    pub training: Arc<Images>,
    /// For ranges and threshold, never trained on.
    pub held_back: Arc<Images>,
    /// Those that could not be read, with the reason.
    pub skipped: Vec<(PathBuf, String)>,
    /// The threads that images are read and varied on.
    pub pool: Arc<ThreadPool>,
}

impl GoodImages {
    /// Reads the good images below each of `folders` at `size` pixels a side, and holds a tenth of each folder back.
    ///
    /// # Errors
    /// [`DataError`], naming folder or image.
    pub fn read(folders: &[PathBuf], seed: u64, size: i64, reading: Reading) -> Result<Self, DataError> {
        let mut lists = Vec::new();
        for folder in folders {
            lists.push(good_images(folder)?);
        }
        let pool = Arc::new(pool(reading.workers)?);
        let (images, bad) = Images::read_all(&lists.concat(), size, &pool, &|| {})?;
        let (mut training, mut held_back) = (Vec::new(), Vec::new());
        let readable: HashMap<PathBuf, usize> = images.paths().into_iter().zip(0..).collect();
        if let Some((_, error)) = bad.iter().find(|_| !reading.skip_bad) {
            return Err(DataError::Bad { others: bad.len() - 1, first: error.to_string() });
        }
        for (list, folder) in lists.iter().zip(folders) {
            let list: Vec<PathBuf> = list.iter().filter(|path| readable.contains_key(*path)).cloned().collect();
            enough(list.len(), folder)?;
            let (train, held) = split(list, seed);
            training.extend(train);
            held_back.extend(held);
        }
        if let Some(shapes) = images.mixed_shapes().filter(|_| !reading.mixed_shapes) {
            return Err(DataError::MixedShapes { shapes });
        }
        let index = |paths: &[PathBuf]| paths.iter().filter_map(|path| readable.get(path).copied()).collect::<Vec<_>>();
        let skipped = bad.into_iter().map(|(path, error)| (path, error.to_string())).collect();
        let (training, rest) = images.take(&index(&training));
        let order: HashMap<PathBuf, usize> = rest.paths().into_iter().zip(0..).collect();
        let (held_back, _) =
            rest.take(&held_back.iter().filter_map(|path| order.get(path).copied()).collect::<Vec<_>>());
        Ok(Self { training: Arc::new(training), held_back: Arc::new(held_back), skipped, pool })
    }

    /// Reads the images of an earlier run again.
    ///
    /// # Errors
    /// [`DataError::Changed`] where an image is not what it was; the other errors name the image too.
    pub fn again(manifest: &Manifest, size: i64, workers: usize) -> Result<Self, DataError> {
        let pool = Arc::new(pool(workers)?);
        let read = |set| {
            let (images, bad) = Images::read_all(&manifest.paths(set), size, &pool, &|| {})?;
            if let Some((_, error)) = bad.into_iter().next() {
                return Err(error);
            }
            manifest.check(set, &images)?;
            Ok(Arc::new(images))
        };
        let (training, held_back) = (read(Set::Training)?, read(Set::HeldBack)?);
        if training.is_empty() || held_back.is_empty() {
            let found = training.len() + held_back.len();
            return Err(DataError::Manifest {
                path: super::MANIFEST.into(),
                reason: format!("lists {found} images in both sets together, learning needs at least {MIN_IMAGES}"),
            });
        }
        let skipped = manifest.paths(Set::Skipped).into_iter().map(|path| (path, "skipped before".into())).collect();
        Ok(Self { training, held_back, skipped, pool })
    }

    /// What to store with the run.
    pub fn manifest(&self) -> Manifest {
        let skipped: Vec<PathBuf> = self.skipped.iter().map(|(path, _)| path.clone()).collect();
        Manifest::new(&self.training, &self.held_back, &skipped)
    }
}
