//! The signed list of a package's files.

use super::UpdateError;
use crate::bundle::hex;
use minisign_verify::{PublicKey, Signature};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use walkdir::WalkDir;

/// Name of the list in a package.
pub const MANIFEST: &str = "package.json";
/// Name of its signature, as `minisign -Sm package.json` writes it.
pub const SIGNATURE: &str = "package.json.minisig";
/// Largest list, bytes.
pub(super) const LONGEST: u64 = 1 << 20;
/// Largest signature, bytes.
pub(super) const LONGEST_SIGNATURE: u64 = 4096;

const FORMAT: u32 = 1;
/// Files of a package.
const FILES: usize = 4096;
/// Bytes of a package.
const BYTES: u64 = 8 << 30;

/// What a package holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this form: 1.
    pub format: u32,
    /// What people call it.
    pub name: String,
    /// Grows with every package: a box takes no lower one by itself.
    pub serial: u64,
    /// Names of the boxes that may use it; all where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boxes: Vec<String>,
    /// Its files.
    pub files: Vec<Listed>,
}

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Below the package's folder, with `/` between folders.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256, lower-case hex.
    pub sha256: String,
}

/// The public key that packages must be signed with.
pub struct Key(PublicKey);

impl Key {
    /// The second line of a minisign public key file.
    ///
    /// # Errors
    /// [`UpdateError::Key`].
    pub fn new(text: &str) -> Result<Self, UpdateError> {
        PublicKey::from_base64(text.trim()).map(Self).map_err(|error| UpdateError::Key(error.to_string()))
    }

    /// Verifies a list by its signature, and only then reads it. `from` names the package in errors.
    ///
    /// # Errors
    /// [`UpdateError::Signature`], [`UpdateError::Manifest`].
    pub fn open(&self, list: &[u8], signature: &[u8], from: &str) -> Result<Manifest, UpdateError> {
        let bad = |reason: String| UpdateError::Signature { from: from.to_owned(), reason };
        let text = std::str::from_utf8(signature).map_err(|_| bad(format!("{SIGNATURE} is no text")))?;
        let signature = Signature::decode(text).map_err(|error| bad(format!("{SIGNATURE}: {error}")))?;
        self.0
            .verify(list, &signature, false)
            .map_err(|error| bad(format!("{MANIFEST} is not signed with update.key ({error})")))?;
        Manifest::parse(list).map_err(|reason| UpdateError::Manifest { from: from.to_owned(), reason })
    }
}

impl Manifest {
    fn parse(list: &[u8]) -> Result<Self, String> {
        let said = |error: serde_json::Error| format!("{MANIFEST}: {error}");
        let format = serde_json::from_slice::<Format>(list).map_err(said)?.format;
        if format != FORMAT {
            return Err(format!("{MANIFEST}: format {format}, this program knows {FORMAT}"));
        }
        let manifest: Self = serde_json::from_slice(list).map_err(said)?;
        manifest.check().map_err(|reason| format!("{MANIFEST}: {reason}"))?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        if self.files.is_empty() || self.files.len() > FILES {
            return Err(format!("files: 1 to {FILES} expected, got {}", self.files.len()));
        }
        let mut seen = BTreeSet::new();
        for file in &self.files {
            if !is_below(&file.path) {
                return Err(format!("files: {:?} is no path below the package that can be used", file.path));
            }
            // Where names differ in case only, a memory stick cannot hold both.
            if !seen.insert(file.path.to_lowercase()) {
                return Err(format!("files: {:?} is there twice", file.path));
            }
            if file.sha256.len() != 64 || !file.sha256.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
            {
                return Err(format!("files: {:?} has no SHA-256", file.path));
            }
        }
        match self.bytes() {
            Some(bytes) if bytes <= BYTES => Ok(()),
            _ => Err(format!("files: more than {BYTES} bytes")),
        }
    }

