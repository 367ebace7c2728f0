//! Anomaly maps made elsewhere.

use super::dataset::DataSetError;
use crate::capture::MAX_PIXELS;
use crate::map::{AnomalyMap, Grid};
use image::ImageReader;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult, Limits};

/// Finds the map `folder/<name>.tiff` (or `.tif`, or `.png`).
///
/// # Errors
/// [`DataSetError`] where there is none.
pub fn find_map(folder: &Path, name: &str) -> Result<PathBuf, DataSetError> {
    let candidates = ["tiff", "tif", "png"].map(|extension| folder.join(format!("{name}.{extension}")));
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        DataSetError::new(&folder.join(name), "there is no map .tiff (32-bit float) or .png (16 bits) of this name")
    })
}

/// Reads a map of one channel: TIFF of 32- or 64-bit float or 8- or 16-bit samples, PNG of 8 or 16 bits.
///
/// # Errors
/// [`DataSetError`] where it cannot be read, has several channels, or holds NaN or infinity.
pub fn read_map(path: &Path) -> Result<AnomalyMap, DataSetError> {
    let grid =
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("png")) { read_png(path) } else { read_tiff(path) };
    let grid = grid.map_err(|reason| DataSetError::new(path, reason))?;
    match grid.values.iter().position(|v| !v.is_finite()) {
        Some(i) => Err(DataSetError::new(
            path,
            format!("holds {} at row {}, column {}", grid.values[i], i / grid.width, i % grid.width),
        )),
        None => Ok(AnomalyMap(grid)),
    }
}

fn read_png(path: &Path) -> Result<Grid, String> {
    let fail = |e: &dyn std::fmt::Display| format!("cannot be read: {e}");
    let mut reader = ImageReader::open(path).map_err(|e| fail(&e))?;
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(8 * MAX_PIXELS as u64 + (64 << 20));
    reader.limits(limits);
    let picture = reader.decode().map_err(|e| fail(&e))?;
    let (height, width) = (picture.height() as usize, picture.width() as usize);
    let values = match picture {
        image::DynamicImage::ImageLuma8(map) => map.into_raw().into_iter().map(f32::from).collect(),
        image::DynamicImage::ImageLuma16(map) => map.into_raw().into_iter().map(f32::from).collect(),
        other => return Err(format!("expected one channel, got {:?}", other.color())),
    };
    Ok(Grid { height, width, values })
}

fn read_tiff(path: &Path) -> Result<Grid, String> {
    let fail = |e: &dyn std::fmt::Display| format!("cannot be read: {e}");
    let file = BufReader::new(File::open(path).map_err(|e| fail(&e))?);
    let mut limits = Limits::default();
    limits.decoding_buffer_size = 8 * MAX_PIXELS;
    limits.intermediate_buffer_size = 8 * MAX_PIXELS;
    let mut decoder = Decoder::new(file).map_err(|e| fail(&e))?.with_limits(limits);
    let (columns, rows) = decoder.dimensions().map_err(|e| fail(&e))?;
    match decoder.colortype().map_err(|e| fail(&e))? {
        ColorType::Gray(_) => {}
        other => return Err(format!("expected one channel, got {other:?}")),
    }
    let values: Vec<f32> = match decoder.read_image().map_err(|e| fail(&e))? {
        DecodingResult::F32(values) => values,
        DecodingResult::F64(values) => values.into_iter().map(|v| v as f32).collect(),
        DecodingResult::F16(values) => values.into_iter().map(f32::from).collect(),
        DecodingResult::U16(values) => values.into_iter().map(f32::from).collect(),
        DecodingResult::U8(values) => values.into_iter().map(f32::from).collect(),
        _ => return Err("expected 32-bit float samples, got integers of more than 16 bits".into()),
    };
    let (height, width) = (rows as usize, columns as usize);
    if values.len() != height * width || values.is_empty() {
        return Err(format!("expected {width}×{height} samples, got {}", values.len()));
    }
    Ok(Grid { height, width, values })
}
