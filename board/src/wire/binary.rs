//! COBS frames.

use super::{Bytes, CRC32, Message, PartResult, WireError};
use crate::{ErrorCode, State, Verdict};

/// First byte of every message.
pub(super) const VERSION: u8 = 1;

/// Most bytes before stuffing: version, type, sequence number, the payload of a result, checksum.
const MAX_RAW: usize = 2 + 2 + 11 + 4;

/// The score field of a result without a score.
const NO_SCORE: u32 = 0x7fc0_0000;

type Raw = heapless::Vec<u8, MAX_RAW>;

mod kind {
    pub(super) const RESULT: u8 = 0x01;
    pub(super) const HEARTBEAT: u8 = 0x02;
    pub(super) const ERROR: u8 = 0x03;
    pub(super) const RECIPE: u8 = 0x04;
    pub(super) const TRIGGER: u8 = 0x11;
    pub(super) const ACK: u8 = 0x12;
    pub(super) const CHANGE_RECIPE: u8 = 0x13;
    pub(super) const RESET: u8 = 0x14;
    pub(super) const ALIVE: u8 = 0x15;
}

pub(super) fn encode(message: &Message, sequence: u16) -> Bytes {
    let mut raw = Raw::new();
    let mut stuffed = [0; MAX_BYTES_STUFFED];
    let mut frame = Bytes::new();
    // No step fails: the sizes are tested. A frame cut short would not pass its checksum.
    let _ = write_raw(&mut raw, message, sequence);
    let length = cobs::try_encode_including_sentinels(&raw, &mut stuffed).unwrap_or(0);
    let _ = frame.extend_from_slice(stuffed.get(..length).unwrap_or_default());
    frame
}

const MAX_BYTES_STUFFED: usize = MAX_RAW + 3;

/// Decodes the bytes between two zeros.
pub(super) fn decode(frame: &[u8]) -> Result<(Message, u16), WireError> {
    let mut buffer = [0; super::MAX_BYTES];
    let report = cobs::decode(frame, &mut buffer).map_err(|_| WireError::Malformed)?;
    let raw = buffer.get(..report.frame_size()).ok_or(WireError::Malformed)?;
    let (body, crc) = raw.split_last_chunk::<4>().ok_or(WireError::Malformed)?;
    if CRC32.checksum(body) != u32::from_le_bytes(*crc) {
        return Err(WireError::Checksum);
    }
    let ([version, kind, sequence @ ..], payload) = body.split_first_chunk::<4>().ok_or(WireError::Malformed)?;
    if *version != VERSION {
        return Err(WireError::Version(*version));
    }
    let message = read_payload(*kind, payload).ok_or(WireError::Malformed)?;
    Ok((message, u16::from_le_bytes(*sequence)))
}

fn write_raw(raw: &mut Raw, message: &Message, sequence: u16) -> Result<(), heapless::CapacityError> {
    let mut put = |kind: u8, fields: &[&[u8]]| {
        raw.extend_from_slice(&[VERSION, kind])?;
        raw.extend_from_slice(&sequence.to_le_bytes())?;
        fields.iter().try_for_each(|field| raw.extend_from_slice(field))
    };
    match message {
        Message::Result(result) => put(
            kind::RESULT,
            &[
                &result.part().to_le_bytes(),
                &[verdict_code(result.verdict())],
                &result.score().map_or(NO_SCORE, f32::to_bits).to_le_bytes(),
                &result.recipe().to_le_bytes(),
            ],
        ),
        Message::Heartbeat { beat, state } => put(kind::HEARTBEAT, &[&beat.to_le_bytes(), &[state.code()]]),
        Message::Error(error) => put(kind::ERROR, &[&[error.code()]]),
        Message::Recipe { number, loaded } => put(kind::RECIPE, &[&number.to_le_bytes(), &[u8::from(*loaded)]]),
        Message::Trigger { part: None } => put(kind::TRIGGER, &[]),
        Message::Trigger { part: Some(part) } => put(kind::TRIGGER, &[&part.to_le_bytes()]),
        Message::Ack { part } => put(kind::ACK, &[&part.to_le_bytes()]),
        Message::ChangeRecipe { number } => put(kind::CHANGE_RECIPE, &[&number.to_le_bytes()]),
        Message::Reset => put(kind::RESET, &[]),
        Message::Alive { beat } => put(kind::ALIVE, &[&beat.to_le_bytes()]),
    }?;
    let crc = CRC32.checksum(raw);
    raw.extend_from_slice(&crc.to_le_bytes())
}

fn read_payload(kind: u8, payload: &[u8]) -> Option<Message> {
    Some(match kind {
        kind::RESULT => {
            let [p0, p1, p2, p3, verdict, s0, s1, s2, s3, r0, r1] = array(payload)?;
            let part = u32::from_le_bytes([p0, p1, p2, p3]);
            let recipe = u16::from_le_bytes([r0, r1]);
            let verdict = verdict_from_code(verdict)?;
            let bits = u32::from_le_bytes([s0, s1, s2, s3]);
            let score = f32::from_bits(bits);
            Message::Result(match verdict {
                Verdict::Fault if bits == NO_SCORE => PartResult::fault(part, recipe),
                _ if score.is_finite() => PartResult::new(part, verdict, score, recipe),
                _ => return None,
            })
        }
        kind::HEARTBEAT => {
            let [b0, b1, state] = array(payload)?;
            Message::Heartbeat { beat: u16::from_le_bytes([b0, b1]), state: State::from_code(state)? }
        }
        kind::ERROR => Message::Error(ErrorCode::from_code(u8::from_le_bytes(array(payload)?))?),
        kind::RECIPE => {
            let [n0, n1, loaded] = array(payload)?;
            let loaded = match loaded {
                0 => false,
                1 => true,
                _ => return None,
            };
            Message::Recipe { number: u16::from_le_bytes([n0, n1]), loaded }
        }
        kind::TRIGGER if payload.is_empty() => Message::Trigger { part: None },
        kind::TRIGGER => Message::Trigger { part: Some(u32::from_le_bytes(array(payload)?)) },
        kind::ACK => Message::Ack { part: u32::from_le_bytes(array(payload)?) },
        kind::CHANGE_RECIPE => Message::ChangeRecipe { number: u16::from_le_bytes(array(payload)?) },
        kind::RESET if payload.is_empty() => Message::Reset,
        kind::ALIVE => Message::Alive { beat: u16::from_le_bytes(array(payload)?) },
        _ => return None,
    })
}

fn array<const N: usize>(payload: &[u8]) -> Option<[u8; N]> {
    payload.try_into().ok()
}

/// Codes at least four bits apart.
fn verdict_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Accept => 0xc3,
        Verdict::Reject => 0x3c,
        Verdict::Fault => 0x5a,
    }
}

fn verdict_from_code(code: u8) -> Option<Verdict> {
    [Verdict::Accept, Verdict::Reject, Verdict::Fault].into_iter().find(|verdict| verdict_code(*verdict) == code)
}
