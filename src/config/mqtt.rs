//! `[mqtt]`: a broker on the plant's network.

use super::check::Findings;
use super::plant::outbox;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// How results are written for MQTT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Payload {
    /// JSON objects on `GROUP/NODE/state` and `GROUP/NODE/part`.
    #[default]
    Json,
    /// Sparkplug B 3.0 below `spBv1.0/GROUP`.
    SparkplugB,
}

/// `[mqtt]` as it is written.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawMqtt {
    /// `mqtt://HOST[:PORT]` or `mqtts://HOST[:PORT]`.
    broker: String,
    /// How messages are written.
    #[serde(default)]
    payload: Payload,
    /// First part of the topics, or the group id of Sparkplug.
    #[serde(default = "group")]
    group: String,
    /// Second part of the topics, of this box alone; without it made of `box.name`.
    node: Option<String>,
    /// Name at the broker.
    user: Option<String>,
    /// File with the password of that name.
    password_file: Option<PathBuf>,
    /// PEM file of the authority that signed the broker's certificate; `mqtts://` needs it.
    ca: Option<PathBuf>,
    /// PEM file of the box's own certificate, where the broker asks for one.
    certificate: Option<PathBuf>,
    /// PEM file of its key.
    key: Option<PathBuf>,
    /// Time between signs of life; a broker publishes the will after one and a half times as long.
    #[serde(default = "thirty")]
    keep_alive_s: u32,
    /// Longest time between two states.
    #[serde(default = "ten")]
    state_s: u32,
    /// Folder of what the broker does not have yet; without it below `box.state`.
    outbox: Option<PathBuf>,
    /// Size beyond which the oldest results are dropped.
    #[serde(default = "outbox_mib")]
    outbox_mib: u32,
}

fn group() -> String {
    "mudenet".to_owned()
}

fn ten() -> u32 {
    10
}

fn thirty() -> u32 {
    30
}

fn outbox_mib() -> u32 {
    64
}

/// `[mqtt]`: a broker that results and states are published to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttConfig {
    /// Name or address of the broker.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// How results are written.
    pub payload: Payload,
    /// First level of the topics; the group id of Sparkplug.
    pub group: String,
    /// Second level of the topics, which must be of this box alone; the edge node id of Sparkplug.
    pub node: String,
    /// User name and the file of the password.
    pub login: Option<(String, Option<PathBuf>)>,
    /// Certificate of the authority that signed the broker's, PEM.
    pub ca: Option<PathBuf>,
    /// The box's own certificate and its key, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Seconds between signs of life; a broker publishes the will after one and a half times as long.
    pub keep_alive_s: u16,
    /// Seconds between two states where nothing changes.
    pub state_s: u32,
    /// Folder of the results that are not with the broker yet.
    pub outbox: PathBuf,
    /// Largest size of all of them, MiB; beyond it the oldest are dropped.
    pub outbox_mib: u32,
}

