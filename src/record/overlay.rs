//! A picture with what was found on it.

use super::canvas::{Colour, Font, blend, lines, mix, rectangle, text};
use super::contour::contour;
use super::heat::{HOTTEST, Heat, colour, position};
use super::line::{driven_by, verdict_word};
use crate::capture::Frame;
use crate::decide::Verdict;
use crate::inspector::Inspection;
use crate::map::AnomalyMap;
use image::RgbImage;

/// Colour of the contour: far from every colour of the heat map.
const CONTOUR: Colour = [0, 229, 255];
const BLACK: Colour = [0; 3];
const WHITE: Colour = [255; 3];

/// The picture at its own size, under the heat map of its scores, with the contour where the map is at the threshold
/// and, where there is room, a banner of verdict, score and threshold (of a reject also
/// the branch and level that drove it, and its zone) and a legend of the colours.
///
/// `map` is the inspection's map at the picture's size. Opacity and colour follow the ratio of score to threshold
/// (inferno, up to 8 times the threshold), so that a good part stays almost clean.
pub fn overlay(frame: &Frame, map: &AnomalyMap, inspection: &Inspection, threshold: f32) -> RgbImage {
    let mut picture = heat_picture(frame, map, threshold);
    furniture(&mut picture, inspection, threshold);
    picture
}

/// Like [`overlay`], without banner and legend.
pub fn heat_picture(frame: &Frame, map: &AnomalyMap, threshold: f32) -> RgbImage {
    let (width, height) = (frame.width() as u32, frame.height() as u32);
    let mut picture =
        RgbImage::from_raw(width, height, frame.to_rgb8()).unwrap_or_else(|| RgbImage::new(width, height));
    let heat = Heat::new(threshold);
    for (pixel, score) in picture.pixels_mut().zip(&map.0.values) {
        let (colour, opacity) = heat.of(*score);
        if opacity > 0.0 {
            pixel.0 = mix(pixel.0, colour, opacity);
        }
    }
    let segments = contour(&map.0, threshold);
    let side = width.min(height);
    let line = (side as f32 / 320.0).max(1.5);
    lines(&mut picture, &segments, line + 2.0, BLACK, 0.55);
    lines(&mut picture, &segments, line, CONTOUR, 1.0);
    picture
}

/// Colour of a verdict, dark enough for white text; it never stands without the word.
pub(super) fn verdict_colour(verdict: Verdict) -> Colour {
    match verdict {
        Verdict::Accept => [22, 121, 71],
        Verdict::Reject => [200, 30, 45],
        Verdict::Fault => [122, 62, 157],
    }
}

/// Banner and legend, at the end of the picture that is farther from the highest score.
fn furniture(picture: &mut RgbImage, inspection: &Inspection, threshold: f32) {
    let (width, height) = picture.dimensions();
    let font = Font::for_side(width.min(height));
    let word = verdict_word(inspection.verdict).to_uppercase();
    let sign = if inspection.score.value > threshold { ">" } else { "<=" };
    let numbers = format!("{} {sign} {}", short(inspection.score.value), short(threshold));
    let pad = font.height() / 3;
    let box_height = font.height() + pad;
    if height < 4 * box_height || width < font.width(word.len()) + 4 * pad {
        return;
    }
    let at_top = 2 * inspection.score.row >= inspection.map.0.height;
    let y = i64::from(if at_top { pad } else { height - pad - box_height });
    let mut x = i64::from(pad);
    let mut label = |words: &str, colour, opacity| {
        let box_width = font.width(words.chars().count()) + 2 * pad;
        if x + i64::from(box_width + pad) <= i64::from(width) {
            rectangle(picture, (x, y), (box_width, box_height), colour, opacity);
            text(picture, (x + i64::from(pad), y + i64::from(pad / 2)), font, WHITE, words);
            x += i64::from(box_width);
        }
    };
    label(&word, verdict_colour(inspection.verdict), 0.95);
    label(&numbers, BLACK, 0.6);
    if inspection.verdict == Verdict::Reject && inspection.score.level > 0 {
        let zone = inspection.zone.as_ref().map(|zone| format!("{zone}: ")).unwrap_or_default();
        label(&(zone + &driven_by(inspection.score.branch, inspection.score.level)), BLACK, 0.6);
    }
    legend(picture, font, (x + i64::from(pad), y), box_height);
}

