//! `[update]`: who signs packages of models and recipes, and where they come from.

use super::check::Findings;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Packages of models and recipes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UpdateConfig {
    /// The minisign public key that packages must be signed with: the second line of `minisign.pub`.
    pub key: String,
    /// Folder of the releases; recipes of packages are below its `current`. Without it `packages` below `box.state`.
    #[serde(default)]
    pub folder: PathBuf,
    /// Where packages are looked for: `https://…` or a folder.
    pub from: Option<String>,
    /// PEM file of the authorities that may vouch for the server; without it those that browsers trust.
    pub ca: Option<PathBuf>,
    /// Take only packages whose recipes have golden samples.
    #[serde(default = "yes")]
    pub require_golden: bool,
}

fn yes() -> bool {
    true
}

impl UpdateConfig {
    /// Checks the table; paths in it are below `folder`.
    pub(super) fn checked(mut self, state: Option<&Path>, record: bool, folder: &Path, found: &mut Findings) -> Self {
        let base64 = |c: u8| c.is_ascii_alphanumeric() || b"+/=".contains(&c);
        found.rule(
            self.key.len() == 56 && self.key.starts_with("RW") && self.key.bytes().all(base64),
            "update.key",
            || "must be the 56 characters of a minisign public key, which begin with RW".to_owned(),
        );
        found.rule(record, "update", || "needs a [record], whose audit log notes what is updated".to_owned());
        if self.folder.as_os_str().is_empty() {
            match state {
                Some(state) => self.folder = Path::new(state).join("packages"),
                None => found.rule(false, "update.folder", || "is missing, and there is no box.state".to_owned()),
            }
        }
        self.folder = folder.join(&self.folder);
        if let Some(from) = &mut self.from {
            let scheme = from.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
            found.rule(scheme.as_deref().is_none_or(|scheme| scheme == "https"), "update.from", || {
                format!("must be https://… or a folder, got {from}")
            });
            if scheme.is_none() {
                *from = folder.join(&*from).to_string_lossy().into_owned();
            }
        }
        self.ca = self.ca.map(|file| folder.join(file));
        self
    }
}
