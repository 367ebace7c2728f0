//! What the page shows of the parts: filled by the line's recorder, read by the page. Nobody waits for a browser.

use super::picture::{Layer, Rendered, render};
use crate::decide::Verdict;
use crate::record::journal::{Entry, Stamp};
use crate::record::{branch_word, driven_by};
use crate::run::{Finished, Record, RecordSink, wall_clock_of};
use mudenet_board::Micros;
use mudenet_board::gate::Reason;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::spawn;

/// Parts whose scores are kept for the chart.
const POINTS: usize = 40_000;
/// Rejects on the film strip.
const STRIP: usize = 20;
/// Lines of the log that are kept.
const NOTICES: usize = 500;
/// Rejects whose pictures wait to be made small.
const WAITING: usize = 8;
/// Over which time parts per minute are counted.
const MINUTE: Micros = 60_000_000;
/// Longest side of a picture on the film strip, pixels.
const STRIP_SIDE: usize = 960;

/// One part in the chart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Point {
    /// Milliseconds since 1970.
    pub(super) at: i64,
    pub(super) score: Option<f32>,
    pub(super) threshold: f32,
    pub(super) verdict: &'static str,
}

/// A rejected part on the film strip.
#[derive(Clone)]
struct Reject {
    part: u32,
    facts: Value,
    pictures: Option<Arc<[Rendered; 2]>>,
}

#[derive(Default)]
struct Inner {
    version: u64,
    /// Points so far, those that were dropped included.
    counted: u64,
    points: VecDeque<Point>,
    last: Option<Value>,
    verdict: Option<Verdict>,
    newest: Option<Finished>,
    rejects: VecDeque<Reject>,
    triggers: VecDeque<Micros>,
    notices: VecDeque<(Stamp, String)>,
}

/// What the page shows of the parts.
pub(super) struct Board {
    inner: Mutex<Inner>,
    pictures: SyncSender<Finished>,
}

/// What changed on the board.
pub(super) struct Shown {
    pub(super) version: u64,
    pub(super) counted: u64,
    pub(super) last: Option<Value>,
    pub(super) verdict: Option<Verdict>,
    pub(super) rejects: Vec<Value>,
    pub(super) points: Vec<Point>,
    pub(super) per_minute: f64,
}

impl Board {
    pub(super) fn new() -> Arc<Self> {
        let (pictures, waiting) = sync_channel::<Finished>(WAITING);
        let board = Arc::new(Self { inner: Mutex::default(), pictures });
        let weak = Arc::downgrade(&board);
        spawn(move || {
            super::server::step_back();
            for finished in waiting {
                let pictures = [Layer::Plain, Layer::Heat].map(|layer| render(&finished, layer, STRIP_SIDE));
                let (Some(board), [Some(plain), Some(heat)]) = (weak.upgrade(), pictures) else { continue };
                board.keep_pictures(finished.part, [plain, heat]);
            }
        });
        board
    }

