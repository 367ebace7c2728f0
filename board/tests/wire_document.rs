//! Every example in `WIRE.md`, both ways. The document's bytes were printed by Python 3.11: `zlib.crc32`, `struct.pack` and
//! a COBS encoder that splits at zeros.

#![expect(clippy::expect_used, reason = "helpers of tests may fail the test")]

use mudenet_board::wire::{Decoder, Encoder, MAX_BYTES, Message, PartResult, Wire, WireError};
use mudenet_board::{ErrorCode, State, Verdict};

const DOCUMENT: &str = include_str!("../WIRE.md");

fn messages() -> [Message; 12] {
    [
        Message::Result(PartResult::new(17, Verdict::Accept, 0.4213, 3)),
        Message::Result(PartResult::new(18, Verdict::Reject, 1.75, 3)),
        Message::Result(PartResult::new(19, Verdict::Accept, f32::NAN, 3)),
        Message::Heartbeat { beat: 42, state: State::Ready },
        Message::Error(ErrorCode::MissedTrigger),
        Message::Recipe { number: 7, loaded: true },
        Message::Trigger { part: None },
        Message::Trigger { part: Some(17) },
        Message::Ack { part: 17 },
        Message::ChangeRecipe { number: 7 },
        Message::Reset,
        Message::Alive { beat: 42 },
    ]
}

/// The cells of the example table: text, checked text, binary.
fn examples() -> Vec<[String; 3]> {
    let (_, section) = DOCUMENT.split_once("## Examples").expect("an Examples section");
    section
        .lines()
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<String> =
                line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect();
            cells.try_into().expect("three cells")
        })
        .collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect()
}

fn decode_all(wire: Wire, bytes: &[u8]) -> Vec<Result<Message, WireError>> {
    let mut decoder = Decoder::new(wire);
    bytes.iter().filter_map(|byte| decoder.push(*byte)).map(|r| r.map(|received| received.message)).collect()
}

#[test]
fn the_examples_are_the_bytes_both_ways() {
    let examples = examples();
    assert_eq!(examples.len(), messages().len());
    for (column, wire) in [Wire::Ascii, Wire::AsciiChecked, Wire::Binary].into_iter().enumerate() {
        let mut encoder = Encoder::new(wire);
        let mut decoder = Decoder::new(wire);
        for (row, message) in examples.iter().zip(messages()) {
            let bytes = match wire {
                Wire::Binary => from_hex(&row[column]),
                _ => format!("{}\r\n", row[column]).into_bytes(),
            };
            assert_eq!(encoder.encode(&message).as_slice(), bytes, "{message:?}");
            let received: Vec<_> = bytes.iter().filter_map(|byte| decoder.push(*byte)).collect();
            assert_eq!(received.len(), 1, "{message:?}");
            let received = received[0].expect("decodes");
            assert_eq!((received.message, received.lost), (message, 0));
        }
    }
}

#[test]
fn the_hex_blocks_are_the_first_result() {
    let blocks: Vec<Vec<u8>> = DOCUMENT
        .lines()
        .filter(|line| line.len() > 40 && line.bytes().all(|b| b.is_ascii_hexdigit() || b == b' '))
        .map(from_hex)
        .collect();
    let result = messages()[0];
    let encoded = |wire| Encoder::new(wire).encode(&result).to_vec();
    assert_eq!(blocks.len(), 4, "text, checked text, raw and framed");
    assert_eq!(blocks[0], encoded(Wire::Ascii));
    assert_eq!(blocks[1], encoded(Wire::AsciiChecked));
    assert_eq!(blocks[3], encoded(Wire::Binary));
    let framed = &blocks[3][1..blocks[3].len() - 1];
    assert_eq!(unstuff(framed), blocks[2]);
}

/// A naive decoder: each code byte stands for that many bytes less one, then a zero.
fn unstuff(mut stuffed: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((&code, rest)) = stuffed.split_first() {
        let (run, rest) = rest.split_at(usize::from(code) - 1);
        out.extend_from_slice(run);
        if code != 255 && !rest.is_empty() {
            out.push(0);
        }
        stuffed = rest;
    }
    out
}

#[test]
fn the_numbers_of_states_and_errors_are_the_documents() {
    let text = DOCUMENT.split_whitespace().collect::<Vec<_>>().join(" ");
    for state in State::ALL {
        assert!(text.contains(&format!("{} `{}`", state.code(), state.name())), "{state:?}");
        assert_eq!(State::from_code(state.code()), Some(state));
    }
    for error in ErrorCode::ALL {
        assert!(text.contains(&format!(" {} {error}", error.code())), "{error:?}");
        assert_eq!(ErrorCode::from_code(error.code()), Some(error));
    }
    assert_eq!((State::from_code(7), ErrorCode::from_code(0), ErrorCode::from_code(17)), (None, None, None));
}

