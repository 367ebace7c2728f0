//! States and results to an MQTT 3.1.1 broker.
//!
//! | module | what it is |
//! |---|---|
//! | `connection` | what is on its way to the broker |
//! | `session` | one connection after another: birth, states, results, acknowledgements |
//! | `json` | JSON objects on topics of the box |
//! | `sparkplug` | the same as Sparkplug B |
//!
//! Results go through an [`Outbox`] and leave it once the broker has acknowledged them, so that each reaches the broker at
//! least once. States are of the moment and are not kept.

mod connection;
mod json;
mod session;
mod sparkplug;

use super::message::{Message, Messages, PartMessage};
use super::outbox::{Outbox, OutboxError};
use super::{Counts, Ending, PlantError, Say, read, spawn_async};
use crate::config::{MqttConfig, Payload};
use crate::run::{Feed, Record, RecordSink, Status};
use json::Json;
use rumqttc::{LastWill, MqttOptions, QoS, Transport};
use session::Publisher;
use sparkplug::Sparkplug;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;

/// Parts that wait for the outbox.
const QUEUE: usize = 1024;
/// Largest packet, bytes.
const PACKET: usize = 256 << 10;

/// A publisher that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum MqttError {
    /// Its files or thread.
    #[error(transparent)]
    Plant(#[from] PlantError),
    /// What waits for the broker.
    #[error("mqtt.{0}")]
    Outbox(#[from] OutboxError),
}

/// What the messages say of the box itself.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// Name of the station.
    pub(super) name: String,
    /// Whether its parts are simulated.
    pub(super) simulated: bool,
}

/// One message.
#[derive(Clone, Debug, PartialEq)]
struct Out {
    topic: String,
    qos: QoS,
    retain: bool,
    payload: Vec<u8>,
    /// The results that the broker has when it acknowledges this.
    covers: Option<Covers>,
}

/// Results by the first and last of their numbers, and how many they are.
#[derive(Clone, Debug, PartialEq)]
struct Covers {
    numbers: RangeInclusive<u64>,
    count: usize,
}

/// How messages are written.
trait Dialect: Send {
    /// What the broker says when the box has fallen silent; `connection` counts the box's connections, from 0.
    fn will(&mut self, connection: u64) -> LastWill;
    /// What the box listens to.
    fn listens_to(&self) -> Option<String>;
    /// Whether this message asks for the birth again.
    fn asks_for_birth(&self, topic: &str, payload: &[u8]) -> bool;
    /// The first message of a connection.
    fn birth(&mut self, status: &Status) -> Vec<Out>;
    /// What changed since the last call; with `all` everything that a reader may have missed.
    fn state(&mut self, status: &Status, all: bool) -> Vec<Out>;
    /// Results by their numbers in the outbox; `late` are those of before the connection.
    fn parts(&mut self, parts: &[(u64, PartMessage)], late: bool) -> Vec<Out>;
    /// The last message of a box that stops.
    fn goodbye(&mut self) -> Vec<Out>;
}

/// A publisher that has its outbox and no connection yet.
pub struct Mqtt {
    publisher: Publisher,
    sender: mpsc::Sender<PartMessage>,
    parts: mpsc::Receiver<PartMessage>,
}

impl Mqtt {
    /// Reads the files that `config` names and opens the outbox; `name` is the station's.
    ///
    /// # Errors
    /// [`MqttError`].
    pub fn open(
        config: &MqttConfig,
        name: &str,
        simulated: bool,
        counts: Arc<Counts>,
        say: Say,
    ) -> Result<Self, MqttError> {
        let options = options(config)?;
        let (outbox, notice) = Outbox::open(&config.outbox, "mqtt", u64::from(config.outbox_mib) << 20)?;
        if let Some(notice) = notice {
            say(&format!("mqtt: {notice}"));
        }
        let identity = Identity { name: name.to_owned(), simulated };
        let dialect: Box<dyn Dialect> = match config.payload {
            Payload::Json => Box::new(Json::new(config, identity, Arc::clone(&counts))),
            Payload::SparkplugB => Box::new(Sparkplug::new(config, identity)),
        };
        counts.mqtt.used.store(true, Ordering::Relaxed);
        let (sender, parts) = mpsc::channel(QUEUE);
        let period = Duration::from_secs(config.state_s.into());
        let broker = format!("{}:{}", config.host, config.port);
        Ok(Self { publisher: Publisher::new(options, dialect, outbox, counts, say, period, broker), sender, parts })
    }

    /// Where the line's records have to go; its end is the end of the publisher.
    pub fn sink(&self) -> Box<dyn RecordSink> {
        let (sender, counts) = (self.sender.clone(), self.publisher.counts());
        Box::new(Sink { sender, counts, messages: Messages::default() })
    }

    /// Publishes from now on.
    ///
    /// # Errors
    /// [`PlantError::Thread`].
    pub fn start(self, feed: Feed) -> Result<Ending, PlantError> {
        let Self { publisher, parts, .. } = self;
        let (end, ending) = Ending::new();
        spawn_async("mqtt", move || async move {
            publisher.serve(parts, feed).await;
            let _ = end.try_send(());
        })?;
        Ok(ending)
    }
}

/// The recorder's way to the publisher.
struct Sink {
    sender: mpsc::Sender<PartMessage>,
    counts: Arc<Counts>,
    messages: Messages,
}

impl RecordSink for Sink {
    fn put(&mut self, record: &Record) {
        if let Some(Message::Part(part)) = self.messages.of(record)
            && self.sender.try_send(part).is_err()
        {
            Counts::add(&self.counts.mqtt.dropped, 1);
        }
    }
}

fn options(config: &MqttConfig) -> Result<MqttOptions, PlantError> {
    let mut options = MqttOptions::new(format!("{}-{}", config.group, config.node), &config.host, config.port);
    options.set_keep_alive(Duration::from_secs(config.keep_alive_s.into()));
    options.set_clean_session(true);
    options.set_max_packet_size(PACKET, PACKET);
    if let Some((user, file)) = &config.login {
        let password = match file {
            None => String::new(),
            Some(path) => {
                let bytes = read("mqtt.password_file", path)?;
                String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned()
            }
        };
        options.set_credentials(user, password);
    }
    if config.tls {
        // Refused where another part of the program has chosen one, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ca = config.ca.as_deref().map(|path| read("mqtt.ca", path)).transpose()?.unwrap_or_default();
        let identity = config.identity.as_ref();
        let identity = identity
            .map(|(own, key)| Ok::<_, PlantError>((read("mqtt.certificate", own)?, read("mqtt.key", key)?)))
            .transpose()?;
        options.set_transport(Transport::tls(ca, identity, None));
    }
    Ok(options)
}
