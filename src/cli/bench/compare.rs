//! Two runs side by side.

use super::report::Report;
use anyhow::Context;
use std::fmt::Write;
use std::path::Path;

pub(super) fn load(path: &Path) -> anyhow::Result<Report> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{}: is not what bench --json prints", path.display()))
}

/// The figures of both runs and the second one's share of the first one's.
pub(super) fn text(a: &Report, b: &Report) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out += &text;
        out.push('\n');
    };
    for (what, a, b) in [
        ("model", &a.model_sha256, &b.model_sha256),
        ("machine", &format!("{:?}", a.machine), &format!("{:?}", b.machine)),
        ("engine", &a.engine, &b.engine),
        ("threads", &format!("{} × {}", a.streams, a.threads), &format!("{} × {}", b.streams, b.threads)),
    ] {
        if a != b {
            line(format!("the runs differ in {what}: {a} and {b}"));
        }
    }
    for (name, report) in [("first", a), ("second", b)] {
        for reason in &report.unstable {
            line(format!("UNSTABLE   the {name} run: {reason}"));
        }
    }
    line(format!("{:22} {:>10} {:>10} {:>8}", "", "first", "second", "ratio"));
    let mut row = |name: &str, a: f64, b: f64| {
        line(format!("{name:22} {a:10.2} {b:10.2} {:8.3}", b / a));
    };
    row("latency p50 ms", a.latency.p50, b.latency.p50);
    row("latency p99 ms", a.latency.p99, b.latency.p99);
    row("frames/s", a.frames_per_second, b.frames_per_second);
    row("load ms", a.load_ms, b.load_ms);
    if let Some((a, b)) = a.peak_rss_mb.zip(b.peak_rss_mb) {
        row("memory MB", a, b);
    }
    for stage in &a.stages {
        if let Some(other) = b.stages.iter().find(|other| other.name == stage.name) {
            row(&format!("{} p50 ms", stage.name), stage.p50, other.p50);
        }
    }
    let _ = writeln!(out, "{}", verdict(a, b));
    out
}

/// Whether the medians differ by more than the runs vary.
fn verdict(a: &Report, b: &Report) -> String {
    let ratio = b.latency.p50 / a.latency.p50;
    let noise = a.latency.cov.hypot(b.latency.cov);
    if (ratio - 1.0).abs() <= noise {
        format!("the medians differ by less than the runs vary ({:.1} %)", 100.0 * noise)
    } else {
        format!("the second run's median is {ratio:.3} of the first one's; the runs vary by {:.1} %", 100.0 * noise)
    }
}
