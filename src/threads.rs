//! The threads that networks are computed on, each on a processor core of its own.
//!
//! Between two parts all of them sleep, and a system that wakes them may put two on one core while another is idle; a frame
//! then takes as long as on fewer threads. Threads that are bound to different cores cannot meet. One thread alone is left to
//! the system.

use rayon::{ThreadPool, ThreadPoolBuilder};

/// Largest number of a core, exclusive.
pub const MOST_CORES: usize = 1024;

/// Why threads cannot be had as wanted.
#[derive(Debug, thiserror::Error)]
pub enum ThreadsError {
    /// A core that is not there, or not for this process.
    #[error("core {core} is none of those that this process may use: {}", list(.allowed))]
    Core {
        /// What was asked for.
        core: usize,
        /// What there is.
        allowed: Vec<usize>,
    },
    /// The system gives no threads.
    #[error("no threads: {0}")]
    Build(#[from] rayon::ThreadPoolBuildError),
}

fn list(cores: &[usize]) -> String {
    cores.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The cores that this process may use, ascending; none where the system does not say.
pub fn allowed_cores() -> Vec<usize> {
    #[cfg(target_os = "linux")]
    if let Ok(set) = rustix::thread::sched_getaffinity(None) {
        return (0..MOST_CORES).filter(|core| set.is_set(*core)).collect();
    }
    vec![]
}

/// A pool of `threads` threads, the `nth` of equal ones. Their cores are counted from the last on, for the first serves more
/// interrupts, and those that share one with an earlier number come after all others; where there are fewer than all pools up to
/// this one want, no thread is bound to any.
///
/// # Errors
/// [`ThreadsError::Build`].
pub fn pool(threads: usize, nth: usize) -> Result<ThreadPool, ThreadsError> {
    let first = nth * threads;
    let cores: Vec<usize> = in_order(allowed_cores(), is_second).into_iter().skip(first).take(threads).collect();
    let bound = cores.len() == threads && first + threads > 1;
    Ok(builder(threads, if bound { cores } else { vec![] }).build()?)
}

/// From now on, and before anything else was computed, networks that are not given a pool are computed on `cores`, a thread on
/// each; on all that this process may use, where none is named and `RAYON_NUM_THREADS` does not say how many threads there are.
///
/// # Errors
/// [`ThreadsError`] where one of them is not for this process.
pub fn use_cores(cores: Option<&[usize]>) -> Result<(), ThreadsError> {
    if cores.is_none() && std::env::var_os("RAYON_NUM_THREADS").is_some() {
        return Ok(());
    }
    let cores = checked(cores)?;
    builder(cores.len(), cores).build_global()?;
    Ok(())
}

/// `cores`, or all that this process may use.
fn checked(cores: Option<&[usize]>) -> Result<Vec<usize>, ThreadsError> {
    let allowed = allowed_cores();
    match cores.into_iter().flatten().find(|core| !allowed.contains(core)) {
        Some(core) => Err(ThreadsError::Core { core: *core, allowed }),
        None => Ok(cores.map_or(allowed, <[usize]>::to_vec)),
    }
}

/// From the last on, those that are `second` after the others.
fn in_order(mut cores: Vec<usize>, second: impl Fn(usize) -> bool) -> Vec<usize> {
    cores.sort_by_key(|core| (second(*core), std::cmp::Reverse(*core)));
    cores
}

/// Whether a core is one that an earlier number stands for as well: a second thread of the same hardware.
fn is_second(core: usize) -> bool {
    let file = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
    let siblings = std::fs::read_to_string(file).unwrap_or_default();
    let first = siblings.split([',', '-']).next().and_then(|number| number.trim().parse::<usize>().ok());
    first.is_some_and(|first| first < core)
}

/// A pool whose threads are bound to `cores`, where there is one for each.
fn builder(threads: usize, cores: Vec<usize>) -> ThreadPoolBuilder {
    let bind = move |thread: usize| {
        if let Some(core) = cores.get(thread) {
            bind(*core);
        }
    };
    ThreadPoolBuilder::new().num_threads(threads).start_handler(bind)
}

/// Keeps the calling thread on a core. Where the system refuses it stays where it may be.
fn bind(core: usize) {
    #[cfg(target_os = "linux")]
    {
        let mut set = rustix::thread::CpuSet::new();
        set.set(core);
        if let Err(reason) = rustix::thread::sched_setaffinity(None, &set) {
            log::warn!("a thread cannot be kept on core {core}: {reason}");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = core;
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, reason = "a test stops where it fails")]
mod tests {
    use super::*;

    /// The cores of each thread of a pool.
    fn bound(pool: &ThreadPool) -> Vec<Vec<usize>> {
        pool.broadcast(|_| allowed_cores())
    }

    #[test]
    fn threads_of_all_pools_are_on_cores_of_their_own_as_long_as_there_are_enough() {
        let allowed = allowed_cores();
        assert!(!allowed.is_empty());
        let each = |cores: &[usize]| cores.iter().map(|core| vec![*core]).collect::<Vec<_>>();
        let from_the_last = in_order(allowed.clone(), is_second);
        if allowed.len() > 1 {
            assert_eq!(bound(&pool(allowed.len(), 0).unwrap()), each(&from_the_last));
            assert_eq!(bound(&pool(1, 1).unwrap()), each(&from_the_last[1..2]));
            assert_eq!(bound(&pool(allowed.len() - 1, 1).unwrap()).len(), allowed.len() - 1);
        }
        assert_eq!(bound(&pool(1, 0).unwrap()), std::slice::from_ref(&allowed), "one thread is left to the system");
        let many = pool(allowed.len() + 1, 0).unwrap();
        assert!(bound(&many).iter().all(|cores| *cores == allowed), "more threads than cores are left to the system");
    }

    #[test]
    fn second_threads_of_a_core_come_last() {
        assert_eq!(in_order(vec![0, 1, 2, 3], |_| false), [3, 2, 1, 0]);
        assert_eq!(
            in_order(vec![0, 1, 2, 3], |core| core % 2 == 1),
            [2, 0, 3, 1],
            "siblings have neighbouring numbers"
        );
        assert_eq!(in_order(vec![0, 1, 2, 3], |core| core > 1), [1, 0, 3, 2]);
    }

    #[test]
    fn one_core_that_is_named_is_kept_to() {
        let last = allowed_cores().pop().unwrap();
        let cores = checked(Some(&[last])).unwrap();
        let pool = builder(cores.len(), cores).build().unwrap();
        assert_eq!(bound(&pool), [[last]]);
        assert_eq!(checked(None).unwrap(), allowed_cores());
    }

    #[test]
    fn a_core_that_is_not_there_is_named() {
        let error = use_cores(Some(&[MOST_CORES + 7])).unwrap_err().to_string();
        let allowed = list(&allowed_cores());
        assert_eq!(error, format!("core 1031 is none of those that this process may use: {allowed}"));
    }
}
