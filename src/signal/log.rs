use std::io::Write;

use super::{Message, Signal, SignalError};
use crate::decide::Verdict;

/// A line of text a message, for people; for a controller use a wire form.
///
/// It writes where it is called: a stream whose reader stalls stalls the caller, so give it a terminal or a file.
pub struct LogSignal<W> {
    out: W,
}

impl<W: Write + Send> LogSignal<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// The stream.
    pub fn into_inner(self) -> W {
        self.out
    }
}

impl<W: Write + Send> Signal for LogSignal<W> {
    fn send(&mut self, message: &Message) -> Result<(), SignalError> {
        let io = |source| SignalError::Io { device: "log".to_owned(), source };
        writeln!(self.out, "{}", sentence(message)).and_then(|()| self.out.flush()).map_err(io)
    }
}

fn sentence(message: &Message) -> String {
    match message {
        Message::Result(result) => {
            let verdict = match result.verdict() {
                Verdict::Accept => "OK",
                Verdict::Reject => "NG",
                Verdict::Fault => "ERR",
            };
            let score = result.score().map_or_else(|| "no score".to_owned(), |score| format!("score {score:.6}"));
            format!("part {} {verdict}, {score}, recipe {}", result.part(), result.recipe())
        }
        Message::Heartbeat { beat, state } => format!("heartbeat {beat}, {}", state.name()),
        Message::Error(error) => format!("error {}: {error}", error.code()),
        Message::Recipe { number, loaded: true } => format!("recipe {number} in use"),
        Message::Recipe { number, loaded: false } => format!("recipe {number} not loaded"),
        Message::Trigger { part: Some(part) } => format!("trigger for part {part}"),
        Message::Trigger { part: None } => "trigger".to_owned(),
        Message::Ack { part } => format!("part {part} acknowledged"),
        Message::ChangeRecipe { number } => format!("change to recipe {number}"),
        Message::Reset => "reset".to_owned(),
        Message::Alive { beat } => format!("controller alive {beat}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::PartResult;

    #[test]
    fn a_result_is_one_readable_line() {
        let mut log = LogSignal::new(Vec::new());
        log.send(&Message::Result(PartResult::new(17, Verdict::Accept, 0.4213, 3))).unwrap();
        log.send(&Message::Result(PartResult::new(18, Verdict::Accept, f32::NAN, 3))).unwrap();
        log.send(&Message::Error(mudenet_board::ErrorCode::CameraLost)).unwrap();
        assert_eq!(
            String::from_utf8(log.into_inner()).unwrap(),
            "part 17 OK, score 0.421300, recipe 3\npart 18 ERR, no score, recipe 3\nerror 1: camera lost\n"
        );
    }

    #[test]
    fn a_full_disk_is_an_error() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        assert!(matches!(LogSignal::new(Full).send(&Message::Reset), Err(SignalError::Io { .. })));
    }
}
