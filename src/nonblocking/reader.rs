//! The body of a response as an async transport gives it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use smol::stream::{self, Stream};

use super::{h1, http2};

/// A body on its way in, piece by piece: raw, undecoded.
pub struct Reader(Source);

enum Source {
    Own(h1::Incoming),
    Shared(Box<http2::Incoming>),
    Other(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
}

impl Reader {
    /// A body from a stream of pieces. An error may have a
    /// [`Failure`](crate::transport::Failure) as its inner error.
    pub fn from_stream(pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Reader {
        Reader(Source::Other(Box::pin(pieces)))
    }

    pub(super) fn own(incoming: h1::Incoming) -> Reader {
        Reader(Source::Own(incoming))
    }

    #[cfg(feature = "http2")]
    pub(super) fn shared(incoming: http2::Incoming) -> Reader {
        Reader(Source::Shared(Box::new(incoming)))
    }

    /// The next piece; `None` when the body is complete.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        match &mut self.0 {
            Source::Own(incoming) => incoming.poll_piece(cx),
            Source::Shared(incoming) => incoming.poll_piece(cx),
            Source::Other(pieces) => pieces.as_mut().poll_next(cx),
        }
    }
}

impl From<Bytes> for Reader {
    fn from(body: Bytes) -> Reader {
        Reader::from_stream(stream::once(Ok(body)))
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}
