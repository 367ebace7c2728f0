//! What an ablation found, as CSV, Markdown and picture.

use super::{Outcome, Trial};
use crate::plot::{Column, Row, dots};
use image::RgbImage;

/// One trial with one seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// The choice.
    pub trial: Trial,
    /// The seed.
    pub seed: u64,
    /// Its figures.
    pub outcome: Outcome,
}

/// One figure of an outcome.
type Of = fn(&Outcome) -> Option<f64>;

const FIGURES: [(&str, Of); 3] = [("I-AUROC", |o| o.image_auroc), ("P-AUROC", |o| o.pixel_auroc), ("PRO", |o| o.pro)];

/// One line a trial and seed; figures in percent, empty where undefined.
pub fn csv(measurements: &[Measurement]) -> String {
    let mut text = String::from("assumption,choice,seed,image_auroc,pixel_auroc,pro\n");
    for Measurement { trial, seed, outcome } in measurements {
        let figures = FIGURES.map(|(_, of)| of(outcome).map_or(String::new(), |v| format!("{v:.3}")));
        text += &format!("{},{},{seed},{}\n", trial.key, trial.choice, figures.join(","));
    }
    text
}

/// A table for ASSUMPTIONS.md: for each choice the mean over the seeds ± half their range, and the mean difference from
/// the default with the same seed, lowest to highest.
pub fn markdown(measurements: &[Measurement]) -> String {
    let mut text = String::from(
        "| | I-AUROC | P-AUROC | PRO | I-AUROC against default | PRO against default |\n|---|---|---|---|---|---|\n",
    );
    for trial in trials(measurements) {
        let mut cells: Vec<String> = FIGURES.iter().map(|(_, of)| spread(&values(measurements, trial, *of))).collect();
        for of in [FIGURES[0].1, FIGURES[2].1] {
            cells.push(if trial.key.is_empty() { "–".into() } else { difference(measurements, trial, of) });
        }
        text += &format!("| {} | {} |\n", label(trial), cells.join(" | "));
    }
    text
}

/// A dot for each measurement.
pub fn picture(title: &str, measurements: &[Measurement]) -> RgbImage {
    let columns: Vec<Column> = FIGURES.iter().map(|(name, _)| Column { name: format!("{name} (%)") }).collect();
    let row = |trial: &Trial| Row {
        name: label(trial),
        values: FIGURES.iter().map(|(_, of)| values(measurements, trial, *of)).collect(),
    };
    dots(title, &columns, &trials(measurements).into_iter().map(row).collect::<Vec<_>>())
}

fn trials(measurements: &[Measurement]) -> Vec<&Trial> {
    let mut trials: Vec<&Trial> = Vec::new();
    for measurement in measurements {
        if !trials.contains(&&measurement.trial) {
            trials.push(&measurement.trial);
        }
    }
    trials
}

fn label(trial: &Trial) -> String {
    format!("{} {}", trial.key, trial.choice).trim().to_owned()
}

fn values(measurements: &[Measurement], trial: &Trial, of: Of) -> Vec<f64> {
    measurements.iter().filter(|m| m.trial == *trial).filter_map(|m| of(&m.outcome)).collect()
}

fn spread(values: &[f64]) -> String {
    let Some((mean, low, high)) = summary(values) else { return "–".into() };
    format!("{mean:.1} ± {:.1}", (high - low) / 2.0)
}

fn difference(measurements: &[Measurement], trial: &Trial, of: Of) -> String {
    let default = |seed| measurements.iter().find(|m| m.trial.key.is_empty() && m.seed == seed);
    let pairs = measurements.iter().filter(|m| m.trial == *trial);
    let differences: Vec<f64> = pairs.filter_map(|m| Some(of(&m.outcome)? - of(&default(m.seed)?.outcome)?)).collect();
    let Some((mean, low, high)) = summary(&differences) else { return "–".into() };
    format!("{mean:+.1} ({low:+.1} to {high:+.1})")
}

/// Mean, lowest and highest.
fn summary(values: &[f64]) -> Option<(f64, f64, f64)> {
    let (low, high) = (values.iter().copied().reduce(f64::min)?, values.iter().copied().reduce(f64::max)?);
    Some((values.iter().sum::<f64>() / values.len() as f64, low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurement(key: &str, choice: &str, seed: u64, figures: [f64; 3]) -> Measurement {
        let trial = Trial { key: key.into(), choice: choice.into(), distill: vec![], train: vec![], freeze: vec![] };
        let [image, pixel, pro] = figures.map(Some);
        Measurement { trial, seed, outcome: Outcome { image_auroc: image, pixel_auroc: pixel, pro } }
    }

    #[test]
    fn tables_hold_means_ranges_and_paired_differences() {
        let mut all = vec![
            measurement("", "default", 1, [90.0, 95.0, 80.0]),
            measurement("", "default", 2, [94.0, 96.0, 84.0]),
            measurement("A-002", "max", 1, [91.0, 95.0, 78.0]),
            measurement("A-002", "max", 2, [96.0, 96.0, 83.0]),
        ];
        let table = markdown(&all);
        let lines: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(lines[0], "| default | 92.0 ± 2.0 | 95.5 ± 0.5 | 82.0 ± 2.0 | – | – |");
        let differences = "+1.5 (+1.0 to +2.0) | -1.5 (-2.0 to -1.0)";
        assert_eq!(lines[1], format!("| A-002 max | 93.5 ± 2.5 | 95.5 ± 0.5 | 80.5 ± 2.5 | {differences} |"));
        all[3].outcome.pro = None;
        assert!(csv(&all).ends_with("A-002,max,2,96.000,96.000,\n"));
        assert_eq!(csv(&all).lines().count(), 5);
    }
}
