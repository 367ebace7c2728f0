//! Video4Linux2 cameras.

mod bayer;
mod controls;
mod pixels;

use super::{Camera, CaptureError, Frame, Samples, check_size};
use crate::guard::guarded;
use crate::run::now;
pub use controls::{CameraInfo, cameras};
use mudenet_board::Micros;
pub use pixels::PixelFormat;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use v4l::buffer::{Flags, Type};
use v4l::io::mmap::Stream;
use v4l::io::traits::CaptureStream;
use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{Device, Format};

/// Buffers that the driver fills in turn.
const BUFFERS: u32 = 4;
/// `POLLIN` of poll(2).
const READABLE: i16 = 1;
/// Looks without a new picture, after which a camera counts as silent.
const SILENT_LOOKS: u32 = 5;
/// Longest wait for the first picture.
const FIRST: Duration = Duration::from_secs(2);

/// What the camera is set to; it must be able to give exactly this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct V4l2Settings {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// How the driver hands pixels over.
    pub format: PixelFormat,
    /// Pictures a second; `None` leaves it to the driver.
    pub fps: Option<u32>,
    /// Controls by the names that `v4l2-ctl` shows, such as `exposure_time_absolute`; set anew whenever it is opened.
    pub controls: BTreeMap<String, i64>,
    /// Pictures that may be lost, by the driver's count, between the trigger and the part's picture: a later picture shows
    /// the part elsewhere.
    pub most_lost: u32,
}

/// A free-running V4L2 camera with memory-mapped buffers.
///
/// After an error the next trigger opens the device anew, so that a camera that is plugged in again goes on.
pub struct V4l2Camera {
    path: PathBuf,
    name: String,
    settings: V4l2Settings,
    open: Option<Open>,
    spare: Vec<u8>,
    silent: u32,
}

/// What the driver says about a frame.
#[derive(Clone, Copy)]
struct About {
    /// Bytes in use.
    used: usize,
    damaged: bool,
    /// Counts the frames of the sensor, lost ones too.
    sequence: u32,
    /// When it was taken on the clock of triggers; `None` where the driver goes by another.
    taken: Option<Micros>,
}

struct Open {
    stream: Stream<'static>,
    stride: usize,
    started: bool,
}

impl V4l2Camera {
    /// Opens the device at `path`, such as `/dev/video0`, and sets its format.
    ///
    /// # Errors
    /// [`CaptureError::Size`] for a size that cannot be inspected, [`CaptureError::Device`] where the device cannot be
    /// opened or gives another size or format.
    pub fn open(path: &Path, settings: V4l2Settings) -> Result<Self, CaptureError> {
        check_size(settings.width as usize, settings.height as usize)?;
        let mut camera = Self {
            path: path.to_owned(),
            name: path.display().to_string(),
            settings,
            open: None,
            spare: vec![],
            silent: 0,
        };
        camera.open = Some(camera.connect().map_err(|e| camera.failed(e))?);
        Ok(camera)
    }

    fn connect(&self) -> io::Result<Open> {
        let V4l2Settings { width, height, format, fps, controls, .. } = &self.settings;
        let device = Device::with_path(&self.path)?;
        let got = device.set_format(&Format::new(*width, *height, format.four_cc()))?;
        if (got.width, got.height, got.fourcc) != (*width, *height, format.four_cc()) {
            return Err(io::Error::other(format!(
                "expected {width}×{height} {}, the camera gives {}×{} {}",
                format.four_cc(),
                got.width,
                got.height,
                got.fourcc
            )));
        }
        if let Some(fps) = fps {
            device.set_params(&Parameters::with_fps(*fps))?;
        }
        controls::set(&device, controls)?;
        let stream = Stream::with_buffers(&device, Type::VideoCapture, BUFFERS)?;
        Ok(Open { stream, stride: got.stride as usize, started: false })
    }

