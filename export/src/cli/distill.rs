//! `mudenet-export distill`.

use super::common::{Common, Running};
use super::stop_flag;
use anyhow::{Context, bail, ensure};
use mudenet_export::backbone::{ResNet50V2, TargetExtractor, sample_channels};
use mudenet_export::checkpoint::TeacherRun;
use mudenet_export::data::{GoodImages, Manifest, file_sha256};
use mudenet_export::distill::Distillation;
use mudenet_export::model::Architecture;
use std::path::{Path, PathBuf};
use tch::Device;

/// Distil a teacher from an ImageNet backbone on images of good parts
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  mudenet-export distill --backbone resnet50v2.safetensors --data bottle --width half \\\n    --flip hv --minutes 10 -o runs/teacher\n  mudenet-export distill --resume runs/teacher"
)]
pub(super) struct Args {
    /// ResNet-50 v2 weights in Gluon names (safetensors)
    #[arg(long, required_unless_present = "resume")]
    backbone: Option<PathBuf>,
    /// Folder of good images, or a category folder of MVTec AD or LOCO; may be given several times
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

/// Channels of a named or numbered width.
pub(super) fn width(text: &str) -> Result<i64, String> {
    match text {
        "full" => Ok(64),
        "half" => Ok(32),
        "quarter" => Ok(16),
        number => number.parse().map_err(|_| "expected full, half, quarter or a number of channels".into()),
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let stop = stop_flag()?;
    if let Some(folder) = &args.resume {
        return resume(args, folder, &stop);
    }
    let (Some(out), Some(backbone)) = (&args.out, &args.backbone) else { bail!("--backbone and --out are needed") };
    let settings = args.common.settings()?;
    let architecture = Architecture::new(args.width, args.size).map_err(anyhow::Error::msg)?;
    let channels = sample_channels(architecture.embedding as usize, settings.seed);
    let mut run = TeacherRun {
        architecture,
        backbone: backbone.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        channels,
        mirror: !args.no_mirror,
        settings: settings.clone(),
        data: args.data.clone(),
        images: 0,
        steps: 0,
        loss: f64::NAN,
        backbone_path: Some(std::path::absolute(backbone).with_context(|| backbone.display().to_string())?),
        backbone_sha256: None,
    };
    let extractor = extractor(&run, backbone)?;
    run.backbone_sha256 = Some(file_sha256(backbone)?);
    let images = GoodImages::read(&args.data, settings.seed, args.size, args.running.reading())?;
    run.images = images.training.len();
    let mut stage = Distillation::new(run, extractor, Device::Cpu);
    finish(args, &mut stage, &images, &settings, None, out, &stop)
}

fn resume(args: &Args, folder: &Path, stop: &std::sync::atomic::AtomicBool) -> anyhow::Result<()> {
    let run = Distillation::checkpoint(folder)?;
    let path = args.backbone.clone().or_else(|| run.backbone_path.clone());
    let backbone = path.context("the checkpoint does not say where the backbone is: give --backbone")?;
    let sha256 = file_sha256(&backbone)?;
    ensure!(
        run.backbone_sha256.as_ref().is_none_or(|expected| *expected == sha256),
        "{}: is not the backbone that the run began with (its SHA-256 differs)",
        backbone.display()
    );
    let images = GoodImages::again(&Manifest::read(folder)?, run.architecture.size, args.running.reading().workers)?;
    let (mut stage, resumed) = Distillation::resume(folder, extractor(&run, &backbone)?, Device::Cpu)?;
    finish(args, &mut stage, &images, &run.settings, Some(resumed), folder, stop)
}

fn extractor(run: &TeacherRun, backbone: &Path) -> anyhow::Result<TargetExtractor> {
    Ok(TargetExtractor::new(ResNet50V2::load(backbone, Device::Cpu)?, &run.channels, run.mirror))
}

fn finish(
    args: &Args,
    stage: &mut Distillation,
    images: &GoodImages,
    settings: &mudenet_export::checkpoint::Settings,
    resumed: Option<mudenet_export::train::Resumed>,
    folder: &Path,
    stop: &std::sync::atomic::AtomicBool,
) -> anyhow::Result<()> {
    let (state, speed) = args.running.carry_out(stage, images, settings, resumed, folder, stop)?;
    let run = stage.run_after(&state);
    println!("{}: teacher after {} steps, loss {:.4}, {speed:.1} images/s", folder.display(), run.steps, run.loss);
    Ok(())
}
