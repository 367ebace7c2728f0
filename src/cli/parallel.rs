//! Many pictures, several threads.

use anyhow::{Result, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Calls `each` for 0 to `count` − 1 on `jobs` threads (one a processor core where not given), each with a worker of its
/// own. The first failure ends the work. Progress is shown on stderr where that is a terminal.
pub(super) fn for_each<W>(
    count: usize,
    jobs: Option<NonZeroUsize>,
    doing: &str,
    worker: impl Fn() -> Result<W> + Sync,
    each: impl Fn(&mut W, usize) -> Result<()> + Sync,
) -> Result<()> {
    let progress = progress_bar(count, doing);
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    let work = || -> Result<()> {
        let mut worker = worker()?;
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return Ok(());
            }
            each(&mut worker, index)?;
            progress.inc(1);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs_for(count, jobs) {
            scope.spawn(|| {
                if let Err(error) = work() {
                    next.store(count, Ordering::Relaxed);
                    if let Ok(mut failure) = failure.lock() {
                        failure.get_or_insert(error);
                    }
                }
            });
        }
    });
    progress.finish_and_clear();
    match failure.into_inner() {
        Ok(None) => Ok(()),
        Ok(Some(error)) => Err(error),
        Err(_) => Err(anyhow!("a thread that was {doing} failed")),
    }
}

/// Threads that [`for_each`] uses.
pub(super) fn jobs_for(count: usize, jobs: Option<NonZeroUsize>) -> usize {
    jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get).min(count)
}

/// On stderr, where that is a terminal.
fn progress_bar(length: usize, doing: &str) -> ProgressBar {
    let bar = ProgressBar::new(length as u64).with_message(doing.to_owned());
    let style = ProgressStyle::with_template("{msg} {wide_bar:.cyan/dim} {pos}/{len}  {eta} left");
    style.into_iter().for_each(|style| bar.set_style(style));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_once_and_the_first_failure_is_told() {
        let seen = Mutex::new(vec![0; 50]);
        let mark = |_: &mut (), i: usize| {
            seen.lock().unwrap()[i] += 1;
            Ok(())
        };
        for_each(50, NonZeroUsize::new(3), "testing", || Ok(()), mark).unwrap();
        assert_eq!(*seen.lock().unwrap(), vec![1; 50]);
        let fail = |_: &mut (), i: usize| if i == 7 { Err(anyhow!("seven")) } else { Ok(()) };
        assert_eq!(for_each(50, None, "testing", || Ok(()), fail).unwrap_err().to_string(), "seven");
    }
}
