//! Images of good parts: reading, the held-back split, augmentation.

mod augment;
mod batches;

pub use augment::{Augmentation, Variant};
pub use batches::epoch_order;
use mudenet_edge::capture::{CaptureError, decode, pictures_below};
use mudenet_edge::preprocess::{Preprocess, PreprocessError};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::path::{Path, PathBuf};
use tch::Tensor;

/// Fewest good images that can be learned from.
pub const MIN_IMAGES: usize = 8;

/// Good images at the network's size.
#[derive(Debug)]
pub struct Images {
    /// Where they come from.
    pub paths: Vec<PathBuf>,
    /// (N, 3, S, S), 0–1, not standardised.
    pub pixels: Tensor,
}

/// Images that cannot be learned from.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Too few images.
    #[error("{}: holds {found} images, learning needs at least {MIN_IMAGES}", path.display())]
    TooFew {
        /// The folder.
        path: PathBuf,
        /// Images in it.
        found: usize,
    },
    /// An image cannot be read.
    #[error(transparent)]
    Image(#[from] CaptureError),
    /// An image cannot be resized.
    #[error("{}: {source}", path.display())]
    Resize {
        /// The image.
        path: PathBuf,
        /// What the resampler said.
        source: PreprocessError,
    },
}

/// The good training images below `folder`: its own pictures, or those of `train/good` where it is a category of
/// MVTec AD or LOCO; sorted by name.
///
/// # Errors
/// [`DataError::Image`] where it cannot be listed, [`DataError::TooFew`] under [`MIN_IMAGES`].
pub fn good_images(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let category = folder.join("train").join("good");
    let folder = if category.is_dir() { category } else { folder.to_owned() };
    let paths = pictures_below(&folder)?;
    if paths.len() < MIN_IMAGES {
        return Err(DataError::TooFew { path: folder, found: paths.len() });
    }
    Ok(paths)
}

/// Splits off one tenth, at least one, that is never trained on: (training, held back), each sorted.
pub fn split(mut paths: Vec<PathBuf>, seed: u64) -> (Vec<PathBuf>, Vec<PathBuf>) {
    paths.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let held_back = (paths.len() / 10).max(1);
    let mut training = paths.split_off(held_back);
    training.sort();
    paths.sort();
    (training, paths)
}

impl Images {
    /// Reads the images and brings them to `size` pixels a side as the runtime does.
    ///
    /// # Errors
    /// [`DataError`], naming the image.
    pub fn read(paths: &[PathBuf], size: i64) -> Result<Self, DataError> {
        let unit = Preprocess { mean: [0.0; 3], std: [1.0; 3], ..Preprocess::imagenet(size as usize) };
        let mut pixels = Vec::with_capacity(paths.len());
        for path in paths {
            let frame = decode(path)?;
            let input = unit.apply(&frame).map_err(|source| DataError::Resize { path: path.clone(), source })?;
            pixels.push(Tensor::from_slice(input.values()).view([3, size, size]));
        }
        Ok(Self { paths: paths.to_vec(), pixels: Tensor::stack(&pixels, 0) })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }
}

/// (B, 3, H, W) on 0–1 → standardised as the runtime's preprocessing does.
pub fn standardise(pixels: &Tensor) -> Tensor {
    let Preprocess { mean, std, .. } = Preprocess::imagenet(64);
    let channel = |values: [f32; 3]| Tensor::from_slice(&values).view([1, 3, 1, 1]).to_device(pixels.device());
    (pixels - channel(mean)) / channel(std)
}
