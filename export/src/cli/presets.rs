//! `mudenet-export presets`.

use anyhow::Context;
use mudenet_export::data::{Preset, preset_names};
use std::io::Write;

/// Show the built-in presets, or one of them as TOML
#[derive(clap::Args)]
#[command(after_help = "Example:\n  mudenet-export presets mvtec-ad/cable > my-product.toml")]
pub(super) struct Args {
    /// A preset, or a .toml file to check
    preset: Option<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match &args.preset {
        None => preset_names().try_for_each(|name| writeln!(out, "{name}"))?,
        Some(name) => {
            let preset = Preset::find(name).map_err(anyhow::Error::msg)?;
            write!(out, "{}", toml::to_string(&preset).with_context(|| name.clone())?)?;
        }
    }
    Ok(())
}
