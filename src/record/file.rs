//! Files that are whole or absent.

use image::{ImageEncoder, RgbImage};
use std::ffi::OsString;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

/// A file that could not be written; what was there before is unchanged.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot be written: {source}", path.display())]
pub struct RecordError {
    /// The file.
    pub path: PathBuf,
    /// What the system or the encoder said.
    pub source: std::io::Error,
}

/// Writes a file by `content`, its folders included; an existing one is replaced only once the new one is complete.
///
/// # Errors
/// [`RecordError`], also for what `content` returns.
pub fn write_file(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<(), RecordError> {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let write = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut writer = BufWriter::new(File::create(&part)?);
        content(&mut writer)?;
        let file = writer.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        drop(file);
        std::fs::rename(&part, path)
    };
    write().map_err(|source| {
        // The partial file is of no use; that it may not be removable either changes nothing.
        let _ = std::fs::remove_file(&part);
        RecordError { path: path.to_owned(), source }
    })
}

/// Writes a picture as PNG.
///
/// # Errors
/// [`RecordError`].
pub fn write_png(path: &Path, picture: &RgbImage) -> Result<(), RecordError> {
    write_file(path, |writer| {
        let encoder = image::codecs::png::PngEncoder::new(writer);
        let (width, height) = picture.dimensions();
        encoder
            .write_image(picture.as_raw(), width, height, image::ExtendedColorType::Rgb8)
            .map_err(std::io::Error::other)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn names(folder: &Path) -> Vec<OsString> {
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect()
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.txt");
        write_file(&path, |w| w.write_all(b"old")).unwrap();
        let error = write_file(&path, |w| {
            w.write_all(b"half of the new")?;
            Err(std::io::Error::other("disk full"))
        });
        assert_eq!(error.unwrap_err().to_string(), format!("{}: cannot be written: disk full", path.display()));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(names(&folder.path().join("a")), ["b.txt"]);
        write_file(&path, |w| w.write_all(b"new")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(names(&folder.path().join("a")), ["b.txt"]);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let path = folder.path().join("file/inside.png");
        let error = write_png(&path, &RgbImage::new(2, 2)).unwrap_err();
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
    }
}
