//! box.toml, recipes, board profiles and the engineers' file, by the first byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudenet_edge::config::{Config, Profile};
use mudenet_edge::page::Engineers;
use mudenet_edge::recipe::Recipe;
use mudenet_fuzz::{FEW, bounded, file, folder};
use std::path::Path;
use std::sync::LazyLock;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(folder);

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(data) else { return };
    let engineers = file(&FOLDER, "engineers.txt", data);
    bounded(256 * data.len() + FEW, || match kind % 4 {
        0 => {
            let read = Config::parse(text, Path::new("box.toml"));
            if let Err(error) = read {
                assert!(error.to_string().starts_with("box.toml: "));
            }
        }
        1 => {
            if let Ok(recipe) = Recipe::parse(text, Path::new("part.toml")) {
                assert!(recipe.threshold.is_none_or(f32::is_finite));
            }
        }
        2 => drop(toml::from_str::<Profile>(text)),
        _ => {
            if let Ok(people) = Engineers::load(&engineers) {
                assert!(!people.to_text().is_empty());
            }
        }
    });
});
