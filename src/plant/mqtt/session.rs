use super::Dialect;
use super::connection::{Abort, Connection, reason};
use crate::plant::message::PartMessage;
use crate::plant::outbox::Outbox;
use crate::plant::{Counts, Say};
use crate::run::{Feed, now};
use mudenet_board::{Micros, millis};
use rumqttc::{AsyncClient, ConnectionError, Event, MqttOptions, Outgoing, Packet, QoS};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// Messages that the broker may have without having acknowledged them.
const WINDOW: usize = 32;
/// Messages taken from the line at once.
const BATCH: usize = 256;
/// Between two looks at the line.
const LOOK: Duration = Duration::from_millis(250);
/// Looks between two commits of the outbox to the disk.
const LOOKS_A_COMMIT: u64 = 8;
/// A broker that does not acknowledge for so long is left.
const ACKNOWLEDGE: Micros = millis(30_000);
/// Waits between two tries to connect: the first, and the longest of those that double. `fuzz/fuzz_targets/broker.rs` has
/// no time to wait.
const FIRST_WAIT: Duration = Duration::from_millis(if cfg!(fuzzing) { 1 } else { 500 });
const LONGEST_WAIT: Duration = if cfg!(fuzzing) { FIRST_WAIT } else { Duration::from_secs(30) };
/// A connection that held so long was one.
const STEADY: Micros = millis(5000);
/// For the last message at the end.
const GOODBYE: Duration = Duration::from_millis(1500);

/// Keeps the outbox and empties it to the broker.
pub(super) struct Publisher {
    options: MqttOptions,
    dialect: Box<dyn Dialect>,
    outbox: Outbox,
    counts: Arc<Counts>,
    say: Say,
    period: Duration,
    broker: String,
    /// An error of the disk was told and is not over.
    disk_failed: bool,
    told_connected: bool,
    looks: u64,
}

/// How a connection ended.
enum End {
    /// The line has ended.
    Line,
    Lost(String),
}

impl Publisher {
    pub(super) fn new(
        options: MqttOptions,
        dialect: Box<dyn Dialect>,
        outbox: Outbox,
        counts: Arc<Counts>,
        say: Say,
        period: Duration,
        broker: String,
    ) -> Self {
        Counts::set(&counts.mqtt.waiting, outbox.count());
        Self {
            options,
            dialect,
            outbox,
            counts,
            say,
            period,
            broker,
            disk_failed: false,
            told_connected: false,
            looks: 0,
        }
    }

    pub(super) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Publishes until the line has ended.
    pub(super) async fn serve(mut self, mut parts: mpsc::Receiver<PartMessage>, feed: Feed) {
        let mut wait = FIRST_WAIT;
        let mut told = String::new();
        loop {
            let began = now();
            let (end, born) = self.connect(&mut parts, &feed).await;
            self.counts.mqtt.connected.store(false, Ordering::Relaxed);
            // One that breaks as soon as it is there is none.
            if born && now() >= began.saturating_add(STEADY) {
                (wait, told) = (FIRST_WAIT, String::new());
            }
            match end {
                End::Line => break,
                // The same once.
                End::Lost(reason) if reason == told => {}
                End::Lost(reason) => {
                    (self.say)(&format!("mqtt: no connection to {}: {reason}", self.broker));
                    (told, self.told_connected) = (reason, false);
                }
            }
            if !self.keep_for(wait, &mut parts).await {
                break;
            }
            wait = (2 * wait).min(LONGEST_WAIT);
        }
        self.commit();
    }

    /// Keeps what comes for a while; `false` when the line has ended.
    async fn keep_for(&mut self, wait: Duration, parts: &mut mpsc::Receiver<PartMessage>) -> bool {
        let over = sleep(wait);
        tokio::pin!(over);
        let mut look = looks();
        loop {
            tokio::select! {
                () = &mut over => return true,
                _ = look.tick() => self.housekeeping(),
                part = parts.recv() => match part {
                    Some(part) => self.keep(part, parts),
                    None => return false,
                },
            }
        }
    }

