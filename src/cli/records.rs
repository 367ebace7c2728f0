//! `mudenet-edge records`.

use super::{ACCEPTED, csv, parallel};
use anyhow::{Context, Result};
use mudenet_edge::capture::decode;
use mudenet_edge::decide::Verdict;
use mudenet_edge::record::journal::{Entry, Records, Selection, Stamp};
use mudenet_edge::record::{branch_word, verdict_word, write_file};
use mudenet_edge::run::Pipeline;
use serde_json::json;
use std::io::{BufWriter, Write};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

#[cfg(feature = "parquet")]
mod parquet;

const AFTER_HELP: &str = "\
Examples:
  mudenet-edge records /var/lib/mudenet/record --last 20
  mudenet-edge records /var/lib/mudenet/record --since 2026-11-23 --verdict reject --csv rejects.csv
  mudenet-edge records /var/lib/mudenet/record --recipe bottle --model new.onnx";

/// Look up recorded parts, export them, or inspect their pictures again with another model
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// The record's folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Only the newest N of them
    #[arg(long, value_name = "N")]
    last: Option<usize>,
    /// Print one JSON object a part, as recorded
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Write them as comma-separated values, with a line of headings
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write them as a Parquet file, with the keys of the record as columns
    #[cfg(feature = "parquet")]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["csv", "json"])]
    parquet: Option<PathBuf>,
    /// Inspect the kept pictures again with this model and show what would change
    #[arg(long, value_name = "FILE", conflicts_with = "csv")]
    #[cfg_attr(feature = "parquet", arg(conflicts_with = "parquet"))]
    model: Option<PathBuf>,
    /// Reject above this score instead of the model's own threshold
    #[arg(long, value_name = "SCORE", requires = "model", allow_negative_numbers = true)]
    threshold: Option<f32>,
    /// Pictures inspected at the same time; as many as there are processor cores where not given
    #[arg(long, value_name = "N", requires = "model")]
    jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    device: super::device::DeviceArg,
}

/// Which parts.
#[derive(clap::Args)]
struct SelectionArgs {
    /// From this time or day on, UTC, such as 2026-11-23T06:00:00Z or 2026-11-23
    #[arg(long, value_name = "TIME")]
    since: Option<Stamp>,
    /// Before this time or day
    #[arg(long, value_name = "TIME")]
    until: Option<Stamp>,
    /// With this verdict; may be given several times
    #[arg(long, value_name = "VERDICT")]
    verdict: Vec<VerdictArg>,
    /// With this recipe
    #[arg(long, value_name = "NAME")]
    recipe: Option<String>,
    /// With this number
    #[arg(long, value_name = "NUMBER")]
    part: Option<u32>,
    /// With at least this score
    #[arg(long, value_name = "SCORE", allow_negative_numbers = true)]
    min_score: Option<f32>,
    /// With a kept picture
    #[arg(long)]
    with_image: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum VerdictArg {
    Accept,
    Reject,
    Fault,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    args.device.install()?;
    let records = Records::open(&args.folder)?;
    let selection = selection(args);
    #[cfg(feature = "parquet")]
    if let Some(file) = &args.parquet {
        let count = write_parquet(args, &records, &selection, file)?;
        writeln!(std::io::stdout(), "{count} parts written to {}", file.display())?;
        return Ok(note_damaged(&records)?);
    }
    if let Some(model) = &args.model {
        reinspect(args, &records, &selection, model)?;
    } else if let Some(file) = &args.csv {
        let count = write_csv(args, &records, &selection, file)?;
        writeln!(std::io::stdout(), "{count} parts written to {}", file.display())?;
    } else {
        print(args, &records, &selection)?;
    }
    Ok(note_damaged(&records)?)
}

/// Says where lines were passed over.
fn note_damaged(records: &Records) -> std::io::Result<u8> {
    if records.damaged() > 0 {
        let lines = records.damaged();
        writeln!(std::io::stderr(), "note: {lines} lines are not whole (a power cut, or just being written)")?;
    }
    Ok(ACCEPTED)
}

fn selection(args: &Args) -> Selection {
    let of = &args.selection;
    let verdict = |verdict: &VerdictArg| match verdict {
        VerdictArg::Accept => Verdict::Accept,
        VerdictArg::Reject => Verdict::Reject,
        VerdictArg::Fault => Verdict::Fault,
    };
    Selection {
        since: of.since,
        until: of.until,
        verdicts: of.verdict.iter().map(verdict).collect(),
        recipe: of.recipe.clone(),
        part: of.part,
        min_score: of.min_score,
        with_image: of.with_image || args.model.is_some(),
        ..Selection::default()
    }
}

/// Hands out the parts asked for.
fn each(
    args: &Args,
    records: &Records,
    selection: &Selection,
    mut each: impl FnMut(&Entry) -> std::io::Result<()>,
) -> Result<()> {
    if let Some(last) = args.last {
        for entry in records.last(last, selection)? {
            each(&entry)?;
        }
        return Ok(());
    }
    let mut failure = None;
    records.each(selection, |entry| match each(&entry) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failure = Some(error);
            ControlFlow::Break(())
        }
    })?;
    failure.map_or(Ok(()), |error| Err(error.into()))
}

