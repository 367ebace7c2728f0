//! What a run found: as JSON and as text.

use super::machine::{Condition, Machine};
use super::statistics::Spread;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Everything that `bench --json` prints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Report {
    pub version: String,
    pub model: String,
    pub model_sha256: String,
    /// Rows and columns of the network's input.
    pub input: [usize; 2],
    pub machine: Machine,
    /// `fused, avx512` or `plain tract`.
    pub engine: String,
    /// Threads that share one frame.
    pub threads: usize,
    /// Frames under way at a time.
    pub streams: usize,
    /// Reading and preparing the model.
    pub load_ms: f64,
    /// From the start of loading to the first verdict.
    pub first_verdict_ms: f64,
    pub warm_up_frames: usize,
    pub frames: usize,
    /// From the encoded picture to the sent verdict, milliseconds.
    pub latency: Spread,
    pub frames_per_second: f64,
    /// Why the figures are no basis for a comparison.
    pub unstable: Vec<String>,
    pub stages: Vec<Stage>,
    /// Multiply-adds a second of one core, 10⁹, from registers to registers.
    pub peak_gmacs: f64,
    /// The same of bytes; absent where this processor has no such products.
    #[serde(default)]
    pub peak_dot_gmacs: Option<f64>,
    pub operators: Vec<Timed>,
    /// Where it was asked for.
    #[serde(default)]
    pub cascade: Option<Cascade>,
    /// Convolutions that tract computes, with the reason.
    pub not_accelerated: Vec<String>,
    pub before: Condition,
    pub after: Condition,
    pub peak_rss_mb: Option<f64>,
}

/// A part of a frame's path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Stage {
    pub name: String,
    /// Milliseconds.
    pub p50: f64,
    pub p99: f64,
}

/// Milliseconds of the networks in a cascade, medians.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Cascade {
    /// Where the verdict is settled without the logical branch.
    pub settled_ms: f64,
    /// Where it is not.
    pub whole_ms: f64,
}

/// An operator of the engine with its time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Timed {
    pub name: String,
    pub method: String,
    /// Channels, rows, columns of its result.
    pub shape: [usize; 3],
    /// Multiply-adds a frame by definition, 10⁶.
    pub direct_mmacs: f64,
    /// The same as computed.
    pub planned_mmacs: f64,
    /// Whether bytes are multiplied, not f32.
    #[serde(default)]
    pub integer: bool,
    /// Milliseconds of one core a frame; absent where only the plan was asked for.
    pub ms: Option<f64>,
}

