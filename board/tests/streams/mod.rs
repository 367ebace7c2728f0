//! Random streams of events, the same at every run; one that breaks a property is made as short as it can be.

use proptest::collection::vec;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::fmt::Debug;

/// Hands `property` `streams` streams of up to `longest` steps; it fails by a panic.
#[track_caller]
pub fn for_all<S>(streams: u32, longest: usize, step: S, property: impl Fn(&[S::Value]))
where
    S: Strategy,
    S::Value: Clone + Debug,
{
    let config = Config { cases: streams, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let failed = runner.run(&vec(step, 1..=longest), |steps| {
        property(&steps);
        Ok(())
    });
    if let Err(shortest) = failed {
        panic!("{shortest}");
    }
}
