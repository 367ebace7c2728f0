//! The pickle of a state dict.
#![no_main]

#[allow(dead_code)]
#[path = "../../export/src/pth/pickle/mod.rs"]
mod pickle;

use libfuzzer_sys::fuzz_target;
use mudenet_fuzz::{FEW, bounded};

fuzz_target!(|data: &[u8]| {
    bounded(128 * data.len() + FEW, || {
        if let Ok((tensors, used)) = pickle::state_dict(data) {
            assert!(used <= data.len());
            assert!(tensors.iter().all(|(_, tensor)| tensor.last().is_none_or(|last| last >= -1)));
        }
        let others = [pickle::skip(data), pickle::number(data).map(|n| n.1), pickle::strings(data).map(|n| n.1)];
        assert!(others.into_iter().flatten().all(|used| used <= data.len()));
    });
});