impl Report {
    /// The text for people.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        let mut line = |text: String| {
            out += &text;
            out.push('\n');
        };
        let [height, width] = self.input;
        line(format!("model      {} ({height}×{width}), {}", self.model, self.engine));
        line(format!(
            "machine    {}, {} cores{}{}",
            self.machine.cpu.as_deref().unwrap_or("unknown processor"),
            self.machine.cores,
            self.machine.affinity.as_ref().map_or_else(String::new, |cores| format!(", allowed {cores}")),
            match &self.machine.governors[..] {
                [] => String::new(),
                governors => format!(", governor {}", governors.join(" and ")),
            }
        ));
        line(format!("condition  before {}; after {}", self.before, self.after));
        line(format!("load       {:.0} ms, first verdict after {:.0} ms", self.load_ms, self.first_verdict_ms));
        let Spread { p50, p90, p95, p99, max, mean, cov } = self.latency;
        line(format!(
            "frames     {} after {} to warm up, {} at a time on {} thread{} each",
            self.frames,
            self.warm_up_frames,
            self.streams,
            self.threads,
            if self.threads == 1 { "" } else { "s" }
        ));
        line(format!("latency    p50 {p50:.2}  p90 {p90:.2}  p95 {p95:.2}  p99 {p99:.2}  max {max:.2} ms"));
        line(format!("           mean {mean:.2} ms ± {:.1} %, {:.2} frames/s", 100.0 * cov, self.frames_per_second));
        if let Some(rss) = self.peak_rss_mb {
            line(format!("memory     {rss:.0} MB at most"));
        }
        for reason in &self.unstable {
            line(format!("UNSTABLE   {reason}"));
        }
        if let Some(Cascade { settled_ms, whole_ms }) = self.cascade {
            let settled = format!("{settled_ms:.2} ms where the structural branch settles the verdict");
            line(format!("cascade    {settled}, {whole_ms:.2} ms where not (networks alone, p50)"));
        }
        line("\nstage         p50 ms     p99 ms".to_owned());
        for stage in &self.stages {
            line(format!("{:10} {:9.3}  {:9.3}", stage.name, stage.p50, stage.p99));
        }
        out + &self.operators_text()
    }

    /// The most that one core does of f32, or of bytes, 10⁹ multiply-adds a second.
    fn peak(&self, integer: bool) -> f64 {
        self.peak_dot_gmacs.filter(|_| integer).unwrap_or(self.peak_gmacs)
    }

    /// The least time that one core needs for what is planned, milliseconds.
    pub(super) fn floor_ms(&self) -> f64 {
        self.operators.iter().map(|operator| operator.planned_mmacs / self.peak(operator.integer)).sum()
    }

    /// The table of operators, equal ones in one row; what it shows depends on whether they were timed.
    pub(super) fn operators_text(&self) -> String {
        let mut out = String::new();
        let mut rows: Vec<(usize, Timed)> = Vec::new();
        for operator in &self.operators {
            let same = |row: &&mut (usize, Timed)| {
                (&row.1.method, row.1.shape, row.1.direct_mmacs)
                    == (&operator.method, operator.shape, operator.direct_mmacs)
            };
            match rows.iter_mut().find(same) {
                Some((count, row)) => {
                    *count += 1;
                    row.planned_mmacs += operator.planned_mmacs;
                    row.ms = row.ms.zip(operator.ms).map(|(a, b)| a + b);
                }
                None => rows.push((1, operator.clone())),
            }
        }
        rows.sort_by(|a, b| b.1.ms.unwrap_or(b.1.planned_mmacs).total_cmp(&a.1.ms.unwrap_or(a.1.planned_mmacs)));
        if !rows.is_empty() {
            let _ = writeln!(out, "\noperators {:39} MMAC as planned        ms   GMAC/s   of peak", "");
        }
        for (count, row) in &rows {
            let [channels, height, width] = row.shape;
            let what = format!("{count} × {} to {channels}×{height}×{width}", row.method);
            let time = row.ms.map_or_else(String::new, |ms| {
                let rate = row.planned_mmacs / ms;
                format!("  {ms:8.2} {rate:8.1}   {:5.0} %", 100.0 * rate / self.peak(row.integer))
            });
            let _ = writeln!(out, "{what:54} {:10.1}{time}", row.planned_mmacs);
        }
        let sum = |f: fn(&Timed) -> f64| self.operators.iter().map(f).sum::<f64>() / 1e3;
        if !rows.is_empty() {
            let (direct, planned) = (sum(|o| o.direct_mmacs), sum(|o| o.planned_mmacs));
            let _ = writeln!(out, "in all {direct:.2} GMAC by definition, {planned:.2} GMAC as planned");
        }
        if self.peak_gmacs > 0.0 && !rows.is_empty() {
            let bytes = self.peak_dot_gmacs.map_or_else(String::new, |peak| format!(", {peak:.0} of bytes"));
            let (peak, floor) = (self.peak_gmacs, self.floor_ms());
            let _ = writeln!(out, "one core does {peak:.1} GMAC/s at most{bytes}: {floor:.1} ms for the plan");
        }
        for left in &self.not_accelerated {
            let _ = writeln!(out, "not accelerated: {left}");
        }
        out
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mhz = self.mhz.map(|mhz| format!("{mhz:.0} MHz"));
        let celsius = self.celsius.map(|celsius| format!("{celsius:.0} °C"));
        let throttled = self.throttled.map(|count| format!("{count} times throttled"));
        let known: Vec<String> = [mhz, celsius, throttled].into_iter().flatten().collect();
        f.write_str(&if known.is_empty() { "not told by the system".into() } else { known.join(", ") })
    }
}
