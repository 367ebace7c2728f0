//! A model file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudenet_edge::bundle::Bundle;
use mudenet_fuzz::bounded;

fuzz_target!(|data: &[u8]| {
    bounded(2 * data.len() + (2 << 30), || {
        if let Ok(bundle) = Bundle::from_bytes(data) {
            let again = Bundle::assemble(bundle.graph().clone(), bundle.meta()).expect("what was read can be written");
            assert_eq!(again.meta(), bundle.meta());
        }
    });
});