    /// Shows parts of before the start, oldest first.
    pub(super) fn recall(&self, entries: &[Entry]) {
        let mut inner = self.lock();
        for entry in entries {
            inner.point(Point {
                at: entry.time.millis(),
                score: entry.score,
                threshold: entry.threshold,
                verdict: crate::record::verdict_word(entry.verdict),
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The board now, with the points after the first `counted`.
    pub(super) fn look(&self, counted: u64, now: Micros) -> Shown {
        let inner = self.lock();
        let new = usize::try_from(inner.counted.saturating_sub(counted)).unwrap_or(usize::MAX).min(inner.points.len());
        let rejects = inner.rejects.iter().rev().map(|reject| {
            let mut facts = reject.facts.clone();
            if let Some(facts) = facts.as_object_mut() {
                facts.insert("picture".to_owned(), reject.pictures.is_some().into());
            }
            facts
        });
        Shown {
            version: inner.version,
            counted: inner.counted,
            last: inner.last.clone(),
            verdict: inner.verdict,
            rejects: rejects.collect(),
            points: inner.points.iter().skip(inner.points.len() - new).copied().collect(),
            per_minute: inner.per_minute(now),
        }
    }

    /// Changes whenever something is to be shown anew.
    pub(super) fn version(&self) -> u64 {
        self.lock().version
    }

    /// All points of the chart.
    pub(super) fn points(&self) -> (u64, Vec<Point>) {
        let inner = self.lock();
        (inner.counted, inner.points.iter().copied().collect())
    }

    /// The newest part that has a picture.
    pub(super) fn newest(&self) -> Option<Finished> {
        self.lock().newest.clone()
    }

    /// A picture of the film strip.
    pub(super) fn reject_picture(&self, part: u32, layer: Layer) -> Option<Rendered> {
        let inner = self.lock();
        let pictures = inner.rejects.iter().find(|reject| reject.part == part)?.pictures.as_ref()?;
        let [plain, heat] = &**pictures;
        Some(if layer == Layer::Plain { plain.clone() } else { heat.clone() })
    }

    /// What the box said, newest first.
    pub(super) fn notices(&self) -> Vec<(Stamp, String)> {
        self.lock().notices.iter().rev().cloned().collect()
    }

    /// Adds a line to the log.
    pub(super) fn say(&self, text: String) {
        self.lock().notice(text);
    }

    fn keep_pictures(&self, part: u32, pictures: [Rendered; 2]) {
        let mut inner = self.lock();
        if let Some(reject) = inner.rejects.iter_mut().find(|reject| reject.part == part) {
            reject.pictures = Some(Arc::new(pictures));
            inner.version += 1;
        }
    }
}

impl Inner {
    fn point(&mut self, point: Point) {
        if self.points.len() == POINTS {
            self.points.pop_front();
        }
        self.points.push_back(point);
        self.counted += 1;
        self.version += 1;
    }

    fn part(&mut self, at: Micros, point: Point, verdict: Verdict, part: u32, facts: Value) {
        self.triggers.push_back(at);
        while self.triggers.front().is_some_and(|first| first.saturating_add(MINUTE) < at) {
            self.triggers.pop_front();
        }
        self.point(point);
        self.last = Some(facts.clone());
        self.verdict = Some(verdict);
        if !verdict.is_accept() {
            if self.rejects.len() == STRIP {
                self.rejects.pop_front();
            }
            self.rejects.push_back(Reject { part, facts, pictures: None });
        }
    }

    fn notice(&mut self, text: String) {
        if self.notices.len() == NOTICES {
            self.notices.pop_front();
        }
        self.notices.push_back((Stamp::from(wall_clock_of(crate::run::now())), text));
        self.version += 1;
    }

    /// Parts of the last minute, by the time since the first of them.
    fn per_minute(&self, now: Micros) -> f64 {
        let recent = || self.triggers.iter().filter(|at| at.saturating_add(MINUTE) >= now);
        match recent().next() {
            Some(first) if recent().count() > 1 => {
                (recent().count() - 1) as f64 * MINUTE as f64 / now.saturating_sub(*first).max(1) as f64
            }
            _ => 0.0,
        }
    }
}

/// The recorder's way to the board.
pub(super) struct BoardSink(pub(super) Arc<Board>);

impl RecordSink for BoardSink {
    fn put(&mut self, record: &Record) {
        match record {
            Record::Part(finished) => self.part(finished),
            Record::Uninspected { part, reason, at } => {
                let error = match reason {
                    Reason::Missed => "The trigger came while the box was not ready; the part is rejected.",
                    _ => "A trigger edge was lost; the part is rejected.",
                };
                let stamp = Stamp::from(wall_clock_of(*at));
                let point = Point { at: stamp.millis(), score: None, threshold: 0.0, verdict: "fault" };
                let facts = json!({"part": part, "verdict": "fault", "error": error, "at": point.at});
                self.0.lock().part(*at, point, Verdict::Fault, *part, facts);
            }
            Record::Error { code, .. } => self.0.say(format!("error {}: {code}", code.code())),
            Record::Notice { text } => self.0.say(text.clone()),
            Record::Settled { .. } => {}
        }
    }
}

impl BoardSink {
    fn part(&self, finished: &Finished) {
        let score = finished.inspection.as_ref().map(|inspection| inspection.score);
        let zone = finished.inspection.as_ref().and_then(|inspection| inspection.zone.as_deref());
        let threshold = finished.product.as_ref().map_or(0.0, |product| product.threshold);
        let verdict = crate::record::verdict_word(finished.verdict);
        let at = Stamp::from(wall_clock_of(finished.triggered)).millis();
        let value = finished.score.filter(|score| score.is_finite());
        let facts = json!({
            "part": finished.part, "verdict": verdict, "score": value, "threshold": threshold, "at": at,
            "branch": score.map(|score| branch_word(score.branch)),
            "driven_by": score.filter(|score| score.level > 0).map(|score| {
                zone.map(|zone| format!("{zone}: ")).unwrap_or_default() + &driven_by(score.branch, score.level)
            }),
            "zone": zone,
            "ms": finished.took as f64 / 1000.0, "error": finished.error, "picture": finished.frame.is_some(),
        });
        let point = Point { at, score: value, threshold, verdict };
        let mut inner = self.0.lock();
        inner.part(finished.triggered, point, finished.verdict, finished.part, facts);
        if finished.frame.is_some() {
            inner.newest = Some(finished.clone());
            drop(inner);
            if !finished.verdict.is_accept() {
                // One that finds no room has no picture on the strip; the record has it.
                let _ = self.0.pictures.try_send(finished.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mudenet_board::wire::PartResult;

    fn board_of(parts: u32) -> Arc<Board> {
        let board = Board::new();
        let mut sink = BoardSink(Arc::clone(&board));
        for part in 1..=parts {
            let verdict = if part % 3 == 0 { Verdict::Reject } else { Verdict::Accept };
            let at = crate::run::now();
            let result = PartResult::new(part, verdict, part as f32, 1);
            sink.put(&Record::Part(Finished::for_page(result, at)));
        }
        board
    }

    #[test]
    fn the_strip_holds_the_newest_rejects_first() {
        let shown = board_of(100).look(0, crate::run::now());
        let parts: Vec<u64> = shown.rejects.iter().map(|reject| reject["part"].as_u64().unwrap()).collect();
        assert_eq!(parts, (1..=33).rev().map(|third| 3 * third).take(STRIP).collect::<Vec<_>>());
        assert_eq!((shown.points.len(), shown.counted), (100, 100));
    }

    #[test]
    fn a_reader_gets_what_came_since() {
        let board = board_of(10);
        let shown = board.look(7, crate::run::now());
        assert_eq!(shown.points.iter().map(|point| point.score.unwrap()).collect::<Vec<_>>(), [8.0, 9.0, 10.0]);
        assert_eq!(board.look(99, crate::run::now()).points, []);
    }

    #[test]
    fn parts_per_minute_follow_the_line_and_fade_when_it_stops() {
        let mut inner = Inner::default();
        inner.triggers.extend((0..31).map(|i| 1_000_000 * i));
        assert_eq!(inner.per_minute(30_000_000), 60.0);
        assert_eq!(inner.per_minute(60_000_000), 30.0);
        assert_eq!(inner.per_minute(200_000_000), 0.0);
    }
}
