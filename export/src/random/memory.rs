//! A memory of noise, of the shape that one of good parts has.

use super::{Remembering, noise};
use crate::first_stage::{Bottleneck, CHANNELS, FirstStage, Layer};
use crate::freeze::FreezeError;
use crate::layout::{IMAGES_A_DIRECTION, Layout};
use crate::memory::{Memory, Remembered, Source, distances, of_candidates};
use tch::Tensor;

/// Channels of a ResNet-50's stem and of its first bottlenecks.
const INNER: i64 = 64;
/// Its first stage's bottlenecks.
const BOTTLENECKS: i64 = 3;
/// Noise embeddings that each remembered one is chosen from.
const CHOICE: u64 = 2;

/// The first stage of a ResNet-50 v2 with [`CHANNELS`] channels behind each bottleneck.
pub(super) fn first_stage(seed: u64) -> FirstStage {
    let mut drawn = 0;
    let mut layer = |inputs: i64, outputs: i64, kernel: i64| {
        drawn += 1;
        let spread = (2.0 / (inputs * kernel * kernel) as f64).sqrt();
        let seed = seed.wrapping_mul(1000).wrapping_add(drawn);
        Layer {
            weight: noise(&[outputs, inputs, kernel, kernel], seed) * spread,
            bias: noise(&[outputs], seed.wrapping_add(500)) * 0.1,
        }
    };
    let outputs = CHANNELS as i64;
    let stem = layer(3, INNER, 7);
    let activation = Some(layer(INNER, INNER, 1));
    let blocks = (0..BOTTLENECKS)
        .map(|index| Bottleneck {
            reduce: layer(if index == 0 { INNER } else { outputs }, INNER, 1),
            middle: layer(INNER, INNER, 3),
            // The first sums up what it sees and its middle; the others add to that.
            expand: layer(if index == 0 { 2 * INNER } else { INNER }, outputs, 1),
        })
        .collect();
    FirstStage { stem, activation, blocks }
}

/// Of noise pictures of `size` pixels a side.
///
/// # Errors
/// [`FreezeError`] where libtorch cannot find the components or directions.
pub(super) fn memory(stage: &FirstStage, wanted: Remembering, size: i64, seed: u64) -> Result<Memory, FreezeError> {
    let _no_grad = tch::no_grad_guard();
    let source = Source::FirstStage(stage);
    let picture = |index: u64| noise(&[1, 3, size, size], seed.wrapping_mul(1000).wrapping_add(1000 + index));
    let cells = |index| {
        let features = source.features(&picture(index));
        features.permute([0, 2, 3, 1]).reshape([-1, features.size()[1]])
    };
    let pictures = (CHOICE * wanted.vectors as u64).div_ceil((size * size / 64) as u64);
    let candidates: Vec<Tensor> = (0..pictures).map(cells).collect();
    let mut memory = of_candidates(Remembered::FirstStage, &Tensor::cat(&candidates, 0), wanted.vectors)?;
    if wanted.directions > 0 {
        let count = wanted.directions as u64 * IMAGES_A_DIRECTION as u64;
        let embeddings: Vec<Tensor> = (0..count).map(|index| memory.embedding(source, &picture(index))).collect();
        let directions = Layout::fit(&embeddings, wanted.directions, seed)?;
        let unseen = [memory.embedding(source, &picture(count))];
        let farthest = distances(&memory, &unseen[0]).max().double_value(&[]);
        memory.layout = Some(directions.measured(&unseen, farthest)?);
    }
    Ok(memory)
}
