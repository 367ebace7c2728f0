//! Requests whose counts contradict each other, found before the decoder sees them: it takes their counts for true, indexes
//! beyond the request's end or multiplies past 16 bits, and panics.

/// Bytes before the length, the length included.
const HEAD: usize = 6;
/// Bytes of a frame that are looked at: the head, the unit, and a request up to the last of its counts.
const LOOKED_AT: usize = HEAD + 1 + 10;

/// Follows the frames of a connection.
#[derive(Default)]
pub(super) struct Frames {
    /// The beginning of the frame that is being received.
    begin: Vec<u8>,
    /// Its bytes after the head that are still to come.
    left: usize,
}

impl Frames {
    /// Takes note of what was received next; `false` where a frame ended in it that must not be decoded.
    pub(super) fn sound(&mut self, received: &[u8]) -> bool {
        received.iter().all(|byte| self.push(*byte))
    }

    fn push(&mut self, byte: u8) -> bool {
        if self.begin.len() < LOOKED_AT {
            self.begin.push(byte);
        }
        if self.begin.len() < HEAD {
            return true;
        }
        if self.begin.len() == HEAD {
            self.left = length(&self.begin);
            // The decoder refuses a length of zero.
            return self.left > 0;
        }
        self.left -= 1;
        if self.left > 0 {
            return true;
        }
        let sound = consistent(&self.begin);
        self.begin.clear();
        sound
    }
}

fn length(frame: &[u8]) -> usize {
    word(frame, HEAD - 2).map_or(0, usize::from)
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

/// Whether the values that a frame announces are those that it has; one too short to tell is refused by the decoder.
fn consistent(frame: &[u8]) -> bool {
    let Some(request) = frame.get(HEAD + 1..) else { return true };
    // Where the count of values is, with the count of bytes behind it, and how many values a request may have.
    let (at, most) = match request.first() {
        Some(0x0F) => (3, 1968),
        Some(0x10) => (3, 123),
        Some(0x17) => (7, 121),
        _ => return true,
    };
    let (Some(values), Some(bytes)) = (word(request, at), request.get(at + 2)) else { return true };
    let needed = if request.first() == Some(&0x0F) { values.div_ceil(8) } else { values.saturating_mul(2) };
    let whole = at + 3 + usize::from(*bytes);
    (1..=most).contains(&values) && u16::from(*bytes) == needed && length(frame) == 1 + whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(request: &[u8]) -> Vec<u8> {
        let length = u16::try_from(request.len() + 1).unwrap().to_be_bytes();
        [&[0, 1, 0, 0], &length[..], &[1], request].concat()
    }

    #[test]
    fn only_requests_that_hold_what_they_announce_are_sound() {
        let sound: [&[u8]; 6] = [
            &[4, 0, 0, 0, 25],
            &[0x0F, 0, 0, 0, 9, 2, 0xFF, 1],
            &[0x10, 0, 0, 0, 1, 2, 0, 7],
            &[0x17, 0, 0, 0, 1, 0, 0, 0, 1, 2, 0, 7],
            &[0x11],
            &[0x2B, 0x0E, 1, 0],
        ];
        let stream: Vec<u8> = sound.iter().flat_map(|request| frame(request)).collect();
        // However it is cut into pieces.
        for piece in [1, 3, stream.len()] {
            let mut frames = Frames::default();
            assert!(stream.chunks(piece).all(|bytes| frames.sound(bytes)), "in pieces of {piece}");
        }
        let contradictions: [&[u8]; 6] = [
            &[0x0F, 0, 0, 0xFF, 0xFF, 1, 1],
            &[0x0F, 0, 0, 0, 0, 0],
            &[0x10, 0, 0, 0x80, 1, 2, 0, 7],
            &[0x10, 0, 0, 0, 2, 4, 0, 7],
            &[0x17, 0, 0, 0, 1, 0, 0, 0x80, 1, 2, 0, 7],
            &[0x17, 0, 0, 0, 1, 0, 0, 0, 1, 2, 0, 7, 0],
        ];
        for request in contradictions {
            let mut frames = Frames::default();
            assert!(frames.sound(&frame(&[4, 0, 0, 0, 1])));
            assert!(!frames.sound(&frame(request)), "{request:x?}");
        }
    }
}
