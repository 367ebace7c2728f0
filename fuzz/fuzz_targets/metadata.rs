//! The metadata of a model file, one line of JSON a key, and the map that it asks for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudenet_edge::bundle::{Bundle, STRUCTURAL};
use mudenet_edge::capture::{Frame, Samples};
use mudenet_edge::infer::{InferError, LevelScores, Scorer};
use mudenet_edge::inspector::Inspector;
use mudenet_edge::preprocess::ModelInput;
use mudenet_fuzz::bounded;
use std::sync::LazyLock;

static PART: LazyLock<Bundle> =
    LazyLock::new(|| Bundle::from_bytes(include_bytes!("../corpus/bundle/part.onnx")).expect("the seed"));
const KEYS: [&str; 6] = ["preprocess", "scoring", "threshold", "assumptions", "training", "parity"];

/// The same scores for every picture.
struct Fixed(LevelScores);

impl Scorer for Fixed {
    fn score(&mut self, _input: &ModelInput) -> Result<LevelScores, InferError> {
        Ok(self.0.clone())
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut graph = PART.graph().clone();
    for (key, line) in KEYS.iter().zip(text.lines()).filter(|(_, line)| !line.is_empty()) {
        let name = format!("mudenet.{key}");
        if let Some(property) = graph.metadata_props.iter_mut().find(|property| property.key == name) {
            property.value = line.to_owned();
        }
    }
    bounded(256 << 20, || {
        let bytes = prost_bytes(&graph);
        let Ok(bundle) = Bundle::from_bytes(&bytes) else { return };
        let again = Bundle::assemble(graph, bundle.meta()).expect("what was read can be written");
        assert_eq!(again.meta(), bundle.meta());
        let meta = bundle.meta().clone();
        let Some([1, levels, height, width]) =
            bundle.output_shape(STRUCTURAL).map(|shape| [shape[0], shape[1], shape[2], shape[3]])
        else {
            return;
        };
        let count = (levels * height * width) as usize;
        let scores: Vec<f32> = (0..count).map(|i| i as f32 / count as f32).collect();
        let Ok(scores) = LevelScores::new(levels as usize, height as usize, width as usize, scores.clone(), scores)
        else {
            return;
        };
        let scores = if meta.scoring.ranges.memory.is_empty() { scores } else { return };
        let mut inspector =
            Inspector::from_parts(meta.preprocess, meta.scoring, Box::new(Fixed(scores)), meta.threshold.value);
        let frame = Frame::new(64, 64, Samples::Rgb8(vec![99; 3 * 64 * 64])).expect("a frame");
        if let Ok(inspection) = inspector.inspect(&frame) {
            use mudenet_edge::decide::Verdict;
            // No accept without a finite score at or below the threshold.
            let proven = inspection.score.value.is_finite() && inspection.score.value <= meta.threshold.value;
            assert!(inspection.verdict != Verdict::Accept || proven);
        }
    });
});

fn prost_bytes(graph: &mudenet_edge::bundle::pb::ModelProto) -> Vec<u8> {
    use prost::Message;
    graph.encode_to_vec()
}
