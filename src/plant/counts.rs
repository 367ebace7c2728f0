#[cfg(any(feature = "modbus", feature = "mqtt", feature = "webhook"))]
use std::sync::atomic::Ordering;
use std::sync::atomic::{AtomicBool, AtomicU64};

/// What the peers of a box did, for its metrics.
#[derive(Debug, Default)]
pub struct Counts {
    /// Modbus connections that are open.
    pub modbus_open: AtomicU64,
    /// Modbus connections that were refused: not one of the clients, or too many at once.
    pub modbus_refused: AtomicU64,
    /// Modbus requests.
    pub modbus_requests: AtomicU64,
    /// The MQTT broker.
    pub mqtt: Delivery,
    /// The webhook's server.
    pub webhook: Delivery,
}

/// Messages on their way to a peer.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Whether the box has this peer.
    pub used: AtomicBool,
    /// Whether the peer took the last message or holds a connection.
    pub connected: AtomicBool,
    /// Messages in the outbox.
    pub waiting: AtomicU64,
    /// Messages that the peer took.
    pub delivered: AtomicU64,
    /// Messages that were given up: the outbox was full or could not be written, or the peer refused them.
    pub dropped: AtomicU64,
}

#[cfg(any(feature = "modbus", feature = "mqtt", feature = "webhook"))]
impl Counts {
    pub(super) fn add(count: &AtomicU64, more: u64) {
        count.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn set(count: &AtomicU64, value: u64) {
        count.store(value, Ordering::Relaxed);
    }
}