impl RawMqtt {
    /// Paths are below `folder`, the outbox by default below `state`.
    pub(super) fn checked(
        self,
        name: &str,
        folder: &Path,
        state: Option<&Path>,
        found: &mut Findings,
    ) -> Option<MqttConfig> {
        let address = broker(&self.broker);
        found.rule(address.is_some(), "mqtt.broker", || {
            format!("expected mqtt://HOST[:PORT] or mqtts://HOST[:PORT], got {:?}", self.broker)
        });
        let node = self.node.unwrap_or_else(|| topic_level(name));
        for (key, level) in [("mqtt.group", &self.group), ("mqtt.node", &node)] {
            found.rule(is_topic_level(level), key, || {
                format!("must be 1 to 128 characters without /, +, # and $ in front, got {level:?}")
            });
        }
        found.range("mqtt.keep_alive_s", self.keep_alive_s, 1..=3600);
        found.range("mqtt.state_s", self.state_s, 1..=3600);
        found.range("mqtt.outbox_mib", self.outbox_mib, 1..=65_536);
        found.rule(self.password_file.is_none() || self.user.is_some(), "mqtt.password_file", || {
            "needs mqtt.user".to_owned()
        });
        let tls = address.as_ref().is_some_and(|(_, _, tls)| *tls);
        found.rule(!tls || self.ca.is_some(), "mqtt.ca", || {
            "mqtts:// needs the certificate of the authority that signed the broker's".to_owned()
        });
        found.rule(tls || (self.ca.is_none() && self.certificate.is_none()), "mqtt.broker", || {
            "mqtt.ca and mqtt.certificate are for mqtts://".to_owned()
        });
        found.rule(self.certificate.is_some() == self.key.is_some(), "mqtt.certificate", || {
            "mqtt.certificate and mqtt.key need each other".to_owned()
        });
        let outbox = outbox("mqtt", self.outbox, folder, state, found)?;
        let (host, port, tls) = address?;
        Some(MqttConfig {
            host,
            port,
            tls,
            payload: self.payload,
            group: self.group,
            node,
            login: self.user.map(|user| (user, self.password_file.map(|file| folder.join(file)))),
            ca: self.ca.map(|file| folder.join(file)),
            identity: self.certificate.zip(self.key).map(|(own, key)| (folder.join(own), folder.join(key))),
            keep_alive_s: u16::try_from(self.keep_alive_s).unwrap_or(u16::MAX),
            state_s: self.state_s,
            outbox,
            outbox_mib: self.outbox_mib,
        })
    }
}

/// Host, port, whether encrypted.
fn broker(url: &str) -> Option<(String, u16, bool)> {
    let (tls, rest) = match url.strip_prefix("mqtts://") {
        Some(rest) => (true, rest),
        None => (false, url.strip_prefix("mqtt://")?),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':') {
        // An IPv6 address without a port.
        Some((_, port)) if port.ends_with(']') => (rest, None),
        Some((host, port)) => (host, Some(port.parse().ok().filter(|port| *port > 0)?)),
        None => (rest, None),
    };
    let fits =
        !host.is_empty() && !host.contains(['/', '@', '?', ' ']) && (host.starts_with('[') || !host.contains(':'));
    fits.then(|| (host.to_owned(), port.unwrap_or(if tls { 8883 } else { 1883 }), tls))
}

fn is_topic_level(level: &str) -> bool {
    (1..=128).contains(&level.len())
        && !level.starts_with('$')
        && !level.contains(['/', '+', '#'])
        && !level.chars().any(char::is_control)
}

/// A name made fit for a topic: `bottles, line 3` → `bottles-line-3`.
fn topic_level(name: &str) -> String {
    let words = name.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_told_by_name_or_address() {
        for (url, expected) in [
            ("mqtt://broker.plant", Some(("broker.plant", 1883, false))),
            ("mqtts://broker.plant/", Some(("broker.plant", 8883, true))),
            ("mqtt://10.0.0.1:2883", Some(("10.0.0.1", 2883, false))),
            ("mqtt://[::1]", Some(("[::1]", 1883, false))),
            ("mqtt://[::1]:99", Some(("[::1]", 99, false))),
            ("mqtt://::1", None),
            ("mqtt://", None),
            ("mqtt://a:0", None),
            ("mqtt://a:70000", None),
            ("mqtt://user:secret@host", None),
            ("mqtt://a/b", None),
            ("tcp://a", None),
            ("broker", None),
        ] {
            let expected = expected.map(|(host, port, tls)| (host.to_owned(), port, tls));
            assert_eq!(broker(url), expected, "{url}");
        }
    }

    #[test]
    fn names_become_topic_levels() {
        assert_eq!(topic_level("bottles, line 3"), "bottles-line-3");
        assert_eq!(topic_level("Füller/+#"), "Füller");
        for level in ["", "a/b", "+", "#", "$SYS", "a\u{7}"] {
            assert!(!is_topic_level(level), "{level}");
        }
    }
}
