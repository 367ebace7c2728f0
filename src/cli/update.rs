//! `mudenet-edge update`.

use super::{ACCEPTED, REJECTED, audit};
use anyhow::{Context, Result, bail};
use mudenet_edge::config::{Config, UpdateConfig};
use mudenet_edge::run::now;
use mudenet_edge::update::{MANIFEST, Manifest, Release, Source, Store, Wanted, prove};
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

const AFTER_HELP: &str = "\
A package is a folder with recipes, models, masks and golden samples, and a list of them that is signed with minisign. On the
workstation:
  minisign -G -p plant.pub -s plant.key
  mudenet-edge update pack bottles/ --name bottles --serial 12
  minisign -S -s plant.key -m bottles/package.json
and the folder goes to a web server or a memory stick. On the box, box.toml has
  [update]
  key = \"RWQ…\"                               # the second line of plant.pub
  from = \"https://plant.example/bottles/\"    # or a folder
  [recipes]
  files = { 1 = \"/var/lib/mudenet-edge/packages/current/bottle.toml\" }

Examples:
  mudenet-edge update install --config box.toml
  mudenet-edge update install --config box.toml --from /media/stick/bottles
  mudenet-edge update status --config box.toml
  mudenet-edge update rollback --config box.toml";

/// Take signed models and recipes into use, or go back to those of before
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Fetch a package, verify it, prove it on its golden samples, switch to it; exit code 1 where the box went back
    #[command(after_help = "\
Nothing is used before its signature was verified; a running box goes on until the new recipe is loaded and takes it between two
parts. Where that fails, it goes back to the release of before by itself.

Example:\n  mudenet-edge update install --config box.toml --from /media/stick/bottles")]
    Install(Install),
    /// Show what is in use, what it was before, and whether every file is as it was signed
    #[command(after_help = "Example:\n  mudenet-edge update status --config box.toml")]
    Status(Of),
    /// Go back to the release of before
    #[command(after_help = "Example:\n  mudenet-edge update rollback --config box.toml")]
    Rollback(Of),
    /// List the files of a folder, to be signed: makes package.json
    #[command(
        after_help = "Example:\n  mudenet-edge update pack bottles/ --name bottles --serial 12 --box 'bottles, line 3'"
    )]
    Pack(Pack),
}

