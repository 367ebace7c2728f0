//! tract's CUDA runtime against tract alone on whole bundles, on the first GPU. Where there is none, nothing is said to have
//! passed: the program prints NOT RUN, and leaves that line to `./check`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

#[path = "common/graphs.rs"]
mod graphs;
#[path = "common/model.rs"]
mod model;

use model::Network;
use mudenet_edge::bundle::Bundle;
use mudenet_edge::infer::{Engine, InferError, LevelScores, Scorer, TractScorer, check_cuda};
use mudenet_edge::map::Branch;
use mudenet_edge::preprocess::ModelInput;
use std::io::Write;
use std::process::{Command, ExitCode};

/// Largest difference relative to the branch's largest score.
const TOLERANCE: f32 = 2e-5;
/// Of NVIDIA's libraries: 0 keeps products of f32 from being rounded to 10 bits. Read when they are loaded.
const TF32_VARIABLE: &str = "NVIDIA_TF32_OVERRIDE";

const CASES: [(&str, fn()); 8] = [
    ("scores are those of tract alone", scores_are_those_of_tract),
    ("two runs give the same bytes", two_runs_give_the_same_bytes),
    ("a frame leaves nothing behind for the next", a_frame_leaves_nothing_behind),
    ("any thread may ask", any_thread_may_ask),
    ("a cascade gives the same scores", a_cascade_gives_the_same_scores),
    ("what is not a network of ours runs too", unknown_operators_run),
    ("maps of 8 bits are rounded alike", maps_of_8_bits_are_rounded_alike),
    ("the nearest embedding is found", the_nearest_embedding_is_found),
];

fn main() -> ExitCode {
    if std::env::var_os(TF32_VARIABLE).is_none() {
        let status = Command::new(std::env::current_exe().unwrap()).env(TF32_VARIABLE, "0").status().unwrap();
        return ExitCode::from(status.code().map_or(1, |code| code as u8));
    }
    if std::env::var_os("CUDA_LOG").is_some() {
        log::set_logger(&Stderr).unwrap();
        log::set_max_level(log::LevelFilter::Debug);
    }
    if let Err(reason) = check_cuda() {
        let line = format!("NOT RUN: networks on a GPU: {}", reason.to_string().replace('\n', " "));
        println!("{line}");
        if let Some(path) = std::env::var_os("NOT_RUN") {
            let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
            writeln!(file, "{line}").unwrap();
        }
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for (name, case) in CASES {
        println!("case {name}");
        let passed = std::panic::catch_unwind(case).is_ok();
        println!("case {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += usize::from(!passed);
    }
    println!("{} of {} cases passed", CASES.len() - failed, CASES.len());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What tract says of driver, libraries and kernels.
struct Stderr;

impl log::Log for Stderr {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        metadata.target().starts_with("tract_cuda") || metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record) {
        if self.enabled(record.metadata()) {
            eprintln!("  {} {}", record.level(), record.args());
        }
    }

    fn flush(&self) {}
}

fn input(bundle: &Bundle, seed: u64) -> ModelInput {
    let preprocess = &bundle.meta().preprocess;
    model::input(preprocess.height, preprocess.width, seed)
}

fn scorer(bundle: &Bundle, engine: Engine) -> TractScorer {
    TractScorer::with_engine(bundle, engine).expect("the bundle loads")
}

fn score(bundle: &Bundle, engine: Engine) -> LevelScores {
    scorer(bundle, engine).score(&input(bundle, 8)).expect("the bundle runs")
}

fn assert_within(tolerance: f32, name: &str, got: &LevelScores, expected: &LevelScores) {
    for branch in Branch::ALL {
        let (got, expected) = (got.branch(branch), expected.branch(branch));
        assert_eq!(got.len(), expected.len(), "{name}, {branch:?}");
        let largest = expected.iter().fold(0f32, |m, v| m.max(v.abs()));
        let worst = got.iter().zip(expected).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        if !got.is_empty() {
            println!("  {name}, {branch:?}: {:.1e} of the largest score", worst / largest);
        }
        assert!(got.iter().all(|v| v.is_finite()), "{name}, {branch:?}: not finite");
        assert!(worst <= tolerance * largest, "{name}, {branch:?}: {worst} of {largest}");
    }
}

fn scores_are_those_of_tract() {
    for (width, rows, columns) in [(64, 64, 128), (32, 128, 128), (16, 256, 256), (16, 192, 64), (10, 64, 64)] {
        let bundle = model::bundle(Network { width, rows, columns, seed: 3 });
        let name = format!("width {width}, {rows}×{columns}");
        assert_eq!(scorer(&bundle, Engine::Cuda).not_accelerated(), [""; 0], "{name}");
        assert_within(TOLERANCE, &name, &score(&bundle, Engine::Cuda), &score(&bundle, Engine::Plain));
    }
}

fn two_runs_give_the_same_bytes() {
    let bundle = model::bundle(Network { width: 24, rows: 128, columns: 128, seed: 5 });
    let mut scorer = scorer(&bundle, Engine::Cuda);
    let first = scorer.score(&input(&bundle, 8)).unwrap();
    for _ in 0..5 {
        assert_eq!(scorer.score(&input(&bundle, 8)).unwrap(), first, "the same network again");
    }
    assert_eq!(score(&bundle, Engine::Cuda), first, "the network loaded again");
}

fn a_frame_leaves_nothing_behind() {
    let bundle = model::bundle(Network { width: 16, rows: 128, columns: 64, seed: 4 });
    let broken = ModelInput::new(128, 64, vec![f32::NAN; 3 * 128 * 64]).expect("3 planes");
    let mut scorer = scorer(&bundle, Engine::Cuda);
    let first = scorer.score(&input(&bundle, 1)).unwrap();
    let scores = scorer.score(&broken).unwrap();
    for branch in [Branch::Structural, Branch::Logical] {
        assert!(scores.branch(branch).iter().all(|v| v.is_nan()), "NaN must not be hidden");
    }
    assert_eq!(scorer.score(&input(&bundle, 1)).unwrap(), first);
    assert_ne!(scorer.score(&input(&bundle, 2)).unwrap(), first);
    let small = model::input(64, 64, 1);
    assert!(matches!(scorer.score(&small), Err(InferError::Shape(_))));
}

fn any_thread_may_ask() {
    let bundle = model::bundle(Network { width: 16, rows: 64, columns: 64, seed: 6 });
    let mut scorer = scorer(&bundle, Engine::Cuda);
    let expected = scorer.score(&input(&bundle, 3)).unwrap();
    for _ in 0..3 {
        let elsewhere = std::thread::scope(|scope| scope.spawn(|| scorer.score(&input(&bundle, 3))).join());
        assert_eq!(elsewhere.unwrap().unwrap(), expected);
    }
    let (first, second) = std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| score(&bundle, Engine::Cuda)));
        let [first, second] = both.map(|thread| thread.join().unwrap());
        (first, second)
    });
    assert_eq!(first, second, "two networks at the same time");
}

