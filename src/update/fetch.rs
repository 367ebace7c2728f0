//! Where packages come from: a folder, such as a memory stick, or a web server.

use super::UpdateError;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Longest wait for a connection, and for the next bytes of an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest time for one file.
const LONGEST: Duration = Duration::from_secs(3600);
const BLOCK: usize = 1 << 16;

/// Where a package is.
pub enum Source {
    /// In a folder.
    Folder(PathBuf),
    /// Below an address, which ends with a slash.
    Https {
        /// The address.
        base: String,
        /// The client.
        agent: Box<Agent>,
    },
}

impl Source {
    /// A source by its name: `https://…` or a folder. `ca` is a PEM file of the only authorities that may vouch for the
    /// server; without it those that browsers trust.
    ///
    /// # Errors
    /// [`UpdateError::Source`] for an address without TLS, and for authorities that cannot be read.
    pub fn open(name: &str, ca: Option<&Path>) -> Result<Self, UpdateError> {
        let bad = |reason: String| UpdateError::Source { from: name.to_owned(), reason };
        let scheme = name.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            None => Ok(Self::Folder(name.into())),
            Some("https") => {
                let mut tls = TlsConfig::builder();
                if let Some(path) = ca {
                    tls = tls.root_certs(authorities(path)?);
                }
                let agent = Agent::config_builder()
                    .https_only(true)
                    .tls_config(tls.build())
                    .timeout_connect(Some(PATIENCE))
                    .timeout_per_read(Some(PATIENCE))
                    .timeout_global(Some(LONGEST))
                    .user_agent(concat!("mudenet-edge/", env!("CARGO_PKG_VERSION")))
                    .build()
                    .new_agent();
                let base = if name.ends_with('/') { name.to_owned() } else { format!("{name}/") };
                Ok(Self::Https { base, agent: Box::new(agent) })
            }
            Some(_) => Err(bad("expected https://… or a folder".to_owned())),
        }
    }

    /// Its name, as errors have it.
    pub fn name(&self) -> String {
        match self {
            Self::Folder(folder) => folder.display().to_string(),
            Self::Https { base, .. } => base.clone(),
        }
    }

    /// Writes the file at `path`, which is not longer than `longest` bytes, to `out`; gives its length.
    ///
    /// # Errors
    /// [`UpdateError::Source`] also for a longer one, as soon as it shows.
    pub(super) fn fetch(&self, path: &str, longest: u64, out: &mut dyn Write) -> Result<u64, UpdateError> {
        match self {
            Self::Folder(folder) => {
                let file = folder.join(path);
                let bad = |error: std::io::Error| failed(file.display().to_string(), error);
                copy(&mut File::open(&file).map_err(bad)?, longest, out).map_err(bad)
            }
            Self::Https { base, agent } => {
                // Names in a package are plain but for these.
                let url = format!("{base}{}", path.replace(' ', "%20").replace('+', "%2B"));
                let bad = |error: &dyn std::fmt::Display| failed(url.clone(), error);
                let answer = agent.get(&url).call().map_err(|error| bad(&error))?;
                copy(&mut answer.into_body().into_reader(), longest, out).map_err(|error| bad(&error))
            }
        }
    }

    /// Like [`Source::fetch`], into memory.
    pub(super) fn bytes(&self, path: &str, longest: u64) -> Result<Vec<u8>, UpdateError> {
        let mut bytes = vec![];
        self.fetch(path, longest, &mut bytes)?;
        Ok(bytes)
    }
}

fn failed(from: String, reason: impl std::fmt::Display) -> UpdateError {
    UpdateError::Source { from, reason: reason.to_string() }
}

fn copy(from: &mut dyn Read, longest: u64, out: &mut dyn Write) -> std::io::Result<u64> {
    let (mut length, mut block) = (0, vec![0; BLOCK]);
    loop {
        let read = match from.read(&mut block) {
            Ok(0) => return Ok(length),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        length += read as u64;
        if length > longest {
            return Err(std::io::Error::other(format!("is longer than {longest} bytes")));
        }
        out.write_all(block.get(..read).unwrap_or_default())?;
    }
}

fn authorities(path: &Path) -> Result<RootCerts, UpdateError> {
    let bad = |reason: &dyn std::fmt::Display| failed(format!("update.ca: {}", path.display()), reason);
    let pem = std::fs::read(path).map_err(|error| bad(&error))?;
    let mut found: Vec<Certificate<'static>> = vec![];
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(bad(&error)),
        }
    }
    if found.is_empty() {
        return Err(bad(&"holds no certificate in PEM form"));
    }
    Ok(RootCerts::Specific(Arc::new(found)))
}
