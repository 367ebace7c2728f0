//! Good images at the network's size, read once and kept where memory allows.

use super::{DataError, MIN_IMAGES};
use mudenet_edge::bundle::hex;
use mudenet_edge::capture::{CaptureError, Frame, decode_bytes};
use mudenet_edge::preprocess::Preprocess;
use rayon::ThreadPool;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use tch::Tensor;

/// Most bytes of decoded images kept in memory; what does not fit is decoded again whenever it is needed.
const KEPT_BYTES: usize = 4 << 30;

/// Good images at the network's size.
#[derive(Debug)]
pub struct Images {
    entries: Vec<Entry>,
    side: usize,
    kept: Vec<OnceLock<Arc<[f32]>>>,
    room: AtomicUsize,
}

/// One image on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The file.
    pub path: PathBuf,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: String,
    /// Columns of the picture as it is stored.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Images {
    /// Reads the images and brings them to `size` pixels a side as the runtime does.
    ///
    /// # Errors
    /// [`DataError`], naming the first image that cannot be read.
    pub fn read(paths: &[PathBuf], size: i64) -> Result<Self, DataError> {
        let (images, bad) = Self::read_all(paths, size, &pool(0)?, &|| {})?;
        match bad.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(images),
        }
    }

    /// Reads what can be read, on the threads of `pool`, calling `done` after each image; beside the images those that
    /// cannot be read, with the reason.
    ///
    /// # Errors
    /// None at present; an image that cannot be read is no error here.
    pub fn read_all(
        paths: &[PathBuf],
        size: i64,
        pool: &ThreadPool,
        done: &(dyn Fn() + Sync),
    ) -> Result<(Self, Vec<(PathBuf, DataError)>), DataError> {
        let side = size.unsigned_abs() as usize;
        let bytes = 3 * side * side * size_of::<f32>();
        let keep = KEPT_BYTES / bytes.max(1);
        let read = |(index, path): (usize, &PathBuf)| {
            let outcome = load(path, side).map(|(entry, pixels)| (entry, (index < keep).then_some(pixels)));
            done();
            outcome.map_err(|error| (path.clone(), error))
        };
        let outcomes: Vec<_> = pool.install(|| paths.par_iter().enumerate().map(read).collect());
        let (mut entries, mut kept, mut bad) = (Vec::new(), Vec::new(), Vec::new());
        let mut used = 0;
        for outcome in outcomes {
            match outcome {
                Ok((entry, pixels)) => {
                    entries.push(entry);
                    used += usize::from(pixels.is_some());
                    kept.push(pixels.map_or_else(OnceLock::new, |pixels| OnceLock::from(Arc::from(pixels))));
                }
                Err(failed) => bad.push(failed),
            }
        }
        Ok((Self { entries, side, kept, room: AtomicUsize::new(keep.saturating_sub(used)) }, bad))
    }

    /// The files, in the order of their indices.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Where the images come from.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.entries.iter().map(|entry| entry.path.clone()).collect()
    }

    /// Pixels a side.
    pub fn side(&self) -> usize {
        self.side
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes the images at `indices` out, in that order; the rest stay in theirs.
    pub fn take(self, indices: &[usize]) -> (Self, Self) {
        let mut slots: Vec<_> = self.entries.into_iter().zip(self.kept).map(Some).collect();
        let taken = indices.iter().filter_map(|&i| slots.get_mut(i)?.take()).collect();
        let rest = slots.into_iter().flatten().collect();
        let side = self.side;
        let make = |slots: Vec<(Entry, OnceLock<Arc<[f32]>>)>| {
            let (entries, kept) = slots.into_iter().unzip();
            Self { entries, side, kept, room: AtomicUsize::new(0) }
        };
        (make(taken), make(rest))
    }

    /// The pixels of one image, (3, S, S) on 0–1, not standardised.
    ///
    /// # Errors
    /// [`DataError`] where the image was not kept in memory and can no longer be read, or is another than before.
    pub fn pixels(&self, index: usize) -> Result<Arc<[f32]>, DataError> {
        let (Some(entry), Some(slot)) = (self.entries.get(index), self.kept.get(index)) else {
            return Err(DataError::NoImage { index, images: self.len() });
        };
        if let Some(pixels) = slot.get() {
            return Ok(Arc::clone(pixels));
        }
        let (now, pixels) = load(&entry.path, self.side)?;
        if now.sha256 != entry.sha256 {
            return Err(DataError::Changed { path: entry.path.clone() });
        }
        let pixels: Arc<[f32]> = Arc::from(pixels);
        let free = self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(1));
        if free.is_ok() {
            // Another thread may have been first with the same pixels.
            let _ = slot.set(Arc::clone(&pixels));
        }
        Ok(pixels)
    }

    /// The pixels of one image as a tensor (3, S, S) on 0–1.
    ///
    /// # Errors
    /// Those of [`Images::pixels`].
    pub fn tensor(&self, index: usize) -> Result<Tensor, DataError> {
        let side = self.side as i64;
        Ok(Tensor::from_slice(&self.pixels(index)?).view([3, side, side]))
    }

    /// A sentence where not all pictures have the same ratio of width to height (within 2 %): brought to one square they
    /// would be distorted in different ways.
    pub fn mixed_shapes(&self) -> Option<String> {
        let ratio = |entry: &Entry| entry.width as f64 / entry.height as f64;
        let first = self.entries.first()?;
        let other = self.entries.iter().find(|entry| (ratio(entry) / ratio(first) - 1.0).abs() > 0.02)?;
        let named = |entry: &Entry| format!("{} is {}×{}", entry.path.display(), entry.width, entry.height);
        Some(format!("{}, {}", named(first), named(other)))
    }
}

