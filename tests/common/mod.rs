//! A model small enough to compute by hand, and the program run on it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use image::{Rgb, RgbImage};
use mudenet_edge::bundle::{Bundle, Meta, Parity, RuntimeParity, pb};
use mudenet_edge::decide::Threshold;
use mudenet_edge::map::{Gaussian, Range, Ranges, Scoring, Upsample, Weights};
use mudenet_edge::preprocess::{Preprocess, ResizeRule};
use pb::tensor_proto::DataType;
use pb::tensor_shape_proto::dimension::Value as Dim;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

/// Rows and columns of the model's input.
pub const SIDE: usize = 64;
/// Rows and columns of its scores.
pub const CELLS: usize = 32;
/// Where neither branch finds anything: every channel at this level of 0–255.
pub const GREY: u8 = 128;
/// The model's threshold.
pub const THRESHOLD: f32 = 1.0;
/// Weights of the two levels: level l scores `(WEIGHTS[l] · (mean of 2×2 pixels − GREY))²`, from red in the structural
/// and from blue in the logical branch, on the scale 0–1.
pub const WEIGHTS: [f32; 2] = [1.0, 0.5];
/// Largest score of each level over good parts; the smallest is 0.
pub const RANGE: f32 = 0.02;

/// The model, checked.
pub fn bundle() -> Bundle {
    Bundle::assemble(graph(), &meta()).expect("the test model is valid")
}