#[derive(clap::Args)]
struct Of {
    /// The station
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Install {
    #[command(flatten)]
    of: Of,
    /// Where the package is, instead of update.from: https://… or a folder
    #[arg(long, value_name = "WHERE")]
    from: Option<String>,
    /// Only say what there is
    #[arg(long)]
    check: bool,
    /// Take a package with a lower serial number too
    #[arg(long)]
    allow_older: bool,
    /// Take a package that this box has rolled back once more
    #[arg(long)]
    again: bool,
    /// Replace files that were changed on this box, such as a threshold set on the page
    #[arg(long)]
    discard_changes: bool,
    /// Longest wait for a running box to take it, seconds
    #[arg(long, value_name = "S", default_value_t = 120)]
    patience: u64,
}

#[derive(clap::Args)]
struct Pack {
    /// The folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// What people call the package
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Higher than that of the package before
    #[arg(long, value_name = "N")]
    serial: u64,
    /// Only for the box of this name ([box] name); may be given several times
    #[arg(long = "box", value_name = "NAME")]
    boxes: Vec<String>,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    match &args.command {
        Command::Install(args) => install(args),
        Command::Status(of) => status(of),
        Command::Rollback(of) => rollback(of),
        Command::Pack(args) => pack(args),
    }
}

fn open(of: &Of) -> Result<(Config, UpdateConfig, Store)> {
    let config = Config::load(&of.config)?;
    let none = || format!("{}: has no [update], whose key packages are verified with", of.config.display());
    let settings = config.update.clone().with_context(none)?;
    let store = Store::open(&settings)?;
    Ok((config, settings, store))
}

fn install(args: &Install) -> Result<u8> {
    let (config, settings, store) = open(&args.of)?;
    let from =
        args.from.as_deref().or(settings.from.as_deref()).context("neither --from nor update.from says where")?;
    let source = Source::open(from, settings.ca.as_deref())?;
    let before = store.current()?;
    if args.check {
        let offered = store.look(&source)?;
        let in_use = before.as_ref().map(|release| release.manifest.serial);
        let newer = in_use.is_none_or(|serial| offered.serial > serial);
        return say(
            args.of.json,
            &json!({ "offered": brief(&offered), "newer": newer, "in_use": before.as_ref().map(|r| brief(&r.manifest)) }),
            &format!(
                "{}: {} {}, {}",
                source.name(),
                offered.name,
                offered.serial,
                match in_use {
                    Some(serial) if newer => format!("newer than {serial}, which is in use"),
                    Some(serial) => format!("not newer than {serial}, which is in use"),
                    None => "nothing is in use yet".to_owned(),
                }
            ),
        );
    }
    let wanted = Wanted { older: args.allow_older, again: args.again, discard: args.discard_changes };
    let (mut fetched, mut kept, person) = (0, 0, std::io::stderr().is_terminal());
    let staged = store.stage(&source, &config.name, wanted, |file, fetching| {
        if fetching {
            fetched += 1;
            if person && !args.of.json {
                // That nobody reads it changes nothing.
                let _ = writeln!(std::io::stderr(), "fetching {}, {:.1} MB", file.path, file.size as f64 / 1e6);
            }
        } else {
            kept += 1;
        }
    })?;
    let Some(staged) = staged else {
        let serial = before.as_ref().map_or(0, |release| release.manifest.serial);
        return say(
            args.of.json,
            &json!({ "outcome": "in use already" }),
            &format!("package {serial} is in use already"),
        );
    };
    let proven = prove(&store, &staged.release, &config.recipes, &settings)?;
    let was = before.as_ref().map(|release| release.name.clone());
    let name = staged.release.name.clone();
    note(&config, "update", json!(was), json!(name))?;
    store.forgive(&name)?;
    let running = running(&settings.folder)?;
    let release = store.switch(staged).inspect_err(|_| {
        // The switch was noted and did not happen.
        let _ = note(&config, "update", json!(name), json!(was));
    })?;
    let text = format!(
        "{} {}: signature verified, {fetched} files fetched, {kept} were there, {proven} recipes proven",
        release.manifest.name, release.manifest.serial
    );
    let Some(box_id) = running else {
        let facts = json!({ "outcome": "at the next start", "release": release.name, "recipes": proven });
        return say(args.of.json, &facts, &format!("{text}\nno box is running: it is loaded at the next start"));
    };
    let outcome = hand_over(&store, &release, box_id, Duration::from_secs(args.patience))?;
    let facts =
        json!({ "outcome": outcome.word(), "release": release.name, "recipes": proven, "reason": outcome.reason() });
    say(args.of.json, &facts, &format!("{text}\n{}", outcome.text()))?;
    Ok(if matches!(outcome, Outcome::RolledBack(_)) { REJECTED } else { ACCEPTED })
}

/// What a running box made of a release.
enum Outcome {
    InUse,
    RolledBack(String),
    NotYet,
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::InUse => "in use",
            Self::RolledBack(_) => "rolled back",
            Self::NotYet => "waits",
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::RolledBack(reason) => Some(reason),
            _ => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::InUse => "the running box has taken it into use".to_owned(),
            Self::RolledBack(reason) => format!("the running box went back to the release of before: {reason}"),
            Self::NotYet => {
                "the running box has not loaded it yet: it does so with the next recipe, after a RESET where it \
                             waits for one"
                    .to_owned()
            }
        }
    }
}

