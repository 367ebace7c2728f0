//! Bundles with seeded random weights, in the form that `mudenet-export` writes.
#![allow(dead_code, clippy::expect_used, reason = "tests stop where they fail, and each takes what it needs")]

use mudenet_edge::bundle::{Bundle, FORMAT_VERSION, INPUT, LOGICAL, Meta, Parity, RuntimeParity, STRUCTURAL, pb};
use mudenet_edge::decide::Threshold;
use mudenet_edge::map::{Gaussian, Range, Ranges, Scoring, Upsample, Weights};
use mudenet_edge::preprocess::{ModelInput, Preprocess};
use pb::tensor_shape_proto::{Dimension, dimension::Value as Dim};

/// The sizes of a random network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    /// W, internal channels of teacher and students.
    pub(crate) width: usize,
    /// Rows of the input, a multiple of 64.
    pub(crate) rows: usize,
    /// Columns of the input, a multiple of 64.
    pub(crate) columns: usize,
    /// Seed of all weights.
    pub(crate) seed: u64,
}

/// A random bundle: embedding channels C = 2 W, latent size Z = 32, 3 levels.
pub(crate) fn bundle(network: Network) -> Bundle {
    Bundle::assemble(graph(network), &meta(network)).expect("the random graph is a bundle")
}

/// A smooth random picture, standardised.
pub(crate) fn input(rows: usize, columns: usize, seed: u64) -> ModelInput {
    let mut random = Random(seed);
    let mut values = Vec::with_capacity(3 * rows * columns);
    for _ in 0..3 {
        let coarse: Vec<f32> = (0..(rows / 8) * (columns / 8)).map(|_| random.uniform(1.2)).collect();
        for y in 0..rows {
            values.extend((0..columns).map(|x| coarse[y / 8 * (columns / 8) + x / 8] + random.uniform(0.6)));
        }
    }
    ModelInput::new(rows, columns, values).expect("3 planes")
}

pub(crate) fn meta(network: Network) -> Meta {
    let range = Range { min: 0.0, max: 1.0 };
    Meta {
        preprocess: Preprocess { height: network.rows, width: network.columns, ..Preprocess::imagenet(network.rows) },
        scoring: Scoring {
            ranges: Ranges { structural: vec![range; 3], logical: vec![range; 3], ..Ranges::default() },
            epsilon: 1e-8,
            clamp: false,
            margin: 4,
            weights: Weights::default(),
            upsample: Upsample::HalfPixel,
            gaussian: Gaussian::new(4.0),
            top: std::num::NonZeroUsize::MIN,
        },
        threshold: Threshold::manual(1.0),
        assumptions: Default::default(),
        training: Default::default(),
        parity: Parity { images: 0, tract: RuntimeParity::default(), good_scores: vec![], storage: None },
    }
}

/// SplitMix64, so that a seed gives the same weights with any version of any crate.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number in −limit … limit.
    pub(crate) fn uniform(&mut self, limit: f32) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((z >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * limit
    }
}

/// Builds nodes and weights in the order in which they are needed.
pub(crate) struct Graph {
    proto: pb::GraphProto,
    random: Random,
    names: usize,
}

impl Graph {
    pub(crate) fn new(seed: u64) -> Self {
        Self { proto: pb::GraphProto { name: "mudenet".into(), ..Default::default() }, random: Random(seed), names: 0 }
    }

    pub(crate) fn node(&mut self, op: &str, inputs: &[&str], attributes: Vec<pb::AttributeProto>) -> String {
        self.names += 1;
        let output = format!("{}_{}", op.to_lowercase(), self.names);
        self.proto.node.push(pb::NodeProto {
            input: inputs.iter().map(|i| i.to_string()).collect(),
            output: vec![output.clone()],
            name: output.clone(),
            op_type: op.into(),
            attribute: attributes,
            ..Default::default()
        });
        output
    }

    /// Uniform weights of standard deviation `deviation`.
    fn weights(&mut self, dims: &[usize], deviation: f32) -> String {
        let limit = 3f32.sqrt() * deviation;
        let values: Vec<f32> = (0..dims.iter().product()).map(|_| self.random.uniform(limit)).collect();
        self.names += 1;
        let name = format!("weight_{}", self.names);
        self.proto.initializer.push(pb::TensorProto {
            dims: dims.iter().map(|d| *d as i64).collect(),
            data_type: pb::tensor_proto::DataType::Float as i32,
            raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            name: name.clone(),
            ..Default::default()
        });
        name
    }

