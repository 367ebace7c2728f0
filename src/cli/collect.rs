//! `mudenet-edge collect`.

use super::run::devices;
use super::{ACCEPTED, FAILED, print_error};
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use mudenet_edge::capture::Frame;
use mudenet_edge::config::Config;
use mudenet_edge::recipe::Recipe;
use mudenet_edge::record::write_png;
use mudenet_edge::sentence::sentence;
use std::collections::HashSet;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const AFTER_HELP: &str = "\
Show the camera good parts only: whatever is in these pictures becomes what a good part looks like. Let position, light and
material vary as they will on the line. At least 8 pictures are needed, 200 are better.

Pictures are taken as the line takes them, limits of camera.check included. A picture that is the same to the last bit as one
before is left out. Files that are there stay; their numbers are gone on from.

Examples:
  mudenet-edge collect --config box.toml --out good/ --count 200 --interval-ms 500
  mudenet-edge collect --config box.toml --out good/ --count 50 --enter
  mudenet-edge collect --config box.toml --out good/ --recipe 2";

/// Take pictures of good parts for training
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// The station whose camera takes them
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where the pictures go, as PNG
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Time between two
    #[arg(long, value_name = "MS", default_value_t = 500)]
    interval_ms: u64,
    /// Take one at each Enter instead
    #[arg(long, conflicts_with = "interval_ms")]
    enter: bool,
    /// Keep only the region of this recipe, as its inspection will see it
    #[arg(long, value_name = "NUMBER")]
    recipe: Option<u16>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let config = Config::load(&args.config)?;
    let region = match args.recipe {
        None => None,
        Some(number) => {
            let file = config.recipes.get(&number);
            let file = file.with_context(|| format!("--recipe: {number} is not in [recipes.files]"))?;
            Recipe::load(file)?.region
        }
    };
    std::fs::create_dir_all(&args.out).with_context(|| format!("{}: cannot be made", args.out.display()))?;
    let mut camera = devices::camera(&config.camera)?;
    let wait = Duration::from_micros(config.line.capture_timeout);
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    ctrlc::set_handler(move || told.store(true, Ordering::Relaxed)).context("Ctrl-C cannot be caught")?;
    let progress = progress_bar(args.count);
    let mut next = next_number(&args.out)?;
    let (mut taken, mut failed) = (0, 0);
    let mut seen = HashSet::new();
    while taken < args.count && !stop.load(Ordering::Relaxed) {
        if !pause(args, taken + failed == 0, &stop) {
            break;
        }
        let picture = camera.trigger(wait).map_err(anyhow::Error::from);
        let frame = picture.and_then(|frame| {
            Ok(match region {
                Some(region) => frame.crop(region)?,
                None => frame,
            })
        });
        match frame {
            Ok(frame) if seen.insert(content(&frame)) => {
                let file = args.out.join(format!("{next:06}.png"));
                write_picture(&file, &frame)?;
                (taken, next) = (taken + 1, next + 1);
                progress.inc(1);
            }
            Ok(_) => failed += give_up(failed, "a picture without any difference to one before; left out")?,
            Err(error) => failed += give_up(failed, &sentence(&*error))?,
        }
    }
    progress.finish_and_clear();
    println!("{taken} pictures in {}", args.out.display());
    Ok(if taken == args.count { ACCEPTED } else { FAILED })
}

/// Tells what went wrong; too often is the end.
fn give_up(before: u32, reason: &str) -> anyhow::Result<u32> {
    if before >= 50 {
        bail!("given up after 50 pictures that could not be taken: {reason}");
    }
    print_error(reason);
    Ok(1)
}

/// Waits for the next picture's time; `false` where there is none.
fn pause(args: &Args, first: bool, stop: &AtomicBool) -> bool {
    if args.enter {
        let mut line = String::new();
        return std::io::stdin().lock().read_line(&mut line).is_ok_and(|bytes| bytes > 0);
    }
    let mut left = if first { 0 } else { args.interval_ms };
    while left > 0 && !stop.load(Ordering::Relaxed) {
        let step = left.min(50);
        std::thread::sleep(Duration::from_millis(step));
        left -= step;
    }
    true
}

/// The number after the largest that a file of the folder has.
fn next_number(folder: &Path) -> anyhow::Result<u32> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{}: cannot be listed", folder.display()))?;
    let numbers = entries.filter_map(|entry| entry.ok()?.path().file_stem()?.to_str()?.parse::<u32>().ok());
    Ok(numbers.max().map_or(1, |largest| largest.saturating_add(1)))
}

fn content(frame: &Frame) -> Vec<u8> {
    use sha2::Digest;
    sha2::Sha256::digest(frame.to_rgb8()).to_vec()
}

fn write_picture(file: &Path, frame: &Frame) -> anyhow::Result<()> {
    let (width, height) = (frame.width() as u32, frame.height() as u32);
    let picture = image::RgbImage::from_raw(width, height, frame.to_rgb8()).context("a picture of another size")?;
    Ok(write_png(file, &picture)?)
}

/// On stderr, where that is a terminal.
fn progress_bar(length: u32) -> ProgressBar {
    let bar = ProgressBar::new(length.into());
    let style = ProgressStyle::with_template("collecting {wide_bar:.cyan/dim} {pos}/{len}  {eta} left");
    style.into_iter().for_each(|style| bar.set_style(style));
    bar
}
