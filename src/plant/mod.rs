//! Peers on the plant's network, each behind a cargo feature and a table of `box.toml`.
//!
//! | module | what it is |
//! |---|---|
//! | `modbus` | a Modbus TCP server: lines as coils and discrete inputs, results as registers |
//! | `mqtt` | states and results to a broker, as JSON or Sparkplug B |
//! | `metrics` | `/metrics` and `/healthz` for Prometheus |
//! | `webhook` | parts and errors to a web server, signed |
//! | `message` | what is told of a part |
//! | `outbox` | what waits for a peer, on disk |
//!
//! Each runs on a thread of its own with less of the processor than the line's. They learn of the line by
//! [`Feed`](crate::run::Feed) and by bounded queues that its recorder never waits for: a peer that is slow, absent or hostile
//! costs messages that are counted, and nothing on the line.

mod counts;
#[cfg(any(feature = "mqtt", feature = "webhook"))]
mod ending;
#[cfg(any(feature = "mqtt", feature = "webhook"))]
pub mod message;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "modbus")]
pub mod modbus;
#[cfg(feature = "mqtt")]
pub mod mqtt;
#[cfg(any(feature = "mqtt", feature = "webhook"))]
pub mod outbox;
#[cfg(feature = "webhook")]
pub mod webhook;

pub use counts::{Counts, Delivery};
#[cfg(any(feature = "mqtt", feature = "webhook"))]
pub use ending::Ending;

use std::net::SocketAddr;
use std::path::PathBuf;

/// Says a sentence to people: what became of a peer.
pub type Say = Box<dyn Fn(&str) + Send>;

/// A peer that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum PlantError {
    /// Its address is taken or not the box's.
    #[error("{table}.bind: {address}: {source}")]
    Bind {
        /// Table of `box.toml`.
        table: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that a key names.
    #[error("{key}: {}: {reason}", path.display())]
    File {
        /// The key of `box.toml`.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Its thread.
    #[error("{table}: its thread cannot be started: {source}")]
    Thread {
        /// Table of `box.toml`.
        table: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Takes an address to listen on.
#[cfg(any(feature = "modbus", feature = "metrics"))]
fn listen(table: &'static str, address: SocketAddr) -> Result<(std::net::TcpListener, SocketAddr), PlantError> {
    let bound = |source| PlantError::Bind { table, address, source };
    let listener = std::net::TcpListener::bind(address).map_err(bound)?;
    listener.set_nonblocking(true).map_err(bound)?;
    let address = listener.local_addr().map_err(bound)?;
    Ok((listener, address))
}

/// Starts the thread of a peer.
fn spawn(table: &'static str, work: impl FnOnce() + Send + 'static) -> Result<(), PlantError> {
    let polite = move || {
        // Where the system refuses, the thread is merely less polite.
        let _ = rustix::process::setpriority_process(None, 10);
        work();
    };
    let spawned = std::thread::Builder::new().name(table.to_owned()).spawn(polite);
    spawned.map(|_| ()).map_err(|source| PlantError::Thread { table, source })
}

/// Starts the thread of a peer that waits for its connections in one place.
#[cfg(any(feature = "modbus", feature = "metrics", feature = "mqtt"))]
fn spawn_async<F: Future<Output = ()>>(
    table: &'static str,
    work: impl FnOnce() -> F + Send + 'static,
) -> Result<(), PlantError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build();
    let runtime = runtime.map_err(|source| PlantError::Thread { table, source })?;
    spawn(table, move || runtime.block_on(work()))
}

/// Reads a file that a key names.
#[cfg(any(feature = "mqtt", feature = "webhook"))]
fn read(key: &'static str, path: &std::path::Path) -> Result<Vec<u8>, PlantError> {
    crate::limits::read(path, crate::limits::SETTINGS).map_err(|error| PlantError::File {
        key,
        path: path.to_owned(),
        reason: error.to_string(),
    })
}
