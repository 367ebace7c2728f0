use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Waits for a peer's thread to say goodbye; it does once the line's recorder has ended.
pub struct Ending(Receiver<()>);

impl Ending {
    pub(super) fn new() -> (SyncSender<()>, Self) {
        let (end, ended) = sync_channel(1);
        (end, Self(ended))
    }

    /// Waits at most so long.
    pub fn wait(&self, longest: Duration) {
        let _ = self.0.recv_timeout(longest);
    }
}
