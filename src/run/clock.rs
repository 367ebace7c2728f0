//! The one clock that control goes by.

use mudenet_board::Micros;
use nix::time::{ClockId, clock_gettime};

/// Now on `CLOCK_MONOTONIC`, the clock of the kernel's GPIO edges and V4L2 buffers.
#[expect(clippy::disallowed_methods, reason = "the home of the clock")]
pub fn now() -> Micros {
    // The clock exists on every Linux; at 0 everything that waits for a deadline waits, and the watchdog ends it.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        let nanoseconds = u64::try_from(time.tv_nsec()).unwrap_or(0);
        seconds.saturating_mul(1_000_000).saturating_add(nanoseconds / 1000)
    })
}
