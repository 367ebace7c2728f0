//! `[modbus]`, `[metrics]`, `[webhook]`: peers of the box on the plant's network.

use super::check::Findings;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// `[modbus]`: a Modbus TCP server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ModbusConfig {
    /// Address and port to listen on.
    pub bind: SocketAddr,
    /// Whether coils and holding registers may be written: they trigger, acknowledge, reset and change the recipe.
    pub control: bool,
    /// Addresses that may connect; everyone where there are none.
    pub clients: Vec<IpAddr>,
    /// Connections at once.
    pub connections: u16,
    /// Seconds without a request after which a connection is closed.
    pub idle_s: u32,
}

impl Default for ModbusConfig {
    fn default() -> Self {
        Self { bind: (Ipv4Addr::LOCALHOST, 1502).into(), control: false, clients: vec![], connections: 8, idle_s: 60 }
    }
}

impl ModbusConfig {
    pub(super) fn checked(self, found: &mut Findings) -> Self {
        found.range("modbus.connections", self.connections.into(), 1..=64);
        found.range("modbus.idle_s", self.idle_s, 1..=3600);
        found.rule(!self.control || self.bind.ip().is_loopback() || !self.clients.is_empty(), "modbus.control", || {
            format!(
                "Modbus knows no passwords and {} can be reached from other machines: name those that may connect in \
                 modbus.clients",
                self.bind
            )
        });
        self
    }
}

/// `[metrics]`: `/metrics` and `/healthz` for Prometheus.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct MetricsConfig {
    /// Address and port to listen on.
    pub bind: SocketAddr,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { bind: (Ipv4Addr::LOCALHOST, 9464).into() }
    }
}

/// What a webhook is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// Parts that were accepted.
    Accept,
    /// Parts that were rejected.
    Reject,
    /// Parts that could not be inspected.
    Fault,
    /// Errors of the line.
    Error,
}

/// `[webhook]` as it is written.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawWebhook {
    /// Where to: `https://…` or `http://…`.
    url: String,
    /// What it is told of.
    #[serde(default = "topics")]
    events: Vec<Topic>,
    /// File with the secret that messages are signed with: `whsec_` and at least 24 bytes in base64.
    secret_file: Option<PathBuf>,
    /// PEM file of the authority that signed the server's certificate; without it those that browsers trust.
    ca: Option<PathBuf>,
    /// Longest wait for an answer.
    #[serde(default = "timeout_ms")]
    timeout_ms: u32,
    /// Age at which a message that no try delivered is dropped.
    #[serde(default = "give_up_s")]
    give_up_s: u32,
    /// Folder of what is still to be sent; without it below `box.state`.
    outbox: Option<PathBuf>,
    /// Size beyond which the oldest messages are dropped.
    #[serde(default = "webhook_mib")]
    outbox_mib: u32,
}

fn topics() -> Vec<Topic> {
    vec![Topic::Reject, Topic::Fault, Topic::Error]
}

fn timeout_ms() -> u32 {
    5000
}

fn give_up_s() -> u32 {
    86_400
}

fn webhook_mib() -> u32 {
    16
}

/// `[webhook]`: a web server that is told of parts and errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Where to.
    pub url: String,
    /// What of.
    pub events: Vec<Topic>,
    /// File of the secret that messages are signed with.
    pub secret: Option<PathBuf>,
    /// Certificate of the authority that signed the server's, PEM; without it Mozilla's list is used.
    pub ca: Option<PathBuf>,
    /// Longest wait for an answer, ms.
    pub timeout_ms: u32,
    /// Age at which a message that no try delivered is dropped, s.
    pub give_up_s: u32,
    /// Folder of the messages that wait.
    pub outbox: PathBuf,
    /// Largest size of all of them, MiB; beyond it the oldest are dropped.
    pub outbox_mib: u32,
}

impl RawWebhook {
    pub(super) fn checked(self, folder: &Path, state: Option<&Path>, found: &mut Findings) -> Option<WebhookConfig> {
        let rest = self.url.strip_prefix("https://").or_else(|| self.url.strip_prefix("http://"));
        let host = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
        found.rule(!host.is_empty() && !self.url.contains(char::is_whitespace), "webhook.url", || {
            format!("expected http://HOST/PATH or https://HOST/PATH, got {:?}", self.url)
        });
        found.rule(!self.events.is_empty(), "webhook.events", || "names nothing to tell of".to_owned());
        found
            .rule(self.ca.is_none() || self.url.starts_with("https://"), "webhook.ca", || "is for https://".to_owned());
        found.range("webhook.timeout_ms", self.timeout_ms, 100..=60_000);
        found.range("webhook.give_up_s", self.give_up_s, 1..=2_592_000);
        found.range("webhook.outbox_mib", self.outbox_mib, 1..=65_536);
        Some(WebhookConfig {
            outbox: outbox("webhook", self.outbox, folder, state, found)?,
            url: self.url,
            events: self.events,
            secret: self.secret_file.map(|file| folder.join(file)),
            ca: self.ca.map(|file| folder.join(file)),
            timeout_ms: self.timeout_ms,
            give_up_s: self.give_up_s,
            outbox_mib: self.outbox_mib,
        })
    }
}

/// Where messages wait: the folder that `table` names, or one in the state's folder.
pub(super) fn outbox(
    table: &str,
    named: Option<PathBuf>,
    folder: &Path,
    state: Option<&Path>,
    found: &mut Findings,
) -> Option<PathBuf> {
    let outbox = named.map(|named| folder.join(named)).or_else(|| state.map(|state| folder.join(state).join("outbox")));
    found.rule(outbox.is_some(), &format!("{table}.outbox"), || {
        "names the folder where messages wait; without it, box.state must be set".to_owned()
    });
    outbox
}
