//! The memory as a part of the graph.

use super::graph::{Geometry, GraphWriter, Value};
use super::network::weights;
use crate::memory::{Memory, REMEMBERED_LEVELS, STRIDE, SURROUNDINGS};
use crate::model::{Descriptor, ProjectionEnd};
use mudenet_edge::bundle::MEMORY;
use tch::{Kind, TchError, Tensor};

/// The output `memory`: the squared distance to the nearest remembered embedding, min_k(|x|² − 2 x·v_k + |v_k|²), of the
/// teacher's levels, given as the features before and after its projections.
pub(super) fn nearest(
    graph: &mut GraphWriter,
    (features, embeddings): (&[Value], &[Value]),
    teacher: &Descriptor,
    memory: &Memory,
) -> Result<(), TchError> {
    // Differences of small numbers lose less than those of large ones, in f32 and in 8 bits: both sides are taken from the
    // centre of what is remembered, where a bias can take it up.
    let bare = teacher.choices.projection == ProjectionEnd::Bare;
    let mean = memory.vectors.mean_dim([0i64].as_slice(), false, Kind::Float);
    let centre = if bare { mean } else { mean.zeros_like() };
    let width = centre.size()[0] / REMEMBERED_LEVELS.len() as i64;
    let mut levels = Vec::new();
    for (index, level) in (0..).zip(REMEMBERED_LEVELS) {
        let name = format!("memory/level{level}");
        let at = |maps: &[Value]| maps.get(level - 1).cloned();
        let (Some(features), Some(embedding)) = (at(features), at(embeddings)) else { continue };
        let coarse = match teacher.projections.get(level - 1) {
            // Averaging and a bare projection are linear: one convolution does both, of a fraction of the cells.
            Some(projection) if bare => {
                let weight = (&projection.weight / (STRIDE * STRIDE) as f64).repeat([1, 1, STRIDE, STRIDE]);
                let none = || Tensor::zeros([weight.size()[0]], (Kind::Float, weight.device()));
                let bias = projection.bias.as_ref().map_or_else(none, Tensor::shallow_clone);
                let bias = bias - centre.narrow(0, index * width, width);
                let geometry = Geometry { stride: STRIDE, padding: 0, output_padding: 0 };
                graph.conv(&format!("{name}/embedding"), &features, weights(&weight, &bias)?, geometry)
            }
            _ => graph.average(&format!("{name}/embedding"), &embedding, STRIDE),
        };
        levels.push(graph.average_around(&format!("{name}/mean"), &coarse, SURROUNDINGS));
    }
    let embedding = graph.concatenate("memory/embedding", &levels);
    let vectors = &memory.vectors - &centre;
    let energies = (&vectors * &vectors).sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
    let products = weights(&(vectors * -2.0).unsqueeze(-1).unsqueeze(-1), &energies)?;
    let geometry = Geometry { stride: 1, padding: 0, output_padding: 0 };
    let distances = graph.conv("memory/remembered", &embedding, products, geometry);
    let smallest = graph.smallest("memory/nearest", &distances);
    let energy = graph.energy("memory/energy", &embedding);
    let squared = graph.add("memory/squared", &smallest, &energy);
    graph.output_positive(MEMORY, &squared);
    Ok(())
}