/// A pool of `workers` threads, 0 for one a processor core.
///
/// # Errors
/// [`DataError::Threads`].
pub fn pool(workers: usize) -> Result<ThreadPool, DataError> {
    rayon::ThreadPoolBuilder::new().num_threads(workers).build().map_err(|e| DataError::Threads(e.to_string()))
}

/// Fewer than [`MIN_IMAGES`] are an error that names `folder`.
///
/// # Errors
/// [`DataError::TooFew`].
pub fn enough(found: usize, folder: &Path) -> Result<(), DataError> {
    if found < MIN_IMAGES {
        return Err(DataError::TooFew { path: folder.to_owned(), found });
    }
    Ok(())
}

fn load(path: &Path, side: usize) -> Result<(Entry, Vec<f32>), DataError> {
    let (frame, sha256) = read(path)?;
    let unit = Preprocess { mean: [0.0; 3], std: [1.0; 3], ..Preprocess::imagenet(side) };
    let input = unit.apply(&frame).map_err(|source| DataError::Resize { path: path.to_owned(), source })?;
    let entry = Entry { path: path.to_owned(), sha256, width: frame.width(), height: frame.height() };
    Ok((entry, input.values().to_vec()))
}

/// The picture in a file and the file's SHA-256, from one reading of it.
fn read(path: &Path) -> Result<(Frame, String), CaptureError> {
    let bytes = std::fs::read(path).map_err(|source| CaptureError::Read { path: path.to_owned(), source })?;
    let frame = decode_bytes(&bytes).map_err(|reason| CaptureError::Decode { path: path.to_owned(), reason })?;
    Ok((frame, hex(&Sha256::digest(&bytes))))
}

/// SHA-256 of a file of any size, lower-case hex.
///
/// # Errors
/// [`DataError::Image`] where it cannot be read.
pub fn file_sha256(path: &Path) -> Result<String, DataError> {
    let fail = |source| CaptureError::Read { path: path.to_owned(), source };
    let mut hash = Sha256::new();
    let mut file = std::fs::File::open(path).map_err(fail)?;
    std::io::copy(&mut file, &mut DigestWriter(&mut hash)).map_err(fail)?;
    Ok(hex(&hash.finalize()))
}

struct DigestWriter<'a>(&'a mut Sha256);

impl std::io::Write for DigestWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
