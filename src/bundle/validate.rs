//! Checks of a bundle's graph before an engine sees it.

use super::{INPUT, LOGICAL, MEMORY, Meta, STRUCTURAL, pb};
use pb::tensor_proto::DataType;
use pb::tensor_shape_proto::dimension::Value as Dim;
use pb::type_proto::Value as Type;

pub(super) fn graph(model: &pb::ModelProto, meta: &Meta) -> Result<(), String> {
    let graph = model.graph.as_ref().ok_or("has no graph")?;
    let initializers: std::collections::HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let inputs: Vec<_> = graph.input.iter().filter(|i| !initializers.contains(i.name.as_str())).collect();
    let [input] = inputs.as_slice() else {
        return Err(format!("expected one input named {INPUT}, got {}", inputs.len()));
    };
    if input.name != INPUT {
        return Err(format!("expected an input named {INPUT}, got {:?}", input.name));
    }
    let expected = [1, 3, meta.preprocess.height as i64, meta.preprocess.width as i64];
    if shape(input) != expected {
        return Err(format!("input {INPUT}: expected shape {expected:?}, got {:?}", shape(input)));
    }
    let names: Vec<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
    let ranges = &meta.scoring.ranges;
    let mut expected = vec![(STRUCTURAL, &ranges.structural), (LOGICAL, &ranges.logical)];
    if !ranges.memory.is_empty() || names.contains(&MEMORY) {
        expected.push((MEMORY, &ranges.memory));
    }
    if !names.iter().eq(expected.iter().map(|(name, _)| name)) {
        return Err(format!(
            "expected the outputs {}, got {names:?}",
            expected.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
        ));
    }
    for (output, (_, ranges)) in graph.output.iter().zip(expected) {
        let [1, levels, height, width] = shape(output)[..] else {
            return Err(format!("output {}: expected shape (1, L, h, w), got {:?}", output.name, shape(output)));
        };
        if levels != ranges.len() as i64 || levels == 0 {
            return Err(format!(
                "output {}: has {levels} levels, the metadata has {} ranges",
                output.name,
                ranges.len()
            ));
        }
        if height > meta.preprocess.height as i64 || width > meta.preprocess.width as i64 {
            return Err(format!(
                "output {}: expected maps no larger than the image, got {height}×{width}",
                output.name
            ));
        }
        // The memory's cells are coarser and brought to the size of the others.
        let margin = if output.name == MEMORY { 0 } else { 2 * meta.scoring.margin as i64 };
        if height <= margin || width <= margin {
            return Err(format!(
                "output {}: a margin of {} cells leaves nothing of {height}×{width}",
                output.name, meta.scoring.margin
            ));
        }
    }
    graph.initializer.iter().try_for_each(weights)
}

/// Largest weight that is taken, far above any of a trained network. A flipped bit makes one of 10³⁷, maps overflow, and what is
/// then not a number would be cut off to 0 by the next ReLU: no anomaly.
const LARGEST_WEIGHT: f32 = 1e6;

/// Refuses weights in other files, weights beyond [`LARGEST_WEIGHT`], and weights that are not finite numbers: they would turn
/// every part into a fault on the line.
fn weights(tensor: &pb::TensorProto) -> Result<(), String> {
    if !tensor.external_data.is_empty() || tensor.data_location.is_some_and(|place| place != 0) {
        return Err(format!("weight {} is in another file: a bundle is one file", tensor.name));
    }
    if tensor.data_type == DataType::Float16 as i32 {
        // All ones in the exponent.
        let mut halves = tensor.raw_data.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
        return match halves.find(|bits| bits & 0x7c00 == 0x7c00) {
            Some(_) => Err(format!("weight {} holds a value that is not a finite number", tensor.name)),
            None => Ok(()),
        };
    }
    if tensor.data_type != DataType::Float as i32 {
        return Ok(());
    }
    let raw = tensor.raw_data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    match raw.chain(tensor.float_data.iter().copied()).find(|v| !v.is_finite() || v.abs() > LARGEST_WEIGHT) {
        Some(value) if value.is_finite() => Err(format!(
            "weight {} holds {value:e}, more than the {LARGEST_WEIGHT:e} that a network's may be",
            tensor.name
        )),
        Some(value) => Err(format!("weight {} holds {value}, not a finite number", tensor.name)),
        None => Ok(()),
    }
}

pub(super) fn shape(value: &pb::ValueInfoProto) -> Vec<i64> {
    let Some(Type::TensorType(tensor)) = value.r#type.as_ref().and_then(|t| t.value.as_ref()) else { return vec![] };
    let dims = tensor.shape.as_ref().map(|s| s.dim.as_slice()).unwrap_or_default();
    dims.iter().map(|d| if let Some(Dim::DimValue(n)) = d.value { n } else { -1 }).collect()
}
