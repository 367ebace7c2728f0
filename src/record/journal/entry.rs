//! One line of the journal.

use super::{Kept, Line, Part};
use crate::decide::Verdict;
use crate::map::Branch;
use crate::record::line::word;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// One part, as a JSON object on one line of the journal. What a fault leaves unknown is `null`. Keys that a newer
/// version may add are passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number on the line.
    pub part: u32,
    /// Trigger, UTC.
    pub time: Stamp,
    /// `accept`, `reject` or `fault`.
    #[serde(with = "word")]
    pub verdict: Verdict,
    /// Above the threshold it was rejected.
    pub score: Option<f32>,
    /// The threshold in use.
    pub threshold: f32,
    /// The branch that gave the larger part of the score.
    pub branch: Option<Branch>,
    /// The level, from 1, that gave the largest part of that branch's score.
    pub level: Option<usize>,
    /// Row and column of the highest score, in the anomaly map.
    pub at: Option<[usize; 2]>,
    /// The zone of the recipe that the score is of; only where a zone is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Of a recipe with zones, the largest score of what is in none of them, on the map's own scale; not where zones cover
    /// the whole picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<f32>,
    /// Of a recipe with zones, the largest score of each, on the map's own scale; above the zone's own threshold it was
    /// rejected.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub zones: BTreeMap<String, f32>,
    /// Name of the recipe.
    pub recipe: String,
    /// SHA-256 of the model file.
    pub model: String,
    /// [`crate::capture::Look::mean`].
    pub brightness: Option<f32>,
    /// [`crate::capture::Look::sharpness`].
    pub sharpness: Option<f32>,
    /// Milliseconds from the trigger to the picture.
    pub capture_ms: Option<f64>,
    /// Milliseconds from the picture to the verdict.
    pub inspect_ms: Option<f64>,
    /// Milliseconds from the trigger to the result on the line.
    pub total_ms: Option<f64>,
    /// The kept picture, below the record's folder; it may have been deleted since.
    pub image: Option<String>,
    /// The map of the kept picture, below the record's folder.
    pub map: Option<String>,
    /// What failed, one sentence.
    pub error: Option<String>,
}

impl Entry {
    pub(super) fn new(Line { part, kept }: Line) -> Self {
        let Part { id, time, verdict, score, zone, areas, threshold, context, latency, look, error, .. } = part;
        let ms = |time: Option<Duration>| time.map(|t| t.as_micros() as f64 / 1e3);
        let finite = |v: f32| v.is_finite().then_some(v);
        let zones = context.zones.iter().map(|name| name.to_string()).zip(areas.iter().skip(1).copied());
        Self {
            part: id,
            time: Stamp::from(time),
            verdict,
            score: score.and_then(|s| finite(s.value)),
            threshold,
            branch: score.map(|s| s.branch),
            level: score.map(|s| s.level),
            at: score.map(|s| [s.row, s.column]),
            zone: zone.map(|zone| zone.to_string()),
            rest: areas.first().copied().and_then(finite),
            zones: zones.filter(|(_, score)| score.is_finite()).collect(),
            recipe: context.recipe.clone(),
            model: context.model.clone(),
            brightness: look.map(|look| look.mean),
            sharpness: look.map(|look| look.sharpness),
            capture_ms: ms(latency.capture),
            inspect_ms: ms(latency.inspect),
            total_ms: ms(latency.total),
            image: kept.map(|k| k.name.image()),
            map: kept.filter(|k: &Kept| k.with_map).map(|k| k.name.map()),
            error,
        }
    }

    /// Which pictures it belongs to.
    pub fn kind(&self, near: f32) -> Kind {
        Kind::of(self.verdict, self.score, self.threshold, near)
    }
}

/// Why a picture is kept; the later, the longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A good part among many.
    Good,
    /// A good part with a score near the threshold.
    Near,
    /// A rejected part.
    Reject,
    /// A part that could not be inspected.
    Fault,
}

impl Kind {
    pub(super) const ALL: [Kind; 4] = [Kind::Good, Kind::Near, Kind::Reject, Kind::Fault];

    /// `near`: share of the threshold that a near score may be away from it.
    pub fn of(verdict: Verdict, score: Option<f32>, threshold: f32, near: f32) -> Self {
        match verdict {
            Verdict::Fault => Kind::Fault,
            Verdict::Reject => Kind::Reject,
            Verdict::Accept if score.is_some_and(|s| (s - threshold).abs() < near * threshold.abs()) => Kind::Near,
            Verdict::Accept => Kind::Good,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::Good => "good",
            Kind::Near => "near",
            Kind::Reject => "reject",
            Kind::Fault => "fault",
        }
    }
}

