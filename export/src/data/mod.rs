//! Images of good parts: reading, the held-back split, augmentation, batches.

mod augment;
mod batches;
mod damage;
mod gather;
mod images;
mod layout;
mod loader;
mod manifest;
mod preset;

pub use augment::{Augmentation, Variant};
pub use batches::epoch_order;
pub(crate) use damage::visible_damage;
pub use gather::{GoodImages, Reading};
pub use images::{Entry, Images, enough, file_sha256, pool};
pub use layout::good_images;
pub use loader::{Batch, Loader};
pub use manifest::{Line, MANIFEST, Manifest, Set};
use mudenet_edge::capture::CaptureError;
use mudenet_edge::metric::dataset::DataSetError;
use mudenet_edge::preprocess::{Preprocess, PreprocessError};
pub use preset::{Flip, Preset, preset_names};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::path::PathBuf;
use tch::Tensor;

/// Fewest good images that can be learned from.
pub const MIN_IMAGES: usize = 8;

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
    /// Images cannot be read, and leaving them out was not asked for.
    #[error("{first}{} (--skip-bad leaves out what cannot be read)", more(*others))]
    Bad {
        /// The first of them and what is wrong with it.
        first: String,
        /// How many more.
        others: usize,
    },
    /// An image cannot be resized.
    #[error("{}: {source}", path.display())]
    Resize {
        /// The image.
        path: PathBuf,
        /// What the resampler said.
        source: PreprocessError,
    },
    /// Pictures of different shapes.
    #[error(
        "the pictures have different shapes and would be distorted differently: {shapes} (--mixed-shapes accepts it)"
    )]
    MixedShapes {
        /// Two of them.
        shapes: String,
    },
    /// A data set's own list cannot be used.
    #[error(transparent)]
    List(#[from] DataSetError),
    /// An image is another than the run began with.
    #[error("{}: is not the image that the run began with (its SHA-256 differs)", path.display())]
    Changed {
        /// The image.
        path: PathBuf,
    },
    /// The list of a run's images.
    #[error("{}: {reason}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An index past the end.
    #[error("there is no image {index}, only {images}")]
    NoImage {
        /// The index.
        index: usize,
        /// Number of images.
        images: usize,
    },
    /// A backbone's first stage cannot be fitted to the images.
    #[error("the backbone's first stage cannot be fitted to the images: {0}")]
    FirstStage(String),
    /// Worker threads cannot be had.
    #[error("cannot use worker threads: {0}")]
    Threads(String),
}

fn more(others: usize) -> String {
    if others == 0 { String::new() } else { format!(", and {others} more that cannot be read") }
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

/// (B, 3, H, W) on 0–1 → standardised as the runtime's preprocessing does.
pub fn standardise(pixels: &Tensor) -> Tensor {
    let Preprocess { mean, std, .. } = Preprocess::imagenet(64);
    let channel = |values: [f32; 3]| Tensor::from_slice(&values).view([1, 3, 1, 1]).to_device(pixels.device());
    (pixels - channel(mean)) / channel(std)
}
