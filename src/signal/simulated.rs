use std::collections::VecDeque;

use mudenet_board::wire::{Decoder, Encoder};

use super::{Message, Signal, SignalError, Wire};

const DEVICE: &str = "simulated line";

/// A serial line in memory. The controller's end reads with [`SimulatedLine::take`] and writes with
/// [`SimulatedLine::write`].
pub struct SimulatedLine {
    encoder: Encoder,
    decoder: Decoder,
    capacity: usize,
    to_controller: Vec<u8>,
    to_box: VecDeque<Result<Message, SignalError>>,
    dropped: u64,
}

impl SimulatedLine {
    /// A line that holds up to `capacity` bytes until the controller takes them.
    pub fn new(wire: Wire, capacity: usize) -> Self {
        Self {
            encoder: Encoder::new(wire),
            decoder: Decoder::new(wire),
            capacity,
            to_controller: Vec::new(),
            to_box: VecDeque::new(),
            dropped: 0,
        }
    }

    /// The bytes sent since the last call, as the controller reads them.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.to_controller)
    }

    /// Bytes from the controller. Messages beyond `capacity` of them, unfetched, are dropped and reported.
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let event = match self.decoder.push(*byte) {
                None => continue,
                Some(Ok(received)) => Ok(received.message),
                Some(Err(error)) => Err(SignalError::Wire { device: DEVICE.to_owned(), error }),
            };
            if self.to_box.len() < self.capacity {
                self.to_box.push_back(event);
            } else {
                self.dropped += 1;
            }
        }
    }
}

impl Signal for SimulatedLine {
    fn send(&mut self, message: &Message) -> Result<(), SignalError> {
        let bytes = self.encoder.encode(message);
        if self.to_controller.len() + bytes.len() > self.capacity {
            return Err(SignalError::Overflow { device: DEVICE.to_owned(), capacity: self.capacity });
        }
        self.to_controller.extend_from_slice(&bytes);
        Ok(())
    }

    fn receive(&mut self) -> Option<Result<Message, SignalError>> {
        self.to_box.pop_front().or_else(|| {
            let count = std::mem::take(&mut self.dropped);
            (count > 0).then(|| Err(SignalError::EventsDropped { device: DEVICE.to_owned(), count }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Verdict;
    use crate::signal::PartResult;

    #[test]
    fn the_controller_reads_the_documented_bytes() {
        let mut line = SimulatedLine::new(Wire::Ascii, 64);
        line.send(&Message::Result(PartResult::new(17, Verdict::Accept, 0.4213, 3))).unwrap();
        line.send(&Message::Result(PartResult::new(18, Verdict::Accept, f32::NAN, 3))).unwrap();
        assert_eq!(line.take(), b"R,17,OK,0.421300,3\r\nR,18,ERR,,3\r\n");
        assert_eq!(line.take(), b"");
    }

    #[test]
    fn commands_come_back_and_nonsense_is_an_error() {
        let mut line = SimulatedLine::new(Wire::Ascii, 64);
        line.write(b"T,5\r\nhello\r\nX\r\n");
        assert_eq!(line.receive().unwrap().unwrap(), Message::Trigger { part: Some(5) });
        assert!(matches!(line.receive(), Some(Err(SignalError::Wire { .. }))));
        assert_eq!(line.receive().unwrap().unwrap(), Message::Reset);
        assert!(line.receive().is_none());
    }

    #[test]
    fn a_line_nobody_reads_overflows_with_whole_messages_on_it() {
        let mut line = SimulatedLine::new(Wire::Ascii, 10);
        line.send(&Message::Alive { beat: 10 }).unwrap();
        assert!(matches!(line.send(&Message::Alive { beat: 11 }), Err(SignalError::Overflow { capacity: 10, .. })));
        assert_eq!(line.take(), b"P,10\r\n");
    }

    #[test]
    fn commands_nobody_fetches_are_dropped_and_counted() {
        let mut line = SimulatedLine::new(Wire::Ascii, 2);
        line.write(b"A,1\r\nA,2\r\nA,3\r\nA,4\r\n");
        assert_eq!(line.receive().unwrap().unwrap(), Message::Ack { part: 1 });
        assert_eq!(line.receive().unwrap().unwrap(), Message::Ack { part: 2 });
        assert!(matches!(line.receive(), Some(Err(SignalError::EventsDropped { count: 2, .. }))));
        assert!(line.receive().is_none());
    }
}