    pub(crate) fn relu(&mut self, x: &str) -> String {
        self.node("Relu", &[x], vec![])
    }

    /// QuantizeLinear and DequantizeLinear to unsigned 8 bits.
    #[allow(dead_code, reason = "each test file uses its own part")]
    pub(crate) fn rounded(&mut self, x: &str, step: f32, zero_point: u8) -> String {
        self.names += 1;
        let (scale, zero) = (format!("scale_{}", self.names), format!("zero_{}", self.names));
        self.proto.initializer.push(pb::TensorProto {
            data_type: pb::tensor_proto::DataType::Float as i32,
            raw_data: step.to_le_bytes().to_vec(),
            name: scale.clone(),
            ..Default::default()
        });
        self.proto.initializer.push(pb::TensorProto {
            data_type: pb::tensor_proto::DataType::Uint8 as i32,
            raw_data: vec![zero_point],
            name: zero.clone(),
            ..Default::default()
        });
        let stored = self.node("QuantizeLinear", &[x, &scale, &zero], vec![]);
        self.node("DequantizeLinear", &[&stored, &scale, &zero], vec![])
    }

    /// Convolution of `gain` times the variance-keeping magnitude.
    pub(crate) fn conv(&mut self, x: &str, [co, ci, kh, kw]: [usize; 4], stride: i64, pad: i64, gain: f32) -> String {
        let weight = self.weights(&[co, ci, kh, kw], gain * (2.0 / (ci * kh * kw) as f32).sqrt());
        let bias = self.weights(&[co], 0.1);
        let attributes =
            vec![ints("kernel_shape", &[kh as i64, kw as i64]), ints("strides", &[stride; 2]), ints("pads", &[pad; 4])];
        self.node("Conv", &[x, &weight, &bias], attributes)
    }

    /// 3 × 3 convolution of `channels` in `groups`.
    pub(crate) fn grouped(&mut self, x: &str, channels: usize, groups: usize) -> String {
        let output = self.conv(x, [channels, channels / groups, 3, 3], 1, 1, 1.0);
        if let Some(node) = self.proto.node.last_mut() {
            node.attribute.push(int("group", groups as i64));
        }
        output
    }

    pub(crate) fn transposed(
        &mut self,
        x: &str,
        [ci, co, kh, kw]: [usize; 4],
        strides: [i64; 2],
        pad: i64,
        extra: i64,
    ) -> String {
        let taps = (kh * kw) as f32 / (strides[0] * strides[1]) as f32;
        let weight = self.weights(&[ci, co, kh, kw], (2.0 / (ci as f32 * taps)).sqrt());
        let bias = self.weights(&[co], 0.1);
        let attributes = vec![
            ints("kernel_shape", &[kh as i64, kw as i64]),
            ints("strides", &strides),
            ints("pads", &[pad; 4]),
            ints("output_padding", &[extra; 2]),
        ];
        self.node("ConvTranspose", &[x, &weight, &bias], attributes)
    }

    /// Σ_c (a − b)², (1, 1, h, w).
    pub(crate) fn score(&mut self, a: &str, b: &str, axes: &str) -> String {
        let difference = self.node("Sub", &[a, b], vec![]);
        let square = self.node("Mul", &[&difference, &difference], vec![]);
        self.node("ReduceSum", &[&square, axes], vec![int("keepdims", 1)])
    }

    /// The axes argument of `score`: the channels.
    pub(crate) fn channel_axis(&mut self) -> String {
        self.proto.initializer.push(pb::TensorProto {
            dims: vec![1],
            data_type: pb::tensor_proto::DataType::Int64 as i32,
            int64_data: vec![1],
            name: "channel_axis".into(),
            ..Default::default()
        });
        "channel_axis".into()
    }

