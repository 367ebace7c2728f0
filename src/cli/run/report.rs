//! What `run` prints.

use mudenet_board::ErrorCode;
use mudenet_edge::record::verdict_word;
use mudenet_edge::run::simulate::Outcome;
use mudenet_edge::run::{Latency, Record, RecordSink, Report};
use serde_json::{Value, json};
use std::io::Write;

/// Errors of one kind that are printed before only their number is.
const MOST_OF_A_KIND: u64 = 10;

/// A line on stderr for what a person should know; with `parts` also for each part.
pub(super) struct Console {
    parts: bool,
    errors: [u64; ErrorCode::ALL.len() + 1],
}

impl Console {
    pub(super) fn new(parts: bool) -> Self {
        Self { parts, errors: [0; ErrorCode::ALL.len() + 1] }
    }

    fn error(&mut self, code: ErrorCode) -> Option<String> {
        let count = self.errors.get_mut(usize::from(code.code()))?;
        *count += 1;
        match *count {
            MOST_OF_A_KIND => Some(format!("error {}: {code}; further ones are only counted", code.code())),
            0..MOST_OF_A_KIND => Some(format!("error {}: {code}", code.code())),
            _ => None,
        }
    }
}

impl RecordSink for Console {
    fn put(&mut self, record: &Record) {
        let line = match record {
            Record::Error { code, .. } => self.error(*code),
            Record::Notice { text } => Some(text.clone()),
            Record::Part(part) if self.parts || part.error.is_some() => {
                let score = part.score.map_or_else(|| "no score".to_owned(), |score| format!("score {score:.4}"));
                let error = part.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
                let ms = part.took as f64 / 1000.0;
                Some(format!("part {} {}, {score}, {ms:.1} ms{error}", part.part, verdict_word(part.verdict)))
            }
            Record::Uninspected { part, reason, .. } if self.parts => Some(format!("part {part} {reason:?}: rejected")),
            Record::Settled { part, outcome, .. } if self.parts => {
                Some(format!("part {part} at the gate: {outcome:?}"))
            }
            Record::Part(_) | Record::Uninspected { .. } | Record::Settled { .. } => None,
        };
        if let Some(line) = line {
            // That nobody reads stderr changes nothing on the line.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}

/// Prints what a line did, and where a simulated line's parts went.
pub(super) fn print_report(report: &Report, outcome: Option<&Outcome>, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", as_json(report, outcome))?;
        return Ok(());
    }
    let c = &report.counters;
    if let Some(outcome) = outcome {
        writeln!(out, "left the line, of {} parts:", outcome.parts)?;
        for (count, what) in [
            (outcome.good, "good"),
            (outcome.rejected, "rejected"),
            (outcome.uninspected, "rejected without an inspection"),
            (outcome.good_rejected, "rejected although judged good (a neighbour was rejected, or the gate was held)"),
            (outcome.escaped, "as good without having been judged good"),
        ] {
            writeln!(out, "  {count:>8}  {what}")?;
        }
    }
    writeln!(
        out,
        "{} parts: {} accepted, {} rejected, {} faults, {} triggers missed, {} unseen",
        c.parts(),
        c.accepted,
        c.rejected,
        c.faults,
        c.missed,
        c.unseen
    )?;
    for (what, latency) in [
        ("trigger to result beyond camera and inspection", &report.overhead),
        ("gate output after its due time", &report.pulse),
    ] {
        if latency.count() > 0 {
            let [p50, p99] = [0.5, 0.99].map(|q| latency.quantile(q));
            writeln!(out, "{what}: p50 {p50} µs, p99 {p99} µs, max {} µs over {}", latency.max(), latency.count())?;
        }
    }
    for code in ErrorCode::ALL.into_iter().filter(|code| c.errors_of(*code) > 0) {
        writeln!(out, "error {}, {code}: {} times", code.code(), c.errors_of(code))?;
    }
    if report.records_dropped > 0 || report.unsent > 0 {
        writeln!(out, "{} records dropped, {} messages not sent", report.records_dropped, report.unsent)?;
    }
    Ok(())
}

fn as_json(report: &Report, outcome: Option<&Outcome>) -> Value {
    let times = |latency: &Latency| {
        json!({"count": latency.count(), "p50_us": latency.quantile(0.5), "p99_us": latency.quantile(0.99),
            "max_us": latency.max()})
    };
    let c = &report.counters;
    let errors: serde_json::Map<String, Value> = ErrorCode::ALL
        .into_iter()
        .filter(|code| c.errors_of(*code) > 0)
        .map(|code| (code.to_string(), json!(c.errors_of(code))))
        .collect();
    json!({
        "outcome": outcome, "parts": c.parts(), "accepted": c.accepted, "rejected": c.rejected, "faults": c.faults,
        "missed": c.missed, "unseen": c.unseen, "errors": errors, "overhead": times(&report.overhead),
        "gate": times(&report.pulse), "records_dropped": report.records_dropped, "unsent": report.unsent,
        "stopped_early": report.stopped_early,
    })
}
