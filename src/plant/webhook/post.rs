//! One message to the server.

use crate::config::WebhookConfig;
use crate::plant::PlantError;
use crate::plant::outbox::parts_of;
use crate::record::journal::Stamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::path::Path;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Shortest secret, bytes, as Standard Webhooks says.
const SHORTEST: usize = 24;

/// What became of a message.
pub(super) enum Answer {
    /// 2xx.
    Taken,
    /// It is not to be sent again.
    Refused(String),
    /// The server was not reached, or says that it cannot now.
    Later(String),
}

pub(super) struct Server {
    agent: Agent,
    url: String,
    secret: Option<Vec<u8>>,
    /// The box's name as far as a header takes it.
    name: String,
}

impl Server {
    pub(super) fn new(
        config: &WebhookConfig,
        name: &str,
        secret: Option<(Vec<u8>, &Path)>,
        authority: Option<(Vec<u8>, &Path)>,
    ) -> Result<Self, PlantError> {
        let secret = secret.map(|(bytes, path)| {
            secret_of(&bytes).ok_or_else(|| PlantError::File {
                key: "webhook.secret_file",
                path: path.to_owned(),
                reason: format!("expected whsec_ and at least {SHORTEST} bytes in base64"),
            })
        });
        let mut tls = TlsConfig::builder();
        if let Some((pem, path)) = authority {
            let certificate = Certificate::from_pem(&pem).map_err(|error| PlantError::File {
                key: "webhook.ca",
                path: path.to_owned(),
                reason: error.to_string(),
            })?;
            tls = tls.root_certs(RootCerts::from([certificate]));
        }
        let agent = Agent::config_builder()
            .timeout_global(Some(Duration::from_millis(config.timeout_ms.into())))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("mudenet-edge/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build())
            .build();
        let name = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
        Ok(Self { agent: agent.into(), url: config.url.clone(), secret: secret.transpose()?, name })
    }

    /// Posts `body`, the message of this number in the outbox.
    pub(super) fn post(&self, number: u64, body: &str, clock: Stamp) -> Answer {
        let (session, seq) = parts_of(number);
        let (id, time) = (format!("msg_{}_{session}_{seq}", self.name), (clock.millis() / 1000).to_string());
        let mut request = self.agent.post(&self.url).header("content-type", "application/json");
        request = request.header("webhook-id", &id).header("webhook-timestamp", &time);
        if let Some(secret) = &self.secret {
            request = request.header("webhook-signature", signature(secret, &id, &time, body));
        }
        match request.send(body) {
            Err(error) => Answer::Later(error.to_string()),
            Ok(response) => match response.status().as_u16() {
                200..=299 => Answer::Taken,
                // It cannot now: too early, too many, or a time-out of its own.
                status @ (408 | 425 | 429) => Answer::Later(format!("it answers {status}")),
                status @ 400..=499 => Answer::Refused(format!("it answers {status}")),
                status => Answer::Later(format!("it answers {status}")),
            },
        }
    }
}

/// `whsec_` and base64, or base64 alone.
fn secret_of(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let secret = STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text)).ok()?;
    (secret.len() >= SHORTEST).then_some(secret)
}

/// HMAC-SHA256 over `id.time.body`, in base64 behind the version.
fn signature(secret: &[u8], id: &str, time: &str, body: &str) -> String {
    // A key of any length will do.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    mac.update(format!("{id}.{time}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference implementations:
    /// `standardwebhooks.Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    ///   .sign("msg_p5jXN8AQM9LWM0D4loKWxJek", datetime.fromtimestamp(1614265330, tz=timezone.utc), '{"test": 2432232314}')`
    #[test]
    fn the_signature_is_that_of_the_specification() {
        let secret = secret_of(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let signed = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        for bad in ["", "whsec_", "whsec_AAAA", "whsec_not base64 at all, is it?"] {
            assert_eq!(secret_of(bad.as_bytes()), None, "{bad}");
        }
    }
}
