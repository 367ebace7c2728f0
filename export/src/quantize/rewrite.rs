//! A float graph → the same graph with 8-bit weights and activations, in ONNX's QuantizeLinear and DequantizeLinear.

use super::{Activation, Codes, Numbers, QuantizeError};
use mudenet_edge::bundle::pb;
use pb::attribute_proto::AttributeType;
use pb::tensor_proto::DataType;
use std::collections::{BTreeMap, HashMap};
use tract_onnx::prelude::f16;

/// What to store in 8 bits, by the names of the float graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Weights of convolutions.
    pub weights: BTreeMap<String, Numbers>,
    /// Biases that make up for rounding, f32.
    pub biases: BTreeMap<String, Vec<f32>>,
    /// Tensors that their readers get through 8 bits.
    pub activations: BTreeMap<String, Activation>,
}

/// Writes `plan` into `model`.
///
/// Weights `NAME` of 8 bits become the initializers `NAME/int8` and `NAME/scale` and a DequantizeLinear that gives `NAME`,
/// those of 16 bits `NAME/f16` and a Cast; an activation `NAME` goes to its readers through `NAME/quantize` and
/// `NAME/dequantize`. Constants of a whole map, which are no weights, are stored in 16 bits in any case, where they fit.
///
/// # Errors
/// [`QuantizeError::Graph`] where the plan names what the graph does not have, or a weight does not fit.
pub fn rewrite(model: &pb::ModelProto, plan: &Plan) -> Result<pb::ModelProto, QuantizeError> {
    let mut model = model.clone();
    let graph = model.graph.as_mut().ok_or_else(|| QuantizeError::Graph("there is no graph".into()))?;
    let mut before = Vec::new();
    for (name, numbers) in &plan.weights {
        let float = take(graph, name)?;
        before.push(match numbers {
            Numbers::Codes(codes) => dequantized(graph, name, &float.dims, codes),
            Numbers::Half(values) => cast(graph, name, &float.dims, values)?,
        });
        graph.value_info.push(value_info(name, &float.dims, DataType::Float));
    }
    for (name, values) in &plan.biases {
        let float = take(graph, name)?;
        graph.initializer.push(tensor(name, &float.dims, DataType::Float, bytes(values, |v| v.to_le_bytes())));
    }
    for name in map_constants(graph) {
        let float = take(graph, &name)?;
        match cast(graph, &name, &float.dims, &floats(&float)) {
            Ok(node) => {
                before.push(node);
                graph.value_info.push(value_info(&name, &float.dims, DataType::Float));
            }
            Err(_) => graph.initializer.push(float),
        }
    }
    insert_before_readers(graph, before);
    for (name, activation) in &plan.activations {
        quantize_activation(graph, name, *activation)?;
    }
    Ok(model)
}

/// Least values of a constant that is worth two more nodes.
const LARGE: i64 = 1024;

/// The f32 initializers that maps are added to or multiplied with, cell by cell.
fn map_constants(graph: &pb::GraphProto) -> Vec<String> {
    let cell_by_cell = graph.node.iter().filter(|node| matches!(node.op_type.as_str(), "Add" | "Sub" | "Mul"));
    let read: Vec<&String> = cell_by_cell.flat_map(|node| &node.input).collect();
    let large = graph.initializer.iter().filter(|t| {
        t.data_type == DataType::Float as i32 && t.dims.iter().product::<i64>() >= LARGE && read.contains(&&t.name)
    });
    large.map(|t| t.name.clone()).collect()
}

fn dequantized(graph: &mut pb::GraphProto, name: &str, dims: &[i64], codes: &Codes) -> pb::NodeProto {
    let (stored, scale) = (format!("{name}/int8"), format!("{name}/scale"));
    graph.initializer.push(tensor(&stored, dims, DataType::Int8, bytes(&codes.values, |v| v.to_le_bytes())));
    let scales = bytes(&codes.scales, |v| v.to_le_bytes());
    graph.initializer.push(tensor(&scale, &[codes.scales.len() as i64], DataType::Float, scales));
    node("DequantizeLinear", name, vec![stored, scale], vec![int("axis", codes.axis as i64)])
}

fn cast(graph: &mut pb::GraphProto, name: &str, dims: &[i64], values: &[f32]) -> Result<pb::NodeProto, QuantizeError> {
    let values: Vec<f16> = values.iter().copied().map(f16::from_f32).collect();
    if values.iter().any(|v| !v.is_finite()) {
        return Err(QuantizeError::Graph(format!("weight {name} does not fit 16 bits")));
    }
    let stored = format!("{name}/f16");
    graph.initializer.push(tensor(&stored, dims, DataType::Float16, bytes(&values, |v| v.to_le_bytes())));
    Ok(node("Cast", name, vec![stored], vec![int("to", DataType::Float as i64)]))
}

