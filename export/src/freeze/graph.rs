//! Writing an ONNX graph node by node, shapes tracked.

use mudenet_edge::bundle::pb;
use pb::attribute_proto::AttributeType;
use pb::tensor_proto::DataType;
use pb::tensor_shape_proto::{Dimension, dimension::Value as Dim};
use pb::type_proto::{Tensor as TensorType, Value as Type};

/// The oldest operator set with per-channel quantization, so that float and quantized bundles share one writer.
const OPSET: i64 = 13;
/// The intermediate representation that came with it.
const IR_VERSION: i64 = 7;

/// A tensor inside the graph: (1, C, H, W).
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) name: String,
    pub(super) shape: [i64; 4],
}

/// Weights of a convolution.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    /// (out, in, k, k), or (in, out, k, k) where transposed.
    pub(super) shape: [i64; 4],
    pub(super) values: Vec<f32>,
    /// (out).
    pub(super) bias: Vec<f32>,
}

/// Where a convolution's kernel goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) stride: i64,
    pub(super) padding: i64,
    /// Transposed convolutions only.
    pub(super) output_padding: i64,
}

#[derive(Debug)]
pub(super) struct GraphWriter {
    graph: pb::GraphProto,
}

impl GraphWriter {
    pub(super) fn new(name: &str) -> Self {
        Self { graph: pb::GraphProto { name: name.into(), ..Default::default() } }
    }

    pub(super) fn input(&mut self, name: &str, shape: [i64; 4]) -> Value {
        self.graph.input.push(value_info(name, &shape, DataType::Float));
        Value { name: name.into(), shape }
    }

    pub(super) fn conv(&mut self, name: &str, x: &Value, weights: Weights, at: Geometry) -> Value {
        let [outputs, _, kernel, _] = weights.shape;
        let side = |n: i64| (n + 2 * at.padding - kernel) / at.stride + 1;
        let shape = [1, outputs, side(x.shape[2]), side(x.shape[3])];
        let attributes =
            vec![ints("kernel_shape", &[kernel; 2]), ints("pads", &[at.padding; 4]), ints("strides", &[at.stride; 2])];
        let inputs = self.weights(name, x, weights);
        self.node("Conv", name, inputs, attributes, shape)
    }

    pub(super) fn conv_transpose(&mut self, name: &str, x: &Value, weights: Weights, at: Geometry) -> Value {
        let [_, outputs, kernel, _] = weights.shape;
        let side = |n: i64| (n - 1) * at.stride + kernel - 2 * at.padding + at.output_padding;
        let shape = [1, outputs, side(x.shape[2]), side(x.shape[3])];
        let attributes = vec![
            ints("kernel_shape", &[kernel; 2]),
            ints("output_padding", &[at.output_padding; 2]),
            ints("pads", &[at.padding; 4]),
            ints("strides", &[at.stride; 2]),
        ];
        let inputs = self.weights(name, x, weights);
        self.node("ConvTranspose", name, inputs, attributes, shape)
    }

    pub(super) fn relu(&mut self, name: &str, x: &Value) -> Value {
        self.node("Relu", name, vec![x.name.clone()], vec![], x.shape)
    }

    /// A pool of 2×2 with stride 2: `AveragePool` or `MaxPool`.
    pub(super) fn halve(&mut self, op: &str, name: &str, x: &Value) -> Value {
        let [_, channels, height, width] = x.shape;
        let attributes = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
        self.node(op, name, vec![x.name.clone()], attributes, [1, channels, height / 2, width / 2])
    }

    /// The largest of 3×3 cells, in steps of two, nothing beyond the border.
    pub(super) fn max_pool(&mut self, name: &str, x: &Value) -> Value {
        let [_, channels, height, width] = x.shape;
        let attributes = vec![ints("kernel_shape", &[3; 2]), ints("pads", &[1; 4]), ints("strides", &[2; 2])];
        let half = |n: i64| (n - 1) / 2 + 1;
        self.node("MaxPool", name, vec![x.name.clone()], attributes, [1, channels, half(height), half(width)])
    }