fn a_cascade_gives_the_same_scores() {
    let bundle = model::bundle(Network { width: 16, rows: 64, columns: 64, seed: 7 });
    let mut cascade = TractScorer::cascaded(&bundle, Engine::Cuda).unwrap();
    let whole = cascade.score(&input(&bundle, 8)).unwrap();
    assert_within(TOLERANCE, "cascade", &whole, &score(&bundle, Engine::Plain));
    let early = cascade.score_until(&input(&bundle, 8), &mut |_| true).unwrap();
    assert_eq!(early.branch(Branch::Structural), whole.branch(Branch::Structural));
    assert!(early.branch(Branch::Logical).is_empty());
}

fn unknown_operators_run() {
    let bundle = graphs::unknown_operators();
    assert_within(TOLERANCE, "unknown operators", &score(&bundle, Engine::Cuda), &score(&bundle, Engine::Plain));
}

/// A value next to the middle between two steps may become either, so that single scores differ by more than the tolerance.
fn maps_of_8_bits_are_rounded_alike() {
    let bundle = graphs::eight_bit_maps();
    assert_eq!(scorer(&bundle, Engine::Cuda).not_accelerated(), [""; 0]);
    let (got, expected) = (score(&bundle, Engine::Cuda), score(&bundle, Engine::Plain));
    assert_within(5e-3, "8 bits", &got, &expected);
    let pairs = || got.branch(Branch::Structural).iter().zip(expected.branch(Branch::Structural));
    let alike = pairs().filter(|(a, b)| (*a - *b).abs() <= TOLERANCE * b.abs()).count();
    println!("  8 bits: {alike} of {} scores alike", pairs().count());
    assert!(2 * alike > pairs().count(), "only {alike} scores are alike");
}

fn the_nearest_embedding_is_found() {
    let bundle = graphs::nearest_embedding(64, 128);
    let expected = score(&bundle, Engine::Plain);
    assert!(expected.branch(Branch::Memory).iter().any(|v| *v > 0.0), "distances that are compared");
    assert_within(TOLERANCE, "memory", &score(&bundle, Engine::Cuda), &expected);
}