    /// Bytes of all files; `None` where that is no number any more.
    pub fn bytes(&self) -> Option<u64> {
        self.files.iter().try_fold(0u64, |sum, file| sum.checked_add(file.size))
    }

    /// The file at `path`.
    pub fn file(&self, path: &str) -> Option<&Listed> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Lists the files of a folder, without list and signature and without hidden files.
    ///
    /// # Errors
    /// [`UpdateError`] for what cannot be read, and for a folder that makes no package.
    pub fn of_folder(folder: &Path, name: String, serial: u64, boxes: Vec<String>) -> Result<Self, UpdateError> {
        let mut files = vec![];
        let hidden =
            |entry: &walkdir::DirEntry| entry.depth() > 0 && entry.file_name().to_string_lossy().starts_with('.');
        let bad = |reason: String| UpdateError::Manifest { from: folder.display().to_string(), reason };
        for entry in WalkDir::new(folder).sort_by_file_name().into_iter().filter_entry(|entry| !hidden(entry)) {
            let entry = entry.map_err(|error| bad(error.to_string()))?;
            let below = entry.path().strip_prefix(folder).unwrap_or(entry.path());
            let path = below.to_string_lossy().into_owned();
            if entry.file_type().is_dir() || path == MANIFEST || path == SIGNATURE {
                continue;
            }
            if !entry.file_type().is_file() {
                return Err(bad(format!("{path:?} is no file")));
            }
            let (size, sha256) = digest(entry.path()).map_err(UpdateError::io(entry.path()))?;
            files.push(Listed { path, size, sha256 });
        }
        let manifest = Self { format: FORMAT, name, serial, boxes, files };
        manifest.check().map_err(bad)?;
        Ok(manifest)
    }
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Whether this is a path to a file below a folder, by names that every disk can hold.
fn is_below(path: &str) -> bool {
    let name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(['.', '-'])
            && !name.ends_with('.')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+ ()".contains(c))
    };
    path.len() <= 200 && path != MANIFEST && path != SIGNATURE && path.split('/').all(name)
}

/// `path` without `.` and `..`; `None` where it leads out of its root.
pub(super) fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                if !plain.pop() {
                    return None;
                }
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    Some(plain)
}