    /// The mean of each square of `side` cells a side.
    pub(super) fn average(&mut self, name: &str, x: &Value, side: i64) -> Value {
        let [_, channels, height, width] = x.shape;
        let attributes = vec![ints("kernel_shape", &[side; 2]), ints("strides", &[side; 2])];
        self.node("AveragePool", name, vec![x.name.clone()], attributes, [1, channels, height / side, width / side])
    }

    /// The mean of each cell and its neighbours, `side` (odd) cells a side, those beyond the border left out.
    pub(super) fn average_around(&mut self, name: &str, x: &Value, side: i64) -> Value {
        let attributes = vec![
            int("count_include_pad", 0),
            ints("kernel_shape", &[side; 2]),
            ints("pads", &[side / 2; 4]),
            ints("strides", &[1, 1]),
        ];
        self.node("AveragePool", name, vec![x.name.clone()], attributes, x.shape)
    }

    /// Maps of equal size, one after the other along the channels.
    pub(super) fn concatenate(&mut self, name: &str, maps: &[Value]) -> Value {
        let [_, _, height, width] = maps.first().map_or([0; 4], |map| map.shape);
        let channels = maps.iter().map(|map| map.shape[1]).sum();
        let inputs = maps.iter().map(|map| map.name.clone()).collect();
        self.node("Concat", name, inputs, vec![int("axis", 1)], [1, channels, height, width])
    }

    /// Smallest of all channels: (1, 1, H, W).
    pub(super) fn smallest(&mut self, name: &str, x: &Value) -> Value {
        let attributes = vec![ints("axes", &[1]), int("keepdims", 1)];
        self.node("ReduceMin", name, vec![x.name.clone()], attributes, [1, 1, x.shape[2], x.shape[3]])
    }

    /// The graph's output `name`: `x` where it is positive, else 0.
    pub(super) fn output_positive(&mut self, name: &str, x: &Value) {
        self.node("Relu", name, vec![x.name.clone()], vec![], x.shape);
        self.last_is_output();
    }

    /// The graph's output `name`: a + b.
    pub(super) fn output_sum(&mut self, name: &str, a: &Value, b: &Value) {
        self.add(name, a, b);
        self.last_is_output();
    }

    /// Makes what the last node gives an output of the graph.
    fn last_is_output(&mut self) {
        self.graph.output.extend(self.graph.value_info.pop());
    }

    pub(super) fn subtract(&mut self, name: &str, a: &Value, b: &Value) -> Value {
        self.node("Sub", name, vec![a.name.clone(), b.name.clone()], vec![], a.shape)
    }

    /// x · `by`.
    pub(super) fn scaled(&mut self, name: &str, x: &Value, by: f32) -> Value {
        self.with_constant("Mul", name, x, [1; 4], &[by])
    }

    /// x + `by`.
    pub(super) fn shifted(&mut self, name: &str, x: &Value, by: f32) -> Value {
        self.with_constant("Add", name, x, [1; 4], &[by])
    }

    /// `Add`, `Sub` or `Mul` of `x` and `values`, of a shape that spreads to its.
    pub(super) fn with_constant(&mut self, op: &str, name: &str, x: &Value, shape: [i64; 4], values: &[f32]) -> Value {
        let constant = format!("{name}/constant");
        self.graph.initializer.push(pb::TensorProto {
            name: constant.clone(),
            dims: shape.to_vec(),
            data_type: DataType::Float as i32,
            raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            ..Default::default()
        });
        self.node(op, name, vec![x.name.clone(), constant], vec![], x.shape)
    }

    pub(super) fn add(&mut self, name: &str, a: &Value, b: &Value) -> Value {
        self.node("Add", name, vec![a.name.clone(), b.name.clone()], vec![], a.shape)
    }

