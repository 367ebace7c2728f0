//! A connection that ends when its peer is silent, does not read, or sends what must not be decoded.

use super::frame::Frames;
use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// Longest wait for a peer to take an answer.
const WRITE: Duration = Duration::from_secs(5);

pub(super) struct Timed {
    stream: TcpStream,
    idle: Duration,
    read: Pin<Box<Sleep>>,
    write: Option<Pin<Box<Sleep>>>,
    frames: Frames,
}

impl Timed {
    pub(super) fn new(stream: TcpStream, idle: Duration) -> Self {
        Self { stream, idle, read: Box::pin(sleep(idle)), write: None, frames: Frames::default() }
    }
}

impl AsyncRead for Timed {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(done) => {
                if !self.frames.sound(buffer.filled().get(before..).unwrap_or_default()) {
                    let error = Error::new(ErrorKind::InvalidData, "a request that contradicts itself");
                    return Poll::Ready(Err(error));
                }
                let until = Instant::now() + self.idle;
                self.read.as_mut().reset(until);
                Poll::Ready(done)
            }
            Poll::Pending if self.read.as_mut().poll(context).is_ready() => Poll::Ready(Err(late())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for Timed {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Ready(done) => {
                self.write = None;
                Poll::Ready(done)
            }
            Poll::Pending => {
                let write = self.write.get_or_insert_with(|| Box::pin(sleep(WRITE)));
                write.as_mut().poll(context).map(|()| Err(late()))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn late() -> Error {
    Error::new(ErrorKind::TimedOut, "the peer is silent")
}
