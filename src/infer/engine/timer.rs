//! How long each layer takes.

use super::Id;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A sum of times for each layer; costs one load a task until it is started.
#[derive(Debug)]
pub(super) struct Timer {
    clock: OnceLock<fn() -> Duration>,
    nanoseconds: Vec<AtomicU64>,
}

impl Timer {
    pub(super) fn new(layers: usize) -> Self {
        Self { clock: OnceLock::new(), nanoseconds: (0..layers).map(|_| AtomicU64::new(0)).collect() }
    }

    /// The first clock stays.
    pub(super) fn start(&self, clock: fn() -> Duration) {
        self.clock.get_or_init(|| clock);
    }

    /// Runs `work` on behalf of `layer`.
    pub(super) fn time(&self, layer: Id, work: impl FnOnce()) {
        let Some(clock) = self.clock.get() else { return work() };
        let start = clock();
        work();
        let spent = clock().saturating_sub(start);
        self.nanoseconds[layer].fetch_add(spent.as_nanos() as u64, Ordering::Relaxed);
    }

    /// The sums, which start again at 0; empty where the timer was not started.
    pub(super) fn take(&self) -> Vec<Duration> {
        let sums = self.nanoseconds.iter().filter(|_| self.clock.get().is_some());
        sums.map(|sum| Duration::from_nanos(sum.swap(0, Ordering::Relaxed))).collect()
    }
}
