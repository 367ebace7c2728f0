//! What a calibration found, for people.

use super::parts::Changes;
use crate::cli::records::row;
use mudenet_edge::decide::{Costs, Scored, Threshold, TradeOff};

/// Rows of the histogram.
const ROWS: usize = 16;
/// Characters of its longest bar.
const LONGEST_BAR: usize = 50;

/// The good parts' scores, lying down, with the threshold's row marked.
pub(super) fn histogram(scores: &[f32], threshold: f32) -> String {
    let all = || scores.iter().copied().chain([threshold]);
    let (min, max) = (all().fold(f32::INFINITY, f32::min), all().fold(f32::NEG_INFINITY, f32::max));
    let width = if max > min { (max - min) / ROWS as f32 } else { 1.0 };
    let row = |score: f32| (((score - min) / width) as usize).min(ROWS - 1);
    let mut counts = [0_usize; ROWS];
    scores.iter().for_each(|score| counts[row(*score)] += 1);
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let mut text = String::from("scores of the good parts\n");
    for (i, count) in counts.iter().enumerate() {
        let bar = "█".repeat((count * LONGEST_BAR).div_ceil(most));
        let mark = if i == row(threshold) { " ◀ threshold" } else { "" };
        text += &format!("{:>10.4}  {count:>5}  {bar}{mark}\n", min + i as f32 * width);
    }
    text
}

pub(super) fn summary(threshold: &Threshold) -> String {
    let mut text = format!("threshold {} from {} good parts\n", threshold.value, threshold.good_parts);
    if let Some(calibration) = &threshold.calibration {
        let (rate, confidence) = (percent(calibration.false_reject), percent(calibration.confidence));
        match calibration.interval {
            None => {
                text += &format!("rejects at most {rate} % of good parts, with {confidence} % confidence\n");
                let expected = percent(calibration.expected_false_reject);
                text += &format!("expected false-reject rate: {expected} %\n");
            }
            Some([low, high]) => {
                let end = |value: Option<f32>| value.map_or("not bounded by so few parts".into(), |v| v.to_string());
                text += &format!("an estimate of the threshold that rejects {rate} % of good parts, not a promise\n");
                text += &format!("{confidence} % confidence interval: {} to {}\n", end(low), end(high));
            }
        }
    }
    text
}

/// Threshold and share of the promise of each zone.
pub(super) fn zones(zones: &[(String, Threshold)]) -> String {
    let mut text = String::new();
    for (name, threshold) in zones {
        text += &format!("zone {name}: threshold {}", threshold.value);
        if let Some([low, high]) = threshold.calibration.as_ref().and_then(|calibration| calibration.interval) {
            let end = |value: Option<f32>| value.map_or("not bounded".into(), |v| v.to_string());
            text += &format!(", between {} and {}", end(low), end(high));
        }
        text.push('\n');
    }
    if let Some(calibration) = zones.first().and_then(|(_, threshold)| threshold.calibration.as_ref()) {
        let (rate, confidence) = (percent(calibration.false_reject), percent(calibration.confidence));
        let areas = zones.len() + 1;
        text += &format!("each of the {areas} areas is allowed {rate} % with {confidence} % confidence\n");
    }
    text
}

/// Shares of rejected good parts that the table shows.
const SHARES: [f64; 7] = [0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1];

/// Rows of the trade-off: thresholds by the share of good parts that they reject, one row for each that differs.
pub(super) fn trade_offs(scored: &Scored) -> Vec<TradeOff> {
    let mut rows: Vec<TradeOff> = SHARES.iter().map(|share| scored.rejecting(*share)).collect();
    rows.dedup_by_key(|row| row.threshold);
    rows
}

/// What this and other thresholds do to the bad parts, and what they cost.
pub(super) fn costs(scored: &Scored, threshold: f32, costs: Costs, bad: usize) -> String {
    let at = scored.at(threshold);
    let mut text = format!("finds {} % of {bad} bad parts\n\n", percent(at.detection));
    text += &format!(
        "cost of 1000 parts, {} % of them bad, a missed one as dear as {} rejected good ones\n",
        percent(costs.bad_share),
        costs.miss
    );
    text += &format!("{:>12}{:>16}{:>12}{:>10}\n", "threshold", "good rejected", "bad found", "cost");
    let cheapest = scored.cheapest();
    let mut rows: Vec<(TradeOff, &str)> = trade_offs(scored).into_iter().map(|row| (row, "")).collect();
    rows.push((at, "  this threshold"));
    rows.push((cheapest, "  cheapest on these parts"));
    rows.sort_by(|a, b| b.0.threshold.total_cmp(&a.0.threshold));
    for (row, name) in rows {
        let (rejected, found) = (percent(row.false_reject) + " %", percent(row.detection) + " %");
        text += &format!("{:>12.4}{rejected:>16}{found:>12}{:>10.1}{name}\n", row.threshold, row.cost);
    }
    text
}

/// Which recorded verdicts the threshold would turn.
pub(super) fn changes(changes: &Changes) -> String {
    let Changes { parts, to_reject, to_accept, newest } = changes;
    let mut text = format!(
        "of {parts} recorded parts, {to_reject} accepted ones would be rejected and {to_accept} rejected ones accepted\n"
    );
    for entry in newest {
        text += &format!("  {}\n", row(entry));
    }
    text
}

/// Per cent, without zeros at the end.
fn percent(rate: f64) -> String {
    format!("{:.4}", 100.0 * rate).trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_histogram_counts_every_part_and_marks_one_row() {
        let scores: Vec<f32> = (0..300).map(|i| (i as f32 * 0.37).sin()).collect();
        let text = histogram(&scores, 0.9);
        let counts = text.lines().skip(1).map(|line| line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap());
        assert_eq!(counts.sum::<usize>(), 300);
        assert_eq!(text.matches("threshold").count(), 1);
        assert!(histogram(&[1.0; 4], 1.0).contains("◀"));
    }
}