/// The model's graph without metadata.
pub fn graph() -> pb::ModelProto {
    let node = |op: &str, inputs: &[&str], output: &str, attribute: Vec<pb::AttributeProto>| pb::NodeProto {
        name: output.into(),
        op_type: op.into(),
        input: inputs.iter().map(|s| s.to_string()).collect(),
        output: vec![output.into()],
        attribute,
        ..Default::default()
    };
    let ints = |name: &str, ints: &[i64]| pb::AttributeProto {
        name: name.into(),
        r#type: pb::attribute_proto::AttributeType::Ints as i32,
        ints: ints.to_vec(),
        ..Default::default()
    };
    let mut nodes =
        vec![node("AveragePool", &["image"], "cells", vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])])];
    let mut initializer = Vec::new();
    for (name, channel) in [("structural", 0), ("logical", 2)] {
        let (weight, bias, linear) = (format!("{name}.weight"), format!("{name}.bias"), format!("{name}.linear"));
        let weights = WEIGHTS.iter().flat_map(|w| (0..3).map(move |c| if c == channel { *w } else { 0.0 }));
        initializer.push(tensor(&weight, &[2, 3, 1, 1], weights.collect()));
        initializer.push(tensor(&bias, &[2], WEIGHTS.map(|w| -w * f32::from(GREY) / 255.0).to_vec()));
        nodes.push(node("Conv", &["cells", &weight, &bias], &linear, vec![ints("kernel_shape", &[1, 1])]));
        nodes.push(node("Mul", &[&linear, &linear], name, vec![]));
    }
    let (side, cells) = (SIDE as i64, CELLS as i64);
    pb::ModelProto {
        ir_version: 7,
        opset_import: vec![pb::OperatorSetIdProto { domain: String::new(), version: 13 }],
        graph: Some(pb::GraphProto {
            name: "test".into(),
            node: nodes,
            initializer,
            input: vec![value("image", &[1, 3, side, side])],
            output: ["structural", "logical"].map(|name| value(name, &[1, 2, cells, cells])).to_vec(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The model's metadata.
pub fn meta() -> Meta {
    let ranges = vec![Range { min: 0.0, max: RANGE }; 2];
    let none = RuntimeParity::default();
    Meta {
        preprocess: Preprocess {
            height: SIDE,
            width: SIDE,
            mean: [0.0; 3],
            std: [1.0; 3],
            resize: ResizeRule::Triangle,
        },
        scoring: Scoring {
            ranges: Ranges { structural: ranges.clone(), logical: ranges, ..Ranges::default() },
            epsilon: 0.0,
            clamp: false,
            margin: 0,
            weights: Weights::default(),
            upsample: Upsample::HalfPixel,
            gaussian: Gaussian::new(0.0),
            top: std::num::NonZeroUsize::MIN,
        },
        threshold: Threshold::manual(THRESHOLD),
        assumptions: BTreeMap::new(),
        training: BTreeMap::new(),
        parity: Parity { images: 0, tract: none, good_scores: vec![], storage: None },
    }
}

/// The model's map of a picture of SIDE × SIDE pixels, computed plainly: cells, then for every pixel the four cells
/// around it, weighted 3/4 and 1/4 along each axis, cells beyond the border repeated.
pub fn expected_map(picture: &RgbImage) -> Vec<f32> {
    let cell = |row: i64, column: i64| {
        let (row, column) = (row.clamp(0, 31) as u32, column.clamp(0, 31) as u32);
        let level = |channel: usize| {
            let pixels = [(0, 0), (0, 1), (1, 0), (1, 1)];
            let sum: f64 =
                pixels.iter().map(|(y, x)| f64::from(picture.get_pixel(2 * column + x, 2 * row + y)[channel])).sum();
            let off = (sum / 4.0 - f64::from(GREY)) / 255.0;
            let scores = WEIGHTS.map(|w| (f64::from(w) * off).powi(2) / f64::from(RANGE));
            (scores[0] + scores[1]) / 2.0
        };
        level(0) + level(2)
    };
    let pixel = |y: i64, x: i64| {
        let near = |v: i64| (v / 2, if v % 2 == 0 { v / 2 - 1 } else { v / 2 + 1 });
        let ((row, other_row), (column, other_column)) = (near(y), near(x));
        0.5625 * cell(row, column)
            + 0.1875 * (cell(other_row, column) + cell(row, other_column))
            + 0.0625 * cell(other_row, other_column)
    };
    let side = SIDE as i64;
    (0..side * side).map(|i| pixel(i / side, i % side) as f32).collect()
}

/// A part without a defect, with a little texture.
pub fn good(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([GREY + ((x * 7 + y * 13) % 5) as u8, GREY, GREY]))
}

/// A part with a bright square in one channel (0 red: structural, 2 blue: logical), `size` pixels a side around
/// (x, y).
pub fn spotted(width: u32, height: u32, (x, y): (u32, u32), size: u32, channel: usize) -> RgbImage {
    let mut picture = good(width, height);
    for row in y - size / 2..y + size / 2 {
        for column in x - size / 2..x + size / 2 {
            picture.get_pixel_mut(column, row)[channel] = 255;
        }
    }
    picture
}

/// Runs the program in `folder`.
pub fn run(folder: &Path, arguments: &[&str]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_mudenet-edge"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the program starts");
    Run::from(output)
}

/// What the program did.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Run {
    /// The objects of `--json`.
    pub fn lines(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
    }

    /// Asserts exit code 2 and one sentence on stderr that has all of `parts`.
    #[track_caller]
    pub fn assert_error(&self, parts: &[&str]) {
        assert_eq!(self.code, 2, "{self:?}");
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert!(lines.len() == 1 && lines[0].starts_with("error: "), "{self:?}");
        for part in parts {
            assert!(lines[0].contains(part), "no {part:?} in {self:?}");
        }
        let told: Vec<&str> = lines[0].split(": ").collect();
        assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "told twice: {self:?}");
    }
}

/// A float tensor of a graph.
pub fn tensor(name: &str, dims: &[i64], values: Vec<f32>) -> pb::TensorProto {
    pb::TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: DataType::Float as i32,
        float_data: values,
        ..Default::default()
    }
}

fn value(name: &str, shape: &[i64]) -> pb::ValueInfoProto {
    let dim = |n: &i64| pb::tensor_shape_proto::Dimension { value: Some(Dim::DimValue(*n)), ..Default::default() };
    let tensor = pb::type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(pb::TensorShapeProto { dim: shape.iter().map(dim).collect() }),
    };
    pb::ValueInfoProto {
        name: name.into(),
        r#type: Some(pb::TypeProto { value: Some(pb::type_proto::Value::TensorType(tensor)), ..Default::default() }),
        ..Default::default()
    }
}
