//! A response whose body is read as it comes.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use smol::io::AsyncRead;
use smol::stream::Stream;

use super::alarm::Alarm;
use super::reader::Reader;
use crate::engine::{Opened, io_error};
use crate::error::{Error, Phase};
use crate::response::Response;
use crate::transport::Failure;

/// A response with a good status, its body still on the way.
///
/// It is a [`Stream`] of pieces and an [`AsyncRead`] of the decoded body, under
/// the same limits: `max_body`, the idle time between two reads, and the call's
/// `total` (the limit of the attempt ends with the head). Errors of `AsyncRead`
/// have the [`Error`] as their inner error. Dropped before the end, it closes its
/// connection.
///
/// It keeps its place at the gate until it is dropped.
pub struct Streamed {
    opened: Opened,
    body: Option<Reader>,
    piece: Bytes,
    alarm: Alarm,
    /// The idle time runs: a read has begun and given nothing yet.
    reading: bool,
}

impl Streamed {
    pub(super) fn new(opened: Opened, body: Reader, alarm: Alarm) -> Streamed {
        Streamed { opened, body: Some(body), piece: Bytes::new(), alarm, reading: false }
    }

    /// The response without its body: status, headers, URL, attempts.
    pub fn response(&self) -> &Response {
        self.opened.response()
    }

    /// The length of the body in bytes, where the server told and no coding was undone.
    pub fn length(&self) -> Option<u64> {
        self.opened.length()
    }

    /// Bytes of the decoded body so far.
    pub fn received(&self) -> u64 {
        self.opened.received()
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// As the call's own, for what happens on the way.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped; the next one goes on.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        std::future::poll_fn(|cx| self.poll_piece(cx)).await.transpose()
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        if !self.piece.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.piece))));
        }
        while !self.opened.is_over() {
            let read = ready!(self.poll_raw(cx));
            if !matches!(read, Some(Ok(_))) {
                self.body = None;
            }
            match self.opened.take(read).transpose() {
                Some(Ok(piece)) if piece.is_empty() => {}
                piece => return Poll::Ready(piece),
            }
        }
        Poll::Ready(None)
    }

    fn poll_raw(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        let limits = &self.opened.exchange;
        if !self.reading {
            // The limit is on the server; how long the caller paused does not count.
            limits.enter(Phase::Body);
            self.reading = true;
        }
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let read = ready!(self.alarm.poll(cx, |_, cx| match body.poll_piece(cx) {
            Poll::Ready(read) => {
                Ok(read.map(|read| read.map_err(|error| Failure::from_io(error, Phase::Body))))
            }
            Poll::Pending => match limits.look() {
                Ok(again) => Err(Some(again)),
                Err(late) => Ok(Some(Err(late))),
            },
        }));
        self.reading = false;
        Poll::Ready(read)
    }
}

impl Stream for Streamed {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_piece(cx)
    }
}

impl AsyncRead for Streamed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.piece.is_empty() {
            match ready!(self.poll_piece(cx)) {
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
                None => return Poll::Ready(Ok(0)),
            }
        }
        let read = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..read]);
        Poll::Ready(Ok(read))
    }
}

impl fmt::Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamed")
            .field("response", self.response())
            .field("received", &self.received())
            .finish_non_exhaustive()
    }
}
