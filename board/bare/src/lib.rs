//! The reject gate's firmware as a library for a bare machine. It does not link if anything in it needs std (a second
//! panic handler) or alloc (no allocator).
#![no_std]
#![forbid(unsafe_code)]

#[path = "../../examples/reject_gate/firmware.rs"]
mod firmware;

use firmware::Firmware;
use mudenet_board::gate::{GateConfig, QueueTooSmall};
use mudenet_board::machine::{Event, Input, Machine};
use mudenet_board::{Micros, wire};

/// Everything the firmware does, for one pass of a microcontroller's loop; answers the gate's level.
pub fn pass(gate: GateConfig, bytes: &[u8], now: Micros, send: fn(&[u8])) -> Result<bool, QueueTooSmall> {
    let mut firmware = Firmware::new(gate, 1, now)?;
    let mut send = |bytes: &[u8]| send(bytes);
    firmware.sensor(true, now, &mut send);
    bytes.iter().for_each(|byte| firmware.byte(*byte, now));
    if firmware.deadline().is_some_and(|deadline| deadline <= now) {
        firmware.tick(now, &mut send);
    }
    Ok(firmware.output() || firmware.rejected > 0)
}

/// The box's machine and every wire form.
pub fn inspect(machine: &mut Machine, input: Input, now: Micros, emit: fn(Event)) -> Option<wire::Message> {
    machine.handle(input, now, &mut |event| emit(event));
    let message = wire::Message::Result(machine.shown()?);
    [wire::Wire::Ascii, wire::Wire::AsciiChecked, wire::Wire::Binary].into_iter().find_map(|form| {
        let mut decoder = wire::Decoder::new(form);
        let bytes = wire::Encoder::new(form).encode(&message);
        bytes.iter().find_map(|byte| decoder.push(*byte))?.ok().map(|received| received.message)
    })
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
