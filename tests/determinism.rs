//! The same picture has the same map: to the bit on one machine for any number of threads, and within a bound on every
//! instruction set and architecture.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic")]

use mudenet_edge::bundle::Bundle;
use mudenet_edge::capture::decode;
use mudenet_edge::decide::Verdict;
use mudenet_edge::infer::{Engine, Isa, TractScorer};
use mudenet_edge::inspector::{Inspection, Inspector};
use std::path::{Path, PathBuf};

/// Largest difference of a score between two architectures, relative to it.
const BOUND: f32 = 1e-5;

/// `MUDENET_ISA=avx512 mudenet-edge inspect --model assets/demo/tray.onnx assets/demo --json`, its `score`s.
const SCORES: [(&str, f32); 8] = [
    ("contamination", 1.157427),
    ("crack", 0.8922473),
    ("extra", 2.1820214),
    ("good-1", 0.5647116),
    ("good-2", 0.5755151),
    ("missing", 4.5847597),
    ("swapped", 1.1678534),
    ("wrong-colour", 38.187706),
];

fn demo(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo").join(file)
}

fn inspector(engine: Engine) -> Inspector {
    let bundle = Bundle::load(&demo("tray.onnx")).unwrap();
    let scorer = TractScorer::with_engine(&bundle, engine).unwrap();
    let meta = bundle.meta();
    Inspector::from_parts(meta.preprocess.clone(), meta.scoring.clone(), Box::new(scorer), meta.threshold.value)
}

fn inspect(inspector: &mut Inspector, name: &str) -> Inspection {
    inspector.inspect(&decode(&demo(&format!("{name}.png"))).unwrap()).unwrap()
}

#[test]
fn a_map_has_the_same_bytes_for_any_number_of_threads() {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut inspector = inspector(Engine::Fused(Isa::best()));
            ["crack", "good-1"].map(|name| {
                let inspection = inspect(&mut inspector, name);
                (inspection.map.0.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), inspection.score)
            })
        })
    };
    let one = on(1);
    for threads in [2, 3, 8] {
        assert!(on(threads) == one, "{threads} threads");
    }
}

#[test]
fn scores_are_the_same_on_every_instruction_set_and_architecture() {
    let engines = Isa::available().into_iter().map(Engine::Fused).chain([Engine::Plain]);
    for engine in engines {
        let mut inspector = inspector(engine);
        for (name, expected) in SCORES {
            let inspection = inspect(&mut inspector, name);
            let error = (inspection.score.value - expected).abs() / expected;
            assert!(error <= BOUND, "{name} on {engine:?}: {}, expected {expected}", inspection.score.value);
            let verdict = if name.starts_with("good") { Verdict::Accept } else { Verdict::Reject };
            assert_eq!(inspection.verdict, verdict, "{name} on {engine:?}");
        }
    }
}
