//! Parts and errors posted to a web server, signed as [Standard Webhooks](https://www.standardwebhooks.com) says.
//!
//! A message waits in an [`Outbox`] until the server answers with a 2xx; it is tried again after waits that double, and
//! given up when it is too old, or refused for good with a 4xx.

mod post;

use super::message::{Message, Messages};
use super::outbox::{Outbox, OutboxError};
use super::{Counts, Ending, PlantError, Say, read, spawn};
use crate::config::{Topic, WebhookConfig};
use crate::decide::Verdict;
use crate::record::journal::Stamp;
use crate::run::{Record, RecordSink, wall_clock};
use post::{Answer, Server};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// Messages that wait for the outbox.
const QUEUE: usize = 1024;
/// Messages taken from the line at once.
const BATCH: usize = 256;
/// Waits between two tries: the first, and the longest of those that double.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Between two commits of the outbox to the disk.
const COMMIT: Duration = Duration::from_secs(2);
/// Tries at the end of the line.
const LAST_TRIES: usize = 16;

/// A webhook that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Its files or thread.
    #[error(transparent)]
    Plant(#[from] PlantError),
    /// What waits for the server.
    #[error("webhook.{0}")]
    Outbox(#[from] OutboxError),
}

/// A message as it waits.
#[derive(Serialize, Deserialize)]
struct Waiting {
    /// When it happened.
    time: Stamp,
    /// The body.
    body: String,
}

/// A webhook that has its outbox and posts nothing yet.
pub struct Webhook {
    config: WebhookConfig,
    name: String,
    simulated: bool,
    server: Server,
    outbox: Outbox,
    counts: Arc<Counts>,
    say: Say,
    sender: SyncSender<Message>,
    messages: Receiver<Message>,
}

impl Webhook {
    /// Reads the files that `config` names and opens the outbox; `name` is the station's.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub fn open(
        config: &WebhookConfig,
        name: &str,
        simulated: bool,
        counts: Arc<Counts>,
        say: Say,
    ) -> Result<Self, WebhookError> {
        let secret =
            config.secret.as_deref().map(|path| Ok::<_, PlantError>((read("webhook.secret_file", path)?, path)));
        let authority = config.ca.as_deref().map(|path| Ok::<_, PlantError>((read("webhook.ca", path)?, path)));
        let server = Server::new(config, name, secret.transpose()?, authority.transpose()?)?;
        let (outbox, notice) = Outbox::open(&config.outbox, "webhook", u64::from(config.outbox_mib) << 20)?;
        if let Some(notice) = notice {
            say(&format!("webhook: {notice}"));
        }
        counts.webhook.used.store(true, Ordering::Relaxed);
        Counts::set(&counts.webhook.waiting, outbox.count());
        let (sender, messages) = sync_channel(QUEUE);
        let (config, name) = (config.clone(), name.to_owned());
        Ok(Self { config, name, simulated, server, outbox, counts, say, sender, messages })
    }

    /// Where the line's records have to go; its end is the end of the webhook.
    pub fn sink(&self) -> Box<dyn RecordSink> {
        Box::new(Sink {
            events: self.config.events.clone(),
            sender: self.sender.clone(),
            counts: Arc::clone(&self.counts),
            messages: Messages::default(),
        })
    }

    /// Posts from now on.
    ///
    /// # Errors
    /// [`PlantError::Thread`].
    pub fn start(self) -> Result<Ending, PlantError> {
        let Self { config, name, simulated, server, outbox, counts, say, messages, .. } = self;
        let poster = Poster { config, name, simulated, server, outbox, counts, say, told: false };
        let (end, ending) = Ending::new();
        spawn("webhook", move || {
            poster.serve(&messages);
            let _ = end.try_send(());
        })?;
        Ok(ending)
    }
}

/// Whether a message counts as delivered by the answer of this server, for `fuzz/fuzz_targets/webhook.rs`.
#[cfg(fuzzing)]
pub fn answered(url: &str) -> bool {
    let config = WebhookConfig {
        url: url.to_owned(),
        events: vec![],
        secret: None,
        ca: None,
        timeout_ms: 5000,
        give_up_s: 1,
        outbox: std::path::PathBuf::new(),
        outbox_mib: 1,
    };
    Server::new(&config, "fuzzed", None, None)
        .is_ok_and(|server| matches!(server.post(1, "{}", Stamp::from(wall_clock())), Answer::Taken))
}

/// The recorder's way to the webhook.
struct Sink {
    events: Vec<Topic>,
    sender: SyncSender<Message>,
    counts: Arc<Counts>,
    messages: Messages,
}

fn topic(message: &Message) -> Topic {
    match message {
        Message::Error(_) => Topic::Error,
        Message::Part(part) => match part.verdict() {
            Verdict::Accept => Topic::Accept,
            Verdict::Reject => Topic::Reject,
            Verdict::Fault => Topic::Fault,
        },
    }
}

