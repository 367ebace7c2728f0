//! Many pictures on one.

use super::canvas::{Colour, Font, rectangle, text};
use super::line::verdict_word;
use super::overlay::verdict_colour;
use crate::decide::Verdict;
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

/// One picture of a [`contact_sheet`].
#[derive(Clone, Debug)]
pub struct Tile {
    /// The picture, of any size.
    pub picture: RgbImage,
    /// What is written below it, cut to one line.
    pub label: String,
    /// Shown as colour and as word.
    pub verdict: Verdict,
}

const PAPER: Colour = [24, 26, 30];
const INK: Colour = [226, 228, 232];
const GAP: u32 = 12;

/// The tiles in rows of `columns` (at least 1), each picture shrunk or enlarged to fit `side` × `side` pixels (at least
/// 64) at its own aspect ratio, with its verdict and label below.
pub fn contact_sheet(tiles: &[Tile], columns: usize, side: u32) -> RgbImage {
    let (columns, side) = (columns.clamp(1, tiles.len().max(1)) as u32, side.max(64));
    let rows = (tiles.len() as u32).div_ceil(columns);
    let font = Font::for_side(2 * side);
    let footer = font.height() + 8;
    let (step_x, step_y) = (side + GAP, side + footer + GAP);
    let mut sheet = RgbImage::from_pixel(GAP + columns * step_x, GAP + rows * step_y, Rgb(PAPER));
    for (i, tile) in (0u32..).zip(tiles) {
        let corner = (i64::from(GAP + i % columns * step_x), i64::from(GAP + i / columns * step_y));
        place(&mut sheet, tile, corner, side);
        footer_of(&mut sheet, tile, (corner.0, corner.1 + i64::from(side)), (side, footer), font);
    }
    sheet
}

fn place(sheet: &mut RgbImage, tile: &Tile, (x, y): (i64, i64), side: u32) {
    let (width, height) = tile.picture.dimensions();
    if width == 0 || height == 0 {
        return;
    }
    let scale = f64::from(side) / f64::from(width.max(height));
    let fit = |length: u32| ((f64::from(length) * scale).round() as u32).clamp(1, side);
    let picture = imageops::resize(&tile.picture, fit(width), fit(height), FilterType::Triangle);
    let centre = |length: u32| i64::from((side - length) / 2);
    imageops::replace(sheet, &picture, x + centre(picture.width()), y + centre(picture.height()));
}

fn footer_of(sheet: &mut RgbImage, tile: &Tile, (x, y): (i64, i64), (side, height): (u32, u32), font: Font) {
    let word = verdict_word(tile.verdict).to_uppercase();
    let colour = verdict_colour(tile.verdict);
    let badge = font.width(word.len()) + 8;
    rectangle(sheet, (x, y), (side, 3), colour, 1.0);
    rectangle(sheet, (x, y), (badge.min(side), height), colour, 1.0);
    text(sheet, (x + 4, y + 5), font, [255; 3], &word);
    let room = (side.saturating_sub(badge + 8) / font.width(1)) as usize;
    text(sheet, (x + i64::from(badge) + 8, y + 5), font, INK, &cut(&tile.label, room));
}

/// The end of `label`, where a path is most telling, in `room` characters.
fn cut(label: &str, room: usize) -> String {
    let length = label.chars().count();
    if length <= room {
        return label.to_owned();
    }
    let kept: String = label.chars().skip(length - room.saturating_sub(2).min(length)).collect();
    format!("..{kept}").chars().take(room).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_lie_in_rows_with_their_verdicts_below() {
        let tile = |level: u8, verdict, size: (u32, u32)| Tile {
            picture: RgbImage::from_pixel(size.0, size.1, Rgb([level; 3])),
            label: "parts/good/000.png".into(),
            verdict,
        };
        let tiles = [
            tile(60, Verdict::Accept, (200, 200)),
            tile(120, Verdict::Reject, (400, 100)),
            tile(180, Verdict::Fault, (50, 100)),
        ];
        let sheet = contact_sheet(&tiles, 2, 100);
        let footer = Font::for_side(200).height() + 8;
        assert_eq!(sheet.dimensions(), (2 * 112 + 12, 2 * (112 + footer) + 12));
        let at = |x, y| sheet.get_pixel(x, y).0;
        // Each tile's centre, and above the picture that is wider than high.
        assert_eq!([at(62, 62), at(174, 62), at(62, 62 + 112 + footer)], [[60; 3], [120; 3], [180; 3]]);
        assert_eq!(at(174, 62 - 20), PAPER);
        for (corner, verdict) in
            [((12, 112), Verdict::Accept), ((124, 112), Verdict::Reject), ((12, 224 + footer), Verdict::Fault)]
        {
            assert_eq!(at(corner.0 + 1, corner.1 + 5), verdict_colour(verdict));
        }
    }

    #[test]
    fn labels_are_cut_at_their_start() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("parts/good/000.png", 9), "..000.png");
        assert_eq!(cut("abcdef", 1), ".");
        assert_eq!(cut("abcdef", 0), "");
    }

    #[test]
    fn an_empty_sheet_is_paper() {
        assert!(contact_sheet(&[], 4, 100).pixels().all(|p| p.0 == PAPER));
    }
}