fn print(args: &Args, records: &Records, selection: &Selection) -> Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut counts = [0_u64; 3];
    each(args, records, selection, |entry| {
        counts[entry.verdict as usize] += 1;
        if args.json { writeln!(out, "{}", serde_json::to_string(entry)?) } else { writeln!(out, "{}", row(entry)) }
    })?;
    if !args.json {
        let [accepted, rejected, faults] = counts;
        let parts = accepted + rejected + faults;
        writeln!(out, "{parts} parts: {accepted} accepted, {rejected} rejected, {faults} faults")?;
    }
    Ok(out.flush()?)
}

/// One line for people.
pub(super) fn row(entry: &Entry) -> String {
    let word = verdict_word(entry.verdict).to_uppercase();
    let score = entry.score.map_or(String::new(), |score| format!("{score:.4}"));
    let driven = match (entry.branch, entry.level) {
        (Some(branch), Some(level)) => format!("{} {level}", branch_word(branch)),
        _ => String::new(),
    };
    let driven = entry.zone.as_ref().map(|zone| format!("{zone}: ")).unwrap_or_default() + &driven;
    let end = entry.error.as_deref().or(entry.image.as_deref()).unwrap_or_default();
    let text = format!(
        "{}  {:>7}  {word:6}  {score:>9} / {:<8.4}  {driven:12}  {}  {end}",
        entry.time, entry.part, entry.threshold, entry.recipe
    );
    text.trim_end().to_owned()
}

const HEADINGS: [&str; 20] = [
    "part",
    "time",
    "verdict",
    "score",
    "threshold",
    "branch",
    "level",
    "row",
    "column",
    "recipe",
    "model",
    "brightness",
    "sharpness",
    "capture_ms",
    "inspect_ms",
    "total_ms",
    "image",
    "map",
    "error",
    "zone",
];

fn write_csv(args: &Args, records: &Records, selection: &Selection, file: &Path) -> Result<u64> {
    let mut count = 0;
    let mut failed = Ok(());
    write_file(file, |writer| {
        writer.write_all(csv::line(HEADINGS).as_bytes())?;
        failed = each(args, records, selection, |entry| {
            count += 1;
            writer.write_all(csv::line(fields(entry)).as_bytes())
        });
        // Whatever failed is told below; the file must not replace an earlier one.
        if failed.is_err() { Err(std::io::Error::other("the record cannot be read")) } else { Ok(()) }
    })
    .map_err(|error| failed.err().unwrap_or(error.into()))?;
    Ok(count)
}

#[cfg(feature = "parquet")]
fn write_parquet(args: &Args, records: &Records, selection: &Selection, file: &Path) -> Result<u64> {
    let mut count = 0;
    let mut done = Ok(());
    write_file(file, |writer| {
        done = parquet::Table::new(writer).and_then(|mut table| {
            each(args, records, selection, |entry| {
                count += 1;
                table.add(entry).map_err(std::io::Error::other)
            })?;
            table.finish()
        });
        // Whatever failed is told below; the file must not replace an earlier one.
        if done.is_err() { Err(std::io::Error::other("it is not complete")) } else { Ok(()) }
    })
    .map_err(|error| done.err().unwrap_or(error.into()))?;
    Ok(count)
}

