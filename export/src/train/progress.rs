//! Telling how training goes: a bar on a terminal, a line now and then elsewhere, `metrics.jsonl` always.

use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

const LINE_EVERY: Duration = Duration::from_secs(30);
const PARTS: u64 = 10_000;

/// Where progress goes.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    log: BufWriter<File>,
    batch: usize,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    /// Progress of steps of `batch` images, logged to `log` as one JSON object a step.
    ///
    /// # Errors
    /// Where `log` cannot be created.
    pub fn new(log: &Path, batch: usize) -> std::io::Result<Self> {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(PARTS) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent}% {elapsed} + {eta} {msg}") {
            bar.set_style(style);
        }
        let now = Instant::now();
        Ok(Self { bar, log: BufWriter::new(File::create(log)?), batch, started: now, last_line: now })
    }

    /// One step is done: its number, the used part of the budget and the loss terms.
    pub fn step(&mut self, step: usize, fraction: f64, losses: &[(&str, f64)]) {
        let elapsed = self.started.elapsed();
        let speed = ((step + 1) * self.batch) as f64 / elapsed.as_secs_f64().max(1e-9);
        let terms: Vec<String> = losses.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        let message = format!("step {step} {} {speed:.1} images/s", terms.join(" "));
        self.bar.set_position((fraction * PARTS as f64) as u64);
        self.bar.set_message(message.clone());
        if self.bar.is_hidden() && self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            eprintln!("{:3.0} % {:.1} min {message}", 100.0 * fraction, elapsed.as_secs_f64() / 60.0);
        }
        let mut entry = serde_json::json!({ "step": step, "seconds": elapsed.as_secs_f64() });
        for (name, value) in losses {
            entry[*name] = (*value).into();
        }
        // The log is a convenience: a full disk must not end the training, and saving the weights will report it.
        let _ = writeln!(self.log, "{entry}");
    }

    /// Training is over.
    pub fn finish(&mut self) {
        self.bar.finish_and_clear();
        let _ = self.log.flush();
    }
}
