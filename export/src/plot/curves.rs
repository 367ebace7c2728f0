//! Loss curves over the steps of a training.

use super::{COLOURS, Canvas, FAINT, INK, ticks};
use embedded_graphics::text::Alignment;
use image::RgbImage;
use std::collections::BTreeMap;
use std::path::Path;

const WIDTH: i32 = 900;
const HEIGHT: i32 = 480;
const LEFT: i32 = 90;
const RIGHT: i32 = 20;
const TOP: i32 = 50;
const BOTTOM: i32 = 60;

/// One loss term by step.
pub type Curve = Vec<(f64, f64)>;

/// The loss terms in a run's `metrics.jsonl`; lines that are no JSON objects, as a kill can leave, are passed over.
///
/// # Errors
/// Where the file cannot be read.
pub fn read_metrics(path: &Path) -> std::io::Result<BTreeMap<String, Curve>> {
    let mut curves = BTreeMap::<String, Curve>::new();
    for line in std::fs::read_to_string(path)?.lines() {
        let Ok(serde_json::Value::Object(entry)) = serde_json::from_str(line) else { continue };
        let Some(step) = entry.get("step").and_then(serde_json::Value::as_f64) else { continue };
        for (name, value) in &entry {
            if let Some(value) = value.as_f64().filter(|_| name != "step" && name != "seconds") {
                curves.entry(name.clone()).or_default().push((step, value));
            }
        }
    }
    Ok(curves)
}

/// Curves over a logarithmic axis, each the mean of its values in every column of pixels; `None` where nothing is
/// positive.
pub fn curves(title: &str, curves: &BTreeMap<String, Curve>) -> Option<RgbImage> {
    let usable = |(_, y): &&(f64, f64)| y.is_finite() && *y > 0.0;
    let points = || curves.values().flatten().filter(usable);
    let (low, high) = (points().map(|p| p.1).reduce(f64::min)?, points().map(|p| p.1).reduce(f64::max)?);
    let (low, high) = (low.log10() - 0.02, high.log10() + 0.02);
    let last = points().map(|p| p.0).reduce(f64::max)?.max(1.0);
    let across = |step: f64| LEFT + (step / last * f64::from(WIDTH - LEFT - RIGHT)) as i32;
    let down = |log: f64| TOP + ((high - log) / (high - low) * f64::from(HEIGHT - TOP - BOTTOM)) as i32;

    let mut canvas = Canvas::new(WIDTH as u32, HEIGHT as u32);
    canvas.text(title, (LEFT, 18), Alignment::Left, INK);
    for tick in ticks(0.0, last) {
        canvas.line((across(tick), TOP), (across(tick), HEIGHT - BOTTOM), FAINT, 1);
        canvas.text(&format!("{tick}"), (across(tick), HEIGHT - BOTTOM + 16), Alignment::Center, INK);
    }
    for power in (low.floor() as i32)..=(high.ceil() as i32) {
        for digit in [1.0, 2.0, 5.0] {
            let value = digit * 10f64.powi(power);
            if (low..=high).contains(&value.log10()) {
                let y = down(value.log10());
                canvas.line((LEFT, y), (WIDTH - RIGHT, y), FAINT, 1);
                canvas.text(&format!("{value}"), (LEFT - 8, y), Alignment::Right, INK);
            }
        }
    }
    canvas.text("step", ((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 20), Alignment::Center, INK);
    let mut legend = LEFT;
    for (i, (name, curve)) in curves.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        canvas.line((legend, 38), (legend + 20, 38), colour, 3);
        canvas.text(name, (legend + 26, 38), Alignment::Left, INK);
        legend += 26 + 9 * name.len() as i32 + 24;
        let mut columns = BTreeMap::<i32, (f64, f64)>::new();
        for (step, value) in curve.iter().filter(usable) {
            let (sum, count) = columns.entry(across(*step)).or_default();
            *sum += value;
            *count += 1.0;
        }
        let path: Vec<(i32, i32)> = columns.iter().map(|(x, (sum, n))| (*x, down((sum / n).log10()))).collect();
        for pair in path.windows(2) {
            canvas.line(pair[0], pair[1], colour, 2);
        }
        for at in path.iter().filter(|_| path.len() < 40) {
            canvas.dot(*at, 5, colour);
        }
    }
    Some(canvas.0)
}