/// The two ways to fail that the document admits for plain text, and that the other forms refuse them.
#[test]
fn the_documents_warning_about_plain_text_is_true() {
    let (ng, ok) = (messages()[1], messages()[0]);
    let flip = |bytes: &mut [u8]| {
        let at = bytes.windows(2).position(|pair| pair == b"NG").expect("NG");
        bytes[at] ^= 0x01;
        bytes[at + 1] ^= 0x0c;
    };
    let joined = |wire| {
        let mut encoder = Encoder::new(wire);
        let mut line = encoder.encode(&ng).to_vec();
        line[3] = b'7';
        line.extend(encoder.encode(&ok));
        line
    };
    let accepts = |wire, bytes: &[u8]| {
        decode_all(wire, bytes)
            .into_iter()
            .filter(|m| matches!(m, Ok(Message::Result(result)) if result.verdict().is_accept()))
            .count()
    };

    let mut plain = Encoder::new(Wire::Ascii).encode(&ng).to_vec();
    flip(&mut plain);
    assert_eq!(accepts(Wire::Ascii, &plain), 1);
    let mut checked = Encoder::new(Wire::AsciiChecked).encode(&ng).to_vec();
    flip(&mut checked);
    assert_eq!(decode_all(Wire::AsciiChecked, &checked), [Err(WireError::Checksum)]);

    let lost = |mut bytes: Vec<u8>| {
        let from = bytes.windows(2).position(|pair| pair == b"NG").expect("NG");
        let to = bytes.windows(2).position(|pair| pair == b"OK").expect("OK");
        bytes.drain(from..to);
        bytes
    };
    assert_eq!(lost(joined(Wire::Ascii)), b"R,17,OK,0.421300,3\r\n");
    assert_eq!(accepts(Wire::Ascii, &lost(joined(Wire::Ascii))), 1);
    assert_eq!(accepts(Wire::AsciiChecked, b"R,17,OK,0.421300,3\r\n"), 0, "a checksum cannot be left out");
}

#[test]
fn a_line_has_one_spelling() {
    for line in [
        "R,017,OK,0.421300,3\r\n",
        "R,+17,OK,0.421300,3\r\n",
        "R,17,OK,0.4213,3\r\n",
        "R,17,OK,.421300,3\r\n",
        "R,17,OK,nan,3\r\n",
        "R,17,OK,inf,3\r\n",
        "R,17,OK,,3\r\n",
        "R,17,NG,,3\r\n",
        "R,17,ok,0.421300,3\r\n",
        "R, 17,OK,0.421300,3\r\n",
        "R,17,OK,0.421300,3,\r\n",
        "R,17,OK,0.421300,3 \r\n",
        "R,17,OK,0.421300,65536\r\n",
        "R,4294967296,OK,0.421300,3\r\n",
        "R,17,OK,0.421300,3\n",
        "L,7,NO\r\n",
        "T,\r\n",
        "X,1\r\n",
        "\u{ff}\r\n",
        " \r\n",
    ] {
        assert_eq!(decode_all(Wire::Ascii, line.as_bytes()), [Err(WireError::Malformed)], "{line:?}");
    }
    for line in ["X*b7b2364b\r\n", "X*+7B2364B\r\n", "X*0B7B2364B\r\n", "X\r\n"] {
        assert!(matches!(decode_all(Wire::AsciiChecked, line.as_bytes())[..], [Err(_)]), "{line:?}");
    }
    assert_eq!(decode_all(Wire::Ascii, b"\r\n\r\nX\r\n"), [Ok(Message::Reset)], "empty lines mean nothing");
}

#[test]
fn the_longest_messages_fit() {
    for wire in [Wire::Ascii, Wire::AsciiChecked, Wire::Binary] {
        for score in [f32::MAX, f32::MIN, f32::MIN_POSITIVE, -0.0] {
            let message = Message::Result(PartResult::new(u32::MAX, Verdict::Fault, score, u16::MAX));
            let bytes = Encoder::new(wire).encode(&message);
            assert!(bytes.len() <= MAX_BYTES - 10, "{} bytes", bytes.len());
            let decoded = decode_all(wire, &bytes);
            match decoded[..] {
                [Ok(Message::Result(result))] => {
                    assert_eq!(
                        (result.part(), result.verdict(), result.recipe()),
                        (u32::MAX, Verdict::Fault, u16::MAX)
                    );
                    let got = result.score().expect("a score");
                    assert!(got == score || (got - score).abs() <= 1e-6, "{got} for {score}");
                }
                _ => panic!("{decoded:?}"),
            }
        }
    }
}

#[test]
fn endless_bytes_are_one_error_and_the_next_message_arrives() {
    for wire in [Wire::Ascii, Wire::AsciiChecked, Wire::Binary] {
        let mut bytes = vec![b'7'; 1000];
        bytes.extend_from_slice(wire.resync());
        bytes.extend(Encoder::new(wire).encode(&Message::Reset));
        assert_eq!(decode_all(wire, &bytes), [Err(WireError::TooLong), Ok(Message::Reset)]);
    }
}

#[test]
fn binary_counts_lost_messages_and_drops_repeated_ones() {
    let mut encoder = Encoder::new(Wire::Binary);
    let frames: Vec<_> = (0..70_000u32).map(|part| encoder.encode(&Message::Ack { part })).collect();
    let mut decoder = Decoder::new(Wire::Binary);
    let mut receive = |index: usize| frames[index].iter().find_map(|byte| decoder.push(*byte)).expect("one answer");
    assert_eq!(receive(5).expect("first").lost, 0);
    assert_eq!(receive(6).expect("next").lost, 0);
    assert_eq!(receive(6), Err(WireError::Repeated));
    assert_eq!(receive(10).expect("after a gap").lost, 3);
    assert_eq!(receive(9).expect("late").lost, 0);
    for index in 10..70_000 {
        assert_eq!(receive(index).expect("in order, over the wrap").lost, 0, "{index}");
    }
}

#[test]
fn another_protocol_version_is_refused_by_name() {
    // Python 3.11: raw = bytes([2, 0x14, 0, 0]); (raw + struct.pack('<I', zlib.crc32(raw))).hex()
    let raw = [0x02, 0x14, 0x00, 0x00, CRC_V2[0], CRC_V2[1], CRC_V2[2], CRC_V2[3]];
    let mut frame = vec![0, 3, raw[0], raw[1], 1, 5];
    frame.extend_from_slice(&raw[4..]);
    frame.push(0);
    assert_eq!(decode_all(Wire::Binary, &frame), [Err(WireError::Version(2))]);
}

const CRC_V2: [u8; 4] = [0x3b, 0x1c, 0x62, 0x90];
