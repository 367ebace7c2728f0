//! A reject gate's microcontroller, run on the host: `cargo run -p mudenet-board --example reject_gate`.
//!
//! `firmware.rs` is what would run on the microcontroller; this file is the line around it. The box judges every part
//! good, its heartbeat stops after six seconds and comes back after twelve.

mod firmware;

use firmware::Firmware;
use mudenet_board::gate::{Delay, GateConfig, Wiring};
use mudenet_board::wire::{Decoder, Encoder, Message, PartResult, Wire};
use mudenet_board::{Micros, State, Verdict, millis};

const RECIPE: u16 = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = GateConfig {
        delay: Delay::Time { delay: millis(800), pitch: millis(100) },
        pulse: millis(50),
        wiring: Wiring::AcceptPulse,
    };
    let mut firmware = Firmware::new(config, 1, 0)?;
    let (mut encoder, mut commands) = (Encoder::new(Wire::Binary), Decoder::new(Wire::Binary));
    let mut opened = false;
    println!("   time  event");
    for now in (0..15_000).map(millis) {
        if now % millis(1000) == 0 && !(millis(6000)..millis(12_000)).contains(&now) {
            let beat = u16::try_from(now / millis(1000))?;
            hear(&mut firmware, &encoder.encode(&Message::Heartbeat { beat, state: State::Ready }), now);
        }
        let mut sent = Vec::new();
        let part_at_sensor = now % millis(1000) >= millis(500) && now % millis(1000) < millis(520);
        firmware.sensor(part_at_sensor, now, &mut |bytes| sent.extend_from_slice(bytes));
        if firmware.deadline().is_some_and(|deadline| deadline <= now) {
            firmware.tick(now, &mut |bytes| sent.extend_from_slice(bytes));
        }
        for received in sent.iter().filter_map(|byte| commands.push(*byte)) {
            if let Message::Trigger { part: Some(part) } = received?.message {
                let result = PartResult::new(part, Verdict::Accept, 0.4, RECIPE);
                hear(&mut firmware, &encoder.encode(&Message::Result(result)), now);
            }
        }
        if firmware.output() != opened {
            opened = firmware.output();
            let what = if opened { "gate opens for a good part" } else { "gate back to reject" };
            println!("{:>5} ms  {what}", now / 1000);
        }
    }
    println!("{} parts rejected: those that reached the gate with the heartbeat lost for 3 periods", firmware.rejected);
    Ok(())
}

fn hear(firmware: &mut Firmware, bytes: &[u8], now: Micros) {
    for byte in bytes {
        firmware.byte(*byte, now);
    }
}
