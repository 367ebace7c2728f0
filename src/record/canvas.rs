//! Drawing on a picture.

use super::contour::Segment;
use embedded_graphics::mono_font::iso_8859_1 as fonts;
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::prelude::*;
use embedded_graphics::text::{Baseline, Text};
use image::{Rgb, RgbImage};

/// Red, green, blue.
pub(super) type Colour = [u8; 3];

/// A bitmap font, each of its pixels drawn as a square of `scale` pixels.
#[derive(Clone, Copy)]
pub(super) struct Font {
    font: &'static MonoFont<'static>,
    scale: u32,
}

impl Font {
    /// A bold font for pictures whose shorter side has `side` pixels.
    pub(super) fn for_side(side: u32) -> Self {
        match side {
            ..200 => Self { font: &fonts::FONT_6X10, scale: 1 },
            200..400 => Self { font: &fonts::FONT_6X13_BOLD, scale: 1 },
            400..700 => Self { font: &fonts::FONT_9X15_BOLD, scale: 1 },
            700..1100 => Self { font: &fonts::FONT_9X18_BOLD, scale: 1 },
            _ => Self { font: &fonts::FONT_9X18_BOLD, scale: (side / 550).max(2) },
        }
    }

    /// Pixels of a line of text from top to bottom.
    pub(super) fn height(self) -> u32 {
        self.font.character_size.height * self.scale
    }

    /// Pixels of `characters` characters from left to right.
    pub(super) fn width(self, characters: usize) -> u32 {
        self.font.character_size.width * self.scale * characters as u32
    }
}

/// Puts `colour` over the pixel at (x, y) with an opacity of 0–1; outside of the picture nothing happens.
pub(super) fn blend(picture: &mut RgbImage, x: i64, y: i64, colour: Colour, opacity: f32) {
    let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
    if let Some(Rgb(pixel)) = picture.get_pixel_mut_checked(x, y) {
        *pixel = mix(*pixel, colour, opacity);
    }
}

/// `under` covered by `over` with an opacity of 0–1.
pub(super) fn mix(under: Colour, over: Colour, opacity: f32) -> Colour {
    std::array::from_fn(|c| (f32::from(under[c]) + (f32::from(over[c]) - f32::from(under[c])) * opacity).round() as u8)
}

/// A filled rectangle with its top left at (x, y).
pub(super) fn rectangle(
    picture: &mut RgbImage,
    (x, y): (i64, i64),
    (width, height): (u32, u32),
    colour: Colour,
    opacity: f32,
) {
    for row in y..y + i64::from(height) {
        for column in x..x + i64::from(width) {
            blend(picture, column, row, colour, opacity);
        }
    }
}

/// Text with its top left at (x, y). Characters outside of Latin-1 are shown as question marks.
pub(super) fn text(picture: &mut RgbImage, (x, y): (i64, i64), font: Font, colour: Colour, words: &str) {
    let mut page = Page { picture, x, y, scale: font.scale, colour };
    let style = MonoTextStyle::new(font.font, BinaryColor::On);
    let Ok(_) = Text::with_baseline(words, Point::zero(), style, Baseline::Top).draw(&mut page);
}

/// Lines of `width` pixels, smooth at their edges and no darker where they meet.
pub(super) fn lines(picture: &mut RgbImage, segments: &[Segment], width: f32, colour: Colour, opacity: f32) {
    let (columns, rows) = picture.dimensions();
    let mut coverage = vec![0u8; columns as usize * rows as usize];
    let reach = width / 2.0 + 1.0;
    let range = |from: f32, to: f32, length: u32| {
        let low = (from.min(to) - reach).floor().max(0.0) as usize;
        let high = (from.max(to) + reach).ceil().max(0.0) as usize;
        low..(high + 1).min(length as usize)
    };
    for [from, to] in segments {
        for y in range(from.1, to.1, rows) {
            for x in range(from.0, to.0, columns) {
                let covered = (width / 2.0 + 0.5 - distance((x as f32, y as f32), *from, *to)).clamp(0.0, 1.0);
                let cell = &mut coverage[y * columns as usize + x];
                *cell = (*cell).max((covered * 255.0) as u8);
            }
        }
    }
    for (Rgb(pixel), covered) in picture.pixels_mut().zip(coverage) {
        if covered > 0 {
            *pixel = mix(*pixel, colour, opacity * f32::from(covered) / 255.0);
        }
    }
}

/// From a point to a segment.
fn distance(point: (f32, f32), from: (f32, f32), to: (f32, f32)) -> f32 {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length = dx * dx + dy * dy;
    let along = if length > 0.0 { ((point.0 - from.0) * dx + (point.1 - from.1) * dy) / length } else { 0.0 };
    let t = along.clamp(0.0, 1.0);
    (point.0 - from.0 - t * dx).hypot(point.1 - from.1 - t * dy)
}

/// A picture as the text renderer sees it.
struct Page<'a> {
    picture: &'a mut RgbImage,
    x: i64,
    y: i64,
    scale: u32,
    colour: Colour,
}

impl Dimensions for Page<'_> {
    fn bounding_box(&self) -> embedded_graphics::primitives::Rectangle {
        let (width, height) = self.picture.dimensions();
        embedded_graphics::primitives::Rectangle::new(Point::zero(), Size::new(width, height))
    }
}

impl DrawTarget for Page<'_> {
    type Color = BinaryColor;
    type Error = std::convert::Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<BinaryColor>>>(&mut self, pixels: I) -> Result<(), Self::Error> {
        for Pixel(point, on) in pixels {
            if on.is_on() {
                let scale = i64::from(self.scale);
                let corner = (self.x + i64::from(point.x) * scale, self.y + i64::from(point.y) * scale);
                rectangle(self.picture, corner, (self.scale, self.scale), self.colour, 1.0);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_as_wide_as_asked_and_covers_once() {
        let mut picture = RgbImage::new(40, 20);
        let corner = (20.0, 10.0);
        lines(&mut picture, &[[(5.0, 10.0), corner], [corner, (35.0, 10.0)]], 3.0, [200; 3], 0.5);
        for x in [8, 20, 30] {
            let column: Vec<u8> = (7..14).map(|y| picture.get_pixel(x, y)[0]).collect();
            assert_eq!(column, [0, 0, 100, 100, 100, 0, 0], "column {x}");
        }
    }

    #[test]
    fn drawing_beyond_the_edge_is_cut_off() {
        let mut picture = RgbImage::new(8, 8);
        rectangle(&mut picture, (-3, 6), (20, 20), [255; 3], 1.0);
        text(&mut picture, (-4, -4), Font::for_side(8), [255; 3], "edge");
        lines(&mut picture, &[[(-50.0, -50.0), (90.0, 90.0)]], 1.0, [255; 3], 1.0);
        let bottom: Vec<u8> = (5..8).map(|y| picture.get_pixel(0, y)[0]).collect();
        assert_eq!(bottom, [0, 255, 255]);
    }

    #[test]
    fn text_takes_the_room_it_says() {
        for side in [100, 300, 500, 900, 2000] {
            let font = Font::for_side(side);
            let mut picture = RgbImage::new(400, 100);
            text(&mut picture, (10, 20), font, [255; 3], "WgM|");
            let marked: Vec<_> =
                picture.enumerate_pixels().filter(|(.., p)| p[0] > 0).map(|(x, y, _)| (x, y)).collect();
            assert!(!marked.is_empty());
            for (x, y) in marked {
                assert!((10..10 + font.width(4)).contains(&x) && (20..20 + font.height()).contains(&y));
            }
        }
    }
}
