//! Time of one frame through the networks: this project's operators against tract alone, in interleaved rounds.
//!
//! `cargo bench --bench infer` runs the full-width model at 256×256 on 1 thread and on all;
//! `cargo bench --bench infer -- WIDTH SIZE ROUNDS` runs another. `benches/peers/run` compares with other runtimes.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a benchmark reads the clock and stops where it fails"
)]

#[path = "../tests/common/model.rs"]
mod model;

use mudenet_edge::infer::{Engine, Isa, Scorer, TractScorer};
use std::time::{Duration, Instant};

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let [width, size, rounds] = [0, 1, 2].map(|i| numbers.get(i).copied().unwrap_or([64, 256, 7][i]));
    let bundle = model::bundle(model::Network { width, rows: size, columns: size, seed: 1 });
    let input = model::input(size, size, 2);
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let mut engines: Vec<Candidate> = Vec::new();
    for isa in Isa::available() {
        for threads in [1, cores] {
            engines.push(Candidate::new(&format!("fused, {}", isa.name()), &bundle, Engine::Fused(isa), threads));
        }
    }
    engines.push(Candidate::new("tract alone", &bundle, Engine::Plain, 1));
    for round in 0..=rounds {
        for candidate in &mut engines {
            let start = Instant::now();
            candidate.pool.install(|| candidate.scorer.score(&input)).expect("the network runs");
            // The first round pays for memory that later ones find in place.
            if round > 0 {
                candidate.times.push(start.elapsed());
            }
        }
    }
    println!("width {width}, {size}×{size}, median and shortest of {rounds} interleaved rounds");
    let reference = engines.last_mut().map(Candidate::median).unwrap_or_default();
    println!("| engine | threads | load ms | frame ms | shortest ms | of tract |\n|---|---|---|---|---|---|");
    for candidate in &mut engines {
        let median = candidate.median();
        println!(
            "| {} | {} | {:.0} | {:.1} | {:.1} | {:.3} |",
            candidate.name,
            candidate.threads,
            1e3 * candidate.load.as_secs_f64(),
            1e3 * median.as_secs_f64(),
            1e3 * candidate.times[0].as_secs_f64(),
            median.as_secs_f64() / reference.as_secs_f64()
        );
    }
}

/// One engine and its times.
struct Candidate {
    name: String,
    threads: usize,
    pool: rayon::ThreadPool,
    scorer: TractScorer,
    load: Duration,
    times: Vec<Duration>,
}

impl Candidate {
    fn new(name: &str, bundle: &mudenet_edge::bundle::Bundle, engine: Engine, threads: usize) -> Self {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
        let start = Instant::now();
        let scorer = TractScorer::with_engine(bundle, engine).expect("the bundle loads");
        Self { name: name.into(), threads, pool, scorer, load: start.elapsed(), times: vec![] }
    }

    fn median(&mut self) -> Duration {
        self.times.sort();
        self.times[self.times.len() / 2]
    }
}
