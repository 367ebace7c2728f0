//! `mudenet-edge evaluate`.

use super::calibrate::Product;
use super::report::{self, Decision, Measured, Report};
use super::{ACCEPTED, parallel};
use anyhow::{Context, Result, bail};
use image::ImageReader;
use mudenet_edge::capture::{Frame, Region, decode};
use mudenet_edge::decide::{Verdict, decide};
use mudenet_edge::inspector::Inspection;
use mudenet_edge::map::{AnomalyMap, Branch, Grid, ImageScore};
use mudenet_edge::metric::dataset::{DataSet, Layout, Sample};
use mudenet_edge::metric::{Evaluator, Figures, find_map, read_map};
use mudenet_edge::run::Pipeline;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

const AFTER_HELP: &str = "\
Layouts:
  mvtec   MVTec AD: test/<type>, ground_truth/<type>/NNN_mask.png
  loco    MVTec LOCO AD: test/<type>, ground_truth/<type>/<id>/*.png, defects_config.json
          (or ground_truth/<type>/<id>.png: then without sPRO)
  visa    VisA as distributed: --dataset is an object's folder, or the root with --object
  folder  good/ and bad/, no masks: image figures only

Every pixel counts in pixel AUROC, PRO and sPRO. Pixels that do not fit in memory are sorted in TMPDIR, about 3 bytes a
pixel.

With --recipe, pictures are inspected as the line does: only the region, not what the mask ignores, zones at their own
thresholds. What is not inspected has the lowest score of its map, so that a defect there is never found. A cascade is run in
full: verdicts are the same, and scores are no bounds.

Examples:
  mudenet-edge evaluate --model bottle.onnx --dataset mvtec_ad/bottle --out report
  mudenet-edge evaluate --recipe bottle.toml --dataset mvtec_ad/bottle --out report
  mudenet-edge evaluate --maps maps/ --dataset mvtec_loco/juice_bottle --json
  mudenet-edge evaluate --model bottle.onnx --good good-parts/ --bad bad-parts/";

/// Measure a model on a labelled test set: AUROC, average precision, F1, PRO, sPRO
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// The model, written by mudenet-export
    #[arg(long, value_name = "FILE", required_unless_present_any = ["recipe", "maps"])]
    model: Option<PathBuf>,
    /// A recipe instead: its model with its region, mask, zones and thresholds
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    recipe: Option<PathBuf>,
    /// Evaluate maps made elsewhere: DIR/<type>/<stem>.tiff (32-bit float) or .png (16 bits)
    #[arg(long, value_name = "DIR", conflicts_with_all = ["model", "recipe"])]
    maps: Option<PathBuf>,
    /// The folder of the set
    #[arg(long, value_name = "DIR", required_unless_present_all = ["good", "bad"])]
    dataset: Option<PathBuf>,
    /// How the set is laid out [default: by what it holds]
    #[arg(long, value_enum)]
    layout: Option<LayoutArg>,
    /// The object of a VisA set, where --dataset is its root
    #[arg(long, value_name = "NAME")]
    object: Option<String>,
    /// A folder of good parts, instead of --dataset
    #[arg(long, value_name = "DIR", requires = "bad", conflicts_with = "dataset")]
    good: Option<PathBuf>,
    /// A folder of bad parts, instead of --dataset
    #[arg(long, value_name = "DIR", requires = "good", conflicts_with = "dataset")]
    bad: Option<PathBuf>,
    /// Write DIR/report.html (one file, for any browser), DIR/figures.json and DIR/images.csv
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Images inspected at the same time; as many as there are processor cores where not given
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Memory for the pixels' scores; what does not fit is sorted in TMPDIR
    #[arg(long, value_name = "MIB", default_value = "256", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    memory: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: super::device::DeviceArg,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum LayoutArg {
    Mvtec,
    Loco,
    Visa,
    Folder,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    args.device.install()?;
    let set = open(args)?;
    let source = match &args.maps {
        Some(maps) => Source::Maps(maps.clone()),
        None => Source::Model(Box::new(Product::open(args.model.as_deref(), args.recipe.as_deref())?)),
    };
    let evaluator = Evaluator::new(&set).with_memory((args.memory as usize) << 20);
    let seen = Mutex::new(vec![Seen::default(); set.samples.len()]);
    parallel::for_each(
        set.samples.len(),
        args.jobs,
        "inspecting",
        || source.maker(),
        |maker, index| {
            let sample = &set.samples[index];
            let made = maker.make(&set, sample)?;
            let Inspection { map, score, .. } = &made.inspection;
            let whole = if set.has_masks { made.whole() } else { None };
            evaluator.add(index, whole.as_ref().unwrap_or(map), score.value, made.height, made.width)?;
            if let Ok(mut seen) = seen.lock() {
                seen[index] = made.seen();
            }
            Ok(())
        },
    )?;
    let mut evaluation = evaluator.finish()?;
    evaluation.figures.notes.extend(source.note());
    let decision = source.product().map(|product| Decision::of(product, &set, &evaluation.scores));
    let measured =
        Measured { set: &set, evaluation: &evaluation, decision, seen: seen.into_inner().unwrap_or_default() };
    if let Some(out) = &args.out {
        let jobs = parallel::jobs_for(set.samples.len(), args.jobs);
        Report::new(&measured, &source, args.dataset.as_deref(), jobs)?.write(out)?;
    }
    let mut stdout = std::io::stdout().lock();
    if args.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&measured.json()?)?)?;
    } else {
        write!(stdout, "{}", table(&evaluation.figures))?;
        if let Some(decision) = &measured.decision {
            writeln!(stdout, "{}", decision.words())?;
        }
        if let Some(out) = &args.out {
            writeln!(stdout, "report: {}", out.join(report::PAGE).display())?;
        }
    }
    Ok(ACCEPTED)
}

impl From<LayoutArg> for Layout {
    fn from(arg: LayoutArg) -> Self {
        match arg {
            LayoutArg::Mvtec => Layout::Mvtec,
            LayoutArg::Loco => Layout::Loco,
            LayoutArg::Visa => Layout::Visa,
            LayoutArg::Folder => Layout::Folder,
        }
    }
}

fn open(args: &Args) -> Result<DataSet> {
    let object = args.object.as_deref();
    Ok(match (&args.dataset, &args.good, &args.bad) {
        (Some(root), ..) => {
            let layout = args.layout.map_or_else(|| Layout::of(root, object), |layout| Ok(layout.into()))?;
            DataSet::open(root, layout, object)?
        }
        (None, Some(good), Some(bad)) => DataSet::of_folders(good, bad)?,
        _ => bail!("give either --dataset, or --good and --bad"),
    })
}

/// Where maps come from.
pub(super) enum Source {
    /// The inspection itself, of a model or of a recipe.
    Model(Box<Product>),
    /// A folder of maps made elsewhere.
    Maps(PathBuf),
}

/// The same for one thread.
pub(super) enum Maker<'a> {
    Model(Box<Pipeline>),
    Maps(&'a Path),
}

/// The map of one image.
pub(super) struct Made {
    pub(super) inspection: Inspection,
    pub(super) height: usize,
    pub(super) width: usize,
    /// The part of the picture that the map is of; all of it where there is none.
    pub(super) region: Option<Region>,
    elapsed: Option<Duration>,
}

/// What is kept of each image beside its score; nothing where no model ran.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen {
    /// From the decoded picture to the verdict.
    pub(super) elapsed: Option<Duration>,
    /// Branch and level that drove the score.
    pub(super) driven: Option<(Branch, usize)>,
}

impl Made {
    /// The map of the whole picture; `None` where that is the inspection's own. What was not inspected has its lowest score.
    fn whole(&self) -> Option<AnomalyMap> {
        let region = self.region?;
        let (height, width) = (region.bottom() - region.top(), region.right() - region.left());
        let part = self.inspection.map.resized(height, width).0;
        let lowest = part.values.iter().copied().fold(f32::INFINITY, f32::min);
        let mut whole = Grid { height: self.height, width: self.width, values: vec![lowest; self.height * self.width] };
        let rows = whole.values.chunks_exact_mut(self.width).skip(region.top());
        for (row, values) in rows.zip(part.values.chunks_exact(width)) {
            row.iter_mut().skip(region.left()).zip(values).for_each(|(cell, value)| *cell = *value);
        }
        Some(AnomalyMap(whole))
    }

    pub(super) fn seen(&self) -> Seen {
        let ImageScore { branch, level, .. } = self.inspection.score;
        Seen { elapsed: self.elapsed, driven: (level > 0).then_some((branch, level)) }
    }
}

impl Source {
    pub(super) fn maker(&self) -> Result<Maker<'_>> {
        Ok(match self {
            Source::Model(product) => Maker::Model(Box::new(product.pipeline()?)),
            Source::Maps(folder) => Maker::Maps(folder),
        })
    }

    /// What is deployed; `None` for maps made elsewhere.
    pub(super) fn product(&self) -> Option<&Product> {
        match self {
            Source::Model(product) => Some(product),
            Source::Maps(_) => None,
        }
    }

    /// What the figures are of, where that is not a model alone.
    fn note(&self) -> Option<String> {
        let recipe = self.product()?.recipe.as_ref()?;
        let blind = recipe.region.is_some() || recipe.ignore.is_some();
        let mut note = format!("as the recipe {} inspects", recipe.name);
        if blind {
            note += "; what it does not look at counts with its map's lowest score";
        }
        if !recipe.zones.is_empty() {
            note += "; scores of zones are moved by the difference of their thresholds";
        }
        if recipe.cascade {
            note += "; its cascade was run in full";
        }
        Some(note)
    }
}

impl Maker<'_> {
    fn make(&mut self, set: &DataSet, sample: &Sample) -> Result<Made> {
        match self {
            Maker::Model(_) => self.inspect(set, sample, &decode(&sample.image)?, 0.0),
            Maker::Maps(folder) => {
                let reader = ImageReader::open(&sample.image).and_then(ImageReader::with_guessed_format);
                let dimensions = reader.map_err(image::ImageError::from).and_then(ImageReader::into_dimensions);
                let (width, height) =
                    dimensions.with_context(|| format!("{}: cannot be read", sample.image.display()))?;
                let inspection = read_inspection(folder, set, sample, 0.0)?;
                Ok(Made { inspection, height: height as usize, width: width as usize, region: None, elapsed: None })
            }
        }
    }

    /// What was found on a decoded picture; `threshold` is used where there is no model.
    pub(super) fn inspect(&mut self, set: &DataSet, sample: &Sample, frame: &Frame, threshold: f32) -> Result<Made> {
        let (height, width) = (frame.height(), frame.width());
        let (inspection, region, elapsed) = match self {
            Maker::Model(pipeline) => {
                let outcome = pipeline.inspect(frame);
                let inspection = outcome.result.with_context(|| sample.image.display().to_string())?;
                (inspection, pipeline.region(), Some(outcome.elapsed))
            }
            Maker::Maps(folder) => (read_inspection(folder, set, sample, threshold)?, None, None),
        };
        Ok(Made { inspection, height, width, region, elapsed })
    }
}

/// A map made elsewhere as an inspection: its score is its maximum; its branch and level are not known, level 0.
fn read_inspection(folder: &Path, set: &DataSet, sample: &Sample, threshold: f32) -> Result<Inspection> {
    let map = read_map(&find_map(folder, &set.name(sample))?)?;
    let values = map.0.values.iter().copied().enumerate();
    let (at, value) = values.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, f32::NAN));
    let (row, column) = (at / map.0.width, at % map.0.width);
    let score = ImageScore { value, row, column, branch: Branch::Structural, level: 0 };
    let verdict = if value.is_finite() { decide(&score, threshold) } else { Verdict::Fault };
    Ok(Inspection { map, score, verdict, areas: vec![], zone: None })
}

/// The figures in columns, in percent.
fn table(figures: &Figures) -> String {
    let mut text = String::new();
    let rows = report::rows(figures);
    let widths: Vec<usize> =
        (0..rows[0].len()).map(|i| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or_default()).collect();
    for row in &rows {
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
