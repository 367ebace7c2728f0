//! Kept pictures and their maps → files.

use super::entry::{Kind, Stamp};
use super::keep::{Keeper, PICTURES};
use super::settings::Settings;
use super::{Counters, Frame};
use crate::capture::Samples;
use crate::guard::guarded;
use crate::map::AnomalyMap;
use crate::record::{RecordError, write_file, write_map};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ImageBuffer, ImageError, Rgb};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

/// A picture to keep.
pub(super) struct Picture {
    pub(super) name: PictureName,
    pub(super) frame: Arc<Frame>,
    pub(super) map: Option<Arc<AnomalyMap>>,
}

/// What a picture's file is named after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PictureName {
    pub(super) time: Stamp,
    pub(super) part: u32,
    pub(super) kind: Kind,
}

impl PictureName {
    /// The picture, below the record's folder.
    pub(super) fn image(self) -> String {
        self.file("png")
    }

    /// Its map, below the record's folder.
    pub(super) fn map(self) -> String {
        self.file("tiff")
    }

    fn file(self, extension: &str) -> String {
        let (date, time) = self.time.date_and_time();
        format!("{PICTURES}/{date}/{time}-{:06}-{}.{extension}", self.part, self.kind.word())
    }

    /// The name that a file was given.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let date = path.parent()?.file_name()?.to_str()?;
        let mut words = path.file_stem()?.to_str()?.split('-');
        let (time, part, kind) = (words.next()?, words.next()?, words.next()?);
        let (hour, minute, second) = (time.get(0..2)?, time.get(2..4)?, time.get(4..)?);
        Some(Self {
            time: format!("{date}T{hour}:{minute}:{second}Z").parse().ok()?,
            part: part.parse().ok()?,
            kind: Kind::ALL.into_iter().find(|k| k.word() == kind)?,
        })
    }
}

/// Writes pictures, in a thread of its own.
pub(super) struct Pictures {
    folder: PathBuf,
    keeper: Arc<Mutex<Keeper>>,
    counters: Arc<Counters>,
}

impl Pictures {
    pub(super) fn new(settings: &Settings, keeper: Arc<Mutex<Keeper>>, counters: Arc<Counters>) -> Self {
        Self { folder: settings.folder.clone(), keeper, counters }
    }

    /// Writes what comes until nobody can send more.
    pub(super) fn run(self, queue: &Receiver<Picture>) {
        for picture in queue {
            let failed = |error: &dyn std::fmt::Display| {
                self.counters.failed(&self.counters.pictures_failed, 1, error);
            };
            match guarded(|| self.write(&picture)) {
                Ok(Ok(())) => Counters::add(&self.counters.pictures, 1),
                Ok(Err(error)) => failed(&error),
                Err(panicked) => failed(&panicked),
            }
        }
    }

    fn write(&self, picture: &Picture) -> Result<(), RecordError> {
        let Picture { name, frame, map } = picture;
        let image = self.folder.join(name.image());
        let samples = match frame.samples() {
            Samples::Rgb8(samples) => samples.len(),
            Samples::Rgb16(samples) => 2 * samples.len(),
        };
        let most = samples + map.as_ref().map_or(0, |map| 4 * map.0.values.len()) + 4096;
        if !self.keeper().make_room(name.time, most as u64) {
            let source = io::Error::new(io::ErrorKind::StorageFull, "no room within the record's limits");
            return Err(RecordError { path: image, source });
        }
        write_picture(&image, frame)?;
        self.kept(&image, *name);
        if let Some(map) = map {
            let path = self.folder.join(name.map());
            write_map(&path, map)?;
            self.kept(&path, *name);
        }
        Ok(())
    }

    fn kept(&self, path: &Path, name: PictureName) {
        let bytes = std::fs::metadata(path).map_or(0, |data| data.len());
        self.keeper().add_picture(path, bytes, name);
    }

    fn keeper(&self) -> std::sync::MutexGuard<'_, Keeper> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes every bit of the picture as PNG, quickly rather than small.
fn write_picture(path: &Path, frame: &Frame) -> Result<(), RecordError> {
    let (width, height) = (frame.width() as u32, frame.height() as u32);
    write_file(path, |writer| {
        let encoder = PngEncoder::new_with_quality(writer, CompressionType::Fast, FilterType::Up);
        let written = match frame.samples() {
            Samples::Rgb8(samples) => ImageBuffer::<Rgb<u8>, &[u8]>::from_raw(width, height, samples)
                .map(|picture| picture.write_with_encoder(encoder)),
            Samples::Rgb16(samples) => ImageBuffer::<Rgb<u16>, &[u16]>::from_raw(width, height, samples)
                .map(|picture| picture.write_with_encoder(encoder)),
        };
        match written {
            Some(Err(ImageError::IoError(error))) => Err(error),
            Some(result) => result.map_err(io::Error::other),
            None => Err(io::Error::other("the picture's samples do not fit its size")),
        }
    })
}
