//! Recipes of releases: proven before the switch, and on trial behind it.

use super::manifest::plain;
use super::{Release, Standing, Store, UpdateError};
use crate::config::{Config, UpdateConfig};
use crate::recipe::{Recipe, RecipeFiles};
use crate::record::audit::{self, Change};
use crate::record::journal::Stamp;
use crate::run::{Prepared, Recipes, wall_clock};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Proves that this box can use every recipe of a staged release that its box.toml names: nothing is used that the package
/// does not hold, and every golden sample is judged right. `recipes` are those of box.toml.
///
/// # Errors
/// [`UpdateError::Recipe`].
pub fn prove(
    store: &Store,
    release: &Release,
    recipes: &BTreeMap<u16, PathBuf>,
    settings: &UpdateConfig,
) -> Result<usize, UpdateError> {
    let current = store.current_folder();
    let mut proven = 0;
    for (number, path) in recipes {
        let Ok(below) = path.strip_prefix(&current) else { continue };
        let bad = |reason: String| UpdateError::Recipe { number: *number, reason };
        let recipe = Recipe::load(&release.folder.join(below)).map_err(|error| bad(error.to_string()))?;
        for file in [Some(&recipe.path), Some(&recipe.model), recipe.ignore.as_ref()].into_iter().flatten() {
            if !release.holds(file) {
                return Err(bad(format!("{} is not in the package", file.display())));
            }
        }
        match &recipe.golden {
            None if settings.require_golden => {
                return Err(bad("has no golden samples to prove it on (golden = \"FOLDER\" in its file)".to_owned()));
            }
            Some(samples) if !release.holds_below(samples) => {
                return Err(bad(format!("its golden samples in {} are not in the package", samples.display())));
            }
            _ => {}
        }
        let mut pipeline = recipe.prepare().map_err(|error| bad(error.to_string()))?;
        recipe.prove(&mut pipeline).map_err(bad)?;
        proven += 1;
    }
    if proven == 0 {
        let reason = format!("[recipes.files] of box.toml names no file below {}", current.display());
        return Err(UpdateError::Source { from: release.name.clone(), reason });
    }
    Ok(proven)
}

impl Release {
    fn below(&self, path: &Path) -> Option<String> {
        let path = plain(path)?;
        Some(path.strip_prefix(plain(&self.folder)?).ok()?.to_string_lossy().into_owned())
    }

    fn holds(&self, path: &Path) -> bool {
        self.below(path).is_some_and(|below| self.manifest.file(&below).is_some())
    }

    fn holds_below(&self, path: &Path) -> bool {
        self.below(path)
            .is_some_and(|below| self.manifest.files.iter().any(|file| file.path.starts_with(&format!("{below}/"))))
    }
}

/// Recipes in files, some of them of a release: the first one that is loaded of a new release confirms it, and one that
/// cannot be loaded takes the release of before back into use.
pub struct TriedRecipes {
    files: RecipeFiles,
    store: Store,
    audit: Option<PathBuf>,
    tell: Tell,
}

/// Told of a roll-back, a sentence each.
pub type Tell = Box<dyn FnMut(String) + Send>;

impl TriedRecipes {
    /// The recipes of a station.
    ///
    /// # Errors
    /// [`UpdateError::Key`].
    pub fn new(config: &Config, settings: &UpdateConfig, tell: Tell) -> Result<Self, UpdateError> {
        let audit = config.record.as_ref().map(|record| record.folder.join(audit::FILE));
        Ok(Self { files: RecipeFiles(config.recipes.clone()), store: Store::open(settings)?, audit, tell })
    }

    /// That it cannot be noted must not keep the line from its recipe.
    fn note(&mut self, what: &str, from: Value, to: Value) {
        let Some(log) = &self.audit else { return };
        let who = "mudenet-edge".to_owned();
        let change = Change { time: Stamp::from(wall_clock()), who, what: what.to_owned(), from, to };
        if let Err(error) = audit::append(log, change) {
            (self.tell)(error.to_string());
        }
    }

    fn rolled_back(&mut self, from: &str, to: &str, reason: &str) {
        (self.tell)(format!("update {from} rolled back to {to}: {reason}"));
        self.note(&format!("update rolled back: {reason}"), from.into(), to.into());
    }
}

impl Recipes for TriedRecipes {
    fn load(&mut self, number: u16) -> Result<Prepared, String> {
        let of_release = self.files.0.get(&number).is_some_and(|path| path.starts_with(self.store.current_folder()));
        let standing = if of_release { self.store.begin() } else { Ok(Standing::Proven) };
        let on_trial = match standing {
            Ok(Standing::OnTrial(release)) => Some(release),
            Ok(Standing::Proven) => None,
            Ok(Standing::RolledBack { from, to }) => {
                self.rolled_back(&from, &to, "the box ended twice while it loaded this release");
                None
            }
            Err(error) => return Err(error.to_string()),
        };
        let Some(release) = on_trial else { return self.files.load(number) };
        // A panic while loading is a reason to go back, not to try again.
        let loaded =
            crate::guard::guarded(|| self.files.load(number)).unwrap_or_else(|panicked| Err(panicked.to_string()));
        match loaded {
            Ok(prepared) => {
                self.store.confirm().map_err(|error| error.to_string())?;
                self.note("update in use", Value::Null, release.into());
                Ok(prepared)
            }
            Err(reason) => match self.store.roll_back(&reason) {
                Ok((from, to)) => {
                    self.rolled_back(&from, &to, &reason);
                    self.files.load(number).map_err(|error| format!("{reason}; after going back: {error}"))
                }
                Err(error) => Err(format!("{reason}; {error}")),
            },
        }
    }
}
