//! A model's weights are in memory once while it is loaded, beside what is made of them.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "common/model.rs"]
mod model;

use cap::Cap;
use model::Network;
use mudenet_edge::bundle::Bundle;
use mudenet_edge::infer::{Engine, Isa, TractScorer};
use std::alloc::System;
use std::path::Path;
use std::process::Command;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Names the model to load, in a process that has done nothing else: what making it took is no part of the peak.
const MODEL_VARIABLE: &str = "LOAD_MEMORY_MODEL";
/// Bytes of all but weights: nodes, names, and one layer's weights both ways.
const GRAPH: usize = 2 << 20;

#[test]
fn weights_are_held_once() {
    if let Some(path) = std::env::var_os(MODEL_VARIABLE) {
        return load(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("full.onnx");
    model::bundle(Network { width: 64, rows: 256, columns: 256, seed: 3 }).save(&path).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    let status = child.args(["--exact", "weights_are_held_once", "--nocapture"]).env(MODEL_VARIABLE, &path).status();
    assert!(status.unwrap().success());
}

fn load(path: &Path) {
    let file = std::fs::metadata(path).unwrap().len() as usize;
    let before = ALLOCATOR.allocated();
    let bundle = Bundle::load(path).unwrap();
    let read = ALLOCATOR.max_allocated() - before;
    // The file's bytes and, decoded, their copy.
    assert!(read <= 2 * file + GRAPH, "{read} bytes to read a file of {file}");
    let held = ALLOCATOR.allocated() - before;
    assert!(held <= file + GRAPH, "{held} bytes of a file of {file}");
    let scorer = TractScorer::with_engine(bundle, Engine::Fused(Isa::best())).unwrap();
    let (peak, packed) = (ALLOCATOR.max_allocated() - before, ALLOCATOR.allocated() - before);
    println!("file {file}, read with {read}, held {held}, prepared with {peak}, kept {packed} bytes");
    assert_eq!(scorer.not_accelerated(), [""; 0]);
    // First the bundle and tract's graph of it, which replaces it; then the graph and what was packed of it, two and a half times as
    // much, which replaces it layer by layer.
    assert!(2 * packed <= 5 * file, "{packed} bytes kept of a file of {file}");
    assert!(
        peak <= packed.max(2 * file) + GRAPH,
        "{peak} bytes to prepare a file of {file}, of which {packed} are kept"
    );
}
