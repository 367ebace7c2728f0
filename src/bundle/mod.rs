//! The model file: an ONNX graph and, in its `metadata_props`, everything else that scoring needs.

mod meta;
mod storage;
mod structure;
mod validate;

use crate::record::write_file;
pub use meta::{FORMAT_VERSION, Meta, Parity, RuntimeParity};
use prost::Message;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::io::Write;
use std::path::{Path, PathBuf};
pub use storage::{Agreement, AgreementObserver, Difference, StorageForm, StorageReport, TestReport};
pub use structure::MAX_STRUCTURE;
pub use tract_onnx::pb;

/// Largest model file that is read, bytes.
pub const MAX_BYTES: u64 = 512 * 1024 * 1024;

/// Name of the graph's input, (1, 3, H, W).
pub const INPUT: &str = "image";
/// Name of the output of Eq. 9, (1, L, h, w).
pub const STRUCTURAL: &str = "structural";
/// Name of the output of Eq. 10, (1, L, h, w).
pub const LOGICAL: &str = "logical";
/// Name of the optional output of squared distances to remembered good parts, (1, M, h', w').
pub const MEMORY: &str = "memory";

/// A model file that was checked: the graph has the expected interface, its weights are finite, the metadata is complete.
#[derive(Clone, Debug)]
pub struct Bundle {
    graph: pb::ModelProto,
    meta: Meta,
    sha256: String,
}

/// A model file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file cannot be read or written.
    #[error("{}: cannot be {action}: {source}", path.display())]
    Io {
        /// The model file.
        path: PathBuf,
        /// "read" or "written".
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file's content is not a usable bundle.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The model file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Bundle {
    /// Reads and checks a model file.
    ///
    /// # Errors
    /// [`BundleError`], naming the file and what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, BundleError> {
        let io = |source| BundleError::Io { path: path.to_owned(), action: "read", source };
        let bytes = crate::limits::read(path, MAX_BYTES).map_err(io)?;
        Self::from_bytes(&bytes).map_err(|reason| BundleError::Content { path: path.to_owned(), reason })
    }

    /// Checks a model file's bytes.
    ///
    /// # Errors
    /// A sentence that says what is wrong with them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        if bytes.is_empty() {
            return Err("is empty, not an ONNX model".into());
        }
        structure::check(bytes)?;
        let graph = pb::ModelProto::decode(bytes).map_err(|e| format!("is not an ONNX model ({e})"))?;
        let meta = Meta::read(&graph)?;
        validate::graph(&graph, &meta)?;
        meta.validate()?;
        Ok(Self { graph, meta, sha256: hex(&Sha256::digest(bytes)) })
    }

    /// Puts `meta` into `graph` and checks the result.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn assemble(mut graph: pb::ModelProto, meta: &Meta) -> Result<Self, String> {
        meta.write(&mut graph)?;
        Self::from_bytes(&graph.encode_to_vec())
    }

    /// Writes the model file; an existing one is replaced only once the new one is complete.
    ///
    /// # Errors
    /// [`BundleError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), BundleError> {
        write_file(path, |file| file.write_all(&self.graph.encode_to_vec())).map_err(|error| BundleError::Io {
            path: error.path,
            action: "written",
            source: error.source,
        })
    }

    /// The ONNX graph, metadata included.
    pub fn graph(&self) -> &pb::ModelProto {
        &self.graph
    }

    /// Shape of the graph's output of this name; `None` where there is no such output.
    pub fn output_shape(&self, name: &str) -> Option<Vec<i64>> {
        let graph = self.graph.graph.as_ref()?;
        graph.output.iter().find(|output| output.name == name).map(validate::shape)
    }

    /// Everything that scoring needs beside the graph.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// SHA-256 of the file, lower-case hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

impl<'a> From<&'a Bundle> for Cow<'a, Bundle> {
    fn from(bundle: &'a Bundle) -> Self {
        Self::Borrowed(bundle)
    }
}

impl From<Bundle> for Cow<'_, Bundle> {
    fn from(bundle: Bundle) -> Self {
        Self::Owned(bundle)
    }
}

/// Lower-case hex of a hash.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
