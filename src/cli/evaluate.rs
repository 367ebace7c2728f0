//! `mudenet-edge evaluate`.

use anyhow::{Context, Result, bail};
use image::ImageReader;
use indicatif::ProgressBar;
use mudenet_edge::bundle::Bundle;
use mudenet_edge::capture;
use mudenet_edge::inspector::Inspector;
use mudenet_edge::map::AnomalyMap;
use mudenet_edge::metric::dataset::{DataSet, Layout, Sample};
use mudenet_edge::metric::{Evaluation, Evaluator, Figures, find_map, read_map};
use std::io::{IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Measure a model on a labelled test set: AUROC, average precision, F1, PRO, sPRO.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  mudenet-edge evaluate --model bottle.onnx --dataset mvtec_ad/bottle --layout mvtec --out report"
)]
pub(super) struct Args {
    /// The model file, written by mudenet-export.
    #[arg(long, value_name = "FILE", required_unless_present = "maps")]
    model: Option<PathBuf>,
    /// Evaluate maps made elsewhere: <DIR>/<type>/<stem>.tiff (32-bit float) or .png (16 bits).
    #[arg(long, value_name = "DIR", conflicts_with = "model")]
    maps: Option<PathBuf>,
    /// The folder of the set; for `folder` one that holds good/ and bad/.
    #[arg(long, value_name = "DIR", required_unless_present_all = ["good", "bad"])]
    dataset: Option<PathBuf>,
    /// How the set is laid out.
    #[arg(long, value_enum, default_value = "mvtec")]
    layout: LayoutArg,
    /// The object of a VisA set, where --dataset is its root.
    #[arg(long, value_name = "NAME")]
    object: Option<String>,
    /// A folder of good parts, instead of --dataset.
    #[arg(long, value_name = "DIR", requires = "bad", conflicts_with = "dataset")]
    good: Option<PathBuf>,
    /// A folder of bad parts, instead of --dataset.
    #[arg(long, value_name = "DIR", requires = "good", conflicts_with = "dataset")]
    bad: Option<PathBuf>,
    /// Images inspected at the same time; as many as there are processor cores where not given.
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum LayoutArg {
    Mvtec,
    Loco,
    Visa,
    Folder,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let set = open(args)?;
    let source = match (&args.model, &args.maps) {
        (Some(model), _) => Source::Model(Box::new(Bundle::load(model)?)),
        (None, Some(maps)) => Source::Maps(maps.clone()),
        (None, None) => bail!("give either --model or --maps"),
    };
    let evaluation = evaluate(&set, &source, args.jobs)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&evaluation.figures)?)?;
    } else {
        write!(out, "{}", table(&evaluation.figures))?;
    }
    Ok(super::ACCEPTED)
}

fn open(args: &Args) -> Result<DataSet> {
    let layout = match args.layout {
        LayoutArg::Mvtec => Layout::Mvtec,
        LayoutArg::Loco => Layout::Loco,
        LayoutArg::Visa => Layout::Visa,
        LayoutArg::Folder => Layout::Folder,
    };
    Ok(match (&args.dataset, &args.good, &args.bad) {
        (Some(root), ..) => DataSet::open(root, layout, args.object.as_deref())?,
        (None, Some(good), Some(bad)) => DataSet::of_folders(good, bad)?,
        _ => bail!("give either --dataset, or --good and --bad"),
    })
}

/// Where maps come from.
enum Source {
    Model(Box<Bundle>),
    Maps(PathBuf),
}

/// The same for one thread.
enum Maker<'a> {
    Model(Inspector),
    Maps(&'a Path),
}

struct Made {
    map: AnomalyMap,
    score: f32,
    height: usize,
    width: usize,
}

impl Source {
    fn maker(&self) -> Result<Maker<'_>> {
        Ok(match self {
            Source::Model(bundle) => Maker::Model(Inspector::new(bundle)?),
            Source::Maps(folder) => Maker::Maps(folder),
        })
    }
}

impl Maker<'_> {
    fn make(&mut self, set: &DataSet, sample: &Sample) -> Result<Made> {
        match self {
            Maker::Model(inspector) => {
                let frame = capture::decode(&sample.image)?;
                let inspection = inspector.inspect(&frame).with_context(|| sample.image.display().to_string())?;
                let (height, width) = (frame.height(), frame.width());
                Ok(Made { map: inspection.map, score: inspection.score.value, height, width })
            }
            Maker::Maps(folder) => {
                let map = read_map(&find_map(folder, &set.name(sample))?)?;
                let score = map.0.values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let reader = ImageReader::open(&sample.image)?.with_guessed_format()?;
                let (width, height) = reader.into_dimensions().with_context(|| sample.image.display().to_string())?;
                Ok(Made { map, score, height: height as usize, width: width as usize })
            }
        }
    }
}

fn evaluate(set: &DataSet, source: &Source, jobs: Option<NonZeroUsize>) -> Result<Evaluation> {
    let jobs = jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let progress = progress(set.samples.len());
    let evaluator = Evaluator::new(set);
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    let work = || -> Result<()> {
        let mut maker = source.maker()?;
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(sample) = set.samples.get(index) else { return Ok(()) };
            let Made { map, score, height, width } = maker.make(set, sample)?;
            evaluator.add(index, &map, score, height, width)?;
            progress.inc(1);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(set.samples.len()) {
            scope.spawn(|| {
                if let Err(error) = work() {
                    next.store(set.samples.len(), Ordering::Relaxed);
                    if let Ok(mut failure) = failure.lock() {
                        failure.get_or_insert(error);
                    }
                }
            });
        }
    });
    progress.finish_and_clear();
    if let Ok(Some(error)) = failure.into_inner() {
        return Err(error);
    }
    Ok(evaluator.finish()?)
}

fn progress(length: usize) -> ProgressBar {
    if std::io::stderr().is_terminal() { ProgressBar::new(length as u64) } else { ProgressBar::hidden() }
}

/// The figures in columns, in percent.
fn table(figures: &Figures) -> String {
    let percent = |value: Option<f64>| value.map_or("–".to_owned(), |v| format!("{:.2}", 100.0 * v));
    let mut rows = vec![
        ["", "images", "AUROC", "AP", "F1-max", "pixel AUROC", "PRO", "sPRO 0.05"].map(str::to_owned),
        [
            "all".into(),
            figures.n.to_string(),
            percent(figures.image_auroc),
            percent(figures.image_ap),
            percent(figures.image_f1_max),
            percent(figures.pixel_auroc),
            percent(figures.pro),
            percent(figures.spro.as_ref().and_then(|s| s.get("0.05")?.get("mean").copied())),
        ],
    ];
    for (name, of) in &figures.per_type {
        rows.push([
            name.clone(),
            of.n.to_string(),
            percent(of.image_auroc),
            percent(of.image_ap),
            percent(of.image_f1_max),
            percent(of.pixel_auroc),
            percent(of.pro),
            percent(of.spro.as_ref().and_then(|s| s.get("0.05").copied())),
        ]);
    }
    let widths: Vec<usize> =
        (0..8).map(|i| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or_default()).collect();
    let mut text = String::new();
    for row in rows {
        text += &format!("{:<width$}", row[0], width = widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            text += &format!("  {cell:>width$}");
        }
        text.push('\n');
    }
    for note in &figures.notes {
        text += &format!("note: {note}\n");
    }
    text
}
