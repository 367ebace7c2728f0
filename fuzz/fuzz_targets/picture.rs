//! A picture, as files, cameras and the page give it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudenet_edge::capture::{MAX_PIXELS, MIN_SIDE, decode_bytes};
use mudenet_fuzz::bounded;

fuzz_target!(|data: &[u8]| {
    bounded(16 * MAX_PIXELS + (64 << 20), || {
        if let Ok(frame) = decode_bytes(data) {
            assert!(frame.width() >= MIN_SIDE && frame.height() >= MIN_SIDE);
            assert!(frame.width() * frame.height() <= MAX_PIXELS);
        }
    });
});
