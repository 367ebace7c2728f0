use super::Product;
use super::drift::DriftWatch;
use crate::capture::Frame;
use crate::decide::Verdict;
use crate::guard::guarded;
use crate::inspector::Inspection;
use mudenet_board::gate::{Outcome, Reason};
use mudenet_board::wire::PartResult;
use mudenet_board::{ErrorCode, Micros};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::spawn;
use std::time::Duration;

/// Records that wait for the disk.
const QUEUE: usize = 64;
/// Longest wait for the record at the end.
const GOODBYE: Duration = Duration::from_secs(2);

/// A part that has its result.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its number.
    pub part: u32,
    /// The recipe it was judged by.
    pub recipe: u16,
    /// What became of it.
    pub verdict: Verdict,
    /// Its score; `None` for a fault.
    pub score: Option<f32>,
    /// When it triggered, on [`now`](crate::run::now)'s clock.
    pub triggered: Micros,
    /// From the trigger to the result, µs.
    pub took: Micros,
    /// Of that, waiting for the picture.
    pub capture: Micros,
    /// Of that, inspecting.
    pub inspect: Micros,
    /// Why it could not be inspected.
    pub error: Option<String>,
    /// What the picture showed; `None` for a fault, and for accepted parts unless they are recorded.
    pub inspection: Option<Arc<Inspection>>,
    /// The whole picture; as above.
    pub frame: Option<Arc<Frame>>,
    /// What it was inspected with.
    pub product: Option<Arc<Product>>,
}

impl Finished {
    pub(super) fn new(result: PartResult, triggered: Micros, took: Micros) -> Self {
        Self {
            part: result.part(),
            recipe: result.recipe(),
            verdict: result.verdict(),
            score: result.score(),
            triggered,
            took,
            capture: 0,
            inspect: 0,
            error: None,
            inspection: None,
            frame: None,
            product: None,
        }
    }

    /// A part without a picture that was triggered at `triggered`.
    #[cfg(all(test, feature = "page"))]
    pub(crate) fn for_page(result: PartResult, triggered: Micros) -> Self {
        Self::new(result, triggered, 1000)
    }

    /// The part of the picture that was inspected and that the map is of.
    pub fn view(&self) -> Option<Arc<Frame>> {
        let frame = self.frame.as_ref()?;
        let region = self.product.as_ref().and_then(|product| product.region);
        let view = region.and_then(|region| frame.crop(region).ok());
        Some(view.map_or_else(|| Arc::clone(frame), Arc::new))
    }
}

/// One thing to write down.
#[derive(Clone, Debug)]
pub enum Record {
    /// A part has its result.
    Part(Finished),
    /// A part came by and was not inspected; it is rejected.
    Uninspected {
        /// Its number.
        part: u32,
        /// Why.
        reason: Reason,
        /// When.
        at: Micros,
    },
    /// A part left through the gate.
    Settled {
        /// Its number.
        part: u32,
        /// Which way.
        outcome: Outcome,
        /// When.
        at: Micros,
    },
    /// Something went wrong.
    Error {
        /// What.
        code: ErrorCode,
        /// When.
        at: Micros,
    },
    /// A sentence for people.
    Notice {
        /// It.
        text: String,
    },
}

/// Where records go: a disk, a page, a terminal.
pub trait RecordSink: Send {
    /// Takes one. It may wait for a disk: the line goes on without it and counts what it cannot hand over.
    fn put(&mut self, record: &Record);
}

/// Keeps nothing.
impl RecordSink for () {
    fn put(&mut self, _record: &Record) {}
}

/// Several, each of which gets every record whatever the others do.
impl RecordSink for Vec<Box<dyn RecordSink>> {
    fn put(&mut self, record: &Record) {
        for sink in self {
            let _ = guarded(|| sink.put(record));
        }
    }
}

/// The thread that owns the record.
pub(super) struct Recorder {
    queue: SyncSender<Record>,
    ended: Receiver<()>,
    dropped: u64,
}

impl Recorder {
    /// `drift` is shown every record before `sink`.
    pub(super) fn start(mut sink: Box<dyn RecordSink>, mut drift: Option<DriftWatch>) -> Self {
        let (queue, records) = sync_channel::<Record>(QUEUE);
        let (end, ended) = sync_channel(1);
        spawn(move || {
            for record in records {
                let _ = guarded(|| drift.iter_mut().for_each(|drift| drift.see(&record)));
                // A record that cannot be written must not stop the next one.
                let _ = guarded(|| sink.put(&record));
            }
            drop(sink);
            let _ = end.try_send(());
        });
        Self { queue, ended, dropped: 0 }
    }

    pub(super) fn put(&mut self, record: Record) {
        if self.queue.try_send(record).is_err() {
            self.dropped += 1;
        }
    }

    /// Records that found no room.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn notice(&mut self, text: String) {
        self.put(Record::Notice { text });
    }

    /// Lets what waits be written and gives the number of records that were dropped.
    pub(super) fn stop(self) -> u64 {
        drop(self.queue);
        let _ = self.ended.recv_timeout(GOODBYE);
        self.dropped
    }
}
