//! Writes a made data set.

use super::{Defect, MAX_SIZE, MIN_SIZE, Product, Set, Shot};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What to make.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is on the pictures.
    pub product: Product,
    /// Same seed, same pictures.
    pub seed: u64,
    /// Pixels along each side, [`MIN_SIZE`] to [`MAX_SIZE`].
    pub size: u32,
    /// Good pictures to train on.
    pub train: u32,
    /// Good pictures to calibrate on.
    pub validation: u32,
    /// Good pictures to test on.
    pub test_good: u32,
    /// Pictures of each kind of defect.
    pub per_defect: u32,
}

/// A data set that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    /// The size is out of range.
    #[error("size {0} is not between {MIN_SIZE} and {MAX_SIZE}")]
    Size(u32),
    /// The folder holds something already.
    #[error("{}: is not an empty folder; name one that is, or that does not exist yet", .0.display())]
    Occupied(PathBuf),
    /// It was stopped before it was complete.
    #[error("stopped before the data set was complete; nothing was written")]
    Stopped,
    /// A file or folder cannot be written.
    #[error("{}: cannot be written: {reason}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

impl Plan {
    /// The number of pictures.
    pub fn count(&self) -> usize {
        self.shots().len()
    }

    /// Every picture, in the order of the sets.
    pub fn shots(&self) -> Vec<Shot> {
        let sets = [
            (Set::Train, self.train),
            (Set::Validation, self.validation),
            (Set::TestGood, self.test_good),
            (Set::Logical, self.per_defect.saturating_mul(Defect::LOGICAL.len() as u32)),
            (Set::Structural, self.per_defect.saturating_mul(Defect::STRUCTURAL.len() as u32)),
        ];
        let shot = |set, index| Shot { product: self.product, seed: self.seed, set, index, size: self.size };
        sets.into_iter().flat_map(|(set, count)| (0..count).map(move |index| shot(set, index))).collect()
    }
}

/// Writes the data set into folder `out`, which must be empty or not exist. Pictures are gathered in a hidden folder
/// inside it and moved to their places once all are written; after an error nothing is left.
/// `proceed` is called after each picture, from several threads; once it returns `false` no further one is begun.
///
/// # Errors
/// [`SynthError`], naming the file or folder.
pub fn write(plan: &Plan, out: &Path, proceed: &(dyn Fn() -> bool + Sync)) -> Result<(), SynthError> {
    if !(MIN_SIZE..=MAX_SIZE).contains(&plan.size) {
        return Err(SynthError::Size(plan.size));
    }
    let existed = out.symlink_metadata().is_ok();
    if existed && !out.read_dir().is_ok_and(|mut entries| entries.next().is_none()) {
        return Err(SynthError::Occupied(out.to_owned()));
    }
    let part = out.join(".part");
    let written = fill(plan, &part, proceed).and_then(|()| settle(&part, out));
    if written.is_err() {
        // What is half written is of no use; that it may not be removable either changes nothing.
        let _ = std::fs::remove_dir_all(&part);
        if !existed {
            let _ = std::fs::remove_dir(out);
        }
    }
    written
}

/// Moves what is in folder `part` into `out`.
fn settle(part: &Path, out: &Path) -> Result<(), SynthError> {
    for entry in part.read_dir().map_err(|e| failed(part, e))? {
        let entry = entry.map_err(|e| failed(part, e))?;
        let place = out.join(entry.file_name());
        std::fs::rename(entry.path(), &place).map_err(|e| failed(&place, e))?;
    }
    std::fs::remove_dir(part).map_err(|e| failed(part, e))
}

fn fill(plan: &Plan, root: &Path, proceed: &(dyn Fn() -> bool + Sync)) -> Result<(), SynthError> {
    let shots = plan.shots();
    std::fs::create_dir_all(root).map_err(|e| failed(root, e))?;
    for first in shots.iter().filter(|shot| shot.index == 0) {
        let folder = root.join(folder(first.set));
        std::fs::create_dir_all(&folder).map_err(|e| failed(&folder, e))?;
    }
    let config = root.join("defects_config.json");
    let entries: Vec<_> = Defect::all().map(Defect::entry).collect();
    let text = serde_json::to_string_pretty(&entries).map_err(|e| failed(&config, e))?;
    std::fs::write(&config, text + "\n").map_err(|e| failed(&config, e))?;

    let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
    let work = || {
        while let Some(shot) = shots.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = save(shot, root);
            let go_on = proceed();
            if let Err(error) = outcome.and(if go_on { Ok(()) } else { Err(SynthError::Stopped) }) {
                next.store(shots.len(), Ordering::Relaxed);
                failure.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(error);
                return;
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(shots.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    failure.into_inner().unwrap_or_else(|e| e.into_inner()).map_or(Ok(()), Err)
}

fn save(shot: &Shot, root: &Path) -> Result<(), SynthError> {
    let photo = shot.take();
    let path = root.join(folder(shot.set)).join(format!("{:03}.png", shot.index));
    photo.image.save(&path).map_err(|e| failed(&path, e))?;
    if let Some(mask) = photo.mask {
        let truth = root.join("ground_truth").join(kind(shot.set)).join(format!("{:03}", shot.index));
        std::fs::create_dir_all(&truth).map_err(|e| failed(&truth, e))?;
        let path = truth.join("000.png");
        mask.save(&path).map_err(|e| failed(&path, e))?;
    }
    Ok(())
}

fn folder(set: Set) -> PathBuf {
    let group = match set {
        Set::Train => "train",
        Set::Validation => "validation",
        Set::TestGood | Set::Logical | Set::Structural => "test",
    };
    Path::new(group).join(kind(set))
}

fn kind(set: Set) -> &'static str {
    match set {
        Set::Train | Set::Validation | Set::TestGood => "good",
        Set::Logical => "logical_anomalies",
        Set::Structural => "structural_anomalies",
    }
}

fn failed(path: &Path, reason: impl std::fmt::Display) -> SynthError {
    SynthError::Write { path: path.to_owned(), reason: reason.to_string() }
}
