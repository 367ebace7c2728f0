//! Damage, loss, repetition and reordering on the wire never turn a reject into an accept.

use std::collections::HashMap;

use mudenet_board::wire::{Decoder, Encoder, Message, PartResult, Wire, WireError};
use mudenet_board::{ErrorCode, State, Verdict};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const FRAMES: u32 = 300_000;

fn random_message(rng: &mut ChaCha8Rng, part: u32) -> Message {
    match rng.random_range(0..10) {
        0 => Message::Heartbeat { beat: rng.random(), state: State::ALL[rng.random_range(0..State::ALL.len())] },
        1 => Message::Error(ErrorCode::ALL[rng.random_range(0..ErrorCode::ALL.len())]),
        2 => Message::Recipe { number: rng.random(), loaded: rng.random() },
        _ => {
            let verdict = [Verdict::Accept, Verdict::Reject, Verdict::Fault][rng.random_range(0..3)];
            let score = match rng.random_range(0..20) {
                0 => f32::NAN,
                1 => f32::INFINITY,
                _ => rng.random_range(0.0..20.0),
            };
            Message::Result(PartResult::new(part, verdict, score, rng.random_range(0..4)))
        }
    }
}

/// What the decoder says about every frame of a faulty line, and how many clean frames it missed (in text: clean ones that
/// follow a clean end mark).
struct Outcome {
    accepted: u32,
    wrongly_accepted: u32,
    invented: u32,
    refused: u32,
    clean_missed: u32,
}

fn same(sent: &PartResult, got: &PartResult) -> bool {
    let close = match (sent.score(), got.score()) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-6,
        (a, b) => a == b,
    };
    sent.part() == got.part() && sent.verdict() == got.verdict() && sent.recipe() == got.recipe() && close
}

/// Sends frames over a line whose faults are drawn from `seed`; `damage` allows faults inside a frame.
fn run(wire: Wire, seed: u64, damage: bool) -> Outcome {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut encoder, mut decoder) = (Encoder::new(wire), Decoder::new(wire));
    let mut sent: HashMap<u32, PartResult> = HashMap::new();
    let mut outcome = Outcome { accepted: 0, wrongly_accepted: 0, invented: 0, refused: 0, clean_missed: 0 };
    let mut held: Option<Vec<u8>> = None;
    let mut line_clean = true;
    for part in 0..FRAMES {
        let message = random_message(&mut rng, part);
        if let Message::Result(result) = message {
            sent.insert(part, result);
        }
        let mut bytes = encoder.encode(&message).to_vec();
        let mut intact = true;
        match rng.random_range(0..12) {
            0 => bytes.clear(),
            1 => bytes.extend(bytes.clone()),
            2 => held = Some(std::mem::take(&mut bytes)),
            3 if held.is_some() => bytes.extend(held.take().unwrap_or_default()),
            4..8 if damage => {
                intact = false;
                hurt(&mut rng, &mut bytes);
            }
            _ => {
                let answers: Vec<_> = bytes.iter().filter_map(|byte| decoder.push(*byte)).collect();
                let arrived = matches!(answers.last(), Some(Ok(received)) if is(&received.message, &message));
                outcome.clean_missed += u32::from((line_clean || wire == Wire::Binary) && !arrived);
                line_clean = true;
                tally(&sent, &mut outcome, answers);
                continue;
            }
        }
        if !bytes.is_empty() {
            line_clean = intact;
        }
        let answers: Vec<_> = bytes.iter().filter_map(|byte| decoder.push(*byte)).collect();
        tally(&sent, &mut outcome, answers);
    }
    outcome
}

fn is(got: &Message, sent: &Message) -> bool {
    match (got, sent) {
        (Message::Result(got), Message::Result(sent)) => same(sent, got),
        (got, sent) => got == sent,
    }
}

