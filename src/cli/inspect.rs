//! `mudenet-edge inspect`.

use super::inputs::{Input, Picture, resolve};
use super::outputs::Outputs;
use super::{ACCEPTED, FAILED, REJECTED, print_error};
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use mudenet_edge::capture::{Frame, decode};
use mudenet_edge::decide::Verdict;
use mudenet_edge::guard::guarded;
use mudenet_edge::inspector::Inspection;
use mudenet_edge::recipe::Recipe;
use mudenet_edge::record::{Line, overlay, verdict_word, write_map, write_png};
use mudenet_edge::run::Pipeline;
use mudenet_edge::sentence::sentence;
use mudenet_edge::threads;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const AFTER_HELP: &str = "\
Exit code: 0 where every picture is accepted, 1 where any is rejected, 2 where anything failed or was interrupted.
A picture that cannot be inspected is a fault; the others are still inspected.

Examples:
  mudenet-edge inspect --model bottle.onnx part.png
  mudenet-edge inspect --model bottle.onnx parts/ --out results
  mudenet-edge inspect --model bottle.onnx 'parts/**/*.png' --json > verdicts.jsonl
  mudenet-edge inspect --recipe bottle.toml parts/
  mudenet-edge inspect --model bottle.onnx --info";

/// Inspect pictures with a model, one line a picture
///
/// PNG, JPEG, BMP and TIFF of 8 or 16 bits, grey or colour, any size; alpha and EXIF orientation are ignored. The
/// milliseconds are those from the decoded picture to the verdict.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// The model, written by mudenet-export
    #[arg(long, value_name = "FILE", required_unless_present = "recipe")]
    model: Option<PathBuf>,
    /// A recipe instead: its model with its region, mask, zones and thresholds
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "threshold", "info"])]
    recipe: Option<PathBuf>,
    /// Pictures, folders (searched with their sub-folders), or quoted patterns such as 'parts/**/*.png'
    #[arg(required_unless_present = "info", value_name = "IMAGE|DIR|GLOB")]
    inputs: Vec<PathBuf>,
    /// Print what the model says of itself: input, threshold, training, and how its stored form agrees with the f32 model
    /// and other runtimes
    #[arg(long, conflicts_with_all = ["inputs", "out", "threshold"])]
    info: bool,
    /// Write DIR/overlays/NAME.png (picture, heat map, contour at the threshold) and DIR/maps/NAME.tiff (32-bit scores)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON object a picture: image, verdict, score, threshold, branch, level, ms and, where there is one, zone and
    /// error
    #[arg(long)]
    json: bool,
    /// Reject above this score instead of the model's own threshold
    #[arg(long, value_name = "SCORE", value_parser = finite, allow_negative_numbers = true)]
    threshold: Option<f32>,
    #[command(flatten)]
    tune: super::tune::Tune,
    #[command(flatten)]
    device: super::device::DeviceArg,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    args.device.install()?;
    args.tune.install();
    if args.info {
        super::info::print(args.model.as_deref().unwrap_or(Path::new("")), args.json)?;
        return Ok(ACCEPTED);
    }
    threads::use_cores(None)?;
    let outputs = args.out.as_deref().map(Outputs::new);
    let inputs = resolve(&args.inputs, &outputs.as_ref().map(Outputs::folders).unwrap_or_default());
    let interrupted = interrupt_flag()?;
    let progress = progress_bar(inputs.len() as u64);
    let pipeline = match (&args.recipe, &args.model) {
        (Some(recipe), _) => Recipe::load(recipe)?.prepare()?,
        (None, model) => Pipeline::load(model.as_deref().unwrap_or(Path::new("")), args.threshold)?,
    };
    if let Some(outputs) = &outputs {
        let pictures: Vec<&Picture> = inputs.iter().filter_map(Input::picture).collect();
        outputs.prepare(&pictures)?;
    }
    let mut session = Session { pipeline, outputs, json: args.json, progress, code: ACCEPTED };
    for (done, input) in inputs.iter().enumerate() {
        if interrupted.load(Ordering::Relaxed) {
            bail!("interrupted after {done} of {} pictures", inputs.len());
        }
        session
            .inspect(input)
            .with_context(|| format!("the verdict of picture {} of {} cannot be printed", done + 1, inputs.len()))?;
    }
    session.progress.finish_and_clear();
    Ok(session.code)
}

