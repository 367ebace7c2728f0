//! [`Frame`] → [`ModelInput`]: resize to the model's input and standardise.

use crate::capture::{Frame, Samples};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8x3, U16x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// How a frame becomes the network's input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Rows of the network's input.
    pub height: usize,
    /// Columns of the network's input.
    pub width: usize,
    /// Mean of each channel (R, G, B) on the scale 0–1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel on the scale 0–1.
    pub std: [f32; 3],
    /// How the frame is brought to `height` × `width`; the aspect ratio is not kept.
    pub resize: ResizeRule,
}

/// A named resampling rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResizeRule {
    /// Triangle filter with half-pixel centres, widened by the scale when shrinking (Pillow's `BILINEAR`), at the
    /// sample's own bit depth.
    Triangle,
}

/// ImageNet's channel means, the standardisation the backbone was trained with.
pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// ImageNet's channel standard deviations.
pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// The network's input, (1, 3, H, W), standardised.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInput {
    height: usize,
    width: usize,
    values: Vec<f32>,
}

impl ModelInput {
    /// An input from values in (channel, row, column) order.
    ///
    /// # Errors
    /// [`PreprocessError`] where the number of values is not `3 · height · width`.
    pub fn new(height: usize, width: usize, values: Vec<f32>) -> Result<Self, PreprocessError> {
        if values.len() != 3 * height * width {
            return Err(PreprocessError(format!(
                "a 3×{height}×{width} input needs {} values, got {}",
                3 * height * width,
                values.len()
            )));
        }
        Ok(Self { height, width, values })
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The values in (channel, row, column) order.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

/// A frame that could not be brought into the network's form.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare the picture: {0}")]
pub struct PreprocessError(String);

impl Preprocess {
    /// ImageNet standardisation at a square size.
    pub fn imagenet(size: usize) -> Self {
        Self { height: size, width: size, mean: IMAGENET_MEAN, std: IMAGENET_STD, resize: ResizeRule::Triangle }
    }

    /// Resizes `frame` and standardises it.
    ///
    /// # Errors
    /// [`PreprocessError`] where the resampler refuses the sizes.
    pub fn apply(&self, frame: &Frame) -> Result<ModelInput, PreprocessError> {
        let mut values = vec![0.0; 3 * self.height * self.width];
        match frame.samples() {
            Samples::Rgb8(samples) => {
                let resized = self.resize::<U8x3>(frame, samples)?;
                for (channel, values) in values.chunks_exact_mut(self.height * self.width).enumerate() {
                    // Of as few numbers as a sample can be, each is computed once.
                    let table: [f32; 256] = std::array::from_fn(|sample| self.standard(sample as f32 / 255.0, channel));
                    let pixels = resized.as_chunks::<3>().0.iter();
                    values.iter_mut().zip(pixels).for_each(|(to, pixel)| *to = table[usize::from(pixel[channel])]);
                }
            }
            Samples::Rgb16(samples) => {
                let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_ne_bytes()).collect();
                let resized = self.resize::<U16x3>(frame, &bytes)?;
                for (channel, values) in values.chunks_exact_mut(self.height * self.width).enumerate() {
                    for (to, pixel) in values.iter_mut().zip(resized.as_chunks::<6>().0) {
                        let sample = u16::from_ne_bytes([pixel[2 * channel], pixel[2 * channel + 1]]);
                        *to = self.standard(f32::from(sample) / 65535.0, channel);
                    }
                }
            }
        }
        ModelInput::new(self.height, self.width, values)
    }

    /// By the pixels' own type: the resampler for any of them is some megabytes of program.
    fn resize<'a, P: PixelTrait>(&self, frame: &Frame, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, PreprocessError> {
        if (frame.width(), frame.height()) == (self.width, self.height) {
            return Ok(bytes.into());
        }
        let fail = |e: &dyn std::fmt::Display| PreprocessError(e.to_string());
        let source = TypedImageRef::<P>::from_buffer(frame.width() as u32, frame.height() as u32, bytes)
            .map_err(|e| fail(&e))?;
        let mut resized = vec![0; self.width * self.height * P::size()];
        let mut target =
            TypedImage::<P>::from_buffer(self.width as u32, self.height as u32, &mut resized).map_err(|e| fail(&e))?;
        let ResizeRule::Triangle = self.resize;
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        Resizer::new().resize_typed(&source, &mut target, &options).map_err(|e| fail(&e))?;
        Ok(resized.into())
    }

    fn standard(&self, sample: f32, channel: usize) -> f32 {
        (sample - self.mean[channel]) / self.std[channel]
    }
}
