//! The watch over the reject way: was a part that was rejected seen to fall, and is there room for it.

use crate::{ErrorCode, Micros};

/// Expects a part on the reject way for every one that the gate rejected. `N`: parts that can be falling at once.
#[derive(Clone, Debug)]
pub struct RejectConfirm<const N: usize> {
    window: Micros,
    expected: heapless::Deque<Micros, N>,
    bin_full: bool,
}

impl<const N: usize> RejectConfirm<N> {
    /// A rejected part has to be seen within `window`.
    pub fn new(window: Micros) -> Self {
        Self { window, expected: heapless::Deque::new(), bin_full: false }
    }

    /// The gate rejected a part that is at the gate now: a `Settled` event whose reason is neither `Overflow` nor
    /// `Unseen`, for those two are told before the part is there.
    ///
    /// # Errors
    /// [`ErrorCode::BinFull`] where there is no room for it, [`ErrorCode::RejectUnconfirmed`] where more parts are falling
    /// than can be watched.
    pub fn rejected(&mut self, now: Micros) -> Result<(), ErrorCode> {
        let watched = self.expected.push_back(now.saturating_add(self.window));
        if self.bin_full {
            return Err(ErrorCode::BinFull);
        }
        watched.map_err(|_| ErrorCode::RejectUnconfirmed)
    }

    /// REJECT_CONFIRM saw a part; it stands for the one rejected longest ago.
    pub fn seen(&mut self) {
        let _ = self.expected.pop_front();
    }

    /// Level of BIN_FULL.
    ///
    /// # Errors
    /// [`ErrorCode::BinFull`] when it rises.
    pub fn bin_full(&mut self, full: bool) -> Result<(), ErrorCode> {
        let rising = full && !self.bin_full;
        self.bin_full = full;
        if rising { Err(ErrorCode::BinFull) } else { Ok(()) }
    }

    /// Time has passed; call it until it gives nothing more. Each [`ErrorCode::RejectUnconfirmed`] is one part that may
    /// be among the good ones.
    pub fn poll(&mut self, now: Micros) -> Option<ErrorCode> {
        self.deadline().filter(|deadline| now >= *deadline)?;
        self.seen();
        Some(ErrorCode::RejectUnconfirmed)
    }

    /// When [`RejectConfirm::poll`] is next worth calling.
    pub fn deadline(&self) -> Option<Micros> {
        self.expected.front().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::millis;

    #[test]
    fn a_part_not_seen_in_time_is_an_error_each() {
        let mut watch: RejectConfirm<4> = RejectConfirm::new(millis(200));
        for at in [0, 50, 100] {
            assert_eq!(watch.rejected(millis(at)), Ok(()));
        }
        watch.seen();
        assert_eq!(watch.deadline(), Some(millis(250)));
        assert_eq!(watch.poll(millis(249)), None);
        assert_eq!(watch.poll(millis(300)), Some(ErrorCode::RejectUnconfirmed));
        assert_eq!(watch.poll(millis(300)), Some(ErrorCode::RejectUnconfirmed));
        assert_eq!(watch.poll(millis(300)), None);
    }

    #[test]
    fn more_than_can_be_watched_is_an_error() {
        let mut watch: RejectConfirm<1> = RejectConfirm::new(millis(200));
        assert_eq!(watch.rejected(0), Ok(()));
        assert_eq!(watch.rejected(0), Err(ErrorCode::RejectUnconfirmed));
    }

    #[test]
    fn a_full_bin_is_told_once_and_again_with_every_part() {
        let mut watch: RejectConfirm<4> = RejectConfirm::new(millis(200));
        assert_eq!(watch.bin_full(true), Err(ErrorCode::BinFull));
        assert_eq!(watch.bin_full(true), Ok(()));
        assert_eq!(watch.rejected(0), Err(ErrorCode::BinFull));
        assert_eq!(watch.bin_full(false), Ok(()));
        assert_eq!(watch.rejected(0), Ok(()));
    }
}
