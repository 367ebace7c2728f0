//! `--assert p99<40ms`.

use super::report::Report;
use std::str::FromStr;

/// A bound on one figure of a report.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Assertion {
    text: String,
    figure: Figure,
    below: bool,
    or_equal: bool,
    bound: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Figure {
    P50,
    P90,
    P95,
    P99,
    Max,
    Mean,
    Cov,
    FramesPerSecond,
    Rss,
    Load,
    First,
}

/// Name, unit, figure.
const FIGURES: [(&str, &str, Figure); 11] = [
    ("p50", "ms", Figure::P50),
    ("p90", "ms", Figure::P90),
    ("p95", "ms", Figure::P95),
    ("p99", "ms", Figure::P99),
    ("max", "ms", Figure::Max),
    ("mean", "ms", Figure::Mean),
    ("cov", "%", Figure::Cov),
    ("fps", "", Figure::FramesPerSecond),
    ("rss", "MB", Figure::Rss),
    ("load", "ms", Figure::Load),
    ("first", "ms", Figure::First),
];

impl FromStr for Assertion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names =
            || FIGURES.map(|(name, unit, _)| format!("{name}{}{unit}", if unit.is_empty() { "" } else { " in " }));
        let wrong =
            || format!("expected FIGURE<VALUE or FIGURE>VALUE with one of {}, got {text:?}", names().join(", "));
        let at = text.find(['<', '>']).ok_or_else(wrong)?;
        let (name, rest) = text.split_at(at);
        let below = rest.starts_with('<');
        let value = rest[1..].trim();
        let (or_equal, value) = value.strip_prefix('=').map_or((false, value), |value| (true, value.trim()));
        let (_, unit, figure) = *FIGURES.iter().find(|(n, _, _)| *n == name.trim()).ok_or_else(wrong)?;
        let bound = value.strip_suffix(unit).unwrap_or(value).trim().parse().map_err(|_| wrong())?;
        Ok(Self { text: text.to_owned(), figure, below, or_equal, bound })
    }
}

impl Assertion {
    /// The sentence that says how `report` breaks the bound; none where it keeps it. A figure that the system does not
    /// tell breaks it.
    pub(super) fn broken_by(&self, report: &Report) -> Option<String> {
        let latency = &report.latency;
        let got = match self.figure {
            Figure::P50 => Some(latency.p50),
            Figure::P90 => Some(latency.p90),
            Figure::P95 => Some(latency.p95),
            Figure::P99 => Some(latency.p99),
            Figure::Max => Some(latency.max),
            Figure::Mean => Some(latency.mean),
            Figure::Cov => Some(100.0 * latency.cov),
            Figure::FramesPerSecond => Some(report.frames_per_second),
            Figure::Rss => report.peak_rss_mb,
            Figure::Load => Some(report.load_ms),
            Figure::First => Some(report.first_verdict_ms),
        };
        let kept = got.is_some_and(|got| match (self.below, self.or_equal) {
            (true, false) => got < self.bound,
            (true, true) => got <= self.bound,
            (false, false) => got > self.bound,
            (false, true) => got >= self.bound,
        });
        let got = got.map_or_else(|| "not known here".to_owned(), |got| format!("{got:.2}"));
        (!kept).then(|| format!("{} does not hold: got {got}", self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(text: &str, report: &Report) -> bool {
        text.parse::<Assertion>().unwrap().broken_by(report).is_some()
    }

    #[test]
    fn bounds_are_kept_or_broken() {
        let mut report = Report { frames_per_second: 25.0, ..Report::default() };
        report.latency.p99 = 40.0;
        report.latency.cov = 0.02;
        assert!(broken("p99<40ms", &report) && !broken("p99 <= 40 ms", &report) && !broken("p99<40.1", &report));
        assert!(!broken("fps>24", &report) && broken("fps>25", &report) && !broken("fps>=25", &report));
        assert!(!broken("cov<3%", &report) && broken("cov<1%", &report));
        assert!(broken("rss<100MB", &report), "a figure that is not known proves nothing");
        let sentence = "p99<39ms".parse::<Assertion>().unwrap().broken_by(&report).unwrap();
        assert_eq!(sentence, "p99<39ms does not hold: got 40.00");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["p99", "p98<4ms", "p99<", "p99<4s", "<4ms", "p99=4ms"] {
            assert!(text.parse::<Assertion>().is_err(), "{text}");
        }
    }
}
