//! A part's picture for the browser.

use crate::capture::{Frame, Samples};
use crate::record::heat_picture;
use crate::run::Finished;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::thumbnail;
use image::{ExtendedColorType, RgbImage};
use std::sync::Arc;

const QUALITY: u8 = 85;

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    /// The picture as it was taken.
    Plain,
    /// Under heat map and contour.
    Heat,
}

impl Layer {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "plain" => Some(Self::Plain),
            "heat" => Some(Self::Heat),
            _ => None,
        }
    }
}

/// A JPEG.
pub(super) type Rendered = Arc<[u8]>;

/// The inspected part of a part's picture, its longer side at most `longest` pixels.
pub(super) fn render(finished: &Finished, layer: Layer, longest: usize) -> Option<Rendered> {
    let view = small(&*finished.view()?, longest)?;
    let picture = match (&finished.inspection, layer) {
        (Some(inspection), Layer::Heat) => {
            let (width, height) = (view.width() as usize, view.height() as usize);
            let threshold = finished.product.as_ref()?.threshold;
            let frame = Frame::new(width, height, Samples::Rgb8(view.into_raw())).ok()?;
            heat_picture(&frame, &inspection.map.resized(height, width), threshold)
        }
        _ => view,
    };
    jpeg(&picture)
}

/// The whole picture, its longer side at most `longest` pixels.
pub(super) fn whole(frame: &Frame, longest: usize) -> Option<Rendered> {
    jpeg(&small(frame, longest)?)
}

fn small(frame: &Frame, longest: usize) -> Option<RgbImage> {
    let (width, height) = (frame.width() as u32, frame.height() as u32);
    let picture = RgbImage::from_raw(width, height, frame.to_rgb8())?;
    let scale = longest as f64 / f64::from(width.max(height));
    if scale >= 1.0 {
        return Some(picture);
    }
    // A map needs 16 pixels a side.
    let side = |length: u32| ((f64::from(length) * scale).round() as u32).max(16);
    Some(thumbnail(&picture, side(width), side(height)))
}

fn jpeg(picture: &RgbImage) -> Option<Rendered> {
    let mut bytes = vec![];
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
    encoder.encode(picture.as_raw(), picture.width(), picture.height(), ExtendedColorType::Rgb8).ok()?;
    Some(bytes.into())
}
