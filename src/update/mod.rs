//! Models and recipes as signed packages (feature `update`): fetched, verified, proven on golden samples, switched to in one
//! step, and taken back where the box cannot use them.
//!
//! A package is a folder, on a web server or a memory stick, with a list of its files ([`Manifest`]) that is signed with
//! [minisign](https://jedisct1.github.io/minisign/). Nothing of a package is read before the signature of its list was
//! verified, and no file is used that differs from the list.
//!
//! ```text
//! FOLDER/current -> releases/000012-5f3c9a1be0d4     what box.toml's recipes are below
//! FOLDER/previous -> releases/000011-…               what a roll-back goes to
//! FOLDER/trial                                       the release that no box has loaded yet, and how often it was tried
//! FOLDER/refused                                     releases that were rolled back, and why
//! FOLDER/releases/000012-…/package.json, package.json.minisig, bottle.toml, bottle.onnx, golden/…
//! FOLDER/staging/                                    what is being fetched
//! ```
//!
//! `current` is replaced by a rename, so that at every moment, and after a power cut at every moment, it is the old release
//! or the new one, whole. A new release is on trial until the box has loaded a recipe of it, golden samples included; a
//! recipe that cannot be loaded, or a box that ends twice while it tries, takes `current` back to `previous`.

mod fetch;
mod manifest;
mod recipes;
mod stage;
mod store;
mod trial;

pub use fetch::Source;
pub use manifest::{Key, Listed, MANIFEST, Manifest, SIGNATURE};
pub use recipes::{Tell, TriedRecipes, prove};
pub use stage::{Staged, Wanted};
pub use store::{Release, Store};
pub use trial::Standing;

use std::path::{Path, PathBuf};

/// Why a package is not used. Whatever it is, the release in use stays.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// Something cannot be fetched.
    #[error("{from}: {reason}")]
    Source {
        /// Address or path.
        from: String,
        /// What was said.
        reason: String,
    },
    /// The signature of the list.
    #[error("{from}: {reason}: nothing of this package is used")]
    Signature {
        /// The package.
        from: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `update.key`.
    #[error("update.key: is no minisign public key: {0}")]
    Key(String),
    /// The list.
    #[error("{from}: {reason}")]
    Manifest {
        /// The package.
        from: String,
        /// What is expected, and what was found.
        reason: String,
    },
    /// A file that is not as the list says.
    #[error("{path}: {reason}")]
    File {
        /// Its path in the package.
        path: String,
        /// Expected and got.
        reason: String,
    },
    /// A package that was made before the one in use.
    #[error("package {offered} is not newer than {installed}, which is in use (--allow-older takes it nevertheless)")]
    Older {
        /// Serial number of the one in use.
        installed: u64,
        /// Serial number of the other.
        offered: u64,
    },
    /// A package that this box has rolled back.
    #[error("package {name} was rolled back on this box: {reason} (--again tries it once more)")]
    Refused {
        /// The release.
        name: String,
        /// Why.
        reason: String,
    },
    /// Changes made on the box would be lost.
    #[error(
        "changed on this box and not as in the package: {}; --discard-changes replaces them",
        .0.join(", ")
    )]
    Changed(Vec<String>),
    /// A recipe of the package that this box cannot use.
    #[error("recipe {number}: {reason}")]
    Recipe {
        /// Its number in box.toml.
        number: u16,
        /// Why.
        reason: String,
    },
    /// There is nothing to go back to.
    #[error("{}: there is no release before this one", .0.display())]
    NoPrevious(PathBuf),
    /// Another program is updating.
    #[error("{}: another update is running", .0.display())]
    Busy(PathBuf),
    /// The disk.
    #[error("{}: {source}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl UpdateError {
    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