    /// The part's picture, and how many were lost before it.
    fn take(&mut self, deadline: Duration) -> io::Result<(Frame, u32)> {
        let asked = now();
        if self.open.is_none() {
            self.open = Some(self.connect()?);
        }
        let Some(open) = &mut self.open else { return Err(io::ErrorKind::NotConnected.into()) };
        // The frame that is under way at the trigger was exposed before it: the one after it counts.
        let wait = deadline / 2;
        open.drain()?;
        let mut under_way = open.next(wait)?.1;
        for _ in 0..BUFFERS {
            if under_way.taken.is_none_or(|taken| taken >= asked) {
                break;
            }
            // It was complete before the trigger.
            under_way = open.next(wait)?.1;
        }
        let stride = open.stride;
        let (bytes, about) = open.next(wait)?;
        if about.damaged {
            return Err(io::Error::other("the driver marked the picture as damaged"));
        }
        if about.taken.is_some_and(|taken| taken < asked) {
            return Err(io::Error::other("the driver gives pictures from before the trigger only"));
        }
        let lost = about.sequence.wrapping_sub(under_way.sequence).saturating_sub(1);
        let bytes = bytes.get(..about.used).unwrap_or(bytes);
        let (width, height) = (self.settings.width as usize, self.settings.height as usize);
        let frame = self.settings.format.frame(width, height, stride, bytes, std::mem::take(&mut self.spare))?;
        Ok((frame, lost))
    }

    /// Whether pictures came since the last look.
    fn look(&mut self) -> io::Result<()> {
        if self.open.is_none() {
            self.open = Some(self.connect()?);
        }
        let Some(open) = &mut self.open else { return Err(io::ErrorKind::NotConnected.into()) };
        let came = if open.started {
            open.drain()?
        } else {
            open.next(FIRST)?;
            1
        };
        self.silent = if came > 0 { 0 } else { self.silent + 1 };
        if self.silent >= SILENT_LOOKS { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }

    fn failed(&self, error: io::Error) -> CaptureError {
        CaptureError::Device { camera: self.name.clone(), reason: error.to_string() }
    }

    fn close(&mut self) {
        // The stream panics where it cannot be stopped, as on a device that is gone.
        let _ = guarded(|| self.open = None);
        self.silent = 0;
    }
}

impl Open {
    /// Gives the frames that are waiting back to the driver, and says how many there were.
    fn drain(&mut self) -> io::Result<u32> {
        for drained in 0..BUFFERS {
            if !self.started || self.stream.handle().poll(READABLE, 0)? == 0 {
                return Ok(drained);
            }
            self.stream.next()?;
        }
        Ok(BUFFERS)
    }

    /// The next frame.
    fn next(&mut self, wait: Duration) -> io::Result<(&[u8], About)> {
        let milliseconds = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // The stream loses a buffer where its own wait times out, so the wait is done here, and once it has begun only.
        if self.started {
            if self.stream.handle().poll(READABLE, milliseconds)? == 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
        } else {
            self.stream.set_timeout(Duration::from_millis(milliseconds as u64));
            self.started = true;
        }
        let (bytes, meta) = self.stream.next()?;
        let monotonic = (meta.flags & Flags::TIMESTAMP_MASK) == Flags::TIMESTAMP_MONOTONIC;
        let micros = |sec: i64, usec: i64| {
            Some(u64::try_from(sec).ok()?.saturating_mul(1_000_000).saturating_add(u64::try_from(usec).ok()?))
        };
        let taken = micros(meta.timestamp.sec, meta.timestamp.usec).filter(|_| monotonic);
        let (used, damaged) = (meta.bytesused as usize, meta.flags.contains(Flags::ERROR));
        Ok((bytes, About { used, damaged, sequence: meta.sequence, taken }))
    }
}

impl Camera for V4l2Camera {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&mut self) -> Result<(), CaptureError> {
        self.look().map_err(|error| {
            self.close();
            if error.kind() == io::ErrorKind::TimedOut {
                CaptureError::Timeout { camera: self.name.clone(), deadline: FIRST }
            } else {
                self.failed(error)
            }
        })
    }

    fn recycle(&mut self, frame: Frame) {
        if let Samples::Rgb8(samples) = frame.into_samples() {
            self.spare = samples;
        }
    }

    /// Takes the first picture whose exposure began after the trigger. Half of the deadline is left to the picture that
    /// is under way, half to the one after it: it should be four times the camera's interval or more.
    fn trigger(&mut self, deadline: Duration) -> Result<Frame, CaptureError> {
        let (frame, lost) = self.take(deadline).map_err(|error| {
            self.close();
            if error.kind() == io::ErrorKind::TimedOut {
                CaptureError::Timeout { camera: self.name.clone(), deadline }
            } else {
                self.failed(error)
            }
        })?;
        let most = self.settings.most_lost;
        if lost > most {
            self.recycle(frame);
            let s = if lost == 1 { "" } else { "s" };
            let reason =
                format!("{lost} picture{s} lost between trigger and picture, at most {most} (camera.check.lost)");
            return Err(CaptureError::Picture { camera: self.name.clone(), reason });
        }
        Ok(frame)
    }
}

impl Drop for V4l2Camera {
    fn drop(&mut self) {
        self.close();
    }
}
