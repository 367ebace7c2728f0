//! Masks → pixels.

use super::{DataSetError, DefectRules, TruthFiles};
use crate::capture::MAX_PIXELS;
use crate::metric::{Defect, Truth};
use image::{DynamicImage, ImageReader, Limits};
use std::path::Path;

/// The defective pixels of one image, at the image's size.
#[derive(Clone, Debug, PartialEq)]
pub enum PixelTruth {
    /// Every pixel is good.
    Good,
    /// Not known.
    Unknown,
    /// The defective pixels, (H, W).
    Mask(Vec<bool>),
    /// One mask a defect.
    Defects(Vec<Defect>),
}

impl PixelTruth {
    /// Reads the masks of an image of `height` × `width` pixels.
    ///
    /// # Errors
    /// [`DataSetError`] where a mask cannot be read, has another size, or its pixel values do not fit its rules.
    pub fn read(files: &TruthFiles, height: usize, width: usize) -> Result<Self, DataSetError> {
        match files {
            TruthFiles::Good => Ok(PixelTruth::Good),
            TruthFiles::Unknown => Ok(PixelTruth::Unknown),
            TruthFiles::Mask(path) => {
                Ok(PixelTruth::Mask(read_mask(path, height, width)?.iter().map(|v| *v > 0).collect()))
            }
            TruthFiles::Defects(paths, rules) => {
                let defects = paths.iter().map(|path| read_defect(path, rules, height, width));
                Ok(PixelTruth::Defects(defects.collect::<Result<_, _>>()?))
            }
        }
    }

    /// For the sweep; `None` where the pixels are not known.
    pub fn as_truth(&self) -> Option<Truth<'_>> {
        match self {
            PixelTruth::Good => Some(Truth::Good),
            PixelTruth::Unknown => None,
            PixelTruth::Mask(mask) => Some(Truth::Mask(mask)),
            PixelTruth::Defects(defects) => Some(Truth::Defects(defects)),
        }
    }
}

fn read_defect(path: &Path, rules: &DefectRules, height: usize, width: usize) -> Result<Defect, DataSetError> {
    let values = read_mask(path, height, width)?;
    let Some(value) = values.iter().copied().find(|v| *v > 0) else {
        return Err(DataSetError::new(path, "marks no pixel"));
    };
    if let Some(other) = values.iter().find(|v| **v > 0 && **v != value) {
        return Err(DataSetError::new(path, format!("expected one value that is not zero, got {value} and {other}")));
    }
    let mask: Vec<bool> = values.iter().map(|v| *v > 0).collect();
    let area = mask.iter().filter(|m| **m).count() as u64;
    Ok(Defect { mask, saturation: rules.saturation(value, area)? })
}

/// The values of a mask, (H, W); of a colour mask the largest channel.
fn read_mask(path: &Path, height: usize, width: usize) -> Result<Vec<u16>, DataSetError> {
    let fail = |e: &dyn std::fmt::Display| DataSetError::new(path, format!("cannot be read: {e}"));
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    let (columns, rows) = reader.map_err(|e| fail(&e))?.into_dimensions().map_err(|e| fail(&e))?;
    if (rows as usize, columns as usize) != (height, width) {
        return Err(DataSetError::new(
            path,
            format!("the mask is {columns}×{rows} pixels, its image {width}×{height}"),
        ));
    }
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    let mut reader = reader.map_err(|e| fail(&e))?;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(8 * MAX_PIXELS as u64 + (64 << 20));
    reader.limits(limits);
    Ok(match reader.decode().map_err(|e| fail(&e))? {
        DynamicImage::ImageLuma8(mask) => mask.into_raw().into_iter().map(u16::from).collect(),
        DynamicImage::ImageLuma16(mask) => mask.into_raw(),
        DynamicImage::ImageLumaA8(mask) => mask.pixels().map(|p| u16::from(p.0[0])).collect(),
        other => other.into_rgb8().pixels().map(|p| u16::from(p.0.into_iter().max().unwrap_or(0))).collect(),
    })
}
