//! What a peer is told of a part or an error.

use crate::decide::Verdict;
use crate::record::journal::Stamp;
use crate::record::verdict_word;
use crate::run::{Product, Record, wall_clock_of};
use mudenet_board::ErrorCode;
use mudenet_board::gate::Reason;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A part that has left the camera, judged or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartMessage {
    /// Its number on the line.
    pub part: u32,
    /// Trigger, UTC.
    pub time: Stamp,
    /// `accept`, `reject` or `fault`.
    pub verdict: String,
    /// Above the threshold it was rejected; `null` for a fault.
    pub score: Option<f32>,
    /// The threshold in use.
    pub threshold: Option<f32>,
    /// The zone of the recipe that the score is of; only where a zone is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Number of the recipe.
    pub recipe: u16,
    /// Its name.
    pub recipe_name: String,
    /// SHA-256 of the model file.
    pub model: String,
    /// Milliseconds from the trigger to the result on the line.
    pub ms: Option<f64>,
    /// What failed, one sentence.
    pub error: Option<String>,
}

impl PartMessage {
    /// Its verdict.
    pub fn verdict(&self) -> Verdict {
        match self.verdict.as_str() {
            "accept" => Verdict::Accept,
            "reject" => Verdict::Reject,
            _ => Verdict::Fault,
        }
    }
}

/// An error of the line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorMessage {
    /// Number on the wire, `board/WIRE.md`.
    pub code: u8,
    /// The same in words.
    pub error: String,
    /// When, UTC.
    pub time: Stamp,
}

/// One or the other.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// A part.
    Part(PartMessage),
    /// An error.
    Error(ErrorMessage),
}

/// Makes messages of what a line records.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    /// Of the part before: what was not inspected has none of its own.
    product: Option<Arc<Product>>,
}

impl Messages {
    /// What is told of `record`, if anything.
    pub fn of(&mut self, record: &Record) -> Option<Message> {
        match record {
            Record::Part(finished) => {
                if finished.product.is_some() {
                    self.product.clone_from(&finished.product);
                }
                let part = PartMessage {
                    score: finished.score.filter(|score| score.is_finite()),
                    zone: finished.inspection.as_ref().and_then(|of| of.zone.as_ref()).map(|zone| zone.to_string()),
                    ms: Some(finished.took as f64 / 1e3),
                    error: finished.error.clone(),
                    ..self.part(finished.part, wall_clock_of(finished.triggered).into(), finished.verdict)
                };
                Some(Message::Part(part))
            }
            Record::Uninspected { part, reason, at } => {
                let error = match reason {
                    Reason::Missed => "the trigger came while the box was not ready",
                    _ => "nobody saw the part: a trigger edge was lost",
                };
                let part = self.part(*part, wall_clock_of(*at).into(), Verdict::Fault);
                Some(Message::Part(PartMessage { error: Some(error.to_owned()), ..part }))
            }
            Record::Error { code, at } => Some(Message::Error(error(*code, wall_clock_of(*at).into()))),
            Record::Settled { .. } | Record::Notice { .. } => None,
        }
    }

    fn part(&self, part: u32, time: Stamp, verdict: Verdict) -> PartMessage {
        let product = self.product.as_deref();
        PartMessage {
            part,
            time,
            verdict: verdict_word(verdict).to_owned(),
            score: None,
            threshold: product.map(|product| product.threshold).filter(|threshold| threshold.is_finite()),
            zone: None,
            recipe: product.map_or(0, |product| product.number),
            recipe_name: product.map(|product| product.name.clone()).unwrap_or_default(),
            model: product.map(|product| product.model.clone()).unwrap_or_default(),
            ms: None,
            error: None,
        }
    }
}

fn error(code: ErrorCode, time: Stamp) -> ErrorMessage {
    ErrorMessage { code: code.code(), error: code.to_string(), time }
}
