//! Lines of text.

use core::fmt::{self, Write};

use super::{Bytes, CRC32, Message, PartResult, WireError};
use crate::{ErrorCode, State, Verdict};

/// Whether a line carries a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    None,
    Crc32,
}

pub(super) fn encode(message: &Message, check: Check) -> Bytes {
    let mut line = Bytes::new();
    // The longest line has 81 bytes (tested), so no write fails; one that did would leave a line without an end mark,
    // which no decoder takes.
    let _ = write_line(&mut line, message, check);
    line
}

/// Decodes a line that had its `\n` taken off.
pub(super) fn decode(line: &[u8], check: Check) -> Result<Message, WireError> {
    let text = core::str::from_utf8(line).map_err(|_| WireError::Malformed)?;
    let text = text.strip_suffix('\r').ok_or(WireError::Malformed)?;
    let body = match check {
        Check::None => text,
        Check::Crc32 => checked_body(text)?,
    };
    let message = parse(body).ok_or(WireError::Malformed)?;
    // One valid spelling each: no leading zeros, no blanks, no other number of decimals.
    let spelled = encode(&message, check);
    if spelled.strip_suffix(b"\n") == Some(line) { Ok(message) } else { Err(WireError::Malformed) }
}

fn write_line(line: &mut Bytes, message: &Message, check: Check) -> fmt::Result {
    match message {
        Message::Result(result) => {
            write!(line, "R,{},{},", result.part(), verdict_name(result.verdict()))?;
            if let Some(score) = result.score() {
                write!(line, "{score:.6}")?;
            }
            write!(line, ",{}", result.recipe())?;
        }
        Message::Heartbeat { beat, state } => write!(line, "H,{beat},{}", state.name())?,
        Message::Error(error) => write!(line, "E,{}", error.code())?,
        Message::Recipe { number, loaded } => write!(line, "L,{number},{}", if *loaded { "OK" } else { "ERR" })?,
        Message::Trigger { part: None } => write!(line, "T")?,
        Message::Trigger { part: Some(part) } => write!(line, "T,{part}")?,
        Message::Ack { part } => write!(line, "A,{part}")?,
        Message::ChangeRecipe { number } => write!(line, "C,{number}")?,
        Message::Reset => write!(line, "X")?,
        Message::Alive { beat } => write!(line, "P,{beat}")?,
    }
    if check == Check::Crc32 {
        let crc = CRC32.checksum(line);
        write!(line, "*{crc:08X}")?;
    }
    line.write_str("\r\n")
}

fn checked_body(text: &str) -> Result<&str, WireError> {
    let (body, digits) = text.rsplit_once('*').ok_or(WireError::Checksum)?;
    match u32::from_str_radix(digits, 16) {
        Ok(crc) if crc == CRC32.checksum(body.as_bytes()) => Ok(body),
        _ => Err(WireError::Checksum),
    }
}

fn parse(body: &str) -> Option<Message> {
    let mut rest = Some(body);
    let mut next = || {
        let (field, after) = match rest?.split_once(',') {
            Some((field, after)) => (field, Some(after)),
            None => (rest?, None),
        };
        rest = after;
        Some(field)
    };
    let message = match next()? {
        "R" => {
            let part = next()?.parse().ok()?;
            let verdict = verdict_from_name(next()?)?;
            let score = next()?;
            let recipe = next()?.parse().ok()?;
            Message::Result(match score {
                "" if verdict == Verdict::Fault => PartResult::fault(part, recipe),
                "" => return None,
                score => PartResult::new(part, verdict, score.parse().ok()?, recipe),
            })
        }
        "H" => Message::Heartbeat { beat: next()?.parse().ok()?, state: State::from_name(next()?)? },
        "E" => Message::Error(ErrorCode::from_code(next()?.parse().ok()?)?),
        "L" => Message::Recipe { number: next()?.parse().ok()?, loaded: next()? == "OK" },
        "T" => Message::Trigger {
            part: match next() {
                Some(part) => Some(part.parse().ok()?),
                None => None,
            },
        },
        "A" => Message::Ack { part: next()?.parse().ok()? },
        "C" => Message::ChangeRecipe { number: next()?.parse().ok()? },
        "X" => Message::Reset,
        "P" => Message::Alive { beat: next()?.parse().ok()? },
        _ => return None,
    };
    Some(message)
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accept => "OK",
        Verdict::Reject => "NG",
        Verdict::Fault => "ERR",
    }
}

fn verdict_from_name(name: &str) -> Option<Verdict> {
    [Verdict::Accept, Verdict::Reject, Verdict::Fault].into_iter().find(|verdict| verdict_name(*verdict) == name)
}
