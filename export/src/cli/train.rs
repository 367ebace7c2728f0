//! `mudenet-export train`.

use super::common::{Common, Running};
use super::stop_flag;
use anyhow::bail;
use mudenet_export::checkpoint::Settings;
use mudenet_export::data::{GoodImages, Manifest};
use mudenet_export::model::DecoderEnd;
use mudenet_export::quantize::round_weights;
use mudenet_export::train::{Joint, JointChoices, LogicalGradient, Start};
use std::path::PathBuf;

/// Train students and autoencoder on images of good parts
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  mudenet-export train --teacher runs/teacher --data bottle --preset mvtec-ad/bottle \\\n    --minutes 40 -o runs/bottle\n  mudenet-export train --resume runs/bottle"
)]
pub(super) struct Args {
    /// Folder that `mudenet-export distill` wrote
    #[arg(long, required_unless_present_any = ["from", "resume"], conflicts_with = "resume")]
    teacher: Option<PathBuf>,
    /// Folder of an earlier training: train its networks further, with the same seed so that the same images stay held
    /// back
    #[arg(long, conflicts_with_all = ["teacher", "resume"])]
    from: Option<PathBuf>,
    /// Folder of good images, or a category folder of MVTec AD, MVTec LOCO or VisA
    #[arg(long, required_unless_present = "resume", conflicts_with = "resume")]
    data: Option<PathBuf>,
    /// Numbers of the teacher that the others learn from: int8 rounds its weights to what 8 bits hold, so that
    /// `freeze --quantize` loses nothing on its side
    #[arg(long, value_enum, default_value_t, conflicts_with = "resume")]
    teacher_precision: TeacherPrecision,
    #[command(flatten)]
    common: Common,
    /// What follows a decoder's last layer
    #[arg(long, value_enum, default_value_t, conflicts_with = "resume")]
    decoder: DecoderEnd,
    /// Whether the autoencoder takes a gradient from the logical loss
    #[arg(long, value_enum, default_value_t, conflicts_with = "resume")]
    logical_gradient: LogicalGradient,
    #[command(flatten)]
    running: Running,
    /// Go on with the run in this folder, which was stopped or killed
    #[arg(long, value_name = "FOLDER")]
    resume: Option<PathBuf>,
    /// Folder for the trained networks
    #[arg(short, long, required_unless_present = "resume", conflicts_with = "resume")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum TeacherPrecision {
    #[default]
    F32,
    Int8,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let stop = stop_flag()?;
    let reading = args.running.reading();
    let device = args.running.device()?;
    let (mut joint, images, resumed, folder) = match (&args.resume, &args.data, &args.out) {
        (Some(folder), ..) => {
            let (joint, resumed) = Joint::resume(folder, device)?;
            let images = GoodImages::again(&Manifest::read(folder)?, joint.architecture().size, reading.workers)?;
            (joint, images, Some(resumed), folder)
        }
        (None, Some(data), Some(out)) => {
            let joint = JointChoices { decoder: args.decoder, logical_gradient: args.logical_gradient };
            let settings = Settings { joint, ..args.common.settings()? };
            let start = match (&args.teacher, &args.from) {
                (_, Some(run)) => Start::Run(run),
                (Some(teacher), None) => Start::Teacher(teacher),
                (None, None) => bail!("--teacher or --from is needed"),
            };
            let mut joint = Joint::new(start, &settings, device)?;
            if args.teacher_precision == TeacherPrecision::Int8 {
                round_weights(&joint.networks.teacher.net)?;
            }
            let images =
                GoodImages::read(std::slice::from_ref(data), settings.seed, joint.architecture().size, reading)?;
            joint.use_images(&images);
            (joint, images, None, out)
        }
        _ => bail!("--data and --out are needed"),
    };
    let settings = joint.settings().clone();
    let (state, speed) = args.running.carry_out(&mut joint, &images, &settings, resumed, folder, &stop)?;
    let run = joint.run_after(&state);
    println!(
        "{}: {} steps on {} images, loss {:.4}, {speed:.1} images/s; freeze it with: mudenet-export freeze --run {} -o MODEL.onnx",
        folder.display(),
        run.steps,
        run.training.len(),
        run.losses.total(),
        folder.display()
    );
    Ok(())
}
