//! The memory as a part of the graph.

use super::graph::{Geometry, GraphWriter, Value};
use super::network::weights;
use crate::first_stage::{FirstStage, Layer};
use crate::layout::Layout;
use crate::memory::{FIRST_STAGE_STRIDE, Memory, REMEMBERED_LEVELS, STRIDE, SURROUNDINGS, Source};
use crate::model::{Descriptor, ProjectionEnd};
use mudenet_edge::bundle::MEMORY;
use tch::{Kind, TchError, Tensor};

/// The output `memory`: the squared distance to the nearest remembered embedding, min_k(|x|² − 2 x·v_k + |v_k|²), of what
/// `source` sees in the image, or what the layout says where that is more; the teacher's levels are given as the features before and after its projections.
pub(super) fn nearest(
    graph: &mut GraphWriter,
    image: &Value,
    (features, embeddings): (&[Value], &[Value]),
    source: Source,
    memory: &Memory,
) -> Result<(), TchError> {
    let embedding = match source {
        Source::Teacher(net) => levels(graph, (features, embeddings), net)?,
        Source::FirstStage(stage) => first_stage(graph, image, stage, memory)?,
    };
    let vectors = &memory.vectors;
    let energies = (vectors * vectors).sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
    let products = weights(&(vectors * -2.0).unsqueeze(-1).unsqueeze(-1), &energies)?;
    let distances = graph.conv("memory/remembered", &embedding, products, at(1, 0));
    let smallest = graph.smallest("memory/nearest", &distances);
    let energy = graph.energy("memory/energy", &embedding);
    let squared = graph.add("memory/squared", &smallest, &energy);
    match &memory.layout {
        None => graph.output_positive(MEMORY, &squared),
        Some(layout) => {
            let distance = graph.relu("memory/distance", &squared);
            let layout = violation(graph, &embedding, layout)?;
            let beyond = graph.subtract("memory/layout/beyond", &layout, &distance);
            let beyond = graph.relu("memory/layout/more", &beyond);
            graph.output_sum(MEMORY, &distance, &beyond);
        }
    }
    Ok(())
}

/// [`Layout::score`]. What is cut off at 1 is 1 − ReLU(1 − ReLU(x)).
fn violation(graph: &mut GraphWriter, embedding: &Value, layout: &Layout) -> Result<Value, TchError> {
    let side = layout.mean.size()[2];
    let [count, channels, ..] = layout.encode.size()[..] else { return Err(TchError::Shape("directions".into())) };
    let coarse = match layout.pool {
        1 => embedding.clone(),
        pool => graph.average("memory/layout/coarse", embedding, pool),
    };
    let centred = graph.with_constant("Sub", "memory/layout/centred", &coarse, coarse.shape, &constant(&layout.mean)?);
    let none = |n: i64| Tensor::zeros([n], (Kind::Float, layout.mean.device()));
    let coordinates = graph.conv("memory/layout/encode", &centred, weights(&layout.encode, &none(count))?, at(1, 0));
    debug_assert_eq!(coordinates.shape, [1, count, 1, 1]);
    // Of one cell any stride gives the same; this one says that each cell comes of it alone.
    let usual = graph.conv_transpose(
        "memory/layout/decode",
        &coordinates,
        weights(&layout.decode, &none(channels))?,
        at(side, 0),
    );
    debug_assert_eq!(usual.shape, [1, channels, side, side]);
    let error = graph.subtract("memory/layout/error", &centred, &usual);
    let error = graph.with_constant("Mul", "memory/layout/scaled", &error, error.shape, &constant(&layout.scale)?);
    let energy = graph.energy("memory/layout/energy", &error);
    let [slope, offset] = Layout::LINE.map(|number| number as f32);
    let line = graph.scaled("memory/layout/share/slope", &energy, slope);
    let line = graph.shifted("memory/layout/share", &line, offset);
    let share = graph.relu("memory/layout/share/relu", &line);
    let rest = graph.scaled("memory/layout/rest/negative", &share, -1.0);
    let rest = graph.shifted("memory/layout/rest", &rest, 1.0);
    let rest = graph.relu("memory/layout/rest/relu", &rest);
    let height = Tensor::from(layout.height as f32);
    let spread = (-&height).expand([1, 1, layout.pool, layout.pool], false);
    Ok(graph.conv_transpose("memory/layout", &rest, weights(&spread, &height.view(1))?, at(layout.pool, 0)))
}

fn constant(tensor: &Tensor) -> Result<Vec<f32>, TchError> {
    Vec::<f32>::try_from(tensor.contiguous().view(-1))
}