fn fields(entry: &Entry) -> [String; 20] {
    use csv::or_empty;
    [
        entry.part.to_string(),
        entry.time.to_string(),
        verdict_word(entry.verdict).to_owned(),
        or_empty(entry.score),
        entry.threshold.to_string(),
        or_empty(entry.branch.map(branch_word)),
        or_empty(entry.level),
        or_empty(entry.at.map(|[row, _]| row)),
        or_empty(entry.at.map(|[_, column]| column)),
        entry.recipe.clone(),
        entry.model.clone(),
        or_empty(entry.brightness),
        or_empty(entry.sharpness),
        or_empty(entry.capture_ms),
        or_empty(entry.inspect_ms),
        or_empty(entry.total_ms),
        or_empty(entry.image.clone()),
        or_empty(entry.map.clone()),
        or_empty(entry.error.clone()),
        or_empty(entry.zone.clone()),
    ]
}

/// What became of one kept picture.
enum Again {
    /// Its verdict and score now.
    Inspected(Verdict, f32),
    /// It was deleted since.
    Gone,
    /// It could not be inspected.
    Failed(String),
}

fn reinspect(args: &Args, records: &Records, selection: &Selection, model: &Path) -> Result<()> {
    let mut entries = vec![];
    each(args, records, selection, |entry| {
        entries.push(entry.clone());
        Ok(())
    })?;
    let results = Mutex::new(Vec::new());
    let worker = || Ok(Pipeline::load(model, args.threshold)?);
    parallel::for_each(entries.len(), args.jobs, "inspecting", worker, |pipeline, index| {
        let again = inspect_again(pipeline, records.folder(), &entries[index]);
        if let Ok(mut results) = results.lock() {
            results.push((index, again, pipeline.threshold()));
        }
        Ok(())
    })?;
    let mut results = results.into_inner().unwrap_or_default();
    results.sort_by_key(|(index, ..)| *index);
    let mut out = BufWriter::new(std::io::stdout().lock());
    let (mut changed, mut gone, mut failed, mut inspected) = (0, 0, 0, 0);
    for (index, again, threshold) in &results {
        let was = &entries[*index];
        let (verdict, score, error) = match again {
            Again::Inspected(verdict, score) => (Some(*verdict), Some(*score), None),
            Again::Gone => (None, None, Some("the picture was deleted")),
            Again::Failed(reason) => (Some(Verdict::Fault), None, Some(reason.as_str())),
        };
        inspected += usize::from(score.is_some());
        gone += usize::from(verdict.is_none());
        failed += usize::from(verdict == Some(Verdict::Fault));
        let differs = score.is_some() && verdict != Some(was.verdict);
        changed += usize::from(differs);
        if args.json {
            let verdict = verdict.map(verdict_word);
            let now = json!({ "verdict": verdict, "score": score, "threshold": threshold, "error": error });
            writeln!(out, "{}", json!({ "part": was.part, "time": was.time, "was": was, "now": now }))?;
        } else if differs || error.is_some() && verdict.is_some() {
            let word = verdict.map_or("", verdict_word).to_uppercase();
            let score = score.map_or(String::new(), |score| format!("{score:.4} / {threshold:.4}"));
            writeln!(out, "{}\n    now {word}  {score}{}", row(was), error.unwrap_or_default())?;
        }
    }
    if !args.json {
        writeln!(out, "{inspected} pictures inspected again: {changed} verdicts would change")?;
        if gone + failed > 0 {
            writeln!(out, "{gone} pictures were deleted since, {failed} could not be inspected")?;
        }
    }
    out.flush().context("the result cannot be printed")
}

fn inspect_again(pipeline: &mut Pipeline, folder: &Path, entry: &Entry) -> Again {
    let Some(image) = &entry.image else { return Again::Gone };
    let path = folder.join(image);
    if !path.exists() {
        return Again::Gone;
    }
    let frame = match decode(&path) {
        Ok(frame) => frame,
        Err(error) => return Again::Failed(error.to_string()),
    };
    match pipeline.inspect(&frame).result {
        Ok(inspection) => Again::Inspected(inspection.verdict, inspection.score.value),
        Err(error) => Again::Failed(format!("{}: {error}", path.display())),
    }
}
