//! A response whose body the caller reads, with the call's limits still on it.

use std::sync::Arc;

use bytes::Bytes;

use super::gate::Permit;
use super::inbox::Inbox;
use crate::error::{Error, ErrorKind};
use crate::response::Response;
use crate::transport::{Exchange, Failure};

/// Turns the raw pieces of a body into decoded ones. Both colours only move bytes into it.
pub(crate) struct Opened {
    response: Response,
    pub(crate) exchange: Arc<Exchange>,
    inbox: Option<Inbox>,
    received: u64,
    /// The call's place at the gate, until the body is read.
    _permit: Option<Permit>,
}

impl Opened {
    pub(crate) fn new(
        response: Response,
        exchange: Arc<Exchange>,
        inbox: Inbox,
        permit: Option<Permit>,
    ) -> Opened {
        exchange.open();
        Opened { response, exchange, inbox: Some(inbox), received: 0, _permit: permit }
    }

    pub(crate) fn response(&self) -> &Response {
        &self.response
    }

    pub(crate) fn length(&self) -> Option<u64> {
        self.response.header("content-length")?.parse().ok()
    }

    /// Bytes handed over so far.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// What came of one read: a piece, the end, or a failure. Gives what is to be
    /// handed over, which may be nothing yet; `None` is the end.
    pub(crate) fn take(
        &mut self,
        read: Option<Result<Bytes, Failure>>,
    ) -> Result<Option<Bytes>, Error> {
        let Some(inbox) = &mut self.inbox else { return Ok(None) };
        let taken = match read {
            Some(Ok(piece)) => inbox.push_bytes(piece).map(|_| inbox.hand_over()),
            Some(Err(failure)) => Err(failure),
            None => self.inbox.take().expect("just seen").finish(),
        };
        match taken {
            Ok(piece) => {
                self.received += piece.len() as u64;
                let over = self.inbox.is_none() && piece.is_empty();
                Ok(Some(piece).filter(|_| !over))
            }
            Err(failure) => Err(self.fail(failure)),
        }
    }

    /// The error of a body that ends here.
    pub(crate) fn fail(&mut self, failure: Failure) -> Error {
        self.inbox = None;
        let attempts = self.response.trace();
        let error = failure.sent(crate::Sent::Yes).into_error();
        let error = error.of(self.response.method(), self.response.redacted_url());
        error.after(attempts, std::time::Duration::ZERO)
    }

    /// What a read meets that comes after an error or the end.
    pub(crate) fn is_over(&self) -> bool {
        self.inbox.is_none()
    }
}

/// An I/O error, for `Read` and its like: the call's error is its inner error.
pub(crate) fn io_error(error: Error) -> std::io::Error {
    use std::io::ErrorKind as Io;
    let kind = match error.kind() {
        ErrorKind::Timeout(_) => Io::TimedOut,
        ErrorKind::Truncated => Io::UnexpectedEof,
        ErrorKind::Decode | ErrorKind::Protocol => Io::InvalidData,
        _ => Io::Other,
    };
    std::io::Error::new(kind, error)
}