/// The colours from 0 to the hottest, marked with multiples of the threshold, in the room right of `left`.
fn legend(picture: &mut RgbImage, font: Font, (left, y): (i64, i64), box_height: u32) {
    let width = i64::from(picture.width());
    let pad = i64::from(font.height() / 3);
    let marks = [(0.0, "0"), (1.0, "T"), (2.0, "2T"), (4.0, "4T"), (HOTTEST, "8T")];
    let bar = i64::from(font.width(18)).min(width * 2 / 5);
    let room = bar + i64::from(font.width(2)) + 2 * pad;
    let x = width - pad - room;
    if x < left || bar < i64::from(font.width(14)) {
        return;
    }
    rectangle(picture, (x, y), (room as u32, box_height), BLACK, 0.6);
    let from = x + pad + i64::from(font.width(1)) / 2;
    let strip = i64::from(box_height) / 4;
    for column in 0..bar {
        let colour = colour(column as f32 / (bar - 1) as f32);
        for row in 0..strip {
            blend(picture, from + column, y + 2 + row, colour, 1.0);
        }
    }
    let below = y + i64::from(box_height - font.height());
    for (ratio, name) in marks {
        let at = from + (position(ratio) * (bar - 1) as f32) as i64;
        let shift = i64::from(font.width(name.len())) / 2;
        text(picture, (at - shift, below), font, WHITE, name);
        rectangle(picture, (at, y + 2), (1, strip as u32), WHITE, if ratio == 1.0 { 1.0 } else { 0.4 });
    }
}

/// A number with four digits that count.
fn short(value: f32) -> String {
    match value.abs() {
        1e-3..10.0 | 0.0 => format!("{value:.3}"),
        10.0..100.0 => format!("{value:.2}"),
        100.0..10_000.0 => format!("{value:.1}"),
        _ => format!("{value:.3e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Samples;
    use crate::map::{Branch, Grid, ImageScore};

    const SIDE: usize = 320;

    /// A grey picture and a cone of scores with its tip at (x 200, y 220).
    fn cone(tip: f32) -> (Frame, Inspection) {
        let frame = Frame::new(SIDE, SIDE, Samples::Rgb8(vec![90; 3 * SIDE * SIDE])).unwrap();
        let score = |i: usize| tip - 0.02 * ((i % SIDE) as f32 - 200.0).hypot((i / SIDE) as f32 - 220.0);
        let map = AnomalyMap(Grid { height: SIDE, width: SIDE, values: (0..SIDE * SIDE).map(score).collect() });
        let score = ImageScore { value: tip, row: 220, column: 200, branch: Branch::Structural, level: 1 };
        let verdict = if tip > 1.0 { Verdict::Reject } else { Verdict::Accept };
        (frame, Inspection { map, score, verdict, areas: vec![], zone: None })
    }

    #[test]
    fn the_contour_lies_where_the_map_is_at_the_threshold() {
        let (frame, inspection) = cone(1.8);
        let picture = overlay(&frame, &inspection.map, &inspection, 1.0);
        assert_eq!(picture.dimensions(), (SIDE as u32, SIDE as u32));
        // The cone is at 1 at a distance of 40 pixels.
        // Nothing else is this blue without being red.
        let drawn = picture.enumerate_pixels().filter(|(.., p)| p.0[2] > 150 && p.0[0] < 100).collect::<Vec<_>>();
        let mut sectors = [false; 36];
        for (x, y, _) in drawn {
            let (dx, dy) = (x as f32 - 200.0, y as f32 - 220.0);
            assert!((dx.hypot(dy) - 40.0).abs() < 1.6, "({x}, {y}) is {} away", dx.hypot(dy));
            sectors[(dy.atan2(dx).to_degrees() + 180.0) as usize / 10 % 36] = true;
        }
        assert_eq!(sectors, [true; 36]);
    }

    #[test]
    fn a_good_part_keeps_its_colours_below_the_banner() {
        let (frame, inspection) = cone(0.45);
        let picture = overlay(&frame, &inspection.map, &inspection, 1.0);
        assert!(picture.enumerate_pixels().filter(|(_, y, _)| *y > 30).all(|(.., p)| p.0 == [90; 3]));
        let banner = verdict_colour(Verdict::Accept);
        assert!(picture.enumerate_pixels().any(|(_, y, p)| y < 30 && p.0[1] > p.0[0] + 50 && p.0[1] <= banner[1] + 5));
    }

    #[test]
    fn every_size_and_every_score_can_be_drawn() {
        for (width, height) in [(16, 16), (16, 400), (400, 16), (90, 90), (641, 333)] {
            for value in [f32::NAN, f32::INFINITY, -5.0, 0.0, 3.0e9] {
                let frame = Frame::new(width, height, Samples::Rgb16(vec![30_000; 3 * width * height])).unwrap();
                let map = AnomalyMap(Grid { height, width, values: vec![value; width * height] });
                let score = ImageScore { value, row: 0, column: 0, branch: Branch::Logical, level: 1 };
                let inspection = Inspection { map, score, verdict: Verdict::Fault, areas: vec![], zone: None };
                for threshold in [1.0, 0.0, -2.0] {
                    let picture = overlay(&frame, &inspection.map, &inspection, threshold);
                    assert_eq!(picture.dimensions(), (width as u32, height as u32));
                }
            }
        }
    }
}
