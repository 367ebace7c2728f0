//! Trigger → [`Frame`].
//!
//! A frame's rows are taken as they are stored: an orientation in the file's EXIF data is ignored, because a station's
//! camera, recipe and training images share one mounting, and turning a picture would part them.

mod checked;
mod decode;
mod fault;
mod folder;
mod region;
#[cfg(feature = "v4l2")]
mod v4l2;

pub use checked::{CheckedCamera, Look};
pub use decode::{decode, decode_bytes};
pub use fault::{FaultRates, FaultyCamera};
pub use folder::{FolderCamera, Replay, pictures_below};
pub use region::Region;
use std::path::PathBuf;
use std::time::Duration;
#[cfg(feature = "v4l2")]
pub use v4l2::{CameraInfo, PixelFormat, V4l2Camera, V4l2Settings, cameras};

/// A source of pictures that are taken one trigger at a time.
pub trait Camera: Send {
    /// What messages call it: a device's path, a folder.
    fn name(&self) -> &str;

    /// Takes one picture, waiting for it at most `deadline` from now. The picture is never older than the trigger.
    ///
    /// # Errors
    /// [`CaptureError`]; the part that triggered it must be treated as rejected.
    fn trigger(&mut self, deadline: Duration) -> Result<Frame, CaptureError>;

    /// Whether the camera still delivers, without using up a picture; called now and then between parts. A camera that is
    /// gone tries to come back here.
    ///
    /// # Errors
    /// [`CaptureError`]; the box is not ready until it passes.
    fn check(&mut self) -> Result<(), CaptureError> {
        Ok(())
    }

    /// Takes a frame back so that its memory can be used for a later one.
    fn recycle(&mut self, frame: Frame) {
        drop(frame);
    }
}

impl Camera for Box<dyn Camera> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn trigger(&mut self, deadline: Duration) -> Result<Frame, CaptureError> {
        (**self).trigger(deadline)
    }

    fn check(&mut self) -> Result<(), CaptureError> {
        (**self).check()
    }

    fn recycle(&mut self, frame: Frame) {
        (**self).recycle(frame);
    }
}

/// One picture from a camera or a file, as RGB samples in rows from the top left.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    width: usize,
    height: usize,
    samples: Samples,
}

/// RGB samples, interleaved, `3 · width · height` of them.
#[derive(Clone, Debug, PartialEq)]
pub enum Samples {
    /// 8 bits a sample, 0–255.
    Rgb8(Vec<u8>),
    /// 16 bits a sample, 0–65535.
    Rgb16(Vec<u16>),
}

impl Samples {
    fn len(&self) -> usize {
        match self {
            Samples::Rgb8(samples) => samples.len(),
            Samples::Rgb16(samples) => samples.len(),
        }
    }
}

/// Fewest pixels a side that can be inspected: the smallest receptive field of the network.
pub const MIN_SIDE: usize = 16;

/// Most pixels of one picture (100 megapixels), so that no input exhausts the box's memory.
pub const MAX_PIXELS: usize = 100_000_000;

impl Frame {
    /// A frame of `width` × `height` pixels.
    ///
    /// # Errors
    /// [`CaptureError::Size`] where a side is under [`MIN_SIDE`], the area over [`MAX_PIXELS`] or the number of samples
    /// is not `3 · width · height`.
    pub fn new(width: usize, height: usize, samples: Samples) -> Result<Self, CaptureError> {
        check_size(width, height)?;
        if samples.len() != 3 * width * height {
            return Err(CaptureError::Size(format!(
                "expected {} samples for {width}×{height} RGB, got {}",
                3 * width * height,
                samples.len()
            )));
        }
        Ok(Self { width, height, samples })
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The samples, `3 · width · height` of them.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// The samples by themselves, so that their memory can be used again.
    #[must_use]
    pub fn into_samples(self) -> Samples {
        self.samples
    }

    /// The picture at 8 bits a sample; 16-bit samples keep their upper byte.
    pub fn to_rgb8(&self) -> Vec<u8> {
        match &self.samples {
            Samples::Rgb8(samples) => samples.clone(),
            Samples::Rgb16(samples) => samples.iter().map(|s| (s >> 8) as u8).collect(),
        }
    }
}

/// Refuses sizes that cannot or must not be inspected; call it before pixels are decoded.
///
/// # Errors
/// [`CaptureError::Size`], see [`MIN_SIDE`] and [`MAX_PIXELS`].
pub fn check_size(width: usize, height: usize) -> Result<(), CaptureError> {
    if width < MIN_SIDE || height < MIN_SIDE {
        return Err(CaptureError::Size(format!(
            "the picture is {width}×{height} pixels, too small to inspect (at least {MIN_SIDE}×{MIN_SIDE})"
        )));
    }
    if width.saturating_mul(height) > MAX_PIXELS {
        return Err(CaptureError::Size(format!(
            "the picture is {width}×{height} pixels, too large to inspect (at most {} megapixels)",
            MAX_PIXELS / 1_000_000
        )));
    }
    Ok(())
}

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The picture.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a picture that can be decoded.
    #[error("{}: is not a readable picture: {reason}", path.display())]
    Decode {
        /// The picture.
        path: PathBuf,
        /// What the decoder said.
        reason: String,
    },
    /// A size that cannot be inspected.
    #[error("{0}")]
    Size(String),
    /// A file whose size cannot be inspected.
    #[error("{}: {reason}", path.display())]
    FileSize {
        /// The picture.
        path: PathBuf,
        /// Expected and got.
        reason: String,
    },
    /// A folder without a picture.
    #[error("{}: holds no picture (png, jpg, jpeg, bmp, tif, tiff)", path.display())]
    NoPicture {
        /// The folder.
        path: PathBuf,
    },
    /// No picture came before the deadline.
    #[error("{camera}: gave no picture within {} ms", deadline.as_millis())]
    Timeout {
        /// The camera's name.
        camera: String,
        /// How long was waited.
        deadline: Duration,
    },
    /// The camera has no further picture.
    #[error("{camera}: has no further picture")]
    Exhausted {
        /// The camera's name.
        camera: String,
    },
    /// The picture is not one to inspect: dark, overexposed, blurred, or the same again and again.
    #[error("{camera}: {reason}")]
    Picture {
        /// The camera's name.
        camera: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The camera failed or is gone.
    #[error("{camera}: {reason}")]
    Device {
        /// The camera's name.
        camera: String,
        /// What the system said.
        reason: String,
    },
}