    /// Teacher or student: the embedding of each level.
    fn residual_network(&mut self, w: usize, c: usize) -> Vec<String> {
        let stem = self.conv(INPUT, [w, 3, 7, 7], 1, 3, 1.0);
        let stem = self.relu(&stem);
        let mut x = self.node("AveragePool", &[&stem], vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])]);
        let mut levels = Vec::new();
        for (blocks, k) in [(1, 3), (2, 3), (2, 5)] {
            for _ in 0..blocks {
                let pad = k as i64 / 2;
                let first = self.conv(&x, [w, w, k, k], 1, pad, 1.0);
                let first = self.relu(&first);
                let second = self.conv(&first, [w, w, k, k], 1, pad, 0.5);
                let sum = self.node("Add", &[&second, &x], vec![]);
                x = self.relu(&sum);
            }
            levels.push(self.conv(&x, [c, w, 1, 1], 1, 0, 0.7));
        }
        levels
    }

    fn autoencoder(&mut self, Network { width: w, rows, columns, .. }: Network, c: usize, z: usize) -> Vec<String> {
        let mut x = INPUT.to_string();
        for [co, ci] in [[w / 2, 3], [w, w / 2], [c, w], [c, c], [c, c]] {
            x = self.conv(&x, [co, ci, 3, 3], 2, 1, 1.0);
            x = self.relu(&x);
        }
        let latent = self.conv(&x, [z, c, rows / 32, columns / 32], 1, 0, 1.0);
        let latent = self.relu(&latent);
        let (kh, kw) = (rows / 64, columns / 64);
        let decode = |graph: &mut Self| {
            let mut x = graph.transposed(&latent, [z, c, kh, kw], [kh as i64, kw as i64], 0, 0);
            for _ in 0..5 {
                x = graph.relu(&x);
                x = graph.transposed(&x, [c, c, 3, 3], [2, 2], 1, 1);
            }
            x
        };
        (0..3).map(|_| decode(self)).collect()
    }

    pub(crate) fn finish(mut self, inputs: &[(&str, [usize; 4])], outputs: &[(&str, [usize; 4])]) -> pb::ModelProto {
        self.proto.input = inputs.iter().map(|(name, shape)| value(name, shape)).collect();
        self.proto.output = outputs.iter().map(|(name, shape)| value(name, shape)).collect();
        pb::ModelProto {
            ir_version: 8,
            opset_import: vec![pb::OperatorSetIdProto { domain: String::new(), version: 13 }],
            producer_name: format!("mudenet-random-{FORMAT_VERSION}"),
            graph: Some(self.proto),
            ..Default::default()
        }
    }

    /// Names the output of the last node.
    pub(crate) fn rename_last(&mut self, name: &str) {
        let node = self.proto.node.last_mut().expect("a node");
        node.output = vec![name.into()];
    }
}

/// The graph of a bundle: (1, 3, rows, columns) → `structural` and `logical`, (1, 3, rows / 2, columns / 2).
pub(crate) fn graph(network: Network) -> pb::ModelProto {
    let Network { width: w, rows, columns, seed } = network;
    let c = 2 * w;
    let mut graph = Graph::new(seed);
    let [teacher, structural, logical] = [(); 3].map(|()| graph.residual_network(w, c));
    let decoded = graph.autoencoder(network, c, 32);
    let axes = graph.channel_axis();
    for (name, left, right) in [(STRUCTURAL, &teacher, &structural), (LOGICAL, &decoded, &logical)] {
        let scores: Vec<String> = left.iter().zip(right).map(|(a, b)| graph.score(a, b, &axes)).collect();
        let scores: Vec<&str> = scores.iter().map(String::as_str).collect();
        graph.node("Concat", &scores, vec![int("axis", 1)]);
        graph.rename_last(name);
    }
    let map = [1, 3, rows / 2, columns / 2];
    graph.finish(&[(INPUT, [1, 3, rows, columns])], &[(STRUCTURAL, map), (LOGICAL, map)])
}

pub(crate) fn ints(name: &str, values: &[i64]) -> pb::AttributeProto {
    pb::AttributeProto {
        name: name.into(),
        r#type: pb::attribute_proto::AttributeType::Ints as i32,
        ints: values.to_vec(),
        ..Default::default()
    }
}

pub(crate) fn int(name: &str, value: i64) -> pb::AttributeProto {
    pb::AttributeProto {
        name: name.into(),
        r#type: pb::attribute_proto::AttributeType::Int as i32,
        i: value,
        ..Default::default()
    }
}

fn value(name: &str, shape: &[usize]) -> pb::ValueInfoProto {
    let dim = |d: &usize| Dimension { value: Some(Dim::DimValue(*d as i64)), ..Default::default() };
    let tensor = pb::type_proto::Tensor {
        elem_type: pb::tensor_proto::DataType::Float as i32,
        shape: Some(pb::TensorShapeProto { dim: shape.iter().map(dim).collect() }),
    };
    pb::ValueInfoProto {
        name: name.into(),
        r#type: Some(pb::TypeProto { value: Some(pb::type_proto::Value::TensorType(tensor)), ..Default::default() }),
        ..Default::default()
    }
}