/// Tells the running box and waits for what becomes of the release.
fn hand_over(store: &Store, release: &Release, box_id: i32, patience: Duration) -> Result<Outcome> {
    hang_up(box_id)?;
    let patience = u64::try_from(patience.as_micros()).unwrap_or(u64::MAX);
    let start = now();
    loop {
        if store.waiting()?.is_none() {
            let in_use = store.current()?.is_some_and(|current| current.name == release.name);
            let reason = || store.refused(&release.name).unwrap_or_else(|| "it does not say why".to_owned());
            return Ok(if in_use { Outcome::InUse } else { Outcome::RolledBack(reason()) });
        }
        if now().saturating_sub(start) >= patience {
            return Ok(Outcome::NotYet);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn hang_up(box_id: i32) -> Result<()> {
    let told = rustix::process::Pid::from_raw(box_id)
        .context("the running box has no process number")
        .and_then(|pid| Ok(rustix::process::kill_process(pid, rustix::process::Signal::HUP)?));
    told.with_context(|| {
        format!("process {box_id} cannot be told to load its recipes anew (systemctl reload mudenet-edge)")
    })
}

const PID: &str = "box.pid";

/// Notes that this process is the box whose recipes come from `folder`, for as long as the file is held.
pub(super) fn claim(folder: &Path) -> Result<std::fs::File> {
    let path = folder.join(PID);
    let claim = || -> std::io::Result<Option<std::fs::File>> {
        std::fs::create_dir_all(folder)?;
        let mut file = std::fs::File::options().create(true).truncate(false).write(true).open(&path)?;
        if file.try_lock().is_err() {
            return Ok(None);
        }
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Some(file))
    };
    match claim() {
        Ok(Some(file)) => Ok(file),
        Ok(None) => bail!("update.folder: {} is used by another running box", folder.display()),
        Err(error) => Err(error).with_context(|| format!("update.folder: {} cannot be written", path.display())),
    }
}

/// Process number of the box that uses `folder`, where one runs.
fn running(folder: &Path) -> Result<Option<i32>> {
    let path = folder.join(PID);
    let Ok(file) = std::fs::File::open(&path) else { return Ok(None) };
    if file.try_lock_shared().is_ok() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(text.trim().parse().ok())
}

fn status(of: &Of) -> Result<u8> {
    let (.., store) = open(of)?;
    let (current, previous, waiting) = (store.current()?, store.previous()?, store.waiting()?);
    let changed = current.as_ref().map(Release::changed).transpose()?.unwrap_or_default();
    let facts = json!({
        "in_use": current.as_ref().map(|release| brief(&release.manifest)),
        "before": previous.as_ref().map(|release| brief(&release.manifest)),
        "on_trial": waiting.is_some(), "changed": changed,
    });
    let mut text = match &current {
        None => "nothing is in use yet".to_owned(),
        Some(Release { manifest, .. }) => {
            format!("{} {} is in use, {} files", manifest.name, manifest.serial, manifest.files.len())
        }
    };
    if waiting.is_some() {
        text += "\nno box has loaded it yet";
    }
    if current.is_some() {
        text += &if changed.is_empty() {
            "\nevery file is as it was signed".to_owned()
        } else {
            format!("\nnot as they were signed: {}", changed.join(", "))
        };
    }
    if let Some(Release { manifest, .. }) = &previous {
        text += &format!("\nbefore: {} {}", manifest.name, manifest.serial);
    }
    say(of.json, &facts, &text)
}

fn rollback(of: &Of) -> Result<u8> {
    let (config, settings, store) = open(of)?;
    let who = audit::user();
    let (from, to) = store.roll_back(&format!("by {who}"))?;
    note(&config, "update rolled back", json!(from), json!(to))?;
    let told = match running(&settings.folder)? {
        Some(box_id) => {
            hang_up(box_id)?;
            "the running box loads it now"
        }
        None => "it is loaded at the next start",
    };
    say(of.json, &json!({ "from": from, "to": to }), &format!("{from} left, {to} is in use: {told}"))
}

fn pack(args: &Pack) -> Result<u8> {
    let manifest = Manifest::of_folder(&args.folder, args.name.clone(), args.serial, args.boxes.clone())?;
    let path = args.folder.join(MANIFEST);
    let text = serde_json::to_string_pretty(&manifest)?;
    mudenet_edge::record::write_file(&path, |out| writeln!(out, "{text}"))?;
    let (count, bytes) = (manifest.files.len(), manifest.bytes().unwrap_or(0));
    let path = path.display();
    writeln!(
        std::io::stdout(),
        "{path}: {count} files, {:.1} MB\nsign it: minisign -S -s plant.key -m {path}",
        bytes as f64 / 1e6
    )?;
    Ok(ACCEPTED)
}

fn note(config: &Config, what: &str, from: Value, to: Value) -> Result<()> {
    let Some(record) = &config.record else { return Ok(()) };
    audit::note(&record.folder, &audit::user(), what, from, to)
}

fn brief(manifest: &Manifest) -> Value {
    json!({ "name": manifest.name, "serial": manifest.serial, "files": manifest.files.len() })
}

fn say(as_json: bool, facts: &Value, text: &str) -> Result<u8> {
    let mut out = std::io::stdout().lock();
    if as_json {
        writeln!(out, "{facts}")?
    } else {
        writeln!(out, "{text}")?
    }
    Ok(ACCEPTED)
}
