//! `mudenet-edge install` and `uninstall`.

mod files;

use super::ACCEPTED;
use anyhow::{Context, Result, bail};
use files::{Installed, Place};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

const AFTER_HELP: &str = "\
Puts this program, a systemd service with a watchdog and few rights, device rules, a user of its own and an example box.toml in
place, and starts nothing. Installing again replaces what it wrote and leaves configuration and records as they are. With --root
everything goes below that folder and nothing is run, for images and packages.

Example:
  sudo mudenet-edge install
  mudenet-edge install --root image/ --prefix /usr";

const AFTER_HELP_UNINSTALL: &str = "\
Removes what install wrote. Configuration, recipes, records and the audit log stay; so does the user that owns them.

Example:
  sudo mudenet-edge uninstall
  mudenet-edge uninstall --root image/ --prefix /usr";

/// Install this program as a service
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Install {
    #[command(flatten)]
    place: PlaceArgs,
}

/// Remove the service; configuration and records stay
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP_UNINSTALL)]
pub(super) struct Uninstall {
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(clap::Args)]
struct PlaceArgs {
    /// Put everything below this folder, and run nothing
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The program goes into PREFIX/bin
    #[arg(long, value_name = "PREFIX", default_value = "/usr/local")]
    prefix: PathBuf,
}

impl PlaceArgs {
    fn checked(&self) -> Result<Place> {
        let plain = self.prefix.to_str().filter(|text| {
            text.starts_with('/')
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "/_-.".contains(c))
                && !text.contains("..")
        });
        // It stands in units, where other characters mean something.
        let Some(prefix) = plain else {
            bail!("--prefix {}: expected an absolute path of letters, digits, _ - and .", self.prefix.display());
        };
        Ok(Place { root: self.root.clone(), prefix: prefix.trim_end_matches('/').to_owned() })
    }
}

pub(super) fn install(args: &Install) -> Result<u8> {
    let place = args.place.checked()?;
    let program = std::env::current_exe().context("this program cannot be found")?;
    for file in place.files(&program)? {
        let path = place.at(&file.path);
        let state = file.put(&path).map_err(|error| explained(error, &path))?;
        say(&format!("{:9} {}", state.word(), path.display()))?;
    }
    if place.root.is_some() {
        return Ok(ACCEPTED);
    }
    run("systemd-sysusers", &[]);
    run("systemd-tmpfiles", &["--create", "mudenet-edge.conf"]);
    run("udevadm", &["control", "--reload"]);
    run("udevadm", &["trigger", "--subsystem-match=gpio", "--subsystem-match=video4linux", "--action=change"]);
    run("systemctl", &["daemon-reload"]);
    say("\nnext:\n  \
         edit /etc/mudenet-edge/box.toml, put recipes beside it\n  \
         sudo -u mudenet-edge mudenet-edge run --config /etc/mudenet-edge/box.toml --check\n  \
         sudo systemctl enable --now mudenet-edge\n  \
         journalctl -fu mudenet-edge")?;
    Ok(ACCEPTED)
}

pub(super) fn uninstall(args: &Uninstall) -> Result<u8> {
    let place = args.place.checked()?;
    if place.root.is_none() {
        run("systemctl", &["disable", "--now", "mudenet-edge-update.timer", "mudenet-edge.service"]);
    }
    let mut removed = 0;
    for path in place.own().map(|path| place.at(&path)) {
        match std::fs::remove_file(&path) {
            Ok(()) => {
                removed += 1;
                say(&format!("removed   {}", path.display()))?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(explained(error, &path)),
        }
    }
    if removed == 0 {
        bail!("nothing was installed in {}", place.at(&format!("{}/bin", place.prefix)).display());
    }
    if place.root.is_none() {
        run("systemctl", &["daemon-reload"]);
        run("udevadm", &["control", "--reload"]);
    }
    for path in ["/etc/mudenet-edge", "/var/lib/mudenet-edge"].map(|path| place.at(path)).iter().filter(|p| p.exists())
    {
        say(&format!("stays     {}", path.display()))?;
    }
    Ok(ACCEPTED)
}

impl Installed {
    fn word(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Kept => "kept",
        }
    }
}

fn explained(error: std::io::Error, path: &Path) -> anyhow::Error {
    let todo = if error.kind() == ErrorKind::PermissionDenied { "; run it with sudo, or with --root DIR" } else { "" };
    anyhow::anyhow!("{}: {error}{todo}", path.display())
}

fn say(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{text}")
}

/// Runs a tool of the system. One that is missing or fails is told and changes nothing about what was installed.
fn run(program: &str, arguments: &[&str]) {
    let failed = match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    super::print_error(&format!("warning: {program} {}: {failed}", arguments.join(" ")));
}
