//! `mudenet-export distill`.

use super::{Common, stop_flag};
use anyhow::Context;
use mudenet_export::backbone::{ResNet50V2, TargetExtractor, TargetKind, sample_channels};
use mudenet_export::checkpoint::{TeacherRun, create};
use mudenet_export::data::{Images, good_images, split, standardise};
use mudenet_export::distill::distill;
use mudenet_export::model::Architecture;
use mudenet_export::train::Progress;
use std::path::PathBuf;
use tch::Device;

/// Most images that the principal components are measured on.
const PRINCIPAL_IMAGES: usize = 256;

/// Distil a teacher from an ImageNet backbone on images of good parts
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  mudenet-export distill --backbone resnet50v2.safetensors --data bottle --width half \\\n    --flip hv --minutes 10 -o runs/teacher"
)]
pub(super) struct Args {
    /// ResNet-50 v2 weights in Gluon names (safetensors)
    #[arg(long)]
    backbone: PathBuf,
    /// Folder of good images, or a category folder of MVTec AD or LOCO; may be given several times
    #[arg(long, required = true)]
    data: Vec<PathBuf>,
    /// Size of the networks: full (64/128 channels), half (32/64), quarter (16/32), or a number of channels
    #[arg(long, default_value = "full", value_parser = super::distill::width)]
    width: i64,
    /// Pixels a side of the input, a multiple of 64
    #[arg(long, default_value_t = 256)]
    size: i64,
    /// Let the backbone see its zero padding as the paper does, instead of mirrored borders
    #[arg(long)]
    no_mirror: bool,
    /// What the teacher learns to give: the paper's random sample of the backbone's channels, or their leading principal
    /// components over the good images
    #[arg(long, value_enum, default_value_t = TargetKind::Principal)]
    target: TargetKind,
    #[command(flatten)]
    common: Common,
    /// Folder for the teacher
    #[arg(short, long)]
    out: PathBuf,
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
    let settings = args.common.settings(500)?;
    let architecture = Architecture::new(args.width, args.size).map_err(anyhow::Error::msg)?;
    let stop = stop_flag()?;
    let backbone = ResNet50V2::load(&args.backbone, Device::Cpu)?;
    let mut paths = Vec::new();
    for folder in &args.data {
        // The same split as in training: what a product holds back for its ranges is not seen here either.
        paths.extend(split(good_images(folder)?, settings.seed).0);
    }
    let images = Images::read(&paths, args.size)?;
    let mirror = !args.no_mirror;
    let (extractor, channels) = match args.target {
        TargetKind::Sample => {
            let channels = sample_channels(architecture.embedding as usize, settings.seed);
            (TargetExtractor::sample(backbone, &channels, mirror), channels)
        }
        TargetKind::Principal => {
            // Every image counts; more than some hundred would add time, not accuracy.
            let every = images.len().div_ceil(PRINCIPAL_IMAGES);
            let inputs = (0..images.len()).step_by(every);
            let inputs = inputs.map(|i| standardise(&images.pixels.get(i as i64).unsqueeze(0)));
            (TargetExtractor::principal(backbone, inputs, architecture.embedding, mirror)?, Vec::new())
        }
    };
    create(&args.out)?;
    let mut progress = Progress::new(&args.out.join("metrics.jsonl"), settings.batch).context("metrics.jsonl")?;
    let mut run = TeacherRun {
        architecture,
        backbone: args.backbone.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        target: args.target,
        channels,
        mirror,
        settings,
        data: args.data.clone(),
        images: images.len(),
        steps: 0,
        loss: f64::NAN,
    };
    let teacher = distill(&images, &extractor, &mut run, &stop, &mut progress)?;
    run.write(&args.out, &teacher)?;
    println!("{}: teacher after {} steps, loss {:.4}", args.out.display(), run.steps, run.loss);
    Ok(())
}
