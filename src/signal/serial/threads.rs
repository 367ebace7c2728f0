use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use mudenet_board::wire::{Decoder, Encoder};
use serialport::SerialPort;

use super::{SerialConfig, Shared};
use crate::signal::{Message, SignalError, Wire};

/// Longest wait inside one call to the port; deadlines are counted in such waits.
pub(super) const SLICE: Duration = Duration::from_millis(1);
/// Longest wait for bytes or messages before a thread looks whether it should stop.
pub(super) const IDLE: Duration = Duration::from_millis(50);

/// Where the threads report to.
#[derive(Clone)]
pub(super) struct Events {
    pub(super) sender: SyncSender<Result<Message, SignalError>>,
    pub(super) shared: Arc<Shared>,
    pub(super) device: String,
    pub(super) wake: Arc<dyn Fn() + Send + Sync>,
}

impl Events {
    fn report(&self, event: Result<Message, SignalError>) {
        if self.sender.try_send(event).is_err() {
            self.shared.events_dropped.fetch_add(1, Ordering::SeqCst);
        }
        (self.wake)();
    }
}

/// Owns the port.
pub(super) struct Writer {
    pub(super) config: SerialConfig,
    pub(super) messages: Receiver<Message>,
    pub(super) events: Events,
    pub(super) shared: Arc<Shared>,
}

/// The caller let go of the port.
struct Closed;

impl Writer {
    /// Writes, and opens the port again after a failure, until the caller lets go.
    pub(super) fn run(self, mut port: Box<dyn SerialPort>) {
        loop {
            let Err(error) = self.serve(port) else { return };
            self.shared.connected.store(false, Ordering::SeqCst);
            self.shared.failures.fetch_add(1, Ordering::SeqCst);
            self.events.report(Err(error));
            match self.reconnect() {
                Ok(opened) => port = opened,
                Err(Closed) => return,
            }
            self.shared.connected.store(true, Ordering::SeqCst);
        }
    }

    /// Writes until the caller lets go (`Ok`) or the port fails.
    fn serve(&self, mut port: Box<dyn SerialPort>) -> Result<(), SignalError> {
        let reader = Reader::start(&*port, self.config.wire, self.events.clone())?;
        let mut encoder = Encoder::new(self.config.wire);
        self.write(&mut *port, self.config.wire.resync())?;
        loop {
            if let Some(error) = reader.failure() {
                return Err(error);
            }
            match self.messages.recv_timeout(IDLE) {
                Ok(message) => {
                    self.write(&mut *port, &encoder.encode(&message))?;
                    self.shared.written.fetch_add(1, Ordering::SeqCst);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Writes one byte at a time: the port only promises room for one, and a larger write could block without end.
    fn write(&self, port: &mut dyn SerialPort, bytes: &[u8]) -> Result<(), SignalError> {
        let mut slices = self.config.write_deadline.as_millis();
        let mut wait = || {
            slices = slices.checked_sub(1)?;
            Some(())
        };
        let deadline =
            || SignalError::Deadline { device: self.config.path.clone(), deadline: self.config.write_deadline };
        for byte in bytes {
            loop {
                match port.write(std::slice::from_ref(byte)) {
                    Ok(1..) => break,
                    Ok(0) => wait().ok_or_else(deadline)?,
                    Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                        wait().ok_or_else(deadline)?;
                    }
                    Err(source) => return Err(SignalError::Io { device: self.config.path.clone(), source }),
                }
            }
        }
        // Not flush: that is tcdrain, which waits without end for a peer that stopped the flow.
        while port.bytes_to_write().is_ok_and(|waiting| waiting > 0) {
            wait().ok_or_else(deadline)?;
            sleep(SLICE);
        }
        Ok(())
    }

    /// Drops what waits and opens the port again.
    fn reconnect(&self) -> Result<Box<dyn SerialPort>, Closed> {
        loop {
            let mut dropped = 0;
            let mut waited = Duration::ZERO;
            while waited < self.config.reconnect.max(IDLE) {
                match self.messages.recv_timeout(IDLE) {
                    Ok(_) => dropped += 1,
                    Err(RecvTimeoutError::Timeout) => waited += IDLE,
                    Err(RecvTimeoutError::Disconnected) => return Err(Closed),
                }
            }
            if dropped > 0 {
                self.shared.discarded.fetch_add(dropped, Ordering::SeqCst);
                let device = self.config.path.clone();
                self.events.report(Err(SignalError::Discarded { device, count: dropped }));
            }
            if let Ok(port) = self.config.open() {
                return Ok(port);
            }
        }
    }
}

/// Reads one connection until told to stop or until it fails.
struct Reader {
    stop: Arc<AtomicBool>,
    failed: Receiver<SignalError>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    fn start(port: &dyn SerialPort, wire: Wire, events: Events) -> Result<Self, SignalError> {
        let open =
            |error: serialport::Error| SignalError::Open { device: events.device.clone(), reason: error.to_string() };
        let mut port = port.try_clone().map_err(open)?;
        port.set_timeout(IDLE).map_err(open)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (failure, failed) = sync_channel(1);
        let told = Arc::clone(&stop);
        let thread = spawn(move || {
            if let Err(error) = read(&mut *port, wire, &events, &told) {
                let _ = failure.try_send(error);
            }
        });
        Ok(Self { stop, failed, thread: Some(thread) })
    }

    fn failure(&self) -> Option<SignalError> {
        self.failed.try_recv().ok()
    }
}

impl Drop for Reader {
    /// Waits at most [`IDLE`] for the thread, so that its handle of the port is closed.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read(port: &mut dyn SerialPort, wire: Wire, events: &Events, stop: &AtomicBool) -> Result<(), SignalError> {
    let device = &events.device;
    let mut decoder = Decoder::new(wire);
    let mut buffer = [0; 256];
    while !stop.load(Ordering::SeqCst) {
        let count = match port.read(&mut buffer) {
            Ok(0) => {
                return Err(SignalError::Io { device: device.clone(), source: ErrorKind::UnexpectedEof.into() });
            }
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted) => continue,
            Err(source) => return Err(SignalError::Io { device: device.clone(), source }),
        };
        for byte in buffer.iter().take(count) {
            match decoder.push(*byte) {
                None => {}
                Some(Err(error)) => events.report(Err(SignalError::Wire { device: device.clone(), error })),
                Some(Ok(received)) => {
                    if received.lost > 0 {
                        let count = received.lost;
                        events.report(Err(SignalError::Lost { device: device.clone(), count }));
                    }
                    events.report(Ok(received.message));
                }
            }
        }
    }
    Ok(())
}
