//! `GROUP/NODE/state`, retained, and `GROUP/NODE/part`.

use super::{Covers, Dialect, Identity, Out};
use crate::config::MqttConfig;
use crate::plant::Counts;
use crate::plant::message::PartMessage;
use crate::plant::outbox::parts_of;
use crate::record::journal::Stamp;
use crate::run::{Status, now, wall_clock, wall_clock_of};
use crate::signal::OutputLine;
use mudenet_board::{Micros, millis};
use rumqttc::{LastWill, QoS};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A line that says nothing for so long hangs.
pub(super) const SILENCE: Micros = millis(3000);

pub(super) struct Json {
    state_topic: String,
    part_topic: String,
    node: String,
    identity: Identity,
    counts: Arc<Counts>,
    /// What does not change with every part, as it was published last.
    last: Value,
}

impl Json {
    pub(super) fn new(config: &MqttConfig, identity: Identity, counts: Arc<Counts>) -> Self {
        let topic = format!("{}/{}", config.group, config.node);
        Self {
            state_topic: format!("{topic}/state"),
            part_topic: format!("{topic}/part"),
            node: config.node.clone(),
            identity,
            counts,
            last: Value::Null,
        }
    }

    fn offline(&self) -> Vec<u8> {
        json!({"online": false, "box": self.identity.name}).to_string().into_bytes()
    }

    fn state_of(&self, status: &Status) -> Value {
        let product = status.product.as_deref().map(|product| {
            json!({"number": product.number, "name": product.name, "model": product.model,
                "threshold": Some(product.threshold).filter(|threshold| threshold.is_finite())})
        });
        let error = status.last_error.map(|(code, at)| {
            json!({"code": code.code(), "error": code.to_string(), "time": Stamp::from(wall_clock_of(at))})
        });
        json!({
            "online": true, "box": self.identity.name, "simulated": self.identity.simulated,
            "alive": now() < status.at.saturating_add(SILENCE), "state": status.state.name(),
            "ready": status.levels.get(OutputLine::Ready), "camera": status.camera,
            "alarm": status.levels.get(OutputLine::Alarm), "missed": status.levels.get(OutputLine::Missed),
            "recipe": product, "error": error, "version": env!("CARGO_PKG_VERSION"),
        })
    }

    /// What changes with every part.
    fn numbers_of(&self, status: &Status) -> [(&'static str, Value); 5] {
        let c = &status.counters;
        let outbox = &self.counts.mqtt;
        [
            ("time", json!(Stamp::from(wall_clock()))),
            (
                "counters",
                json!({"parts": c.parts(), "accepted": c.accepted, "rejected": c.rejected, "faults": c.faults,
                    "missed": c.missed, "unseen": c.unseen}),
            ),
            ("rejects_in_a_row", json!(status.rejects_in_a_row)),
            ("on_the_way", json!(status.on_the_way)),
            (
                "outbox",
                json!({"waiting": outbox.waiting.load(Ordering::Relaxed),
                    "dropped": outbox.dropped.load(Ordering::Relaxed)}),
            ),
        ]
    }

    fn retained(&self, payload: Vec<u8>) -> Out {
        Out { topic: self.state_topic.clone(), qos: QoS::AtLeastOnce, retain: true, payload, covers: None }
    }
}

impl Dialect for Json {
    fn will(&mut self, _connection: u64) -> LastWill {
        LastWill::new(&self.state_topic, self.offline(), QoS::AtLeastOnce, true)
    }

    fn listens_to(&self) -> Option<String> {
        None
    }

    fn asks_for_birth(&self, _topic: &str, _payload: &[u8]) -> bool {
        false
    }

    fn birth(&mut self, status: &Status) -> Vec<Out> {
        self.state(status, true)
    }

    fn state(&mut self, status: &Status, all: bool) -> Vec<Out> {
        let mut state = self.state_of(status);
        // An error may come with every part: it is no reason by itself.
        let mut steady = state.clone();
        if let Some(steady) = steady.as_object_mut() {
            steady.remove("error");
        }
        if !all && steady == self.last {
            return vec![];
        }
        self.last = steady;
        if let Some(state) = state.as_object_mut() {
            state.extend(self.numbers_of(status).map(|(key, value)| (key.to_owned(), value)));
        }
        vec![self.retained(state.to_string().into_bytes())]
    }

    fn parts(&mut self, parts: &[(u64, PartMessage)], _late: bool) -> Vec<Out> {
        let out = |(number, part): &(u64, PartMessage)| {
            let (session, seq) = parts_of(*number);
            let mut message = json!(part);
            if let Some(message) = message.as_object_mut() {
                message.insert("id".to_owned(), json!(format!("{}/{session}/{seq}", self.node)));
                message.insert("session".to_owned(), json!(session));
                message.insert("seq".to_owned(), json!(seq));
                message.insert("box".to_owned(), json!(self.identity.name));
                if self.identity.simulated {
                    message.insert("simulated".to_owned(), json!(true));
                }
            }
            Out {
                topic: self.part_topic.clone(),
                qos: QoS::AtLeastOnce,
                retain: false,
                payload: message.to_string().into_bytes(),
                covers: Some(Covers { numbers: *number..=*number, count: 1 }),
            }
        };
        parts.iter().map(out).collect()
    }

    fn goodbye(&mut self) -> Vec<Out> {
        vec![self.retained(self.offline())]
    }
}
