//! Best and worst images, each with its ground truth and what was found.

use super::Measured;
use crate::cli::evaluate::{Made, Source};
use anyhow::Result;
use base64::Engine;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, replace, resize};
use image::{Rgb, RgbImage};
use mudenet_edge::capture::{Frame, decode};
use mudenet_edge::metric::dataset::PixelTruth;
use mudenet_edge::record::{driven_by, overlay};

/// One image of the gallery.
pub(super) struct Card {
    /// `<type>/<stem>`.
    pub(super) name: String,
    /// Which part of the gallery it is in.
    pub(super) shelf: Shelf,
    pub(super) score: f32,
    pub(super) rejected: bool,
    pub(super) anomalous: bool,
    /// What drove the score.
    pub(super) driven: Option<String>,
    /// The picture with its ground truth, as a `data:` address.
    pub(super) truth: String,
    /// The picture with heat map and contour.
    pub(super) found: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shelf {
    /// Bad parts with the lowest scores.
    Overlooked,
    /// Good parts with the highest scores.
    Suspected,
    /// Bad parts with the highest scores.
    Clear,
}

/// Images on a shelf.
const SHELF: usize = 4;
/// Pixels of the longer side of a picture in the report.
const SIDE: u32 = 512;
/// What is not inspected is shown by so much darker.
const DIM: u8 = 3;
/// Colour of the ground truth.
const TRUTH: [u8; 3] = [0, 200, 83];

/// Picks the images and draws them.
pub(super) fn cards(measured: &Measured<'_>, source: &Source, threshold: Option<f32>) -> Result<Vec<Card>> {
    let Measured { set, evaluation, .. } = measured;
    let Some(threshold) = threshold else { return Ok(vec![]) };
    let sorted = |anomalous: bool| {
        let mut indices: Vec<usize> =
            (0..evaluation.scores.len()).filter(|i| (set.samples[*i].kind > 0) == anomalous).collect();
        indices.sort_by(|a, b| evaluation.scores[*a].total_cmp(&evaluation.scores[*b]));
        indices
    };
    let (good, bad) = (sorted(false), sorted(true));
    let overlooked = bad.iter().take(SHELF).map(|i| (*i, Shelf::Overlooked));
    let suspected = good.iter().rev().take(SHELF).map(|i| (*i, Shelf::Suspected));
    let clear = bad.iter().skip(SHELF).rev().take(SHELF).map(|i| (*i, Shelf::Clear));
    let mut maker = source.maker()?;
    let mut cards = vec![];
    for (index, shelf) in overlooked.chain(suspected).chain(clear) {
        let sample = &set.samples[index];
        let frame = decode(&sample.image)?;
        let made = maker.inspect(set, sample, &frame, threshold)?;
        let truth = PixelTruth::read(&sample.truth, made.height, made.width)?;
        cards.push(Card {
            name: set.name(sample),
            shelf,
            score: made.inspection.score.value,
            rejected: made.inspection.score.value > threshold,
            anomalous: sample.kind > 0,
            driven: made.seen().driven.map(|(branch, level)| {
                let zone = made.inspection.zone.as_ref().map(|zone| format!("{zone}: ")).unwrap_or_default();
                zone + &driven_by(branch, level)
            }),
            truth: jpeg(&with_truth(&frame, &truth))?,
            found: jpeg(&with_scores(&frame, &made, threshold)?)?,
        });
    }
    Ok(cards)
}

/// Heat map and contour on what was inspected of the picture; the rest is dimmed.
fn with_scores(frame: &Frame, made: &Made, threshold: f32) -> Result<RgbImage> {
    let on = |frame: &Frame| {
        let map = made.inspection.map.resized(frame.height(), frame.width());
        overlay(frame, &map, &made.inspection, threshold)
    };
    let Some(region) = made.region else { return Ok(on(frame)) };
    let mut picture =
        RgbImage::from_raw(frame.width() as u32, frame.height() as u32, frame.to_rgb8()).unwrap_or_default();
    picture.iter_mut().for_each(|value| *value /= DIM);
    replace(&mut picture, &on(&frame.crop(region)?), region.left() as i64, region.top() as i64);
    Ok(picture)
}

/// The picture with its defects tinted and outlined.
fn with_truth(frame: &Frame, truth: &PixelTruth) -> RgbImage {
    let (width, height) = (frame.width(), frame.height());
    let mut picture = RgbImage::from_raw(width as u32, height as u32, frame.to_rgb8()).unwrap_or_default();
    let mask: Vec<bool> = match truth {
        PixelTruth::Good | PixelTruth::Unknown => return picture,
        PixelTruth::Mask(mask) => mask.clone(),
        PixelTruth::Defects(defects) => {
            (0..width * height).map(|i| defects.iter().any(|d| d.mask.get(i).copied().unwrap_or(false))).collect()
        }
    };
    let line = (width.min(height) / 250).max(1) as i64;
    let inside = |x: i64, y: i64| {
        (0..width as i64).contains(&x) && (0..height as i64).contains(&y) && mask[y as usize * width + x as usize]
    };
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let (x, y) = (i64::from(x), i64::from(y));
        if inside(x, y) {
            let edge = [(line, 0), (-line, 0), (0, line), (0, -line)].iter().any(|(dx, dy)| !inside(x + dx, y + dy));
            let opacity = if edge { 1.0 } else { 0.25 };
            let mix = |under: u8, over: u8| (f32::from(under) * (1.0 - opacity) + f32::from(over) * opacity) as u8;
            *pixel = Rgb([0, 1, 2].map(|c| mix(pixel.0[c], TRUTH[c])));
        }
    }
    picture
}

/// The picture in the report's size, as a `data:` address.
fn jpeg(picture: &RgbImage) -> Result<String> {
    let (width, height) = picture.dimensions();
    let scale = (f64::from(SIDE) / f64::from(width.max(height))).min(1.0);
    let size = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
    let small;
    let picture = if scale < 1.0 {
        small = resize(picture, size(width), size(height), FilterType::Triangle);
        &small
    } else {
        picture
    };
    let mut bytes = vec![];
    JpegEncoder::new_with_quality(&mut bytes, 82).encode_image(picture)?;
    Ok(format!("data:image/jpeg;base64,{}", base64::engine::general_purpose::STANDARD.encode(bytes)))
}
