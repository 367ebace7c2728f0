//! One frame whenever it is asked for, so that a script can interleave runtimes.

use super::now;
use super::operators;
use super::report::{Report, Timed};
use anyhow::{Context, bail};
use mudenet_edge::bundle::Bundle;
use mudenet_edge::infer::{Scorer, TractScorer};
use mudenet_edge::map::Branch;
use mudenet_edge::preprocess::ModelInput;
use mudenet_edge::threads;
use serde_json::json;
use std::io::{BufRead, Write};
use std::path::Path;

/// Answers the commands on standard input, a line each: `frame` with milliseconds from the network's input to its
/// outputs, `outputs FILE` with `done` once the computed branches' scores are in the file: structural, logical, memory. The
/// first line printed is a JSON object. Numbers in files are 32-bit floats in the machine's order.
pub(super) fn run(model: &Path, input: &Path, threads: usize) -> anyhow::Result<()> {
    let pool = threads::pool(threads, 0)?;
    let bytes = std::fs::read(input).with_context(|| format!("{}: cannot be read", input.display()))?;
    let values = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_ne_bytes(*bytes)).collect();
    let start = now();
    let bundle = Bundle::load(model)?;
    let (height, width) = (bundle.meta().preprocess.height, bundle.meta().preprocess.width);
    let mut scorer = pool.install(|| TractScorer::new(bundle))?;
    let load_ms = 1e3 * (now() - start).as_secs_f64();
    let input = ModelInput::new(height, width, values)
        .with_context(|| format!("{}: does not fit the model", input.display()))?;
    pool.install(|| scorer.score(&input))?;
    let (peak_gmacs, peak_dot_gmacs) = super::peaks()?;
    let report = Report { peak_gmacs, peak_dot_gmacs, operators: operators(&scorer), ..Report::default() };
    let sum = |f: fn(&Timed) -> f64| report.operators.iter().map(f).sum::<f64>();
    let hello = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "load_ms": load_ms,
        "base_kb": 0,
        "engine": scorer.engine().to_string(),
        "peak_gmacs": peak_gmacs,
        "peak_dot_gmacs": peak_dot_gmacs,
        "floor_ms": report.floor_ms(),
        "direct_mmacs": sum(|o| o.direct_mmacs),
        "planned_mmacs": sum(|o| o.planned_mmacs),
        "not_accelerated": scorer.not_accelerated(),
    });
    let mut out = std::io::stdout();
    writeln!(out, "{hello}")?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("frame", "") => {
                let start = now();
                std::hint::black_box(pool.install(|| scorer.score(&input))?);
                writeln!(out, "{}", 1e3 * (now() - start).as_secs_f64())?;
            }
            ("outputs", file) if !file.is_empty() => {
                let scores = pool.install(|| scorer.score(&input))?;
                let left_out = scorer.left_out();
                let computed = Branch::ALL.into_iter().filter(|branch| !left_out.contains(branch));
                let values = computed.flat_map(|branch| scores.branch(branch));
                let bytes: Vec<u8> = values.flat_map(|value| value.to_ne_bytes()).collect();
                std::fs::write(file, bytes).with_context(|| format!("{file}: cannot be written"))?;
                writeln!(out, "done")?;
            }
            _ => bail!("expected frame or outputs FILE, got {line:?}"),
        }
    }
    Ok(())
}