impl RecordSink for Sink {
    fn put(&mut self, record: &Record) {
        if let Some(message) = self.messages.of(record)
            && self.events.contains(&topic(&message))
            && self.sender.try_send(message).is_err()
        {
            Counts::add(&self.counts.webhook.dropped, 1);
        }
    }
}

struct Poster {
    config: WebhookConfig,
    name: String,
    simulated: bool,
    server: Server,
    outbox: Outbox,
    counts: Arc<Counts>,
    say: Say,
    /// What is wrong was told and is not over.
    told: bool,
}

impl Poster {
    fn serve(mut self, messages: &Receiver<Message>) {
        let (mut wait, mut until_next) = (FIRST_WAIT, Duration::ZERO);
        let mut committed = crate::run::now();
        loop {
            let idle = if self.outbox.count() == 0 { COMMIT } else { until_next.min(COMMIT) };
            let began = crate::run::now();
            match messages.recv_timeout(idle) {
                Ok(message) => self.keep(message, messages),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            until_next = until_next.saturating_sub(Duration::from_micros(crate::run::now().saturating_sub(began)));
            if until_next.is_zero() && self.outbox.count() > 0 {
                if self.deliver() {
                    wait = FIRST_WAIT;
                } else {
                    until_next = wait;
                    wait = (2 * wait).min(LONGEST_WAIT);
                }
            }
            if crate::run::now() >= committed.saturating_add(u64::try_from(COMMIT.as_micros()).unwrap_or(0)) {
                committed = crate::run::now();
                let mended = self.outbox.mend().and_then(|()| self.outbox.flush());
                self.disk(mended);
            }
        }
        // Whoever waits for this waits only so long.
        for _ in 0..LAST_TRIES {
            if self.outbox.count() == 0 || !self.deliver() {
                break;
            }
        }
        let flushed = self.outbox.flush();
        self.disk(flushed);
    }

    /// Puts a message and those behind it into the outbox.
    fn keep(&mut self, first: Message, messages: &Receiver<Message>) {
        let mut waiting = vec![];
        let mut next = Some(first);
        while let Some(message) = next {
            waiting.push(serde_json::to_vec(&self.body(&message)).unwrap_or_default());
            next = if waiting.len() < BATCH { messages.try_recv().ok() } else { None };
        }
        let pushed = self.outbox.push(&waiting);
        let dropped = self.disk(pushed).unwrap_or(waiting.len() as u64);
        Counts::add(&self.counts.webhook.dropped, dropped);
        Counts::set(&self.counts.webhook.waiting, self.outbox.count());
    }

    fn body(&self, message: &Message) -> Waiting {
        let (kind, time, data) = match message {
            Message::Error(error) => ("line.error", error.time, json!(error)),
            Message::Part(part) => {
                let kind = match part.verdict() {
                    Verdict::Accept => "part.accept",
                    Verdict::Reject => "part.reject",
                    Verdict::Fault => "part.fault",
                };
                (kind, part.time, json!(part))
            }
        };
        let body =
            json!({"type": kind, "timestamp": time, "box": self.name, "simulated": self.simulated, "data": data});
        Waiting { time, body: body.to_string() }
    }

    /// Posts the oldest message; `false` when it has to be tried again.
    fn deliver(&mut self) -> bool {
        let oldest = self.outbox.after(0, 1);
        let Some(Some((number, bytes))) = self.disk(oldest).map(|oldest| oldest.into_iter().next()) else {
            return false;
        };
        let clock = Stamp::from(wall_clock());
        let answer = match serde_json::from_slice::<Waiting>(&bytes) {
            Ok(message) => match self.server.post(number, &message.body, clock) {
                Answer::Later(reason) if clock.millis() - message.time.millis() >= self.patience() => {
                    Answer::Refused(format!("too old, and {reason}"))
                }
                answer => answer,
            },
            // Of another version of the program.
            Err(error) => Answer::Refused(error.to_string()),
        };
        self.counts.webhook.connected.store(matches!(answer, Answer::Taken), Ordering::Relaxed);
        let count = match answer {
            Answer::Taken => {
                self.told = false;
                &self.counts.webhook.delivered
            }
            Answer::Refused(reason) => {
                self.tell(&format!("a message is given up: {reason}"));
                &self.counts.webhook.dropped
            }
            Answer::Later(reason) => {
                self.tell(&reason);
                return false;
            }
        };
        Counts::add(count, 1);
        let removed = self.outbox.remove(number..=number);
        let removed = self.disk(removed).is_some();
        Counts::set(&self.counts.webhook.waiting, self.outbox.count());
        removed
    }

    fn patience(&self) -> i64 {
        i64::from(self.config.give_up_s) * 1000
    }

    /// Says what is wrong, once until it works again.
    fn tell(&mut self, what: &str) {
        if !self.told {
            self.told = true;
            (self.say)(&format!("webhook: {}: {what}", self.config.url));
        }
    }

    fn disk<T>(&mut self, result: Result<T, OutboxError>) -> Option<T> {
        result.map_err(|error| self.tell(&error.to_string())).ok()
    }
}
