//! This project's operators against tract's own on whole bundles.
#![allow(clippy::expect_used, reason = "a test stops where it fails")]

#[path = "common/graphs.rs"]
mod graphs;
#[path = "common/model.rs"]
mod model;

use model::Network;
use mudenet_edge::bundle::Bundle;
use mudenet_edge::infer::{Engine, Isa, LevelScores, Scorer, TractScorer};
use mudenet_edge::map::Branch;
use mudenet_edge::preprocess::ModelInput;

/// Largest difference relative to the branch's largest score.
const TOLERANCE: f32 = 2e-5;

fn score(bundle: &Bundle, engine: Engine, seed: u64) -> LevelScores {
    let preprocess = &bundle.meta().preprocess;
    let input = model::input(preprocess.height, preprocess.width, seed);
    let mut scorer = TractScorer::with_engine(bundle, engine).expect("the bundle loads");
    scorer.score(&input).expect("the bundle runs")
}

fn assert_close(name: &str, got: &LevelScores, expected: &LevelScores) {
    assert_within(TOLERANCE, name, got, expected);
}

fn assert_within(tolerance: f32, name: &str, got: &LevelScores, expected: &LevelScores) {
    for branch in Branch::ALL {
        let (got, expected) = (got.branch(branch), expected.branch(branch));
        let largest = expected.iter().fold(0f32, |m, v| m.max(v.abs()));
        let worst = got.iter().zip(expected).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(got.iter().all(|v| v.is_finite()), "{name}, {branch:?}: not finite");
        assert!(worst <= tolerance * largest, "{name}, {branch:?}: {worst} of {largest}");
    }
}

#[test]
fn fused_scores_are_those_of_tract() {
    for (width, rows, columns) in [(64, 64, 128), (32, 128, 128), (16, 256, 256), (16, 192, 64), (10, 64, 64)] {
        let bundle = model::bundle(Network { width, rows, columns, seed: 3 });
        let expected = score(&bundle, Engine::Plain, 8);
        for isa in Isa::available() {
            let name = format!("width {width}, {rows}×{columns}, {}", isa.name());
            assert_close(&name, &score(&bundle, Engine::Fused(isa), 8), &expected);
        }
    }
}

#[test]
fn a_frame_leaves_nothing_behind_for_the_next() {
    let bundle = model::bundle(Network { width: 16, rows: 128, columns: 64, seed: 4 });
    let input = |seed| model::input(128, 64, seed);
    let broken = ModelInput::new(128, 64, vec![f32::NAN; 3 * 128 * 64]).expect("3 planes");
    for isa in Isa::available() {
        let mut scorer = TractScorer::with_engine(&bundle, Engine::Fused(isa)).expect("the bundle loads");
        let first = scorer.score(&input(1)).expect("scores");
        let scores = scorer.score(&broken).expect("scores of a broken frame");
        for branch in [Branch::Structural, Branch::Logical] {
            assert!(scores.branch(branch).iter().all(|v| v.is_nan()), "{}: NaN must not be hidden", isa.name());
        }
        assert_eq!(scorer.score(&input(1)).expect("scores"), first);
        assert_ne!(scorer.score(&input(2)).expect("scores"), first);
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let bundle = model::bundle(Network { width: 24, rows: 128, columns: 128, seed: 5 });
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| score(&bundle, Engine::Fused(Isa::best()), 9))
    };
    let one = on(1);
    for threads in [2, 3, 4, 7] {
        assert_eq!(on(threads), one, "{threads} threads");
    }
}

/// Operators that the engine does not know, at the start, between layers and at the end, each with a use of its own.
#[test]
fn unknown_operators_run_on_tract_between_fused_layers() {
    let bundle = graphs::unknown_operators();
    let expected = score(&bundle, Engine::Plain, 2);
    assert_close("unknown operators", &score(&bundle, Engine::Fused(Isa::best()), 2), &expected);
}

/// Maps that the graph holds in 8 bits are rounded where they are made. A value next to the middle between two steps may
/// become either, so that single scores differ by more than the tolerance.
#[test]
fn eight_bit_maps_stay_in_the_operator() {
    let bundle = graphs::eight_bit_maps();
    let expected = score(&bundle, Engine::Plain, 2);
    for isa in Isa::available() {
        let scorer = TractScorer::with_engine(&bundle, Engine::Fused(isa)).expect("the bundle loads");
        assert_eq!(scorer.not_accelerated(), [""; 0]);
        let operators = scorer.operators();
        let rounded = operators.iter().filter(|operator| operator.method.ends_with("rounded to 8 bits")).count();
        assert_eq!((operators.len(), rounded), (6, 5), "{operators:?}");
        let got = score(&bundle, Engine::Fused(isa), 2);
        assert_within(5e-3, isa.name(), &got, &expected);
        let pairs = || got.branch(Branch::Structural).iter().zip(expected.branch(Branch::Structural));
        let alike = pairs().filter(|(a, b)| (*a - *b).abs() <= TOLERANCE * b.abs()).count();
        assert!(2 * alike > pairs().count(), "{}: only {alike} scores are alike", isa.name());
    }
}

/// The nearest of many embeddings, min_k(|x|² − 2 x·v_k + |v_k|²) as the exporter writes it: no map of all distances.
#[test]
fn the_nearest_embedding_is_one_operator() {
    let (rows, columns) = (64, 128);
    let bundle = graphs::nearest_embedding(rows, columns);
    let expected = score(&bundle, Engine::Plain, 2);
    assert!(expected.branch(Branch::Memory).iter().any(|v| *v > 0.0), "distances that are compared");
    for isa in Isa::available() {
        let scorer = TractScorer::with_engine(&bundle, Engine::Fused(isa)).expect("the bundle loads");
        assert_eq!(scorer.not_accelerated(), [""; 0]);
        let operators = scorer.operators();
        let smallest = operators.iter().find(|operator| operator.method == "direct, smallest");
        assert_eq!(smallest.map(|operator| operator.shape), Some([1, rows / 8, columns / 8]), "{operators:?}");
        assert_close(isa.name(), &score(&bundle, Engine::Fused(isa), 2), &expected);
    }
}
