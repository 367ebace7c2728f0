//! Hours of frames, to see heat and leaks.

use super::machine::{Condition, peak_rss_mb};
use super::measure::{Path, frames};
use super::now;
use super::statistics::Spread;
use crate::cli::ACCEPTED;
use serde_json::json;
use std::io::Write;
use std::time::Duration;

/// Time between lines.
const INTERVAL: Duration = Duration::from_secs(60);

/// `90s`, `30m` or `8h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("expected a time such as 90s, 30m or 8h, got {text:?}");
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        _ => return Err(wrong()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    if count == 0 { Err(wrong()) } else { Ok(Duration::from_secs(count * unit)) }
}

/// Runs for `time`; a line an interval, and at the end how the last interval compares with the first.
pub(super) fn run(path: &mut Path, time: Duration, json: bool, stop: &dyn Fn() -> bool) -> anyhow::Result<u8> {
    path.warm_up()?;
    let (start, mut out) = (now(), std::io::stdout());
    let mut first: Option<(Spread, Option<f64>)> = None;
    loop {
        let left = time.saturating_sub(now() - start);
        let times: Vec<f64> =
            frames(path, 1, left.min(INTERVAL), stop)?.iter().map(|stages| stages.iter().sum()).collect();
        let (spread, condition, memory) = (Spread::of(&times), Condition::now(), peak_rss_mb());
        let seconds = (now() - start).as_secs();
        if json {
            let line = json!({
                "seconds": seconds, "frames": times.len(), "latency": spread, "condition": condition,
                "peak_rss_mb": memory,
            });
            writeln!(out, "{line}")?;
        } else {
            let memory = memory.map_or_else(|| "unknown".to_owned(), |mb| format!("{mb:.0} MB"));
            writeln!(
                out,
                "{seconds:6} s  {:6} frames  p50 {:.2}  p99 {:.2}  max {:.2} ms  {memory}  {condition}",
                times.len(),
                spread.p50,
                spread.p99,
                spread.max
            )?;
        }
        let (before, memory_before) = first.get_or_insert_with(|| (spread.clone(), memory));
        if now() - start >= time {
            if !json {
                let growth = memory.zip(*memory_before).map_or(0.0, |(last, first)| last - first);
                let slower = 100.0 * (spread.p50 / before.p50 - 1.0);
                writeln!(out, "from the first to the last line: median {slower:+.1} %, memory {growth:+.1} MB")?;
            }
            return Ok(ACCEPTED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("30m"), Ok(Duration::from_secs(1800)));
        assert_eq!(duration("8h"), Ok(Duration::from_secs(28_800)));
        for text in ["", "m", "30", "-1m", "0s", "1.5h", "30µ"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
