//! `/metrics` for Prometheus and `/healthz` for whoever watches that the box inspects.

mod collect;
mod server;

use super::{Counts, PlantError, listen, spawn_async};
use crate::config::MetricsConfig;
use crate::run::{Feed, Record, RecordSink};
use collect::{Observed, registry};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// A server whose address is taken and that does not answer yet.
pub struct Metrics {
    listener: TcpListener,
    address: SocketAddr,
    observed: Arc<Observed>,
    counts: Arc<Counts>,
    modbus: bool,
}

impl Metrics {
    /// Takes the server's address; `modbus` says whether the box has a Modbus server whose counts are shown.
    ///
    /// # Errors
    /// [`PlantError::Bind`].
    pub fn open(config: &MetricsConfig, modbus: bool, counts: Arc<Counts>) -> Result<Self, PlantError> {
        let (listener, address) = listen("metrics", config.bind)?;
        Ok(Self { listener, address, observed: Arc::default(), counts, modbus })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the line's records have to go.
    pub fn sink(&self) -> Box<dyn RecordSink> {
        Box::new(Sink(Arc::clone(&self.observed)))
    }

    /// Answers from now on, until the process ends.
    ///
    /// # Errors
    /// [`PlantError::Thread`].
    pub fn start(self, name: &str, simulated: bool, feed: Feed) -> Result<(), PlantError> {
        let Self { listener, observed, counts, modbus, .. } = self;
        let registry = registry(name, simulated, modbus, observed, counts, feed.clone());
        spawn_async("metrics", move || async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            server::serve(listener, registry, feed).await;
        })
    }
}

/// The recorder's way to what is counted here.
struct Sink(Arc<Observed>);

impl RecordSink for Sink {
    fn put(&mut self, record: &Record) {
        if let Record::Part(finished) = record {
            self.0.part(finished);
        }
    }
}
