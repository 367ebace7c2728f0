//! How often the thresholds of `calibrate` keep their word: `cargo bench --bench calibration`.
//!
//! For distributions of scores whose quantiles are known, thousands of calibrations are simulated, and the share of them
//! is printed whose threshold rejects no more good parts than was asked for (tolerance bound), or whose confidence interval
//! holds the true threshold (estimates). What is printed are the tables of `docs/calibration.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a program for developers")]

use mudenet_edge::decide::{ThresholdMethod, Wanted, calibrate};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// A distribution by its quantile function.
struct Scores {
    name: &'static str,
    quantile: fn(f64) -> f64,
}

const SCORES: [Scores; 4] = [
    Scores { name: "uniform", quantile: |p| p },
    Scores { name: "exponential", quantile: |p| -(1.0 - p).ln() },
    // Generalised Pareto with shape 1/3: a heavy tail.
    Scores { name: "heavy tail", quantile: |p| 3.0 * ((1.0 - p).powf(-1.0 / 3.0) - 1.0) },
    // Every tenth part from a second, later mode.
    Scores { name: "two modes", quantile: |p| if p < 0.9 { p / 0.9 } else { 2.0 + (p - 0.9) } },
];

/// What became of many calibrations.
struct Kept {
    /// Share that kept the false-reject rate, or whose interval holds the truth.
    held: f64,
    /// Mean false-reject rate.
    rejected: f64,
}

fn simulate(scores: &Scores, method: ThresholdMethod, parts: usize, wanted: Wanted, runs: u64) -> Kept {
    let truth = (scores.quantile)(1.0 - wanted.false_reject);
    let one = |seed: u64| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let drawn: Vec<f32> = (0..parts).map(|_| (scores.quantile)(rng.random::<f64>()) as f32).collect();
        let threshold = calibrate(&drawn, wanted, method, None).expect("enough parts");
        let value = f64::from(threshold.value);
        // By bisection: the share of good parts above the threshold.
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if (scores.quantile)(middle) <= value { low = middle } else { high = middle }
        }
        let rejected = 1.0 - low;
        let held = match threshold.calibration.and_then(|c| c.interval) {
            None => rejected <= wanted.false_reject + 1e-7,
            Some([low, high]) => {
                low.is_none_or(|l| f64::from(l) <= truth) && high.is_none_or(|h| f64::from(h) >= truth)
            }
        };
        (f64::from(u8::from(held)), rejected)
    };
    let (held, rejected) = (0..runs).into_par_iter().map(one).reduce(|| (0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
    Kept { held: held / runs as f64, rejected: rejected / runs as f64 }
}

fn main() {
    // `cargo bench` passes flags of its own.
    let names: Vec<&str> = SCORES.iter().map(|s| s.name).collect();
    println!("| parts | asked for | {} | rejected on average |", names.join(" | "));
    println!("|---|---|{}---|", "---|".repeat(SCORES.len()));
    for (parts, alpha, confidence) in [
        (299, 0.01, 0.95),
        (500, 0.01, 0.95),
        (1000, 0.01, 0.95),
        (59, 0.05, 0.95),
        (200, 0.05, 0.9),
        (4603, 0.001, 0.99),
    ] {
        let wanted = Wanted::new(alpha, confidence).expect("rates");
        let kept = SCORES.map(|s| simulate(&s, ThresholdMethod::Tolerance, parts, wanted, 20_000));
        let cells: Vec<String> = kept.iter().map(|k| format!("{:.1} %", 100.0 * k.held)).collect();
        let rejected = 100.0 * kept.iter().map(|k| k.rejected).sum::<f64>() / kept.len() as f64;
        println!(
            "| {parts} | {} % at {} % | {} | {rejected:.2} % |",
            100.0 * alpha,
            100.0 * confidence,
            cells.join(" | ")
        );
    }
    println!();
    println!("| method | parts | asked for | {} |", names.join(" | "));
    println!("|---|---|---|{}", "---|".repeat(SCORES.len()));
    for (method, name) in [(ThresholdMethod::Quantile, "quantile"), (ThresholdMethod::TailFit, "tail-fit")] {
        for parts in [50, 100, 300] {
            let wanted = Wanted::new(0.01, 0.95).expect("rates");
            let runs = if method == ThresholdMethod::TailFit { 300 } else { 20_000 };
            let kept = SCORES.map(|s| simulate(&s, method, parts, wanted, runs));
            let cells: Vec<String> =
                kept.iter().map(|k| format!("{:.1} % ({:.2} %)", 100.0 * k.held, 100.0 * k.rejected)).collect();
            println!("| {name} | {parts} | 1 % at 95 % | {} |", cells.join(" | "));
        }
    }
}
