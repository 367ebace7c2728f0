//! Fewer channels, the convolutions that follow refitted.

use super::regress::{choose, regress};
use super::{Bottleneck, FirstStage, Layer};
use crate::data::{DataError, Images, Variant, standardise};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tch::{Device, Kind, Tensor};

/// Channels of the features unless told otherwise.
pub const CHANNELS: usize = 192;

/// Most cells that are looked at.
const CELLS: usize = 200_000;

/// `stage` with `channels` channels behind each bottleneck, those that say most of the rest over `images`, half of them with
/// made-up damage. Each convolution that lost inputs or outputs is the one that comes closest, by least squares, to
/// what `stage` has there.
///
/// # Errors
/// [`DataError`] where an image cannot be read, or has features that are not finite.
pub fn thin(stage: &FirstStage, images: &Images, channels: usize, device: Device) -> Result<FirstStage, DataError> {
    let _no_grad = tch::no_grad_guard();
    let batch = sample(images)?.to_device(device);
    let fail = |error: tch::TchError| {
        let text = error.to_string();
        DataError::FirstStage(text.lines().next().unwrap_or_default().to_owned())
    };
    thinned(stage, &batch, channels).map_err(fail)
}

/// Standardised images, as many of each folder and spread over it, and as many with made-up damage.
fn sample(images: &Images) -> Result<Tensor, DataError> {
    let side = images.side();
    let mut folders: BTreeMap<PathBuf, Vec<usize>> = BTreeMap::new();
    for (index, path) in images.paths().iter().enumerate() {
        folders.entry(path.parent().unwrap_or(path).to_owned()).or_default().push(index);
    }
    let share = (CELLS / (side * side / 16) / 2).div_ceil(folders.len().max(1)).max(1);
    let mut all = Vec::new();
    for indices in folders.values() {
        let count = share.min(indices.len());
        for index in indices.iter().step_by((indices.len() / count.max(1)).max(1)).take(count) {
            let pixels = images.pixels(*index)?;
            let damaged = Variant { damage: Some(*index as u64), ..Variant::NONE }.apply(&pixels, side);
            for pixels in [&pixels[..], &damaged[..]] {
                all.push(Tensor::from_slice(pixels).view([3, side as i64, side as i64]));
            }
        }
    }
    Ok(standardise(&Tensor::stack(&all, 0)))
}

pub(super) fn thinned(stage: &FirstStage, batch: &Tensor, channels: usize) -> Result<FirstStage, tch::TchError> {
    let copy = |layer: &Layer| Layer { weight: layer.weight.shallow_clone(), bias: layer.bias.shallow_clone() };
    let mut made = FirstStage {
        stem: copy(&stage.stem),
        activation: stage.activation.as_ref().map(copy),
        blocks: Vec::with_capacity(stage.blocks.len()),
    };
    // A skip with a ReLU hands channels on, so that all bottlenecks keep the same ones.
    let fixed = match &stage.activation {
        Some(_) => None,
        None => {
            let features = stage.forward(batch);
            Some(choose(&features, &Tensor::ones([features.size()[1]], (Kind::Double, batch.device())), channels)?)
        }
    };
    let (mut exact, mut thin) = (stage.start(batch), made.start(batch));
    for (index, block) in stage.blocks.iter().enumerate() {
        let wanted = block.reduce.linear(&exact.x, 1);
        let reduce = if index == 0 { copy(&block.reduce) } else { regress(&thin.x, &wanted)? };
        let middle = block.middle.forward(&wanted.relu(), 1);
        let thin_middle = block.middle.forward(&reduce.forward(&thin.x, 1), 1);
        let wanted = block.expand.linear(&exact.summands(&middle), 1);
        let output = wanted.relu();
        let kept = match (&fixed, stage.blocks.get(index + 1)) {
            (Some(kept), _) => kept.clone(),
            (None, Some(next)) => {
                let used = next.reduce.weight.square().sum_dim_intlist([0i64, 2, 3].as_slice(), false, Kind::Double);
                choose(&output, &used.sqrt(), channels)?
            }
            (None, None) => {
                choose(&output, &Tensor::ones([output.size()[1]], (Kind::Double, batch.device())), channels)?
            }
        };
        let kept = Tensor::from_slice(&kept).to_device(batch.device());
        let summed = thin.summands(&thin_middle);
        let expand = regress(&summed, &wanted.index_select(1, &kept))?;
        let thin_output = expand.forward(&summed, 1);
        stage.next(&mut exact, middle, output);
        made.next(&mut thin, thin_middle, thin_output);
        made.blocks.push(Bottleneck { reduce, middle: copy(&block.middle), expand });
    }
    Ok(made)
}
