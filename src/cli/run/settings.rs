//! Settings that were changed with an editor: noted in the audit log when they are read.

use crate::cli::{audit, print_error};
use mudenet_edge::bundle::hex;
use mudenet_edge::config::Config;
use mudenet_edge::recipe::Recipe;
use mudenet_edge::record::audit::{FILE, verify};
use mudenet_edge::sentence::sentence;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

const WHAT: &str = "files of settings";

/// Notes the files that settings come from, by their SHA-256, where they are not those of the last such note. That it cannot
/// be noted is told and keeps the line from nothing.
pub(super) fn note(config: &Config) {
    let Some(record) = &config.record else { return };
    let log = record.folder.join(FILE);
    let now = files(config);
    let before = match log.exists().then(|| verify(&log)).transpose() {
        Ok(log) => log.and_then(|log| log.entries.into_iter().rev().find(|entry| entry.change.what == WHAT)),
        Err(error) => return print_error(&error.to_string()),
    };
    let before = before.map_or(Value::Null, |entry| entry.change.to);
    let changed = |from: &Value, to: &Value| -> Value {
        let none = Map::new();
        let (from, to) = (from.as_object().unwrap_or(&none), to.as_object().unwrap_or(&none));
        from.iter()
            .filter(|(name, hash)| to.get(*name) != Some(*hash))
            .map(|(name, hash)| (name.clone(), hash.clone()))
            .collect()
    };
    if before == now {
        return;
    }
    // Whole, so that the next comparison needs no other line.
    if let Err(error) = audit::note(&record.folder, "mudenet-edge", WHAT, changed(&before, &now), now) {
        print_error(&sentence(&*error));
    }
}

/// Hash of box.toml and of every recipe with its model and mask; a file that cannot be read has none.
fn files(config: &Config) -> Value {
    let mut paths: Vec<PathBuf> = vec![config.path.clone()];
    for path in config.recipes.values() {
        paths.push(path.clone());
        // One that cannot be used is told of where it is loaded.
        if let Ok(recipe) = Recipe::load(path) {
            paths.push(recipe.model);
            paths.extend(recipe.ignore);
        }
    }
    paths.iter().map(|path| (path.display().to_string(), hash(path))).collect()
}

fn hash(path: &Path) -> Value {
    std::fs::read(path).map_or(Value::Null, |bytes| hex(&Sha256::digest(bytes)).into())
}
