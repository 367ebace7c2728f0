//! `mudenet-edge password`.

use super::ACCEPTED;
use anyhow::{Context, Result, bail};
use mudenet_edge::page::Engineers;
use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const AFTER_HELP: &str = "\
The file holds hashes (argon2id), never passwords. Name it in box.toml: [page] engineers = \"engineers.txt\".
A running box reads it at every log-in.

Examples:
  mudenet-edge password --file engineers.txt anna
  printf '%s\\n' \"$PASSWORD\" | mudenet-edge password --file engineers.txt anna";

/// Set the password of an engineer for the page of the box
///
/// Asks for it, or reads it from the first line of stdin where that is no terminal.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// The file of engineers; made where it is missing
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// The engineer's name, as it will stand in the audit log
    #[arg(value_name = "NAME")]
    name: String,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let mut engineers = if args.file.exists() { Engineers::load(&args.file)? } else { Engineers::default() };
    engineers.set(&args.name, &ask()?)?;
    write(&args.file, &engineers.to_text()).with_context(|| format!("{}: cannot be written", args.file.display()))?;
    writeln!(std::io::stdout(), "{}: the password of {} is set", args.file.display(), args.name)?;
    Ok(ACCEPTED)
}

fn ask() -> Result<String> {
    if std::io::stdin().is_terminal() {
        let password = rpassword::prompt_password("password: ").context("the password cannot be read")?;
        if rpassword::prompt_password("again: ").context("the password cannot be read")? != password {
            bail!("the two passwords differ");
        }
        return Ok(password);
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("the password cannot be read")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Replaces the file, for its owner's eyes only.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let part = path.with_extension("part");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&part, path)
}
