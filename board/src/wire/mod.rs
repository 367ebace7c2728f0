//! Messages on a serial line and their bytes. `WIRE.md` beside the crate's `Cargo.toml` is the document.
//!
//! [`Encoder`] turns messages into bytes, [`Decoder`] bytes into messages; a decoder finds the next message by itself
//! after damaged, missing or foreign bytes.

mod ascii;
mod binary;
mod message;

pub use message::{Message, PartResult};

use crc::{CRC_32_ISO_HDLC, Crc};

/// Most bytes of one encoded message.
pub const MAX_BYTES: usize = 96;

/// The bytes of one message.
pub type Bytes = heapless::Vec<u8, MAX_BYTES>;

const CRC32: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// How messages become bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Wire {
    /// Lines of text without a checksum: damage can turn NG into OK.
    #[default]
    Ascii,
    /// Lines of text that end in `*` and a CRC-32 of eight hexadecimal digits.
    AsciiChecked,
    /// COBS frames with version, sequence number and CRC-32.
    Binary,
}

impl Wire {
    /// Bytes that end whatever half-sent message the line holds; they carry no message themselves.
    pub fn resync(self) -> &'static [u8] {
        match self {
            Wire::Ascii | Wire::AsciiChecked => b"\r\n",
            Wire::Binary => &[0],
        }
    }
}

/// Messages → bytes.
#[derive(Clone, Debug)]
pub struct Encoder {
    wire: Wire,
    sequence: u16,
}

impl Encoder {
    /// An encoder whose first message has sequence number 0.
    pub fn new(wire: Wire) -> Self {
        Self { wire, sequence: 0 }
    }

    /// The bytes of `message`, end mark included. Every message fits: see [`MAX_BYTES`].
    pub fn encode(&mut self, message: &Message) -> Bytes {
        match self.wire {
            Wire::Ascii => ascii::encode(message, ascii::Check::None),
            Wire::AsciiChecked => ascii::encode(message, ascii::Check::Crc32),
            Wire::Binary => {
                let bytes = binary::encode(message, self.sequence);
                self.sequence = self.sequence.wrapping_add(1);
                bytes
            }
        }
    }
}

/// A message that arrived whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Received {
    /// The message.
    pub message: Message,
    /// Messages lost just before it, by the sequence number; always 0 in text, which has none.
    pub lost: u16,
}

/// Bytes that are no message; they are dropped and the decoder goes on with the next end mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum WireError {
    /// More bytes than any message has.
    #[error("more bytes without an end mark than any message has")]
    TooLong,
    /// The checksum is missing or does not match.
    #[error("checksum missing or wrong")]
    Checksum,
    /// Not a message in its one valid spelling.
    #[error("not a valid message")]
    Malformed,
    /// A protocol version that this decoder does not speak.
    #[error("protocol version {0}, expected {version}", version = binary::VERSION)]
    Version(u8),
    /// The sequence number of the message before: it was sent twice.
    #[error("message repeated")]
    Repeated,
}

/// Bytes → messages.
#[derive(Clone, Debug)]
pub struct Decoder {
    wire: Wire,
    buffer: Bytes,
    too_long: bool,
    last_sequence: Option<u16>,
}

impl Decoder {
    /// A decoder that has seen nothing.
    pub fn new(wire: Wire) -> Self {
        Self { wire, buffer: Bytes::new(), too_long: false, last_sequence: None }
    }

    /// Takes the next byte; `None` until it ends a message or what should have been one.
    ///
    /// # Errors
    /// [`WireError`] for bytes that are no message.
    pub fn push(&mut self, byte: u8) -> Option<Result<Received, WireError>> {
        let end = match self.wire {
            Wire::Ascii | Wire::AsciiChecked => b'\n',
            Wire::Binary => 0,
        };
        if byte != end {
            self.too_long |= self.buffer.push(byte).is_err();
            return None;
        }
        let result = self.finish();
        self.buffer.clear();
        self.too_long = false;
        result
    }

    fn finish(&mut self) -> Option<Result<Received, WireError>> {
        if self.too_long {
            return Some(Err(WireError::TooLong));
        }
        let text = |check| match self.buffer.as_slice() {
            b"\r" => None,
            line => Some(ascii::decode(line, check).map(|message| Received { message, lost: 0 })),
        };
        match self.wire {
            Wire::Ascii => text(ascii::Check::None),
            Wire::AsciiChecked => text(ascii::Check::Crc32),
            Wire::Binary if self.buffer.is_empty() => None,
            Wire::Binary => Some(self.finish_binary()),
        }
    }

    fn finish_binary(&mut self) -> Result<Received, WireError> {
        let (message, sequence) = binary::decode(&self.buffer)?;
        let step = self.last_sequence.map_or(1, |last| sequence.wrapping_sub(last));
        self.last_sequence = Some(sequence);
        match step {
            0 => Err(WireError::Repeated),
            // A step back: an older message came late, or the sender started anew.
            0x8000.. => Ok(Received { message, lost: 0 }),
            _ => Ok(Received { message, lost: step.saturating_sub(1) }),
        }
    }
}