/// The teacher's levels 2 and 3, coarser and averaged.
fn levels(
    graph: &mut GraphWriter,
    (features, embeddings): (&[Value], &[Value]),
    teacher: &Descriptor,
) -> Result<Value, TchError> {
    let mut levels = Vec::new();
    for level in REMEMBERED_LEVELS {
        let name = format!("memory/level{level}");
        let of = |maps: &[Value]| maps.get(level - 1).cloned();
        let (Some(features), Some(embedding)) = (of(features), of(embeddings)) else { continue };
        let coarse = match teacher.projections.get(level - 1) {
            // Averaging and a bare projection are linear: one convolution does both, of a fraction of the cells.
            Some(projection) if teacher.choices.projection == ProjectionEnd::Bare => {
                let weight = (&projection.weight / (STRIDE * STRIDE) as f64).repeat([1, 1, STRIDE, STRIDE]);
                let none = || Tensor::zeros([weight.size()[0]], (Kind::Float, weight.device()));
                let bias = projection.bias.as_ref().map_or_else(none, Tensor::shallow_clone);
                graph.conv(&format!("{name}/embedding"), &features, weights(&weight, &bias)?, at(STRIDE, 0))
            }
            _ => graph.average(&format!("{name}/embedding"), &embedding, STRIDE),
        };
        levels.push(graph.average_around(&format!("{name}/mean"), &coarse, SURROUNDINGS));
    }
    Ok(graph.concatenate("memory/embedding", &levels))
}

/// The components of the first stage's features, averaged. Projecting is linear, so that it can stand before the averages,
/// which then have fewer channels.
fn first_stage(graph: &mut GraphWriter, image: &Value, stage: &FirstStage, memory: &Memory) -> Result<Value, TchError> {
    let x = activated(graph, "memory/stem", image, &stage.stem, at(2, 3))?;
    let mut x = graph.max_pool("memory/stem/pool", &x);
    if let Some(layer) = &stage.activation {
        x = activated(graph, "memory/stem/norm", &x, layer, at(1, 0))?;
    }
    let mut summands = vec![x.clone()];
    let mut before: Option<Value> = None;
    for (index, block) in (1..).zip(&stage.blocks) {
        let name = format!("memory/block{index}");
        let y = activated(graph, &format!("{name}/reduce"), &x, &block.reduce, at(1, 0))?;
        let y = activated(graph, &format!("{name}/middle"), &y, &block.middle, at(1, 1))?;
        let name = format!("{name}/expand");
        let output = match before.filter(|_| block.adds()) {
            Some(before) => {
                let part = graph.conv(&name, &y, weights(&block.expand.weight, &block.expand.bias)?, at(1, 0));
                graph.add(&format!("{name}/sum"), &part, &before)
            }
            None => {
                summands.push(y);
                sum(graph, &name, &summands, &block.expand)?
            }
        };
        x = graph.relu(&format!("{name}/relu"), &output);
        before = stage.activation.is_some().then_some(output);
        if stage.activation.is_none() {
            summands = vec![x.clone()];
        }
    }
    if let Some(components) = &memory.components {
        let (weight, bias) = components.convolution();
        x = graph.conv("memory/components", &x, weights(&weight, &bias)?, at(1, 0));
    }
    let around = graph.average_around("memory/mean", &x, SURROUNDINGS);
    Ok(graph.average("memory/embedding", &around, FIRST_STAGE_STRIDE))
}

/// A 1×1 convolution of maps side by side, as a sum of one of each: runtimes add to a convolution what was
/// there before, but copy to lay maps side by side.
fn sum(graph: &mut GraphWriter, name: &str, maps: &[Value], layer: &Layer) -> Result<Value, TchError> {
    let mut first = 0;
    let mut sum: Option<Value> = None;
    for (index, map) in (1..).zip(maps) {
        let channels = map.shape[1];
        let weight = layer.weight.narrow(1, first, channels);
        first += channels;
        let name = format!("{name}{index}");
        sum = Some(match sum {
            None => graph.conv(&name, map, weights(&weight, &layer.bias)?, at(1, 0)),
            Some(before) => {
                let part = graph.conv(&name, map, weights(&weight, &layer.bias.zeros_like())?, at(1, 0));
                graph.add(&format!("{name}/sum"), &part, &before)
            }
        });
    }
    sum.ok_or_else(|| TchError::Shape("a bottleneck without an input".into()))
}

fn activated(
    graph: &mut GraphWriter,
    name: &str,
    x: &Value,
    layer: &Layer,
    geometry: Geometry,
) -> Result<Value, TchError> {
    let y = graph.conv(name, x, weights(&layer.weight, &layer.bias)?, geometry);
    Ok(graph.relu(&format!("{name}/relu"), &y))
}

fn at(stride: i64, padding: i64) -> Geometry {
    Geometry { stride, padding, output_padding: 0 }
}