struct Session {
    pipeline: Pipeline,
    outputs: Option<Outputs>,
    json: bool,
    progress: ProgressBar,
    code: u8,
}

impl Session {
    /// Inspects one input and prints its line; fails only where the line cannot be printed.
    fn inspect(&mut self, input: &Input) -> std::io::Result<()> {
        let threshold = self.pipeline.threshold();
        match input {
            Input::Nothing { name, reason } => self.print(&Line::fault(name, threshold, reason))?,
            Input::Picture(picture) => {
                let name = picture.path.display().to_string();
                match self.verdict(picture) {
                    Ok((frame, inspection, ms)) => {
                        let unwritten = self.write(picture, &frame, &inspection).err().map(|e| sentence(&*e));
                        let line = Line::inspected(&name, inspection.verdict, &inspection.score, threshold, ms);
                        let zone = inspection.zone.as_deref();
                        self.print(&Line { error: unwritten.as_deref(), zone, ..line })?;
                    }
                    Err(reason) => {
                        self.remove_earlier(picture);
                        self.print(&Line::fault(&name, threshold, &reason))?;
                    }
                }
            }
        }
        self.progress.inc(1);
        Ok(())
    }

    fn verdict(&mut self, picture: &Picture) -> Result<(Frame, Inspection, f64), String> {
        let named = |reason: &dyn std::fmt::Display| format!("{}: {reason}", picture.path.display());
        let frame = guarded(|| decode(&picture.path)).map_err(|e| named(&e))?.map_err(|e| e.to_string())?;
        let outcome = self.pipeline.inspect(&frame);
        let inspection = outcome.result.map_err(|e| named(&e))?;
        // Maps and overlays are of what was inspected.
        let frame = self.pipeline.view(frame);
        Ok((frame, inspection, outcome.elapsed.as_secs_f64() * 1e3))
    }

    fn write(&self, picture: &Picture, frame: &Frame, inspection: &Inspection) -> anyhow::Result<()> {
        let Some(outputs) = &self.outputs else { return Ok(()) };
        let [map_file, overlay_file] = outputs.files(picture);
        let map = inspection.map.resized(frame.height(), frame.width());
        write_map(&map_file, &map)?;
        write_png(&overlay_file, &overlay(frame, &map, inspection, self.pipeline.threshold()))?;
        Ok(())
    }

    /// A picture that could not be inspected must not keep the result of an earlier run.
    fn remove_earlier(&self, picture: &Picture) {
        for file in self.outputs.iter().flat_map(|outputs| outputs.files(picture)) {
            if let Err(error) = std::fs::remove_file(&file)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                print_error(&format!("{}: an earlier result cannot be removed: {error}", file.display()));
            }
        }
    }

    fn print(&mut self, line: &Line) -> std::io::Result<()> {
        self.code = self.code.max(match (line.error, line.verdict) {
            (Some(_), _) | (None, Verdict::Fault) => FAILED,
            (None, Verdict::Reject) => REJECTED,
            (None, Verdict::Accept) => ACCEPTED,
        });
        let text = if self.json { serde_json::to_string(line)? } else { readable(line) };
        self.progress.suspend(|| {
            if let Some(reason) = line.error {
                print_error(reason);
            }
            writeln!(std::io::stdout(), "{text}")
        })
    }
}

fn readable(line: &Line) -> String {
    let word = verdict_word(line.verdict);
    match (line.score, line.ms) {
        (Some(score), Some(ms)) => {
            format!("{word:6}  score {score:8.4}  threshold {:8.4}  {ms:8.1} ms  {}", line.threshold, line.image)
        }
        _ => format!("{word:6}  {:>14}  threshold {:8.4}  {:>11}  {}", "", line.threshold, "", line.image),
    }
}

/// Set by Ctrl-C or a termination signal; the second one ends the program at once.
pub(super) fn interrupt_flag() -> anyhow::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let handler = Arc::clone(&flag);
    let handle = move || {
        if handler.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(FAILED));
        }
    };
    ctrlc::set_handler(handle).context("Ctrl-C cannot be caught")?;
    Ok(flag)
}

/// On stderr, where that is a terminal.
fn progress_bar(length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length);
    let style = ProgressStyle::with_template("inspecting {wide_bar:.cyan/dim} {pos}/{len}  {eta} left");
    style.into_iter().for_each(|style| bar.set_style(style));
    bar
}

fn finite(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err("expected a finite number".into()),
    }
}