    async fn connect(&mut self, parts: &mut mpsc::Receiver<PartMessage>, feed: &Feed) -> (End, bool) {
        let connection = self.outbox.count_up("connections").unwrap_or(0);
        self.options.set_last_will(self.dialect.will(connection));
        let (client, mut events_of) = AsyncClient::new(self.options.clone(), 4 * WINDOW);
        let (sender, mut events) = mpsc::channel(2 * WINDOW);
        let poller = tokio::spawn(async move {
            loop {
                let event = events_of.poll().await;
                let ends = event.is_err();
                if sender.send(event).await.is_err() || ends {
                    return;
                }
            }
        });
        let _poller = Abort(poller.abort_handle());
        let mut here = Connection::new(client);
        let mut look = looks();
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    None => return (End::Lost("the connection ended".to_owned()), here.born),
                    Some(Err(error)) => return (End::Lost(reason(&error)), here.born),
                    Some(Ok(event)) => self.event(&mut here, event, feed),
                },
                part = parts.recv() => match part {
                    Some(part) => self.keep(part, parts),
                    None => {
                        self.goodbye(&mut here, &mut events, feed).await;
                        return (End::Line, here.born);
                    }
                },
                _ = look.tick() => {
                    self.housekeeping();
                    if here.born {
                        self.state(&mut here, feed);
                    }
                }
            }
            if here.born {
                self.pump(&mut here);
                let late = now() > here.last_progress.saturating_add(ACKNOWLEDGE);
                if here.stuck || (late && !here.unacknowledged.is_empty()) {
                    return (End::Lost("the broker does not acknowledge".to_owned()), here.born);
                }
            }
        }
    }

    fn event(&mut self, here: &mut Connection, event: Event, feed: &Feed) {
        match event {
            Event::Incoming(Packet::ConnAck(_)) => {
                self.counts.mqtt.connected.store(true, Ordering::Relaxed);
                if !self.told_connected {
                    self.told_connected = true;
                    (self.say)(&format!("mqtt: connected to {}", self.broker));
                }
                here.born = true;
                here.late_until = self.outbox.newest();
                if let Some(topic) = self.dialect.listens_to() {
                    let _ = here.client.try_subscribe(topic, QoS::AtLeastOnce);
                }
                for out in self.dialect.birth(&feed.status()) {
                    here.publish(out);
                }
            }
            Event::Outgoing(Outgoing::Publish(id)) if id != 0 => {
                if here.unacknowledged.is_empty() {
                    here.last_progress = now();
                }
                let covers = here.unsent.pop_front().flatten();
                here.unacknowledged.insert(id, covers);
            }
            Event::Incoming(Packet::PubAck(acknowledged)) => {
                here.last_progress = now();
                if let Some(Some(covers)) = here.unacknowledged.remove(&acknowledged.pkid) {
                    here.on_the_way = here.on_the_way.saturating_sub(covers.count);
                    let removed = self.outbox.remove(covers.numbers);
                    let removed = self.disk(removed).unwrap_or(0);
                    Counts::add(&self.counts.mqtt.delivered, removed);
                    Counts::set(&self.counts.mqtt.waiting, self.outbox.count());
                }
            }
            Event::Incoming(Packet::Publish(message))
                if self.dialect.asks_for_birth(&message.topic, &message.payload) =>
            {
                for out in self.dialect.birth(&feed.status()) {
                    here.publish(out);
                }
            }
            _ => {}
        }
    }

    /// Hands over as many results as may be on their way.
    fn pump(&mut self, here: &mut Connection) {
        let room = WINDOW.saturating_sub(here.on_the_way);
        if room == 0 || self.outbox.count() == 0 {
            return;
        }
        let waiting = self.outbox.after(here.cursor, room);
        let Some(waiting) = self.disk(waiting) else { return };
        let Some((last, _)) = waiting.last() else { return };
        here.cursor = *last;
        let late = here.late_until;
        let mut parts: Vec<(u64, PartMessage)> = vec![];
        for (number, bytes) in waiting {
            match serde_json::from_slice(&bytes) {
                Ok(part) => parts.push((number, part)),
                // Of another version of the program.
                Err(_) => self.give_up(number),
            }
        }
        let split = parts.partition_point(|(number, _)| *number <= late);
        let (before, since) = parts.split_at(split);
        for (parts, late) in [(before, true), (since, false)] {
            if !parts.is_empty() {
                for out in self.dialect.parts(parts, late) {
                    here.publish(out);
                }
            }
        }
    }

    fn give_up(&mut self, number: u64) {
        let removed = self.outbox.remove(number..=number);
        self.disk(removed);
        Counts::add(&self.counts.mqtt.dropped, 1);
        Counts::set(&self.counts.mqtt.waiting, self.outbox.count());
    }

    fn state(&mut self, here: &mut Connection, feed: &Feed) {
        let at = now();
        let all = at >= here.next_state;
        if all {
            here.next_state = at.saturating_add(u64::try_from(self.period.as_micros()).unwrap_or(Micros::MAX));
        }
        for out in self.dialect.state(&feed.status(), all) {
            here.publish(out);
        }
    }

    /// Says that the box stops, and waits a little for the broker to know.
    async fn goodbye(
        &mut self,
        here: &mut Connection,
        events: &mut mpsc::Receiver<Result<Event, ConnectionError>>,
        feed: &Feed,
    ) {
        if !here.born {
            return;
        }
        let all = async {
            let mut said = false;
            loop {
                self.pump(here);
                let idle = here.unsent.is_empty() && here.unacknowledged.is_empty();
                if idle && said {
                    let _ = here.client.try_disconnect();
                }
                if idle && !said {
                    said = true;
                    let mut last = self.dialect.state(&feed.status(), true);
                    last.extend(self.dialect.goodbye());
                    for out in last {
                        here.publish(out);
                    }
                }
                match events.recv().await {
                    Some(Ok(Event::Outgoing(Outgoing::Disconnect))) | Some(Err(_)) | None => return,
                    Some(Ok(Event::Incoming(Packet::Publish(_)))) => {}
                    Some(Ok(event)) => self.event(here, event, feed),
                }
            }
        };
        let _ = timeout(GOODBYE, all).await;
    }

    /// Puts a part and those behind it into the outbox.
    fn keep(&mut self, first: PartMessage, parts: &mut mpsc::Receiver<PartMessage>) {
        let mut messages = vec![];
        let mut next = Some(first);
        while let Some(part) = next {
            messages.push(serde_json::to_vec(&part).unwrap_or_default());
            next = if messages.len() < BATCH { parts.try_recv().ok() } else { None };
        }
        let pushed = self.outbox.push(&messages);
        let dropped = self.disk(pushed).unwrap_or(messages.len() as u64);
        Counts::add(&self.counts.mqtt.dropped, dropped);
        Counts::set(&self.counts.mqtt.waiting, self.outbox.count());
    }

    fn housekeeping(&mut self) {
        self.looks += 1;
        if self.looks.is_multiple_of(LOOKS_A_COMMIT) {
            let mended = self.outbox.mend();
            if self.disk(mended).is_some() {
                self.disk_failed = false;
            }
            self.commit();
        }
    }

    fn commit(&mut self) {
        let flushed = self.outbox.flush();
        self.disk(flushed);
    }

    /// Tells an error of the disk once.
    fn disk<T>(&mut self, result: Result<T, crate::plant::outbox::OutboxError>) -> Option<T> {
        let error = match result {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        if !self.disk_failed {
            self.disk_failed = true;
            (self.say)(&format!("mqtt: {error}"));
        }
        None
    }
}

fn looks() -> tokio::time::Interval {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look
}
