use mudenet_board::debounce::Debounce;
use mudenet_board::gate::{Gate, GateConfig, GateEvent, GateInput, QueueTooSmall};
use mudenet_board::heartbeat::HeartbeatWatch;
use mudenet_board::wire::{Decoder, Encoder, Message, Wire};
use mudenet_board::{Micros, millis};

/// A microcontroller at the reject gate: it sees the parts come, asks the box about each over a binary serial line and
/// sets the gate. Whatever it does not hear in time, and everything while the box's heartbeat is lost, is rejected.
pub(crate) struct Firmware {
    sensor: Debounce,
    decoder: Decoder,
    encoder: Encoder,
    watch: HeartbeatWatch,
    gate: Gate<32>,
    held: bool,
    next_part: u32,
    /// Parts rejected since the start.
    pub(crate) rejected: u32,
}

impl Firmware {
    /// `boot` counts the starts of the microcontroller (kept in its flash), so that part numbers never repeat.
    pub(crate) fn new(gate: GateConfig, boot: u16, now: Micros) -> Result<Self, QueueTooSmall> {
        Ok(Self {
            sensor: Debounce::new(millis(1), false),
            decoder: Decoder::new(Wire::Binary),
            encoder: Encoder::new(Wire::Binary),
            watch: HeartbeatWatch::new(millis(1000)),
            gate: Gate::new(gate, now)?,
            held: false,
            next_part: u32::from(boot) << 16,
            rejected: 0,
        })
    }

    /// Level of the gate's output.
    pub(crate) fn output(&self) -> bool {
        self.gate.output()
    }

    /// When [`Firmware::tick`] is due at the latest.
    pub(crate) fn deadline(&self) -> Option<Micros> {
        let heartbeat = self.watch.deadline().filter(|_| !self.held);
        [self.sensor.deadline(), heartbeat, self.gate.deadline()].into_iter().flatten().min()
    }

    /// The part sensor was read; call it on every change.
    pub(crate) fn sensor(&mut self, level: bool, now: Micros, send: &mut impl FnMut(&[u8])) {
        let edge = self.sensor.update(level, now);
        self.part(edge.is_some_and(|edge| edge.level), now, send);
    }

    /// A byte came from the box.
    pub(crate) fn byte(&mut self, byte: u8, now: Micros) {
        // A damaged result is a missing one, and its part is rejected when it is due.
        if let Some(Ok(received)) = self.decoder.push(byte) {
            match received.message {
                Message::Heartbeat { beat, .. } => self.watch.beat(beat, now),
                Message::Result(result) => {
                    self.feed(GateInput::Result { part: result.part(), verdict: result.verdict() }, now);
                }
                _ => {}
            }
        }
        self.check_heartbeat(now);
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Micros, send: &mut impl FnMut(&[u8])) {
        let edge = self.sensor.poll(now);
        self.part(edge.is_some_and(|edge| edge.level), now, send);
    }

    fn part(&mut self, arrived: bool, now: Micros, send: &mut impl FnMut(&[u8])) {
        self.check_heartbeat(now);
        if arrived {
            let part = self.next_part;
            self.next_part = part.wrapping_add(1);
            self.feed(GateInput::Part { part }, now);
            send(&self.encoder.encode(&Message::Trigger { part: Some(part) }));
        }
    }

    fn check_heartbeat(&mut self, now: Micros) {
        self.held = self.watch.lost(now);
        self.feed(GateInput::Hold(self.held), now);
    }

    fn feed(&mut self, input: GateInput, now: Micros) {
        let rejected = &mut self.rejected;
        self.gate.handle(input, now, &mut |event| {
            if let GateEvent::Settled { outcome: mudenet_board::gate::Outcome::Rejected(_), .. } = event {
                *rejected = rejected.saturating_add(1);
            }
        });
    }
}