/// A moment, UTC, in whole milliseconds; written like `2026-11-23T22:45:12.345Z`, so that text sorts by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Stamp {
    /// Milliseconds since 1970.
    milliseconds: i64,
}

impl Stamp {
    /// Of so many milliseconds since 1970.
    pub fn from_millis(milliseconds: i64) -> Self {
        Self { milliseconds }
    }

    /// Milliseconds since 1970.
    pub fn millis(self) -> i64 {
        self.milliseconds
    }

    /// Earlier by so many days.
    pub fn days_before(self, days: u32) -> Self {
        Self { milliseconds: self.milliseconds - i64::from(days) * 86_400_000 }
    }

    /// `2026-11-23`, `224512.345`: parts of file names.
    pub(super) fn date_and_time(self) -> (String, String) {
        let text = self.to_string();
        let (date, time) = text.split_once('T').unwrap_or((&text, ""));
        (date.to_owned(), time.trim_end_matches('Z').replace(':', ""))
    }

    fn utc(self) -> OffsetDateTime {
        let nanoseconds = i128::from(self.milliseconds) * 1_000_000;
        OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl From<SystemTime> for Stamp {
    fn from(time: SystemTime) -> Self {
        let milliseconds = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        };
        Self { milliseconds }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = self.utc();
        let (year, month, day) = (utc.year(), u8::from(utc.month()), utc.day());
        let (hour, minute, second, ms) = (utc.hour(), utc.minute(), utc.second(), utc.millisecond());
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

/// A text that is no moment.
#[derive(Debug, thiserror::Error)]
#[error("expected a time such as 2026-11-23T22:45:12Z or a day such as 2026-11-23, got {0:?}")]
pub struct NotATime(String);

impl FromStr for Stamp {
    type Err = NotATime;

    /// RFC 3339, or a day, which is its beginning in UTC.
    fn from_str(text: &str) -> Result<Self, NotATime> {
        let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
        let time = OffsetDateTime::parse(&full, &Rfc3339).map_err(|_| NotATime(text.to_owned()))?;
        Ok(Self { milliseconds: (time.unix_timestamp_nanos() / 1_000_000) as i64 })
    }
}

impl From<Stamp> for String {
    fn from(stamp: Stamp) -> Self {
        stamp.to_string()
    }
}

impl TryFrom<String> for Stamp {
    type Error = NotATime;

    fn try_from(text: String) -> Result<Self, NotATime> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_read_and_sort_as_they_are_written() {
        // python: datetime.fromtimestamp(1795473912.345, timezone.utc).isoformat(timespec="milliseconds")
        let stamp = Stamp::from_millis(1_795_473_912_345);
        assert_eq!(stamp.to_string(), "2026-11-23T22:45:12.345Z");
        assert_eq!("2026-11-23T23:45:12.3459+01:00".parse::<Stamp>().unwrap(), stamp);
        assert_eq!("2026-11-23".parse::<Stamp>().unwrap().to_string(), "2026-11-23T00:00:00.000Z");
        assert_eq!(stamp.date_and_time(), ("2026-11-23".into(), "224512.345".into()));
        assert_eq!(stamp.days_before(23).to_string(), "2026-10-31T22:45:12.345Z");
        assert_eq!(Stamp::from(UNIX_EPOCH + Duration::from_millis(1_795_473_912_345)), stamp);
        for text in ["", "yesterday", "2026-13-01", "2026-11-23 22:45", "0123456789"] {
            assert!(text.parse::<Stamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn scores_near_the_threshold_are_a_kind_of_their_own() {
        let of = |verdict, score| Kind::of(verdict, Some(score), 2.0, 0.1);
        assert_eq!(of(Verdict::Accept, 1.79), Kind::Good);
        assert_eq!(of(Verdict::Accept, 1.81), Kind::Near);
        assert_eq!(of(Verdict::Reject, 2.01), Kind::Reject);
        assert_eq!(Kind::of(Verdict::Fault, None, 2.0, 0.1), Kind::Fault);
        assert_eq!(Kind::of(Verdict::Accept, Some(-1.95), -2.0, 0.1), Kind::Good.max(Kind::Near));
    }
}