/// The values of an f32 initializer.
pub(super) fn floats(tensor: &pb::TensorProto) -> Vec<f32> {
    let raw = tensor.raw_data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    raw.chain(tensor.float_data.iter().copied()).collect()
}

fn take(graph: &mut pb::GraphProto, name: &str) -> Result<pb::TensorProto, QuantizeError> {
    let at = graph.initializer.iter().position(|t| t.name == name);
    let at = at.ok_or_else(|| QuantizeError::Graph(format!("there is no weight {name}")))?;
    Ok(graph.initializer.remove(at))
}

/// Puts each node in front of the first one that reads it.
fn insert_before_readers(graph: &mut pb::GraphProto, nodes: Vec<pb::NodeProto>) {
    let mut waiting: HashMap<String, pb::NodeProto> =
        nodes.into_iter().filter_map(|node| Some((node.output.first()?.clone(), node))).collect();
    for reader in std::mem::take(&mut graph.node) {
        let read: Vec<pb::NodeProto> = reader.input.iter().filter_map(|name| waiting.remove(name)).collect();
        graph.node.extend(read);
        graph.node.push(reader);
    }
}

fn quantize_activation(graph: &mut pb::GraphProto, name: &str, activation: Activation) -> Result<(), QuantizeError> {
    let infos = graph.value_info.iter().chain(&graph.input);
    let info = infos.clone().find(|info| info.name == name);
    let dims = info.and_then(dims).ok_or_else(|| QuantizeError::Graph(format!("there is no tensor {name}")))?;
    let (quantized, dequantized) = (format!("{name}/quantize"), format!("{name}/dequantize"));
    let (scale, zero) = (format!("{name}/scale"), format!("{name}/zero_point"));
    graph.initializer.push(tensor(&scale, &[], DataType::Float, activation.scale.to_le_bytes().to_vec()));
    graph.initializer.push(tensor(&zero, &[], DataType::Uint8, vec![activation.zero_point]));
    for reader in &mut graph.node {
        reader.input.iter_mut().filter(|input| *input == name).for_each(|input| input.clone_from(&dequantized));
    }
    let at = graph.node.iter().position(|n| n.output.iter().any(|output| output == name)).map_or(0, |at| at + 1);
    let pair = [
        node("QuantizeLinear", &quantized, vec![name.to_owned(), scale.clone(), zero.clone()], vec![]),
        node("DequantizeLinear", &dequantized, vec![quantized.clone(), scale, zero], vec![]),
    ];
    graph.node.splice(at..at, pair);
    graph.value_info.push(value_info(&quantized, &dims, DataType::Uint8));
    graph.value_info.push(value_info(&dequantized, &dims, DataType::Float));
    Ok(())
}

fn dims(info: &pb::ValueInfoProto) -> Option<Vec<i64>> {
    use pb::{tensor_shape_proto::dimension::Value as Dim, type_proto::Value};
    let Some(Value::TensorType(tensor)) = info.r#type.as_ref()?.value.as_ref() else { return None };
    let dim =
        |dim: &pb::tensor_shape_proto::Dimension| if let Some(Dim::DimValue(n)) = dim.value { Some(n) } else { None };
    tensor.shape.as_ref()?.dim.iter().map(dim).collect()
}

fn tensor(name: &str, dims: &[i64], kind: DataType, raw_data: Vec<u8>) -> pb::TensorProto {
    pb::TensorProto { name: name.into(), dims: dims.to_vec(), data_type: kind as i32, raw_data, ..Default::default() }
}

fn bytes<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|value| bytes(*value)).collect()
}

fn node(op: &str, name: &str, input: Vec<String>, attribute: Vec<pb::AttributeProto>) -> pb::NodeProto {
    pb::NodeProto {
        op_type: op.into(),
        name: name.into(),
        input,
        output: vec![name.into()],
        attribute,
        ..Default::default()
    }
}

fn int(name: &str, value: i64) -> pb::AttributeProto {
    pb::AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i: value, ..Default::default() }
}

fn value_info(name: &str, dims: &[i64], kind: DataType) -> pb::ValueInfoProto {
    crate::freeze::value_info(name, dims, kind)
}
