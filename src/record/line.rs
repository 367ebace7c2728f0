//! One JSON object for each inspection.

use crate::decide::Verdict;
use crate::map::{Branch, ImageScore};
use serde::Serialize;

/// What became of one picture, as a JSON object on one line. Every key is always there but `zone` and `error`, which only a
/// picture with a zone or an error has; what a fault leaves unknown is `null`.
#[derive(Clone, Debug, Serialize)]
pub struct Line<'a> {
    /// The picture as the user named it.
    pub image: &'a str,
    /// `accept`, `reject` or `fault`.
    #[serde(with = "word")]
    pub verdict: Verdict,
    /// The picture's score; above the threshold it is rejected.
    pub score: Option<f32>,
    /// The threshold in use.
    pub threshold: f32,
    /// `structural`, `logical` or `memory`: the branch that gives the larger part of the score.
    pub branch: Option<Branch>,
    /// The level, from 1, that gives the largest part of that branch's score; levels 1, 2, 3 see 16, 32, 64 pixels of
    /// the network's input.
    pub level: Option<usize>,
    /// The zone of the recipe that the score is of; only where a zone is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<&'a str>,
    /// Milliseconds from the decoded frame to the verdict.
    pub ms: Option<f64>,
    /// What failed, one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
}

impl<'a> Line<'a> {
    /// The line of a picture that was inspected in `ms` milliseconds.
    pub fn inspected(image: &'a str, verdict: Verdict, score: &ImageScore, threshold: f32, ms: f64) -> Self {
        // Microseconds are as fine as the measurement is.
        let ms = Some((ms * 1e3).round() / 1e3);
        let (branch, level) = (Some(score.branch), Some(score.level));
        Self { image, verdict, score: Some(score.value), threshold, branch, level, zone: None, ms, error: None }
    }

    /// The line of a picture that could not be inspected.
    pub fn fault(image: &'a str, threshold: f32, error: &'a str) -> Self {
        let error = Some(error);
        let verdict = Verdict::Fault;
        Self { image, verdict, score: None, threshold, branch: None, level: None, zone: None, ms: None, error }
    }
}

/// `accept`, `reject` or `fault`.
pub fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accept => "accept",
        Verdict::Reject => "reject",
        Verdict::Fault => "fault",
    }
}

/// A branch as it is written in JSON.
pub fn branch_word(branch: Branch) -> String {
    serde_json::to_value(branch).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// What drove a score, for people: the branch, and how many pixels of the network's input that level sees.
pub fn driven_by(branch: Branch, level: usize) -> String {
    let word = branch_word(branch);
    match (branch, level) {
        (Branch::Structural | Branch::Logical, 1..=3) => format!("{word}, {} px", 8 << level),
        _ => format!("{word}, level {level}"),
    }
}

/// A verdict as its word.
pub(super) mod word {
    use super::{Verdict, verdict_word};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in crate::record) fn serialize<S: Serializer>(verdict: &Verdict, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(verdict_word(*verdict))
    }

    pub(in crate::record) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Verdict, D::Error> {
        let word = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let known = [Verdict::Accept, Verdict::Reject, Verdict::Fault];
        let found = known.into_iter().find(|verdict| verdict_word(*verdict) == word);
        found.ok_or_else(|| D::Error::unknown_variant(&word, &["accept", "reject", "fault"]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_as_documented() {
        let score = ImageScore { value: 1.75, row: 3, column: 4, branch: Branch::Logical, level: 2 };
        let line = Line::inspected("a \"b\".png", Verdict::Reject, &score, 1.5, 12.345_678_9);
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            r#"{"image":"a \"b\".png","verdict":"reject","score":1.75,"threshold":1.5,"branch":"logical","level":2,"ms":12.346}"#
        );
        assert_eq!(
            serde_json::to_string(&Line::fault("x", 0.5, "x: is gone")).unwrap(),
            r#"{"image":"x","verdict":"fault","score":null,"threshold":0.5,"branch":null,"level":null,"ms":null,"error":"x: is gone"}"#
        );
    }
}
