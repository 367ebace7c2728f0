//! The frozen graph against the networks that it was made from.

use super::FreezeError;
use crate::memory::{Memory, Source};
use crate::model::Mode;
use crate::train::Networks;
use mudenet_edge::bundle::Parity;
use mudenet_edge::infer::{InferError, LevelScores};
use mudenet_edge::map::Branch;
use mudenet_edge::preprocess::ModelInput;
use std::path::Path;
use tch::{Kind, Tensor};

/// Largest difference of an output that is accepted, relative to the output's largest value.
pub const PARITY_LIMIT: f32 = 1e-4;

/// The same for the output `memory`. What it compares is nearly equal on good parts, and a difference of 10⁻⁵ in an
/// embedding is one of 2 · 10⁻⁵ / d in a squared distance d² of lengths of 1.
pub const MEMORY_PARITY_LIMIT: f32 = 1e-3;

/// The scores of one input through libtorch, f32, batch norms not folded.
///
/// # Errors
/// [`FreezeError::Torch`] or [`FreezeError::Infer`] where libtorch does not give them.
pub fn torch_scores(
    networks: &Networks,
    memory: Option<&Memory>,
    input: &ModelInput,
) -> Result<LevelScores, FreezeError> {
    let _no_grad = tch::no_grad_guard();
    let image = super::good_parts::tensor(input);
    let teacher = networks.teacher.net.forward(&image, Mode::EVAL);
    let structural = networks.structural.net.forward(&image, Mode::EVAL);
    let reconstruction = networks.autoencoder.net.forward(&image, Mode::EVAL);
    let logical = networks.logical.net.forward(&image, Mode::EVAL);
    let structural = squared_differences(&teacher, &structural);
    let logical = squared_differences(&reconstruction, &logical);
    let size: Vec<usize> = structural.size().iter().map(|n| *n as usize).collect();
    let &[levels, height, width] = size.as_slice() else {
        return Err(InferError::Shape(format!("expected (L, h, w), libtorch gave {size:?}")).into());
    };
    let values = |tensor: &Tensor| Vec::<f32>::try_from(tensor.contiguous().view(-1));
    let scores = LevelScores::new(levels, height, width, values(&structural)?, values(&logical)?)?;
    let Some(memory) = memory else { return Ok(scores) };
    let source = Source::of(networks, memory.remembered).ok_or(FreezeError::NoFirstStage)?;
    let distances = memory.score(source, &image);
    let side = |dim: usize| distances.size()[dim] as usize;
    Ok(scores.with_memory(side(2), side(3), &values(&distances)?)?)
}

/// Σ_c (a − b)² of each level: (L, h, w) (Eq. 9, 10).
fn squared_differences(targets: &[Tensor], embeddings: &[Tensor]) -> Tensor {
    let level = |(a, b): (&Tensor, &Tensor)| {
        let difference = a - b;
        (&difference * &difference).sum_dim_intlist([1i64].as_slice(), false, Kind::Float).squeeze_dim(0)
    };
    Tensor::stack(&targets.iter().zip(embeddings).map(level).collect::<Vec<_>>(), 0)
}

/// Adds one image to the report.
///
/// # Errors
/// [`FreezeError::Parity`] above [`PARITY_LIMIT`] or [`MEMORY_PARITY_LIMIT`].
pub(super) fn check(
    image: &Path,
    scores: &LevelScores,
    expected: &LevelScores,
    report: &mut Parity,
) -> Result<(), FreezeError> {
    let tract = &mut report.tract;
    for (branch, largest) in [
        (Branch::Structural, &mut tract.structural),
        (Branch::Logical, &mut tract.logical),
        (Branch::Memory, &mut tract.memory),
    ] {
        let output = branch.name();
        let error = relative_error(scores.branch(branch), expected.branch(branch));
        let limit = if branch == Branch::Memory { MEMORY_PARITY_LIMIT } else { PARITY_LIMIT };
        if error.is_nan() || error > limit {
            return Err(FreezeError::Parity { image: image.to_owned(), output, error, limit });
        }
        *largest = largest.max(error);
    }
    report.images += 1;
    Ok(())
}

fn relative_error(got: &[f32], expected: &[f32]) -> f32 {
    if got.len() != expected.len() {
        return f32::INFINITY;
    }
    let largest = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let mut error = 0.0f32;
    for (a, b) in got.iter().zip(expected) {
        let difference = (a - b).abs();
        if difference.is_nan() {
            return f32::NAN;
        }
        error = error.max(difference);
    }
    if error == 0.0 { 0.0 } else { error / largest }
}
