//! A response whose body is read as it comes.

use std::fmt;
use std::io::{self, Read};

use bytes::{Buf, Bytes};

use super::Reader;
use crate::body::PIECE;
use crate::engine::{Opened, io_error};
use crate::error::{Error, Phase};
use crate::response::Response;
use crate::transport::Failure;

/// A response with a good status, its body still on the way.
///
/// It is a [`Read`] of the decoded body, under the same limits: `max_body`, the
/// idle time between two reads, and the call's `total` (the limit of the attempt
/// ends with the head). Errors of `read` have the [`Error`] as their inner error.
/// Dropped before the end, it closes its connection.
///
/// It keeps its place at the gate until it is dropped.
pub struct Streamed {
    opened: Opened,
    body: Option<Reader>,
    piece: Bytes,
    buffer: Vec<u8>,
}

impl Streamed {
    pub(super) fn new(opened: Opened, body: Reader) -> Streamed {
        Streamed { opened, body: Some(body), piece: Bytes::new(), buffer: Vec::new() }
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
    /// # Blocking
    /// Blocks until a piece is there, at most for the idle limit.
    pub fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        if !self.piece.is_empty() {
            return Ok(Some(std::mem::take(&mut self.piece)));
        }
        while !self.opened.is_over() {
            let read = self.read_raw();
            if !matches!(read, Some(Ok(_))) {
                self.body = None;
            }
            match self.opened.take(read)? {
                Some(piece) if piece.is_empty() => {}
                piece => return Ok(piece),
            }
        }
        Ok(None)
    }

    fn read_raw(&mut self) -> Option<Result<Bytes, Failure>> {
        self.buffer.resize(PIECE, 0);
        self.opened.exchange.enter(Phase::Body);
        let body = self.body.as_mut()?;
        loop {
            return match body.read(&mut self.buffer) {
                Ok(0) => None,
                Ok(read) => Some(Ok(Bytes::copy_from_slice(&self.buffer[..read]))),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Some(Err(Failure::from_io(error, Phase::Body))),
            };
        }
    }
}

impl Read for Streamed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            self.piece = self.piece().map_err(io_error)?.unwrap_or_default();
        }
        let read = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..read]);
        Ok(read)
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
