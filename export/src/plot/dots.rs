//! One dot a seed, by choice and figure.

use super::{COLOURS, Canvas, FAINT, INK, ticks};
use embedded_graphics::text::Alignment;
use image::RgbImage;

const ROW: i32 = 28;
const TOP: i32 = 56;
const BOTTOM: i32 = 36;
const PANEL: i32 = 300;
const GAP: i32 = 36;

/// A choice and its values, a list for each figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// For each column the values of the seeds.
    pub values: Vec<Vec<f64>>,
}

/// A figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
}

/// A panel for each column, a line for each row, the mean as a bar; the first row's mean is drawn through all lines.
pub fn dots(title: &str, columns: &[Column], rows: &[Row]) -> RgbImage {
    let names = 20 + 9 * rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0) as i32;
    let width = names + columns.len() as i32 * (PANEL + GAP);
    let height = TOP + rows.len() as i32 * ROW + BOTTOM;
    let mut canvas = Canvas::new(width as u32, height as u32);
    canvas.text(title, (10, 16), Alignment::Left, INK);
    let line = |row: usize| TOP + row as i32 * ROW + ROW / 2;
    for (i, row) in rows.iter().enumerate() {
        canvas.text(&row.name, (10, line(i)), Alignment::Left, INK);
    }
    for (c, column) in columns.iter().enumerate() {
        let all = || rows.iter().filter_map(|row| row.values.get(c)).flatten().copied();
        let (Some(low), Some(high)) = (all().reduce(f64::min), all().reduce(f64::max)) else { continue };
        let slack = 0.06 * (high - low) + 0.05;
        let (low, high) = (low - slack, high + slack);
        let left = names + c as i32 * (PANEL + GAP);
        let across = |value: f64| left + ((value - low) / (high - low) * f64::from(PANEL)) as i32;
        canvas.text(&column.name, (left + PANEL / 2, 38), Alignment::Center, INK);
        for tick in ticks(low, high) {
            canvas.line((across(tick), TOP), (across(tick), height - BOTTOM), FAINT, 1);
            canvas.text(
                format!("{tick:.4}").trim_end_matches('0').trim_end_matches('.'),
                (across(tick), height - BOTTOM + 16),
                Alignment::Center,
                INK,
            );
        }
        for (i, row) in rows.iter().enumerate() {
            let Some(values) = row.values.get(c).filter(|values| !values.is_empty()) else { continue };
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let x = across(mean);
            if i == 0 {
                canvas.line((x, TOP), (x, height - BOTTOM), COLOURS[4], 1);
            }
            let colour = if i == 0 { COLOURS[0] } else { COLOURS[1] };
            canvas.line((x, line(i) - 10), (x, line(i) + 10), colour, 3);
            for value in values {
                canvas.dot((across(*value), line(i)), 7, colour);
            }
        }
    }
    canvas.0
}
