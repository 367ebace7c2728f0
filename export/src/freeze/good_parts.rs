//! What the memory learns of good parts.

use super::{FreezeError, FreezeOptions};
use crate::checkpoint::ModelRun;
use crate::data::{Images, standardise};
use crate::layout::{IMAGES, Layout};
use crate::memory::{Memory, Remembered, Source, distances, remember};
use crate::train::Networks;
use mudenet_edge::bundle::Meta;
use mudenet_edge::capture::Frame;
use mudenet_edge::preprocess::ModelInput;
use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use tch::Tensor;

/// Embeddings of the training images of `run`, and their layout, measured on the held-back `frames` as `meta` prepares
/// and crops them.
pub(super) fn remembered(
    run: &ModelRun,
    networks: &Networks,
    options: &FreezeOptions,
    count: usize,
    (frames, meta): (&[Frame], &Meta),
) -> Result<Memory, FreezeError> {
    let images = Images::read(&run.training, run.architecture.size)?;
    let usual = if networks.first_stage.is_some() { Remembered::FirstStage } else { Remembered::Teacher };
    let source = || Source::of(networks, options.remembered.unwrap_or(usual)).ok_or(FreezeError::NoFirstStage);
    let mut memory = remember(source()?, &images, count, run.settings.seed)?;
    if options.layout > 0 {
        let _no_grad = tch::no_grad_guard();
        let mut rng = ChaCha8Rng::seed_from_u64(run.settings.seed);
        let picked = index::sample(&mut rng, images.len(), images.len().min(IMAGES));
        let embed = |image: &Tensor| source().map(|source| memory.embedding(source, image));
        let good: Vec<Tensor> = picked
            .into_iter()
            .map(|i| embed(&standardise(&images.tensor(i)?.unsqueeze(0))))
            .collect::<Result<_, FreezeError>>()?;
        let directions = Layout::fit(&good, options.layout, run.settings.seed)?;
        let held_back: Vec<Tensor> = frames
            .iter()
            .map(|frame| embed(&tensor(&meta.preprocess.apply(frame)?)))
            .collect::<Result<_, FreezeError>>()?;
        let margin = options.margin.unwrap_or(meta.scoring.margin);
        let farthest = held_back.iter().map(|embedding| largest_inside(&distances(&memory, embedding), margin));
        let farthest = farthest.fold(0.0, f64::max);
        memory.layout = Some(directions.measured(&held_back, farthest)?);
    }
    Ok(memory)
}

/// (1, 3, H, W).
pub(super) fn tensor(input: &ModelInput) -> Tensor {
    Tensor::from_slice(input.values()).view([1, 3, input.height() as i64, input.width() as i64])
}

/// The largest distance of cells that `margin`, in cells of half the image's size, leaves in.
fn largest_inside(distances: &Tensor, margin: usize) -> f64 {
    let (side, margin) = (distances.size()[2], margin.div_ceil(4) as i64);
    let inside = side - 2 * margin;
    let inner = if inside > 0 {
        distances.narrow(2, margin, inside).narrow(3, margin, inside)
    } else {
        distances.shallow_clone()
    };
    inner.max().double_value(&[])
}
