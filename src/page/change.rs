//! Changes of settings: tried, noted in the audit log, written, taken into use, and taken back where that fails.

use super::App;
use crate::config::Config;
use crate::limits::{self, read_text};
use crate::recipe::{Recipe, RecipeFiles, of_station};
use crate::record::audit::{self, Change};
use crate::record::journal::Stamp;
use crate::record::write_file;
use crate::run::{Recipes, Status, wall_clock};
use mudenet_board::ErrorCode;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use toml_edit::DocumentMut;

/// Longest wait for the line to use a recipe, and a step of it.
const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(50);

/// A change of a recipe's file.
pub(super) struct Edit<'a> {
    /// What the audit log calls it, such as `threshold of recipe 1`.
    pub(super) what: String,
    /// The value before.
    pub(super) from: Value,
    /// The value since.
    pub(super) to: Value,
    /// The change itself.
    pub(super) change: &'a dyn Fn(&mut DocumentMut),
}

/// Notes a change in the audit log.
pub(super) fn note(app: &App, who: &str, what: &str, from: Value, to: Value) -> Result<(), String> {
    let Some(log) = &app.audit else { return Err("there is no [record], whose audit log notes changes".to_owned()) };
    let change = Change { time: Stamp::from(wall_clock()), who: who.to_owned(), what: what.to_owned(), from, to };
    audit::append(log, change).map_err(|error| error.to_string())
}

/// Where the line has its recipes from.
fn source(app: &App) -> Result<Box<dyn Recipes>, String> {
    let config = Config::load(&app.config).map_err(|error| error.to_string())?;
    // A simulated line proves nothing for the real one.
    if app.simulated {
        return Ok(Box::new(RecipeFiles(config.recipes)));
    }
    let board = Arc::clone(&app.board);
    of_station(&config, move |text| board.say(text)).map_err(|error| error.to_string())
}

/// The recipe files of box.toml as it is now.
pub(super) fn recipes(app: &App) -> Result<RecipeFiles, String> {
    Ok(RecipeFiles(Config::load(&app.config).map_err(|error| error.to_string())?.recipes))
}

/// The file of a recipe.
pub(super) fn file(app: &App, number: u16) -> Result<PathBuf, String> {
    let missing = || format!("recipe {number} is not in [recipes.files]");
    recipes(app)?.0.get(&number).cloned().ok_or_else(missing)
}

/// Uses another recipe from the next part on. It takes as long as loading it.
pub(super) fn choose(app: &App, who: &str, number: u16) -> Result<(), String> {
    let _one = app.changing.lock().unwrap_or_else(PoisonError::into_inner);
    let name = Recipe::load(&file(app, number)?).map_err(|error| error.to_string())?.name;
    let before = app.feed.status();
    let named = |status: &Status| status.product.as_ref().map(|product| format!("{} {}", product.number, product.name));
    let (from, to) = (json!(named(&before)), json!(format!("{number} {name}")));
    note(app, who, "recipe", from.clone(), to.clone())?;
    if !app.handle.change_recipe(number) {
        return Err("the line has ended".to_owned());
    }
    in_use(app, &before).inspect_err(|_| {
        // The line goes on with the recipe of before, and that is a line of the log too.
        let _ = note(app, "mudenet-edge", "recipe", to, from);
    })
}

/// Changes a recipe's file. What cannot be used is refused before anything is written.
pub(super) fn edit(app: &App, who: &str, number: u16, edit: Edit<'_>) -> Result<(), String> {
    let _one = app.changing.lock().unwrap_or_else(PoisonError::into_inner);
    let path = file(app, number)?;
    let old = read_text(&path, limits::SETTINGS).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut document: DocumentMut = old.parse().map_err(|error| format!("{}: {error}", path.display()))?;
    (edit.change)(&mut document);
    let new = document.to_string();
    let recipe = Recipe::parse(&new, &path).map_err(|error| error.to_string())?;
    recipe.prove(&mut recipe.prepare().map_err(|error| error.to_string())?)?;
    note(app, who, &edit.what, edit.from.clone(), edit.to.clone())?;
    let put = |text: &str| write_file(&path, |out| out.write_all(text.as_bytes())).map_err(|error| error.to_string());
    let done = put(&new).and_then(|()| use_anew(app, number));
    done.inspect_err(|_| {
        let restored = put(&old).and_then(|()| note(app, "mudenet-edge", &edit.what, edit.to, edit.from));
        if restored.and_then(|()| use_anew(app, number)).is_err() {
            app.board.say(format!("{}: could not be put back as it was", path.display()));
        }
    })
}

/// Loads the recipe in use anew, where it is this one.
fn use_anew(app: &App, number: u16) -> Result<(), String> {
    let before = app.feed.status();
    if before.product.as_ref().is_none_or(|product| product.number != number) {
        return Ok(());
    }
    if !app.handle.replace_recipes(source(app)?) {
        return Err("the line has ended".to_owned());
    }
    in_use(app, &before)
}

/// Waits until the line says what became of a recipe.
fn in_use(app: &App, before: &Status) -> Result<(), String> {
    let failed = |status: &Status| status.counters.errors_of(ErrorCode::RecipeFailed);
    let mut waited = Duration::ZERO;
    while waited < PATIENCE {
        let status = app.feed.status();
        if status.counters.recipe_changes > before.counters.recipe_changes {
            return Ok(());
        }
        if failed(&status) > failed(before) {
            let said = app.board.notices().into_iter().map(|(_, text)| text).find(|text| text.starts_with("recipe "));
            return Err(said.unwrap_or_else(|| "the recipe could not be loaded".to_owned()));
        }
        std::thread::sleep(STEP);
        waited += STEP;
    }
    Err(format!("the line did not take the recipe within {} s", PATIENCE.as_secs()))
}
