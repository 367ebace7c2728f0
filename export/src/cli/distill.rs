//! `mudenet-export distill`.

use super::common::{Common, Running};
use super::stop_flag;
use anyhow::{Context, bail, ensure};
use mudenet_export::backbone::{Backbone, TargetCache, TargetExtractor, TargetKind, ZScore, sample_channels};
use mudenet_export::checkpoint::{Settings, TeacherRun};
use mudenet_export::data::{Batch, GoodImages, Manifest, file_sha256, standardise};
use mudenet_export::distill::{Distillation, MatchSizes};
use mudenet_export::first_stage::{CHANNELS, thin};
use mudenet_export::model::{Architecture, BlockOrder, Choices, DecoderEnd, Pool, ProjectionEnd, StemEnd};
use mudenet_export::train::Resumed;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use tch::Device;

/// Most images that principal components and global statistics are measured on.
const STATISTICS_IMAGES: usize = 256;

/// Channels that a backbone's first stage has.
const STAGE_CHANNELS: usize = 256;

/// Distil a teacher from an ImageNet backbone on images of good parts
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  mudenet-export distill --backbone resnet50v2.safetensors --data bottle --width half \\\n    --flip hv --minutes 10 -o runs/teacher\n  mudenet-export distill --resume runs/teacher"
)]
pub(super) struct Args {
    /// ImageNet weights: WideResNet50-2 or ResNet-50 as torchvision names them (.safetensors or .pth, which is read
    /// without executing anything), or ResNet-50 v2 in Gluon names (.safetensors)
    #[arg(long, required_unless_present = "resume")]
    backbone: Option<PathBuf>,
    /// Folder of good images, or a category folder of MVTec AD, MVTec LOCO or VisA; several times for one teacher of
    /// several products
    #[arg(long, required_unless_present = "resume", conflicts_with = "resume")]
    data: Vec<PathBuf>,
    /// Size of the networks: full (64/128 channels), half (32/64), quarter (16/32), or a number of channels
    #[arg(long, default_value = "full", value_parser = super::distill::width, conflicts_with = "resume")]
    width: i64,
    /// Pixels a side of the input, a multiple of 64
    #[arg(long, default_value_t = 256, conflicts_with = "resume")]
    size: i64,
    /// Let the backbone see its zero padding as the paper does, instead of mirrored borders
    #[arg(long, conflicts_with = "resume")]
    no_mirror: bool,
    /// What the teacher learns to give: the paper's random sample of the backbone's channels, or their leading principal
    /// components over the good images (A-025) [default: principal]
    #[arg(long, value_enum, conflicts_with = "resume")]
    target: Option<TargetKind>,
    /// Share of images that get made-up damage, so that the teacher also learns what good parts do not show
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share, conflicts_with = "resume")]
    damage: f64,
    /// Channels of the backbone's first stage to keep for the memory; 0 keeps none, so that the memory sees with the teacher
    /// (A-029) [default: 192]
    #[arg(long, value_name = "CHANNELS", value_parser = first_stage_channels, conflicts_with = "resume")]
    first_stage: Option<usize>,
    #[command(flatten)]
    layers: Layers,
    /// How the target, of a quarter of the image's size, meets embeddings of half of it
    #[arg(long, value_enum, default_value_t, conflicts_with = "resume")]
    match_sizes: MatchSizes,
    /// What sampled channels are standardised by; needs --target sample
    #[arg(long, value_enum, default_value_t, conflicts_with = "resume")]
    z_score: ZScore,
    /// Keep targets in this folder for later runs with the same backbone and images; only with neither rotation nor jitter
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    running: Running,
    /// Go on with the run in this folder, which was stopped or killed
    #[arg(long, value_name = "FOLDER")]
    resume: Option<PathBuf>,
    /// Folder for the teacher
    #[arg(short, long, required_unless_present = "resume", conflicts_with = "resume")]
    out: Option<PathBuf>,
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    number.ok_or_else(|| format!("expected a number from 0 to 1, got {text:?}"))
}

fn first_stage_channels(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|channels| *channels <= STAGE_CHANNELS);
    number.ok_or_else(|| format!("expected a number from 0 to {STAGE_CHANNELS}, got {text:?}"))
}

/// Channels of a named or numbered width.
pub(super) fn width(text: &str) -> Result<i64, String> {
    match text {
        "full" => Ok(64),
        "half" => Ok(32),
        "quarter" => Ok(16),
        number => number.parse().map_err(|_| "expected full, half, quarter or a number of channels".into()),
    }
}

