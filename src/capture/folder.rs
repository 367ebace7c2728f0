//! Pictures of a folder, and a camera that replays them.

use super::{Camera, CaptureError, Frame, decode};
use std::path::{Path, PathBuf};
use std::time::Duration;
use walkdir::WalkDir;

/// File name extensions that count as pictures in a folder, any case.
const EXTENSIONS: [&str; 6] = ["png", "jpg", "jpeg", "bmp", "tif", "tiff"];

/// The pictures below `folder`, sub-folders and links included, sorted by path; other files are passed over. A link
/// that leads nowhere but is named like a picture is listed, so that reading it fails.
///
/// # Errors
/// [`CaptureError::Read`] where a folder cannot be listed, [`CaptureError::NoPicture`] where there is none.
pub fn pictures_below(folder: &Path) -> Result<Vec<PathBuf>, CaptureError> {
    let mut pictures = Vec::new();
    for entry in WalkDir::new(folder).follow_links(true) {
        match entry {
            Ok(entry) if entry.file_type().is_file() && named_like_a_picture(entry.path()) => {
                pictures.push(entry.into_path());
            }
            Ok(_) => {}
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_owned();
                let to_ancestor = error.loop_ancestor().is_some();
                let dangling = path.is_symlink() && !path.exists();
                if dangling && named_like_a_picture(&path) {
                    pictures.push(path);
                } else if let (false, false, Some(source)) = (to_ancestor, dangling, error.into_io_error()) {
                    return Err(CaptureError::Read { path, source });
                }
            }
        }
    }
    if pictures.is_empty() {
        return Err(CaptureError::NoPicture { path: folder.to_owned() });
    }
    pictures.sort();
    Ok(pictures)
}

fn named_like_a_picture(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    EXTENSIONS.iter().any(|e| e.eq_ignore_ascii_case(extension))
}

/// What a [`FolderCamera`] does after the last picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Further triggers fail with [`CaptureError::Exhausted`].
    Once,
    /// It starts again with the first.
    Forever,
}

/// A camera that shows a folder's pictures in order.
#[derive(Clone, Debug)]
pub struct FolderCamera {
    name: String,
    pictures: Vec<PathBuf>,
    next: usize,
    replay: Replay,
}

impl FolderCamera {
    /// A camera over the pictures that are below `folder` now.
    ///
    /// # Errors
    /// Those of [`pictures_below`].
    pub fn open(folder: &Path, replay: Replay) -> Result<Self, CaptureError> {
        Ok(Self { name: folder.display().to_string(), pictures: pictures_below(folder)?, next: 0, replay })
    }

    /// The picture that the next trigger shows; `None` past the last.
    pub fn next_picture(&self) -> Option<&Path> {
        self.pictures.get(self.next).map(PathBuf::as_path)
    }
}

impl Camera for FolderCamera {
    fn name(&self) -> &str {
        &self.name
    }

    /// Reads the next picture; a file is there or not, so the deadline plays no part. A picture that cannot be read is
    /// passed over by the trigger after.
    fn trigger(&mut self, _deadline: Duration) -> Result<Frame, CaptureError> {
        let picture =
            self.pictures.get(self.next).ok_or_else(|| CaptureError::Exhausted { camera: self.name.clone() })?;
        self.next += 1;
        if self.next == self.pictures.len() && self.replay == Replay::Forever {
            self.next = 0;
        }
        decode(picture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma};

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("b/deep")).unwrap();
        for (name, level) in [("b/deep/1.PNG", 2), ("a.png", 1), ("c.bmp", 3)] {
            GrayImage::from_pixel(16, 16, Luma([level])).save(folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("notes.txt"), "no picture").unwrap();
        folder
    }

    fn level(camera: &mut FolderCamera) -> Option<u8> {
        camera.trigger(Duration::ZERO).ok().map(|frame| frame.to_rgb8()[0])
    }

    #[test]
    fn pictures_are_shown_in_order_of_their_paths() {
        let folder = folder();
        let mut once = FolderCamera::open(folder.path(), Replay::Once).unwrap();
        assert_eq!([(); 4].map(|()| level(&mut once)), [Some(1), Some(2), Some(3), None]);
        assert!(matches!(once.trigger(Duration::ZERO), Err(CaptureError::Exhausted { .. })));
        let mut forever = FolderCamera::open(folder.path(), Replay::Forever).unwrap();
        assert_eq!([(); 5].map(|()| level(&mut forever)), [Some(1), Some(2), Some(3), Some(1), Some(2)]);
    }

    #[test]
    fn an_unreadable_picture_fails_its_own_trigger_only() {
        let folder = folder();
        std::fs::write(folder.path().join("b/deep/1.PNG"), "broken").unwrap();
        let mut camera = FolderCamera::open(folder.path(), Replay::Once).unwrap();
        assert_eq!([(); 3].map(|()| level(&mut camera)), [Some(1), None, Some(3)]);
    }

    #[test]
    fn links_are_followed_without_end_or_loss() {
        let folder = folder();
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, folder.path().join(name)).unwrap();
        link("..", "b/up");
        link("b/deep", "also");
        link("gone.png", "dangling.png");
        link("gone", "dangling");
        let pictures = pictures_below(folder.path()).unwrap();
        let names = pictures.iter().map(|p| p.strip_prefix(folder.path()).unwrap().to_str().unwrap());
        assert_eq!(names.collect::<Vec<_>>(), ["a.png", "also/1.PNG", "b/deep/1.PNG", "c.bmp", "dangling.png"]);
        assert!(matches!(pictures_below(&folder.path().join("gone")), Err(CaptureError::Read { .. })));
    }

    #[test]
    fn a_folder_without_pictures_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("notes.txt"), "no picture").unwrap();
        let error = FolderCamera::open(folder.path(), Replay::Once).unwrap_err();
        assert!(error.to_string().starts_with(&folder.path().display().to_string()), "{error}");
    }
}