    /// Σ_c (a − b)² (Eq. 9, 10): (1, 1, H, W).
    pub(super) fn squared_difference(&mut self, name: &str, a: &Value, b: &Value) -> Value {
        let difference = self.subtract(&format!("{name}/difference"), a, b);
        self.energy(name, &difference)
    }

    /// Σ_c x²: (1, 1, H, W).
    pub(super) fn energy(&mut self, name: &str, x: &Value) -> Value {
        let twice = vec![x.name.clone(), x.name.clone()];
        let square = self.node("Mul", &format!("{name}/square"), twice, vec![], x.shape);
        let axes = "channel_axis";
        if self.graph.initializer.iter().all(|t| t.name != axes) {
            self.graph.initializer.push(pb::TensorProto {
                name: axes.into(),
                dims: vec![1],
                data_type: DataType::Int64 as i32,
                raw_data: 1i64.to_le_bytes().to_vec(),
                ..Default::default()
            });
        }
        let [_, _, height, width] = x.shape;
        let inputs = vec![square.name, axes.into()];
        self.node("ReduceSum", &format!("{name}/sum"), inputs, vec![int("keepdims", 1)], [1, 1, height, width])
    }

    /// The graph's output `name`: `levels` side by side, (1, L, H, W).
    pub(super) fn output_levels(&mut self, name: &str, levels: &[Value]) {
        let Some(first) = levels.first() else { return };
        let shape = [1, levels.len() as i64, first.shape[2], first.shape[3]];
        let inputs = levels.iter().map(|level| level.name.clone()).collect();
        self.node("Concat", name, inputs, vec![int("axis", 1)], shape);
        self.last_is_output();
    }

    pub(super) fn finish(self) -> pb::ModelProto {
        pb::ModelProto {
            ir_version: IR_VERSION,
            opset_import: vec![pb::OperatorSetIdProto { domain: String::new(), version: OPSET }],
            producer_name: "mudenet-export".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(self.graph),
            ..Default::default()
        }
    }

    fn weights(&mut self, name: &str, x: &Value, weights: Weights) -> Vec<String> {
        let mut put = |suffix: &str, dims: &[i64], values: &[f32]| {
            let name = format!("{name}/{suffix}");
            self.graph.initializer.push(pb::TensorProto {
                name: name.clone(),
                dims: dims.to_vec(),
                data_type: DataType::Float as i32,
                raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
                ..Default::default()
            });
            name
        };
        let weight = put("weight", &weights.shape, &weights.values);
        let bias = put("bias", &[weights.bias.len() as i64], &weights.bias);
        vec![x.name.clone(), weight, bias]
    }

    /// Node and result carry the same name.
    fn node(
        &mut self,
        op: &str,
        name: &str,
        inputs: Vec<String>,
        attributes: Vec<pb::AttributeProto>,
        shape: [i64; 4],
    ) -> Value {
        self.graph.node.push(pb::NodeProto {
            op_type: op.into(),
            name: name.into(),
            input: inputs,
            output: vec![name.into()],
            attribute: attributes,
            ..Default::default()
        });
        self.graph.value_info.push(value_info(name, &shape, DataType::Float));
        Value { name: name.into(), shape }
    }
}

/// Name, shape and kind of a tensor.
pub(crate) fn value_info(name: &str, shape: &[i64], kind: DataType) -> pb::ValueInfoProto {
    let dim = shape.iter().map(|n| Dimension { value: Some(Dim::DimValue(*n)), ..Default::default() }).collect();
    let tensor = TensorType { elem_type: kind as i32, shape: Some(pb::TensorShapeProto { dim }) };
    pb::ValueInfoProto {
        name: name.into(),
        r#type: Some(pb::TypeProto { value: Some(Type::TensorType(tensor)), ..Default::default() }),
        ..Default::default()
    }
}

fn ints(name: &str, values: &[i64]) -> pb::AttributeProto {
    pb::AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints as i32,
        ints: values.to_vec(),
        ..Default::default()
    }
}

fn int(name: &str, value: i64) -> pb::AttributeProto {
    pb::AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i: value, ..Default::default() }
}
