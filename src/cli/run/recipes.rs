//! Where a running box has its recipes from.

use mudenet_edge::config::Config;
use mudenet_edge::run::Recipes;

/// Held while a box uses packages, so that updates find it.
#[cfg(feature = "update")]
pub(super) type Claim = Option<std::fs::File>;
/// Held while a box uses packages, so that updates find it.
#[cfg(not(feature = "update"))]
pub(super) type Claim = ();

/// Says that this process is the box.
#[cfg(feature = "update")]
pub(super) fn claim(config: &Config) -> anyhow::Result<Claim> {
    config.update.as_ref().map(|settings| crate::cli::update::claim(&settings.folder)).transpose()
}

/// Says that this process is the box.
#[cfg(not(feature = "update"))]
pub(super) fn claim(config: &Config) -> anyhow::Result<Claim> {
    match &config.update {
        None => Ok(()),
        Some(_) => anyhow::bail!("update: this program was built without signed packages (cargo feature update)"),
    }
}

/// The recipes of box.toml; `tell` is told where an update is taken back.
pub(super) fn recipes(config: &Config, tell: impl FnMut(String) + Send + 'static) -> anyhow::Result<Box<dyn Recipes>> {
    Ok(mudenet_edge::recipe::of_station(config, tell)?)
}