/// What the paper leaves open in the networks' layers.
#[derive(clap::Args)]
struct Layers {
    /// Pool of the stem
    #[arg(long, value_enum, default_value_t, conflicts_with = "resume")]
    pool: Pool,
    /// Order inside the residual blocks
    #[arg(long, value_enum, default_value_t, conflicts_with = "resume")]
    block: BlockOrder,
    /// What follows the projections
    #[arg(long, value_enum, default_value_t, conflicts_with = "resume")]
    projection: ProjectionEnd,
    /// What follows the stem's convolution
    #[arg(long, value_enum, default_value_t, conflicts_with = "resume")]
    stem: StemEnd,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let stop = stop_flag()?;
    let device = args.running.device()?;
    if let Some(folder) = &args.resume {
        return resume(args, folder, device, &stop);
    }
    let (Some(out), Some(path)) = (&args.out, &args.backbone) else { bail!("--backbone and --out are needed") };
    let mut settings = args.common.settings()?;
    settings.augmentation.damage = args.damage;
    let preset = args.common.preset()?;
    let target = args.target.or(preset.target).unwrap_or(TargetKind::Principal);
    let first_stage = args.first_stage.or(preset.first_stage).unwrap_or(CHANNELS);
    ensure!(first_stage <= STAGE_CHANNELS, "first-stage: expected 0 to {STAGE_CHANNELS}, got {first_stage}");
    let &Layers { pool, block, projection, stem } = &args.layers;
    let choices = Choices { pool, block, projection, stem, decoder: DecoderEnd::default() };
    let architecture = Architecture::new(args.width, args.size).map_err(anyhow::Error::msg)?.with(choices);
    let channels = match target {
        TargetKind::Sample => sample_channels(architecture.embedding as usize, settings.seed),
        TargetKind::Principal => Vec::new(),
    };
    let mut run = TeacherRun {
        architecture,
        backbone: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        target,
        channels,
        mirror: !args.no_mirror && preset.mirror.unwrap_or(true),
        settings: settings.clone(),
        data: args.data.clone(),
        images: 0,
        steps: 0,
        loss: f64::NAN,
        backbone_path: Some(std::path::absolute(path).with_context(|| path.display().to_string())?),
        backbone_sha256: None,
        match_sizes: args.match_sizes,
        z_score: args.z_score,
        first_stage,
    };
    run.check().map_err(anyhow::Error::msg)?;
    let backbone = Backbone::load(path, device)?;
    run.backbone_sha256 = Some(file_sha256(path)?);
    let images = GoodImages::read(&args.data, settings.seed, args.size, args.running.reading())?;
    run.images = images.training.len();
    let first_stage = match run.first_stage {
        0 => None,
        channels => Some(thin(&backbone.first_stage(), &images.training, channels, device)?.to_device(Device::Cpu)),
    };
    let extractor = extractor(&run, backbone.with_kind(settings.precision.training().kind), &images, device)?;
    let cache = args.cache(&run, &images);
    let stage = Distillation::new(run, extractor, device).with_first_stage(first_stage);
    let mut stage = cached(stage, cache);
    finish(args, &mut stage, &images, &settings, None, out, &stop)
}

fn resume(args: &Args, folder: &Path, device: Device, stop: &AtomicBool) -> anyhow::Result<()> {
    let run = Distillation::checkpoint(folder)?;
    let path = args.backbone.clone().or_else(|| run.backbone_path.clone());
    let path = path.context("the checkpoint does not say where the backbone is: give --backbone")?;
    let sha256 = file_sha256(&path)?;
    ensure!(
        run.backbone_sha256.as_ref().is_none_or(|expected| *expected == sha256),
        "{}: is not the backbone that the run began with (its SHA-256 differs)",
        path.display()
    );
    let images = GoodImages::again(&Manifest::read(folder)?, run.architecture.size, args.running.reading().workers)?;
    let backbone = Backbone::load(&path, device)?.with_kind(run.settings.precision.training().kind);
    let extractor = extractor(&run, backbone, &images, device)?;
    let (stage, resumed) = Distillation::resume(folder, extractor, device)?;
    let mut stage = cached(stage, args.cache(&run, &images));
    finish(args, &mut stage, &images, &run.settings, Some(resumed), folder, stop)
}

impl Args {
    /// A cache for all that the targets of a run depend on.
    fn cache(&self, run: &TeacherRun, images: &GoodImages) -> Option<TargetCache> {
        let folder = self.cache.clone()?;
        let mut made_by = format!(
            "2 {} {:?} {:?} {:?} {:?} {} {}",
            run.backbone_sha256.as_deref().unwrap_or("unknown"),
            run.settings.precision,
            run.target,
            run.z_score,
            run.channels,
            run.mirror,
            run.architecture.size
        );
        if run.target == TargetKind::Principal || run.z_score == ZScore::Global {
            // Their statistics are those of all images, and components are as many as embedding channels.
            made_by += &format!(" {}", run.architecture.embedding);
            images.training.entries().iter().for_each(|entry| made_by.push_str(&entry.sha256));
        }
        Some(TargetCache::new(folder, &made_by))
    }
}

fn cached(stage: Distillation, cache: Option<TargetCache>) -> Distillation {
    match cache {
        Some(cache) => stage.with_cache(cache),
        None => stage,
    }
}

/// What gives the targets of a run; the same images give the same.
fn extractor(
    run: &TeacherRun,
    backbone: Backbone,
    images: &GoodImages,
    device: Device,
) -> anyhow::Result<TargetExtractor> {
    // Every image counts; more than some hundred would add time, not accuracy.
    let every = images.training.len().div_ceil(STATISTICS_IMAGES).max(1);
    let indices: Vec<usize> = (0..images.training.len()).step_by(every).collect();
    let batches: Vec<Batch> =
        indices.iter().map(|&i| Batch::plain(&images.training, &[i])).collect::<Result<_, _>>()?;
    let inputs = batches.iter().map(|batch| standardise(&batch.pixels.to_device(device)));
    Ok(match (run.target, run.z_score) {
        (TargetKind::Sample, ZScore::PerSample) => TargetExtractor::sample(backbone, &run.channels, run.mirror),
        (TargetKind::Sample, ZScore::Global) => {
            TargetExtractor::sample(backbone, &run.channels, run.mirror).with_global_z_score(inputs)
        }
        (TargetKind::Principal, _) => {
            TargetExtractor::principal(backbone, inputs, run.architecture.embedding, run.mirror)?
        }
    })
}

fn finish(
    args: &Args,
    stage: &mut Distillation,
    images: &GoodImages,
    settings: &Settings,
    resumed: Option<Resumed>,
    folder: &Path,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let (state, speed) = args.running.carry_out(stage, images, settings, resumed, folder, stop)?;
    let run = stage.run_after(&state);
    println!("{}: teacher after {} steps, loss {:.4}, {speed:.1} images/s", folder.display(), run.steps, run.loss);
    Ok(())
}
