//! A serial port behind two threads: one writes, one reads; the caller only touches queues.

mod threads;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::spawn;
use std::time::Duration;

use serialport::SerialPort;

use super::{Message, Signal, SignalError, Wire};
use threads::{Events, IDLE, SLICE, Writer};

/// Events kept until the caller fetches them.
const EVENTS: usize = 256;

/// Parity of a serial port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parity {
    /// No parity bit.
    #[default]
    None,
    /// Even parity.
    Even,
    /// Odd parity.
    Odd,
}

/// Settings of a serial port; 8 data bits, 1 stop bit, no flow control.
#[derive(Clone, Debug, PartialEq)]
pub struct SerialConfig {
    /// Device, as `/dev/ttyS0` or better a path under `/dev/serial/by-id`.
    pub path: String,
    /// Bits per second.
    pub baud: u32,
    /// Parity.
    pub parity: Parity,
    /// Form of the messages.
    pub wire: Wire,
    /// Messages that may wait to be written, at least 1.
    pub queue: usize,
    /// Time the port has to take one message, at least 1 ms.
    pub write_deadline: Duration,
    /// Pause before the port is opened again after a failure.
    pub reconnect: Duration,
}

impl SerialConfig {
    /// Plain text at 115200 baud, 16 waiting messages, 250 ms to write one, a second between attempts to reconnect.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            baud: 115_200,
            parity: Parity::None,
            wire: Wire::Ascii,
            queue: 16,
            write_deadline: Duration::from_millis(250),
            reconnect: Duration::from_secs(1),
        }
    }

    fn check(&self) -> Result<(), SignalError> {
        let refuse =
            |setting, expected, got| Err(SignalError::Setting { device: self.path.clone(), setting, expected, got });
        if self.baud == 0 {
            return refuse("baud", "at least 1", self.baud.to_string());
        }
        if self.queue == 0 {
            return refuse("queue", "at least 1", self.queue.to_string());
        }
        if self.write_deadline < SLICE {
            return refuse("write_deadline", "at least 1 ms", format!("{:?}", self.write_deadline));
        }
        Ok(())
    }

    fn open(&self) -> Result<Box<dyn SerialPort>, SignalError> {
        let parity = match self.parity {
            Parity::None => serialport::Parity::None,
            Parity::Even => serialport::Parity::Even,
            Parity::Odd => serialport::Parity::Odd,
        };
        serialport::new(&self.path, self.baud)
            .parity(parity)
            .timeout(SLICE)
            .open()
            .map_err(|error| SignalError::Open { device: self.path.clone(), reason: error.to_string() })
    }
}

/// What a [`SerialSignal`] counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SerialCounters {
    /// Messages handed to the operating system whole.
    pub written: u64,
    /// Messages refused because the queue was full.
    pub overflowed: u64,
    /// Messages refused or dropped because there was no connection.
    pub discarded: u64,
    /// Times the connection broke or a deadline passed.
    pub failures: u64,
    /// Events dropped because nobody fetched them.
    pub events_dropped: u64,
}

/// A serial port. It is opened again by itself after a failure; messages of the time between are dropped, not sent late.
///
/// Bytes taken by the operating system are not yet read by the peer: without flow control a dead peer shows only by its
/// silence ([`Message::Alive`]).
pub struct SerialSignal {
    config: SerialConfig,
    queue: Option<SyncSender<Message>>,
    events: Receiver<Result<Message, SignalError>>,
    shared: Arc<Shared>,
    ended: Receiver<()>,
    events_dropped_told: u64,
}

#[derive(Default)]
struct Shared {
    connected: AtomicBool,
    written: AtomicU64,
    overflowed: AtomicU64,
    discarded: AtomicU64,
    failures: AtomicU64,
    events_dropped: AtomicU64,
}

impl SerialSignal {
    /// Opens the port.
    ///
    /// # Errors
    /// [`SignalError::Setting`] or [`SignalError::Open`].
    pub fn open(config: SerialConfig) -> Result<Self, SignalError> {
        Self::open_waking(config, || ())
    }

    /// Opens the port and calls `wake`, which must not wait, whenever [`Signal::receive`] has something new.
    ///
    /// # Errors
    /// [`SignalError::Setting`] or [`SignalError::Open`].
    pub fn open_waking(config: SerialConfig, wake: impl Fn() + Send + Sync + 'static) -> Result<Self, SignalError> {
        config.check()?;
        let port = config.open()?;
        let (queue, messages) = sync_channel(config.queue);
        let (event_sender, events) = sync_channel(EVENTS);
        let (end, ended) = sync_channel(1);
        let shared = Arc::new(Shared::default());
        shared.connected.store(true, Ordering::SeqCst);
        let events_out = Events {
            sender: event_sender,
            shared: Arc::clone(&shared),
            device: config.path.clone(),
            wake: Arc::new(wake),
        };
        let writer = Writer { config: config.clone(), messages, events: events_out, shared: Arc::clone(&shared) };
        spawn(move || {
            writer.run(port);
            let _ = end.try_send(());
        });
        Ok(Self { config, queue: Some(queue), events, shared, ended, events_dropped_told: 0 })
    }

    /// What was counted so far.
    pub fn counters(&self) -> SerialCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        SerialCounters {
            written: read(&self.shared.written),
            overflowed: read(&self.shared.overflowed),
            discarded: read(&self.shared.discarded),
            failures: read(&self.shared.failures),
            events_dropped: read(&self.shared.events_dropped),
        }
    }
}

impl Signal for SerialSignal {
    fn send(&mut self, message: &Message) -> Result<(), SignalError> {
        let device = || self.config.path.clone();
        let disconnected = || {
            self.shared.discarded.fetch_add(1, Ordering::SeqCst);
            SignalError::Disconnected { device: device() }
        };
        let queue = self.queue.as_ref().ok_or_else(disconnected)?;
        if !self.shared.connected.load(Ordering::SeqCst) {
            return Err(disconnected());
        }
        queue.try_send(*message).map_err(|error| match error {
            TrySendError::Full(_) => {
                self.shared.overflowed.fetch_add(1, Ordering::SeqCst);
                SignalError::Overflow { device: device(), capacity: self.config.queue }
            }
            TrySendError::Disconnected(_) => disconnected(),
        })
    }

    fn receive(&mut self) -> Option<Result<Message, SignalError>> {
        match self.events.try_recv() {
            Ok(event) => Some(event),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => {
                let dropped = self.shared.events_dropped.load(Ordering::SeqCst);
                let count = dropped - self.events_dropped_told;
                self.events_dropped_told = dropped;
                (count > 0).then(|| Err(SignalError::EventsDropped { device: self.config.path.clone(), count }))
            }
        }
    }
}

impl Drop for SerialSignal {
    /// Lets the waiting messages out, for as long as the deadline of one of them.
    fn drop(&mut self) {
        self.queue = None;
        let _ = self.ended.recv_timeout(self.config.write_deadline + 2 * IDLE);
    }
}
