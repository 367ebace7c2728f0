//! Pictures, folders and patterns on the command line → pictures.

use mudenet_edge::capture::pictures_below;
use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

/// One thing to inspect, or the reason why there is none.
#[derive(Debug, PartialEq)]
pub(super) enum Input {
    /// A file.
    Picture(Picture),
    /// An argument that leads to no picture.
    Nothing {
        /// The argument.
        name: String,
        /// One sentence that names it.
        reason: String,
    },
}

impl Input {
    /// The picture, if there is one.
    pub(super) fn picture(&self) -> Option<&Picture> {
        match self {
            Input::Picture(picture) => Some(picture),
            Input::Nothing { .. } => None,
        }
    }
}

/// A picture file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Picture {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its path below the folder that was given, or below the part of a pattern before the first wildcard; the file
    /// name of a picture given by itself.
    pub(super) below: PathBuf,
}

/// What the arguments stand for, in their order, folders sorted, no picture twice. Folders and patterns leave out what
/// lies below the folders `besides`.
pub(super) fn resolve(arguments: &[PathBuf], besides: &[PathBuf]) -> Vec<Input> {
    let besides: Vec<PathBuf> = besides.iter().filter_map(|folder| folder.canonicalize().ok()).collect();
    let left_out = |path: &Path| path.canonicalize().is_ok_and(|path| besides.iter().any(|b| path.starts_with(b)));
    let mut seen = HashSet::new();
    let mut inputs = Vec::new();
    for argument in arguments {
        let nothing = |reason| Input::Nothing { name: argument.display().to_string(), reason };
        match pictures(argument, &left_out) {
            Ok(pictures) => {
                let new = pictures.into_iter().filter(|picture| seen.insert(picture.path.clone()));
                inputs.extend(new.map(Input::Picture));
            }
            Err(reason) => inputs.push(nothing(reason)),
        }
    }
    inputs
}

fn pictures(argument: &Path, left_out: &dyn Fn(&Path) -> bool) -> Result<Vec<Picture>, String> {
    let pattern = argument.to_str().filter(|text| text.contains(['*', '?', '[']));
    match (std::fs::metadata(argument), pattern) {
        (Ok(found), _) if found.is_dir() => folder(argument, argument, left_out),
        (Err(error), Some(pattern)) if error.kind() == std::io::ErrorKind::NotFound => matches(pattern, left_out),
        // A missing file is a picture that fails when it is read.
        _ => Ok(vec![Picture {
            path: argument.to_owned(),
            below: argument.file_name().unwrap_or(argument.as_os_str()).into(),
        }]),
    }
}

fn folder(folder: &Path, base: &Path, left_out: &dyn Fn(&Path) -> bool) -> Result<Vec<Picture>, String> {
    let mut paths = pictures_below(folder).map_err(|e| e.to_string())?;
    paths.retain(|path| !left_out(path));
    if paths.is_empty() {
        return Err(format!("{}: holds no picture but earlier results", folder.display()));
    }
    Ok(paths.into_iter().map(|path| Picture { below: below(&path, base), path }).collect())
}

fn matches(pattern: &str, left_out: &dyn Fn(&Path) -> bool) -> Result<Vec<Picture>, String> {
    let literal = |c: &Component| !c.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    let base: PathBuf = Path::new(pattern).components().take_while(literal).collect();
    let found = glob::glob(pattern).map_err(|e| format!("{pattern}: is not a pattern: {}", e.msg))?;
    let mut pictures = Vec::new();
    for path in found {
        let path = path.map_err(|e| e.to_string())?;
        if path.is_dir() {
            // A folder that a wildcard happens to match may be without pictures.
            pictures.extend(folder(&path, &base, left_out).unwrap_or_default());
        } else if !left_out(&path) {
            pictures.push(Picture { below: below(&path, &base), path });
        }
    }
    if pictures.is_empty() {
        return Err(format!("{pattern}: matches no picture"));
    }
    pictures.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(pictures)
}

fn below(path: &Path, base: &Path) -> PathBuf {
    let plain = |path: &Path| -> PathBuf { path.components().filter(|c| *c != Component::CurDir).collect() };
    let (path, base) = (plain(path), plain(base));
    path.strip_prefix(&base).map_or_else(|_| path.file_name().unwrap_or_default().into(), Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    fn below_of(arguments: &[PathBuf], besides: &[PathBuf]) -> Vec<String> {
        let name = |input| match input {
            Input::Picture(picture) => picture.below.display().to_string(),
            Input::Nothing { reason, .. } => reason,
        };
        resolve(arguments, besides).into_iter().map(name).collect()
    }

    #[test]
    fn folders_patterns_and_files_know_their_place() {
        let tree = tree(&["b/2.png", "a/1.png", "a/deep/0.jpg", "a/readme.md", "top.bmp"]);
        let at = |name: &str| tree.path().join(name);
        assert_eq!(below_of(&[tree.path().into()], &[]), ["a/1.png", "a/deep/0.jpg", "b/2.png", "top.bmp"]);
        assert_eq!(below_of(&[at("*/*.png")], &[]), ["a/1.png", "b/2.png"]);
        assert_eq!(below_of(&[at("a/**/*.???")], &[]), ["1.png", "deep/0.jpg"]);
        assert_eq!(below_of(&[at("**")], &[]), ["a/1.png", "a/deep/0.jpg", "b/2.png"]);
        assert_eq!(below_of(&[at("b/2.png"), at("gone.png")], &[]), ["2.png", "gone.png"]);
        assert_eq!(below_of(&[at("b"), at("b/2.png"), at("b/*")], &[]), ["2.png"]);
    }

    #[test]
    fn what_leads_nowhere_says_so() {
        let tree = tree(&["a/notes.txt"]);
        let at = |name: &str| tree.path().join(name);
        let found = below_of(&[at("a"), at("*.png"), at("x[")], &[]);
        assert!(found[0].ends_with("a: holds no picture (png, jpg, jpeg, bmp, tif, tiff)"), "{found:?}");
        assert!(found[1].ends_with("*.png: matches no picture"), "{found:?}");
        assert!(found[2].contains("x[: is not a pattern"), "{found:?}");
    }

    #[test]
    fn a_file_named_like_a_pattern_is_a_file() {
        let tree = tree(&["part[1].png"]);
        assert_eq!(below_of(&[tree.path().join("part[1].png")], &[]), ["part[1].png"]);
    }

    #[test]
    fn earlier_results_are_left_out() {
        let tree = tree(&["1.png", "out/overlays/1.png", "out/maps/1.tiff"]);
        let out = tree.path().join("out");
        assert_eq!(below_of(&[tree.path().into()], std::slice::from_ref(&out)), ["1.png"]);
        let found = below_of(std::slice::from_ref(&out), std::slice::from_ref(&out));
        assert!(found[0].ends_with("holds no picture but earlier results"), "{found:?}");
    }
}
