//! Golden samples, tested every few hours and on command while the line runs.

use crate::cli::{audit, print_error};
use mudenet_edge::config::Config;
use mudenet_edge::golden::GoldenReport;
use mudenet_edge::guard::guarded;
use mudenet_edge::recipe::Recipe;
use mudenet_edge::run::{Feed, Handle};
use mudenet_edge::sentence::sentence;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// Without `recipes.golden_hours`: only on command.
const NEVER: Duration = Duration::from_secs(u32::MAX as u64);

/// Starts the thread that tests the recipe in use, every `recipes.golden_hours` and whenever it is told.
pub(super) fn watch(config: &Config, path: &Path, feed: Feed, handle: Handle) -> std::io::Result<SyncSender<()>> {
    let (command, commands) = sync_channel(1);
    let tester = Tester {
        path: path.to_owned(),
        record: config.record.as_ref().map(|record| record.folder.clone()),
        feed,
        handle,
    };
    let every = config.golden_every;
    std::thread::Builder::new().name("golden".to_owned()).spawn(move || {
        // Less of the processor than the line. Where the system refuses, the test is merely less polite.
        let _ = rustix::process::setpriority_process(None, 15);
        loop {
            match commands.recv_timeout(every.unwrap_or(NEVER)) {
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(()) | Err(RecvTimeoutError::Timeout) => tester.test(),
            }
        }
    })?;
    Ok(command)
}

struct Tester {
    path: PathBuf,
    record: Option<PathBuf>,
    feed: Feed,
    handle: Handle,
}

impl Tester {
    fn test(&self) {
        let Some(number) = self.feed.status().product.map(|product| product.number) else { return };
        let file = match self.file(number) {
            Ok(file) => file,
            // A box.toml that is just being edited says nothing about the recipe in use.
            Err(reason) => return print_error(&format!("no golden-sample test: {reason}")),
        };
        // A network that panics has not passed, and must not be the last that was tested.
        let report = guarded(|| report(&file)).unwrap_or_else(|panicked| Err(panicked.to_string()));
        let outcome = match report {
            Ok(None) => {
                return print_error(&format!("recipe {number} has no golden samples to be tested on"));
            }
            Ok(Some(report)) if report.passed() => "passed".to_owned(),
            Ok(Some(report)) => {
                let wrong = report.results.iter().filter(|result| !result.is_right()).count();
                format!("failed: {wrong} of {} judged wrong", report.results.len())
            }
            Err(reason) => format!("failed: {reason}"),
        };
        if outcome != "passed" {
            self.handle.distrust(number, format!("golden-sample test {outcome}: everything is rejected"));
        }
        if let Some(record) = &self.record {
            let what = format!("golden-sample test of recipe {number}");
            if let Err(error) = audit::note(record, "mudenet-edge", &what, Value::Null, json!(outcome)) {
                print_error(&sentence(&*error));
            }
        }
    }

    fn file(&self, number: u16) -> Result<PathBuf, String> {
        let config = Config::load(&self.path).map_err(|error| error.to_string())?;
        config.recipes.get(&number).cloned().ok_or_else(|| format!("recipe {number} is not in [recipes.files]"))
    }
}

/// The recipe as it would be loaded now: what is on the disk is tested too.
fn report(file: &Path) -> Result<Option<GoldenReport>, String> {
    let recipe = Recipe::load(file).map_err(|error| error.to_string())?;
    if recipe.golden.is_none() {
        return Ok(None);
    }
    recipe.golden_report(&mut recipe.prepare().map_err(|error| error.to_string())?)
}
