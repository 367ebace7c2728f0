//! The reject gate's firmware as a library for a bare machine. It does not link if anything in it needs std (a second
//! panic handler) or alloc (no allocator).
#![no_std]
#![forbid(unsafe_code)]
#![allow(dead_code)]

#[path = "../../examples/reject_gate/firmware.rs"]
mod firmware;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
