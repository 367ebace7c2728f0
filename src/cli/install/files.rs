//! What is installed where.

use mudenet_edge::record::write_file;
use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where a system is installed.
pub(super) struct Place {
    /// Its root; `None` is the running system.
    pub(super) root: Option<PathBuf>,
    /// The program's folder is `bin` below it.
    pub(super) prefix: String,
}

/// A file to be installed.
pub(super) struct Installing {
    /// From the system's root.
    pub(super) path: String,
    content: Vec<u8>,
    mode: u32,
    /// Somebody's own once it is there.
    theirs: bool,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Installed {
    /// It is there now.
    Written,
    /// It was there and stays.
    Kept,
}

const CONFIG: &str = "/etc/mudenet-edge/box.toml";
const UNITS: &str = "/etc/systemd/system";

impl Place {
    /// A path of the system.
    pub(super) fn at(&self, path: &str) -> PathBuf {
        match &self.root {
            None => path.into(),
            Some(root) => root.join(path.trim_start_matches('/')),
        }
    }

    fn program(&self) -> String {
        format!("{}/bin/mudenet-edge", self.prefix)
    }

    /// Units of packages are the distribution's; those of an engineer the system's own.
    fn units(&self) -> &'static str {
        if self.prefix == "/usr" { "/usr/lib/systemd/system" } else { UNITS }
    }

    fn library(&self, what: &str) -> String {
        let base = if self.prefix == "/usr" { "/usr/lib" } else { "/etc" };
        format!("{base}/{what}")
    }

    fn texts(&self) -> [(String, &'static str); 6] {
        let units = self.units();
        [
            (format!("{units}/mudenet-edge.service"), include_str!("../../../board/linux/mudenet-edge.service")),
            (
                format!("{units}/mudenet-edge-update.service"),
                include_str!("../../../board/linux/mudenet-edge-update.service"),
            ),
            (
                format!("{units}/mudenet-edge-update.timer"),
                include_str!("../../../board/linux/mudenet-edge-update.timer"),
            ),
            (
                self.library("udev/rules.d/60-mudenet-edge.rules"),
                include_str!("../../../board/linux/60-mudenet-edge.rules"),
            ),
            (self.library("sysusers.d/mudenet-edge.conf"), include_str!("../../../board/linux/sysusers.conf")),
            (self.library("tmpfiles.d/mudenet-edge.conf"), include_str!("../../../board/linux/tmpfiles.conf")),
        ]
    }

    /// Everything, `program` being the file of this program.
    pub(super) fn files(&self, program: &Path) -> io::Result<Vec<Installing>> {
        let bin = format!("{}/bin", self.prefix);
        let mut files =
            vec![Installing { path: self.program(), content: std::fs::read(program)?, mode: 0o755, theirs: false }];
        for (path, text) in self.texts() {
            let content = text.replace("@bin@", &bin).replace("@etc@", "/etc").into_bytes();
            files.push(Installing { path, content, mode: 0o644, theirs: false });
        }
        let example = include_bytes!("../../../board/box.toml");
        files.push(Installing {
            path: format!("{CONFIG}.example"),
            content: example.into(),
            mode: 0o644,
            theirs: false,
        });
        files.push(Installing { path: CONFIG.to_owned(), content: example.into(), mode: 0o640, theirs: true });
        Ok(files)
    }

    /// What is removed again.
    pub(super) fn own(&self) -> impl Iterator<Item = String> + '_ {
        let texts = self.texts().map(|(path, _)| path);
        texts.into_iter().chain([self.program(), format!("{CONFIG}.example")])
    }
}

impl Installing {
    /// Puts the file at `path`, whole or not at all; a running program keeps the one it was started from.
    pub(super) fn put(&self, path: &Path) -> io::Result<Installed> {
        if self.theirs && path.exists() {
            return Ok(Installed::Kept);
        }
        let written = write_file(path, |out| {
            out.get_ref().set_permissions(Permissions::from_mode(self.mode))?;
            out.write_all(&self.content)
        });
        written.map(|()| Installed::Written).map_err(|error| error.source)
    }
}