/// Size and SHA-256 of a file.
pub(super) fn digest(path: &Path) -> std::io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut hash, mut size, mut block) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        match file.read(&mut block)? {
            0 => return Ok((size, hex(&hash.finalize()))),
            read => {
                size += read as u64;
                hash.update(block.get(..read).unwrap_or_default());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by Debian's minisign 0.11-1: `printf %s LIST > package.json; minisign -GWp k.pub -s k.key;
    /// minisign -Ss k.key -m package.json -t 'serial 1'`; the second signature by `minisign -Ss k.key -lm package.json`, which
    /// signs without hashing first.
    const LIST: &str = concat!(
        r#"{"format":1,"name":"n","serial":1,"files":[{"path":"a","size":0,"sha256":""#,
        r#"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}"#
    );
    const KEY: &str = "RWQbCEt6SvNlq3IRvyp9ls5X01kQUlcX6eytSPLYFMIOU9A/BDGNnRtv";
    const SIGNED: &str = "untrusted comment: signature from minisign secret key
RUQbCEt6SvNlq9wEAeG1YC4syTjNorrZoN+K41Hv4wNVQpphIHClwMBHhVOcYXrluh7klwdw0T8J/3J7tb8fZxHZ7YHCWByPKQs=
trusted comment: serial 1
KMakFdE+ArILZ88ikEyVZnjRBF6wbXx/scJGzPxBNE9Oqg1G19ZaQexeoMtPIePFMsAdsJiDwq8HoPLLhM9kDg==
";
    const LEGACY: &str = "untrusted comment: signature from minisign secret key
RWQbCEt6SvNlq08YlkfAlnV0N6f7ua3/h/DNGGI6JIvqe1EqPbj2SJsiAtFLniRhTTfZ7xOWrtztZxtfBqAYkXUVfVcLM+124QU=
trusted comment: timestamp:1795528834\tfile:package.json
1N6WIMO64KIYM/weFSFk1Nfb3mTooZkeAVOHSASbfakzwDcu7H7SHQmRtO4QRj7cC4SkIyMQDPQ3yAETBLQFBQ==
";
    /// Of another pair of keys.
    const OTHER: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    #[test]
    fn a_list_is_read_only_where_minisign_signed_it_with_this_key() {
        let open = |key: &str, list: &str, signature: &str| {
            let opened = Key::new(key).unwrap().open(list.as_bytes(), signature.as_bytes(), "stick");
            opened.map_err(|error| error.to_string())
        };
        let manifest = open(KEY, LIST, SIGNED).unwrap();
        assert_eq!((manifest.serial, manifest.files[0].path.as_str()), (1, "a"));
        let changed = LIST.replace("\"serial\":1", "\"serial\":2");
        let comment = SIGNED.replace("serial 1", "serial 2");
        for (what, opened) in [
            ("another key", open(OTHER, LIST, SIGNED)),
            ("a changed list", open(KEY, &changed, SIGNED)),
            ("a longer list", open(KEY, &format!("{LIST} "), SIGNED)),
            ("a changed comment", open(KEY, LIST, &comment)),
            ("an old form", open(KEY, LIST, LEGACY)),
            ("half a signature", open(KEY, LIST, &SIGNED[..120])),
            ("none", open(KEY, LIST, "")),
        ] {
            let error = opened.expect_err(what);
            assert!(
                error.starts_with("stick: ") && error.ends_with("nothing of this package is used"),
                "{what}: {error}"
            );
        }
        assert!(Key::new("RWQ").is_err());
    }

    #[test]
    fn lists_that_lead_astray_are_refused() {
        let file =
            r#"{"path":"a","size":1,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}"#;
        let list = |files: &str, rest: &str| format!(r#"{{"format":1,"name":"n","serial":1,"files":[{files}]{rest}}}"#);
        assert!(Manifest::parse(list(file, "").as_bytes()).is_ok());
        for (bad, told) in [
            (list("", ""), "1 to 4096"),
            (list(&[file, &file.replace(r#""a""#, r#""A""#)].join(","), ""), "there twice"),
            (list(&file.replace(r#""a""#, r#""../a""#), ""), "no path below"),
            (list(&file.replace("e3b0", "E3B0"), ""), "no SHA-256"),
            (list(&file.replace(":1,", ":18446744073709551615,"), ""), "more than"),
            (list(file, r#","extra":1"#), "extra"),
            (list(file, "").replace("\"format\":1", "\"format\":2"), "format 2"),
            (String::new(), "EOF"),
        ] {
            let error = Manifest::parse(bad.as_bytes()).unwrap_err();
            assert!(error.contains(told), "{bad}: {error}");
        }
        let two = list(
            &format!("{},{}", file.replace(":1,", ":18446744073709551615,"), file.replace(r#""a""#, r#""b""#)),
            "",
        );
        assert!(Manifest::parse(two.as_bytes()).unwrap_err().contains("more than"));
    }

    #[test]
    fn paths_stay_below_the_package() {
        for good in ["bottle.toml", "golden/good/1 (2).png", "a/b/c-d_e+f.x"] {
            assert!(is_below(good), "{good}");
        }
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "a/",
            ".ssh",
            "a\\b",
            "a/.b",
            "x:y",
            "ä",
            "-x",
            "a.",
            MANIFEST,
        ] {
            assert!(!is_below(bad), "{bad}");
        }
        assert_eq!(plain(Path::new("a/../b/./c")).unwrap(), Path::new("b/c"));
        assert_eq!(plain(Path::new("a/../../b")), None);
    }
}
