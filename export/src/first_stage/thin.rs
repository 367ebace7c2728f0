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

/// Smallest scale of a bottleneck's norm, as a share of the last one's, that is undone: a channel below it is next to
/// constant there, and would be large before its ReLU.
const LEAST_SCALE: f64 = 0.01;

/// `stage` with `channels` channels behind each bottleneck, the same ones: those of the last that say most of the rest over
/// `images`, half of them with made-up damage. Each convolution that lost inputs or outputs is the one that comes
/// closest, by least squares, to what `stage` has there. Where skips have no ReLU, bottlenecks add to one sum of those
/// channels, in units of the last norm.
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
    let features = stage.forward(batch);
    let kept = Tensor::from_slice(&choose(&features, channels)?).to_device(batch.device());
    let (mut exact, mut thin) = (stage.start(batch), made.start(batch));
    for (index, block) in stage.blocks.iter().enumerate() {
        let wanted = block.reduce.linear(&exact.x, 1);
        let reduce = if index == 0 { copy(&block.reduce) } else { regress(&thin.x, &wanted)? };
        let middle = block.middle.forward(&wanted.relu(), 1);
        let thin_middle = block.middle.forward(&reduce.forward(&thin.x, 1), 1);
        let sum = exact.output(block, &middle);
        let expand = match (&stage.activation, stage.blocks.last()) {
            (Some(_), Some(last)) => {
                let wanted = in_units_of(last, block, &exact.summands(&middle)).index_select(1, &kept);
                match &thin.sum {
                    Some(before) => regress(&thin_middle, &(wanted - before))?,
                    None => regress(&thin.summands(&thin_middle), &wanted)?,
                }
            }
            _ => regress(&thin.summands(&thin_middle), &sum.index_select(1, &kept))?,
        };
        let thinned = Bottleneck { reduce, middle: copy(&block.middle), expand };
        let thin_sum = thin.output(&thinned, &thin_middle);
        stage.next(&mut exact, middle, sum);
        made.next(&mut thin, thin_middle, thin_sum);
        made.blocks.push(thinned);
    }
    Ok(made)
}

/// What `block` makes of the `summands` before its ReLU, each channel times the scale of the `last` norm over the block's own,
/// which for a ReLU is as good. Norms of one running sum differ in that and in the bias.
fn in_units_of(last: &Bottleneck, block: &Bottleneck, summands: &Tensor) -> Tensor {
    let weight = last.expand.weight.narrow(1, 0, summands.size()[1]);
    let over_inputs = |x: Tensor| x.sum_dim_intlist([1i64, 2, 3].as_slice(), false, Kind::Double);
    let scale = over_inputs(&block.expand.weight * &weight) / over_inputs(weight.square());
    let bias = (&block.expand.bias / &scale).where_self(&scale.ge(LEAST_SCALE), &last.expand.bias);
    Layer { weight, bias: bias.to_kind(Kind::Float) }.linear(summands, 1)
}
