//! `mudenet-edge audit`.

use super::ACCEPTED;
use anyhow::{Result, bail};
use mudenet_edge::record::audit::{self, AuditEntry, Change, FILE};
use mudenet_edge::record::journal::Stamp;
use mudenet_edge::run::wall_clock;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};

const AFTER_HELP: &str = "\
The log is a chain: each line holds the hash of the line before. A line that was changed, removed or put in breaks it.
That its end is missing shows only by the newest hash: note it elsewhere and check with --head.

Example:
  mudenet-edge audit verify /var/lib/mudenet/record --head 5f3c…";

/// Look into the log of changes to settings, and check that nobody changed it
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Check the chain; exit code 2 where it is broken
    #[command(after_help = AFTER_HELP)]
    Verify {
        #[command(flatten)]
        log: Log,
        /// Also check that this hash, noted earlier, is in the log
        #[arg(long, value_name = "HASH")]
        head: Option<String>,
    },
    /// Check the chain and show the changes
    #[command(after_help = "Example:\n  mudenet-edge audit show /var/lib/mudenet/record")]
    Show(Log),
}

#[derive(clap::Args)]
struct Log {
    /// A record's folder, or the log itself
    #[arg(value_name = "DIR|FILE")]
    path: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let mut out = std::io::stdout().lock();
    match &args.command {
        Command::Verify { log, head } => {
            let path = file(&log.path);
            let verified = audit::verify(&path)?;
            if let Some(head) = head.as_ref().filter(|head| !verified.hashes.contains(head)) {
                bail!("{}: has no line with the hash {head}: its end is missing, or it is another log", path.display());
            }
            let (count, unfinished) = (verified.entries.len(), verified.unfinished);
            if log.json {
                let report = json!({ "entries": count, "head": verified.head(), "unfinished_bytes": unfinished });
                writeln!(out, "{report}")?;
            } else {
                writeln!(out, "{count} changes, the chain holds\nnewest hash {}", verified.head())?;
                if unfinished > 0 {
                    writeln!(out, "note: {unfinished} bytes after them are an unfinished line (a power cut)")?;
                }
            }
        }
        Command::Show(log) => {
            for entry in audit::verify(&file(&log.path))?.entries {
                if log.json {
                    writeln!(out, "{}", serde_json::to_string(&entry)?)?;
                } else {
                    writeln!(out, "{}", row(&entry))?;
                }
            }
        }
    }
    Ok(ACCEPTED)
}

/// Notes a change in the log of a record.
pub(super) fn note(record: &Path, who: &str, what: &str, from: Value, to: Value) -> Result<()> {
    let change = Change { time: Stamp::from(wall_clock()), who: who.into(), what: what.into(), from, to };
    Ok(audit::append(&record.join(FILE), change)?)
}

/// Who runs this program, as the system says.
pub(super) fn user() -> String {
    ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .unwrap_or_else(|| "unknown".into())
}

fn file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(FILE) } else { path.to_owned() }
}

fn row(entry: &AuditEntry) -> String {
    let Change { time, who, what, from, to } = &entry.change;
    format!("{:>5}  {time}  {who}  {what}: {from} → {to}", entry.seq)
}
