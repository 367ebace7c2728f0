//! Bytes on the serial line, in each of its forms.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudenet_board::Verdict;
use mudenet_board::wire::{Decoder, Encoder, MAX_BYTES, Message, Wire};

fuzz_target!(|data: &[u8]| {
    for wire in [Wire::Ascii, Wire::AsciiChecked, Wire::Binary] {
        let mut decoder = Decoder::new(wire);
        for received in data.iter().filter_map(|byte| decoder.push(*byte)).flatten() {
            let message = received.message;
            if let Message::Result(result) = message {
                // What is read as a good part has a finite score.
                assert!(result.verdict() != Verdict::Accept || result.score().is_some_and(f32::is_finite));
            }
            let bytes = Encoder::new(wire).encode(&message);
            assert!(bytes.len() <= MAX_BYTES);
            let mut fresh = Decoder::new(wire);
            let again: Vec<_> = bytes.iter().filter_map(|byte| fresh.push(*byte)).flatten().collect();
            assert_eq!(again.len(), 1);
            assert_eq!(again[0].message, message);
        }
        // Whatever came before, the message after the resynchronisation arrives.
        for byte in wire.resync() {
            let _ = decoder.push(*byte);
        }
        let mut encoder = Encoder::new(wire);
        // Two of them: the first may have the sequence number of the last message.
        let sent: Vec<u8> =
            [7, 8].iter().flat_map(|part| encoder.encode(&Message::Trigger { part: Some(*part) })).collect();
        let arrived: Vec<_> = sent.iter().filter_map(|byte| decoder.push(*byte)).flatten().collect();
        assert_eq!(arrived.last().map(|received| received.message), Some(Message::Trigger { part: Some(8) }));
    }
});