/// Flips bits, drops, adds and repeats bytes.
fn hurt(rng: &mut ChaCha8Rng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.random_range(1..5) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..6) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes[at] = rng.random(),
            2 => bytes.insert(at, rng.random()),
            3 => bytes.truncate(at),
            4 => {
                let end = (at + rng.random_range(1..20)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let mut noise = vec![0; rng.random_range(1..30)];
                rng.fill_bytes(&mut noise);
                bytes.splice(at..at, noise);
            }
        }
    }
}

fn tally(
    sent: &HashMap<u32, PartResult>,
    outcome: &mut Outcome,
    answers: Vec<Result<mudenet_board::wire::Received, WireError>>,
) {
    for answer in answers {
        match answer {
            Ok(received) => {
                if let Message::Result(got) = received.message {
                    let origin = sent.get(&got.part());
                    outcome.invented += u32::from(!origin.is_some_and(|sent| same(sent, &got)));
                    if got.verdict().is_accept() {
                        outcome.accepted += 1;
                        outcome.wrongly_accepted += u32::from(!origin.is_some_and(|sent| sent.verdict().is_accept()));
                    }
                }
            }
            Err(_) => outcome.refused += 1,
        }
    }
}

#[test]
fn checked_forms_survive_damage() {
    for wire in [Wire::AsciiChecked, Wire::Binary] {
        for seed in 0..2 {
            let outcome = run(wire, seed, true);
            assert_eq!(outcome.wrongly_accepted, 0, "{wire:?} seed {seed}");
            assert_eq!(outcome.invented, 0, "{wire:?} seed {seed}");
            assert_eq!(outcome.clean_missed, 0, "{wire:?} seed {seed}: a clean frame was missed");
            assert!(outcome.refused > FRAMES / 10, "{wire:?}: the damage was seen");
            assert!(outcome.accepted > FRAMES / 20, "{wire:?}: good parts still pass");
        }
    }
}

#[test]
fn every_form_survives_loss_repetition_and_reordering_of_whole_messages() {
    for wire in [Wire::Ascii, Wire::AsciiChecked, Wire::Binary] {
        let outcome = run(wire, 7, false);
        assert_eq!((outcome.wrongly_accepted, outcome.invented, outcome.clean_missed), (0, 0, 0), "{wire:?}");
        assert!(outcome.accepted > FRAMES / 20, "{wire:?}");
    }
}

/// Every combination of one, two and three flipped bits in a reject and in a fault, in both forms with a CRC.
#[test]
fn no_three_flipped_bits_make_an_accept() {
    for wire in [Wire::AsciiChecked, Wire::Binary] {
        for result in [PartResult::new(18, Verdict::Reject, 1.75, 3), PartResult::fault(18, 3)] {
            let clean = Encoder::new(wire).encode(&Message::Result(result)).to_vec();
            let bits = clean.len() * 8;
            let mut bytes = clean.clone();
            let flip = |bytes: &mut Vec<u8>, bit: usize| bytes[bit / 8] ^= 1 << (bit % 8);
            for a in 0..bits {
                flip(&mut bytes, a);
                assert_no_accept(wire, &bytes);
                for b in a + 1..bits {
                    flip(&mut bytes, b);
                    assert_no_accept(wire, &bytes);
                    for c in b + 1..bits {
                        flip(&mut bytes, c);
                        assert_no_accept(wire, &bytes);
                        flip(&mut bytes, c);
                    }
                    flip(&mut bytes, b);
                }
                flip(&mut bytes, a);
            }
            assert_eq!(bytes, clean);
        }
    }
}

fn assert_no_accept(wire: Wire, bytes: &[u8]) {
    let mut decoder = Decoder::new(wire);
    for byte in bytes {
        if let Some(Ok(received)) = decoder.push(*byte) {
            assert!(
                !matches!(received.message, Message::Result(result) if result.verdict().is_accept()),
                "{bytes:02x?} was accepted"
            );
        }
    }
}
