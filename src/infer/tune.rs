//! What was measured about a model's layers on this host, and the file that keeps it.

use super::engine::Choice;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

/// Measures which way of computing each layer is fastest on this host when a model is loaded, and remembers it.
#[derive(Clone, Debug)]
pub struct Tuner {
    clock: fn() -> Duration,
    folder: Option<PathBuf>,
}

/// Where a plan is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanSource {
    /// From what each layer is estimated to cost.
    Estimated,
    /// Measured while the model was loaded.
    Measured,
    /// Measured when the model was loaded for the first time.
    Remembered,
}

static INSTALLED: OnceLock<Tuner> = OnceLock::new();

impl Tuner {
    /// A tuner that reads times from `clock` and keeps what it found in `folder`; without one, it measures every time.
    pub fn new(clock: fn() -> Duration, folder: Option<PathBuf>) -> Self {
        Self { clock, folder }
    }

    /// The user's cache folder, or where systemd says that a service keeps what it can do without: `$CACHE_DIRECTORY`,
    /// `$XDG_CACHE_HOME/mudenet-edge` or `~/.cache/mudenet-edge`, the first that is set.
    pub fn default_folder() -> Option<PathBuf> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        // Of several folders, systemd puts colons between.
        let service = variable("CACHE_DIRECTORY").filter(|path| path.is_absolute());
        let user = || variable("XDG_CACHE_HOME").filter(|path| path.is_absolute());
        let home = || Some(variable("HOME")?.join(".cache"));
        service.or_else(|| Some(user().or_else(home)?.join("mudenet-edge")))
    }

    /// Makes this the tuner of every [`super::TractScorer`] that is made as the environment says, from now on. The first one
    /// stays.
    pub fn install(self) {
        INSTALLED.get_or_init(|| self);
    }

    pub(super) fn installed() -> Option<&'static Self> {
        INSTALLED.get()
    }

    pub(super) fn clock(&self) -> fn() -> Duration {
        self.clock
    }

    /// What was found for a model of this sum on this host; none where it was not measured yet. What cannot be read, or is of
    /// no use, is told in the log and counts for nothing.
    pub(super) fn recall(&self, model: &str, engine: &str) -> Option<Choices> {
        let key = Key::here(model, engine);
        let file = key.file(self.folder.as_deref()?);
        let unusable = |reason: String| log::warn!("{}: {reason}; measured anew", file.display());
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => {
                unusable(format!("cannot be read: {error}"));
                return None;
            }
        };
        match serde_json::from_slice::<Entry>(&bytes) {
            Ok(entry) if entry.key == key => Some(entry.layers),
            Ok(_) => {
                unusable("is of another model, program or machine".into());
                None
            }
            Err(error) => {
                unusable(format!("is not a plan: {error}"));
                None
            }
        }
    }

    /// Keeps what was found; where that fails, the log says so.
    pub(super) fn remember(&self, model: &str, engine: &str, layers: &Choices) {
        let Some(folder) = &self.folder else { return };
        let key = Key::here(model, engine);
        let file = key.file(folder);
        if let Err(error) = (Entry { key, layers: layers.clone() }).save(folder, &file) {
            log::warn!("{}: cannot be written: {error}; the plan is measured again next time", file.display());
        }
    }
}

/// What to ask for by name of layer, where anything is; a layer that has no such way is computed as estimated.
pub(super) type Choices = BTreeMap<String, Choice>;

/// What a plan was measured for.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct Key {
    version: String,
    model: String,
    processor: String,
    engine: String,
    threads: usize,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(rename = "for")]
    key: Key,
    layers: Choices,
}

impl Key {
    fn here(model: &str, engine: &str) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            model: model.into(),
            processor: processor(),
            engine: engine.into(),
            threads: rayon::current_num_threads(),
        }
    }

    fn file(&self, folder: &Path) -> PathBuf {
        let Self { version, model, processor, engine, threads } = self;
        let sum = Sha256::digest(format!("{version}\n{model}\n{processor}\n{engine}\n{threads}"));
        let name: String = sum.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        folder.join(format!("plan-{name}.json"))
    }
}

impl Entry {
    /// Written beside its place and moved there: a reader sees all of it or nothing.
    fn save(&self, folder: &Path, file: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut partial = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&mut partial, self)?;
        partial.flush()?;
        partial.persist(file).map_err(|error| error.error)?;
        Ok(())
    }
}

/// What this processor says of itself: name, model and stepping, not speeds that change.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let lasting = ["model name", "cpu family", "model", "stepping", "CPU implementer", "CPU part", "CPU revision"];
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines() {
        let is_lasting = line.split_once(':').is_some_and(|(key, _)| lasting.contains(&key.trim()));
        if is_lasting && !lines.contains(&line) {
            lines.push(line);
        }
    }
    let words = lines.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() { std::env::consts::ARCH.into() } else { words }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> Duration {
        Duration::ZERO
    }

    #[test]
    fn a_plan_is_found_again_for_its_model_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let tuner = Tuner::new(clock, Some(folder.path().join("not/yet/there")));
        let layers = Choices::from([("stem".to_owned(), Choice::Direct), ("block".to_owned(), Choice::Bytes)]);
        assert_eq!(tuner.recall("a", "fused"), None);
        tuner.remember("a", "fused", &layers);
        assert_eq!(tuner.recall("a", "fused"), Some(layers));
        assert_eq!(tuner.recall("b", "fused"), None);
        assert_eq!(tuner.recall("a", "fused, avx2"), None);
    }

    #[test]
    fn what_is_no_plan_counts_for_nothing_and_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let tuner = Tuner::new(clock, Some(folder.path().into()));
        let file = Key::here("a", "fused").file(folder.path());
        let other = Entry { key: Key::here("b", "fused"), layers: Choices::new() };
        let other = serde_json::to_vec(&other).expect("JSON");
        for bytes in [&b""[..], b"{", b"[1, 2]", b"\xff\xfe", br#"{"for": {}, "layers": {"a": "magic"}}"#, &other] {
            std::fs::write(&file, bytes).expect("a file");
            assert_eq!(tuner.recall("a", "fused"), None, "{}", String::from_utf8_lossy(bytes));
            tuner.remember("a", "fused", &Choices::new());
            assert_eq!(tuner.recall("a", "fused"), Some(Choices::new()));
        }
        // A folder in the file's place can be neither read nor replaced.
        std::fs::remove_file(&file).expect("the file goes");
        std::fs::create_dir(&file).expect("a folder");
        assert_eq!(tuner.recall("a", "fused"), None);
        tuner.remember("a", "fused", &Choices::new());
        assert_eq!(tuner.recall("a", "fused"), None);
    }
}
