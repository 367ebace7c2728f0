use super::{Covers, Out};
use crate::run::now;
use mudenet_board::Micros;
use rumqttc::{AsyncClient, ConnectReturnCode, ConnectionError, QoS};
use std::collections::{HashMap, VecDeque};
use tokio::task::AbortHandle;

/// One connection.
pub(super) struct Connection {
    pub(super) client: AsyncClient,
    pub(super) born: bool,
    /// Results up to this number are on their way.
    pub(super) cursor: u64,
    /// The last number that was there at the birth.
    pub(super) late_until: u64,
    /// Handed over and without a packet id: what each covers.
    pub(super) unsent: VecDeque<Option<Covers>>,
    /// Results among them.
    pub(super) on_the_way: usize,
    /// By packet id.
    pub(super) unacknowledged: HashMap<u16, Option<Covers>>,
    pub(super) last_progress: Micros,
    pub(super) next_state: Micros,
    /// A result found no room on its way.
    pub(super) stuck: bool,
}

impl Connection {
    pub(super) fn new(client: AsyncClient) -> Self {
        Self {
            client,
            born: false,
            cursor: 0,
            late_until: 0,
            unsent: VecDeque::new(),
            on_the_way: 0,
            unacknowledged: HashMap::new(),
            last_progress: now(),
            next_state: 0,
            stuck: false,
        }
    }

    /// Hands a message to the network; one that finds no room is left out, and a result among those ends the connection.
    pub(super) fn publish(&mut self, out: Out) {
        let acknowledged = out.qos != QoS::AtMostOnce;
        let sent = self.client.try_publish(out.topic, out.qos, out.retain, out.payload).is_ok();
        self.stuck |= !sent && out.covers.is_some();
        self.on_the_way += out.covers.as_ref().map_or(0, |covers| covers.count);
        if sent && acknowledged {
            self.unsent.push_back(out.covers);
        }
    }
}

/// Ends a task with its owner.
pub(super) struct Abort(pub(super) AbortHandle);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why there is no connection.
pub(super) fn reason(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::NotAuthorized | ConnectReturnCode::BadUserNamePassword,
        ) => "it refuses user name or password".to_owned(),
        other => other.to_string(),
    }
}
