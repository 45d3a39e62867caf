//! Bodies as surf wants them.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes};
use smol::Timer;
use smol::future::Future;
use smol::io::{AsyncBufRead, AsyncRead};
use smol::lock::SemaphoreGuardArc;

use crate::error::Phase;
use crate::nonblocking::Reader;
use crate::transport::Exchange;

/// Reads a body, within the limits of time where nobody above keeps them.
pub(super) struct Incoming {
    /// The lock is never taken: surf wants a body to be `Sync`.
    reader: Mutex<State>,
    piece: Bytes,
    limits: Option<Limits>,
}

enum State {
    Open {
        reader: Reader,
        /// Among the connections to the host, until the body is complete.
        _place: Option<SemaphoreGuardArc>,
    },
    Complete,
    /// The error, until it is told; then there is just no more.
    Broken(Option<io::Error>),
}

struct Limits {
    exchange: Arc<Exchange>,
    alarm: Alarm,
}

impl Incoming {
    pub(super) fn new(reader: Reader, place: Option<SemaphoreGuardArc>) -> Incoming {
        let reader = Mutex::new(State::Open { reader, _place: place });
        Incoming { reader, piece: Bytes::new(), limits: None }
    }

    /// Keeps the limits of time here, for nobody above does.
    pub(super) fn within(mut self, exchange: Arc<Exchange>) -> Incoming {
        exchange.enter(Phase::Body);
        self.limits = Some(Limits { exchange, alarm: Alarm::default() });
        self
    }

    fn state(&mut self) -> &mut State {
        self.reader.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Sees whether there is more. A body that is complete lets its connection go, and a reader
    /// that knows the length may never ask for what is behind its last byte.
    pub(super) fn look(&mut self, cx: &mut Context<'_>) {
        while self.piece.is_empty() {
            let State::Open { reader, .. } = self.state() else { return };
            let next = match reader.poll_piece(cx) {
                Poll::Ready(Some(Ok(piece))) => {
                    self.piece = piece;
                    if let Some(limits) = &self.limits {
                        limits.exchange.enter(Phase::Body);
                    }
                    continue;
                }
                Poll::Ready(Some(Err(error))) => State::Broken(Some(error)),
                Poll::Ready(None) => State::Complete,
                Poll::Pending => match self.limits.as_mut().map(|limits| limits.late(cx)) {
                    Some(Some(late)) => State::Broken(Some(late)),
                    _ => return,
                },
            };
            *self.state() = next;
        }
    }

    /// Whether there is no byte of it, and there will be none.
    pub(super) fn is_empty(&mut self) -> bool {
        self.piece.is_empty() && matches!(self.state(), State::Complete)
    }
}

impl Limits {
    fn late(&mut self, cx: &mut Context<'_>) -> Option<io::Error> {
        let passed = self.alarm.passed(self.exchange.deadline(), cx);
        passed.then(|| self.exchange.timed_out().into())
    }
}

impl AsyncBufRead for Incoming {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        this.look(cx);
        if this.piece.is_empty() {
            match this.state() {
                State::Open { .. } => return Poll::Pending,
                State::Complete => {}
                State::Broken(error) => {
                    let again = || io::Error::from(io::ErrorKind::UnexpectedEof);
                    return Poll::Ready(Err(error.take().unwrap_or_else(again)));
                }
            }
        }
        Poll::Ready(Ok(&this.piece))
    }

    fn consume(mut self: Pin<&mut Self>, bytes: usize) {
        self.piece.advance(bytes);
    }
}

impl AsyncRead for Incoming {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let piece = ready!(self.as_mut().poll_fill_buf(cx))?;
        let bytes = piece.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&piece[..bytes]);
        self.as_mut().consume(bytes);
        if self.limits.is_some() {
            self.look(cx);
        }
        Poll::Ready(Ok(bytes))
    }
}

/// A reader that is `Sync`, for the lock is never taken.
pub(super) struct Still<R>(Mutex<R>);

impl<R> Still<R> {
    pub(super) fn new(reader: R) -> Still<R> {
        Still(Mutex::new(reader))
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Still<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let reader = self.0.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        Pin::new(reader).poll_read(cx, buffer)
    }
}

/// A timer that is set when it is first needed.
#[derive(Default)]
pub(super) struct Alarm(Option<Timer>);

impl Alarm {
    /// Whether `due` has passed; if not, the task is woken then.
    pub(super) fn passed(&mut self, due: Instant, cx: &mut Context<'_>) -> bool {
        if Instant::now() >= due {
            return true;
        }
        let timer = self.0.get_or_insert_with(|| Timer::at(due));
        timer.set_at(due);
        Pin::new(timer).poll(cx).is_ready()
    }
}
