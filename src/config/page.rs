//! `[page]`: the page for operators and engineers.

use super::check::Findings;
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Where the page is served and who may change settings on it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PageConfig {
    /// Address and port to listen on.
    pub bind: SocketAddr,
    /// File of the engineers' names and password hashes, written by `mudenet-edge password`. Without it the page only
    /// shows.
    pub engineers: Option<PathBuf>,
    /// PEM file of the page's certificate and those that vouch for it: then it is served over HTTPS.
    pub certificate: Option<PathBuf>,
    /// PEM file of the certificate's private key.
    pub key: Option<PathBuf>,
}

impl Default for PageConfig {
    fn default() -> Self {
        Self { bind: (Ipv4Addr::LOCALHOST, 8080).into(), engineers: None, certificate: None, key: None }
    }
}

impl PageConfig {
    /// Checks the table; paths in it are below `folder`, and `record` says whether a record is kept.
    pub(super) fn checked(mut self, record: bool, folder: &Path, found: &mut Findings) -> Self {
        found.rule(self.bind.ip().is_loopback() || self.engineers.is_some(), "page.bind", || {
            format!(
                "{} can be reached from other machines: set a password and name its file in page.engineers",
                self.bind
            )
        });
        found.rule(self.engineers.is_none() || record, "page.engineers", || {
            "needs a [record], whose audit log notes what they change".to_owned()
        });
        found.rule(self.certificate.is_some() == self.key.is_some(), "page.certificate", || {
            "page.certificate and page.key need each other".to_owned()
        });
        if !self.bind.ip().is_loopback() && self.certificate.is_none() {
            found.warn(format!(
                "page.bind: passwords cross the network to {} as plain text; page.certificate and page.key encrypt it",
                self.bind
            ));
        }
        for file in [&mut self.engineers, &mut self.certificate, &mut self.key].into_iter().flatten() {
            *file = folder.join(&*file);
        }
        self
    }
}
