//! What the targets share: an allocator that gives no more than an input may take, and a place for files.

pub mod station;

use cap::Cap;
use std::alloc::System;
use std::path::{Path, PathBuf};
use std::sync::Once;
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// What a reader may take beside what its input's length allows.
pub const FEW: usize = 1 << 20;

/// A failed assertion may take what it needs to be reported.
static REPORTED: Once = Once::new();

/// Runs `work`; the program ends where it holds more than `bytes` at a time.
pub fn bounded<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    REPORTED.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let _ = ALLOCATOR.set_limit(usize::MAX);
            report(info);
        }));
    });
    ALLOCATOR.set_limit(ALLOCATOR.allocated().saturating_add(bytes)).expect("a limit above what is held");
    let result = work();
    ALLOCATOR.set_limit(usize::MAX).expect("no limit");
    result
}

/// A folder in memory, where there is one.
pub fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a folder")
}

/// Writes `bytes` to a file of a folder.
pub fn file(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("written");
    path
}
