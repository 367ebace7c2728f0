//! Telling how training goes: a bar on a terminal, a line now and then elsewhere, `metrics.jsonl` always.

use indicatif::{ProgressBar, ProgressStyle};
use std::fs::{File, OpenOptions};
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
    first: Option<(usize, f64)>,
    speed: f64,
    earlier: f64,
}

impl Progress {
    /// Progress of steps of `batch` images, logged to `log` as one JSON object a step.
    ///
    /// # Errors
    /// Where `log` cannot be created.
    pub fn new(log: &Path, batch: usize) -> std::io::Result<Self> {
        Ok(Self::with_log(File::create(log)?, batch))
    }

    /// Progress that goes on at `step`, after `seconds` of training: the log keeps what was before it.
    ///
    /// # Errors
    /// Where `log` cannot be read or written.
    pub fn resume(log: &Path, batch: usize, step: usize, seconds: f64) -> std::io::Result<Self> {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let earlier = |line: &&str| {
            let entry: Option<serde_json::Value> = serde_json::from_str(line).ok();
            entry.and_then(|entry| entry["step"].as_u64()).is_some_and(|logged| logged < step as u64)
        };
        let kept: String = text.lines().filter(earlier).flat_map(|line| [line, "\n"]).collect();
        mudenet_edge::record::write_file(log, |out| out.write_all(kept.as_bytes())).map_err(|e| e.source)?;
        Ok(Self { earlier: seconds, ..Self::with_log(OpenOptions::new().append(true).open(log)?, batch) })
    }

    fn with_log(log: File, batch: usize) -> Self {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(PARTS) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent}% {msg}") {
            bar.set_style(style);
        }
        let now = Instant::now();
        Self {
            bar,
            log: BufWriter::new(log),
            batch,
            started: now,
            last_line: now,
            first: None,
            speed: 0.0,
            earlier: 0.0,
        }
    }

    /// One step is done: its number, the part of the budget that was used before it and the loss terms.
    pub fn step(&mut self, step: usize, fraction: f64, losses: &[(&str, f64)]) {
        let elapsed = self.started.elapsed().as_secs_f64();
        let (first, at) = *self.first.get_or_insert((step, fraction));
        self.speed = ((step + 1 - first) * self.batch) as f64 / elapsed.max(1e-9);
        let left = if fraction > at { elapsed * (1.0 - fraction) / (fraction - at) } else { f64::NAN };
        let terms: Vec<String> = losses.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        let left = if left.is_finite() { format!("{} left", duration(left)) } else { "time left unknown".into() };
        let message = format!("step {step} {} {:.1} images/s {left}", terms.join(" "), self.speed);
        self.bar.set_position((fraction * PARTS as f64) as u64);
        self.bar.set_message(message.clone());
        if self.bar.is_hidden() && self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            eprintln!("{:3.0} % {message}", 100.0 * fraction);
        }
        let mut entry = serde_json::json!({ "step": step, "seconds": self.earlier + elapsed });
        for (name, value) in losses {
            entry[*name] = (*value).into();
        }
        self.write(&entry);
    }

    /// The loss of the held-back images after a step.
    pub fn held_back(&mut self, step: usize, loss: f64) {
        self.write(&serde_json::json!({ "step": step, "held_back": loss }));
    }

    /// Images a second since it began, reading and checkpoints included.
    pub fn speed(&self) -> f64 {
        self.speed
    }

    /// A line that the bar does not hide.
    pub fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    /// Brings the log to the disk.
    pub fn flush(&mut self) {
        // See `write`.
        let _ = self.log.flush();
    }

    fn write(&mut self, entry: &serde_json::Value) {
        // The log is a convenience: a full disk must not end the training, and saving the weights will report it.
        let _ = writeln!(self.log, "{entry}");
    }

    /// Training is over.
    pub fn finish(&mut self) {
        self.bar.finish_and_clear();
        self.flush();
    }
}

/// Hours, minutes and seconds.
fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours} h {minutes:02} min") } else { format!("{minutes} min {seconds:02} s") }
}
