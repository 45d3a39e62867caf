//! The body of a request on its way out.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use smol::io::AsyncRead;

use crate::body::{Body, PIECE};

/// The request's body, if it has one. Small: hyper keeps room for 32 requests with
/// every connection.
#[derive(Default)]
pub(super) struct Outgoing(pub(super) Option<Box<Load>>);

/// What is left of its bytes, or what a reader gives.
pub(super) struct Load {
    data: Bytes,
    /// How many of them go at once.
    most: usize,
    reader: Option<(Box<dyn AsyncRead + Send + Unpin>, BytesMut)>,
    left: Option<u64>,
    /// The server has yet to ask for it. Whoever lets it go polls the connection next.
    pub(super) held: Option<Arc<AtomicBool>>,
    /// hyper has yet to take it all.
    pub(super) untaken: Arc<AtomicBool>,
}

impl Outgoing {
    pub(super) fn new(body: Body, most: usize) -> Outgoing {
        if body.is_empty() {
            return Outgoing(None);
        }
        let left = body.length();
        let data = body.bytes().cloned();
        let mut reader: Option<(Box<dyn AsyncRead + Send + Unpin>, _)> = None;
        if data.is_none() {
            reader = Some((Box::new(body.into_async_reader()), BytesMut::new()));
        }
        let data = data.unwrap_or_default();
        let untaken = Arc::new(AtomicBool::new(true));
        Outgoing(Some(Box::new(Load { data, most, reader, left, held: None, untaken })))
    }

    /// Whether nobody knows how long it is.
    pub(super) fn is_endless(&self) -> bool {
        self.0.as_ref().is_some_and(|load| load.left.is_none())
    }

    pub(super) fn hold(&mut self, held: Arc<AtomicBool>) {
        if let Some(load) = &mut self.0 {
            load.held = Some(held);
        }
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let Some(this) = &mut self.0 else { return Poll::Ready(None) };
        if this.held.as_ref().is_some_and(|held| held.load(Relaxed)) {
            return Poll::Pending;
        }
        let piece = match &mut this.reader {
            None if this.data.is_empty() => None,
            None => Some(this.data.split_to(this.most.min(this.data.len()))),
            Some((reader, buffer)) => {
                buffer.resize(PIECE, 0);
                match ready!(Pin::new(reader).poll_read(cx, buffer)) {
                    Ok(0) => None,
                    Ok(read) => Some(buffer.split_to(read).freeze()),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
        };
        if let (Some(left), Some(piece)) = (&mut this.left, &piece) {
            *left = left.saturating_sub(piece.len() as u64);
        }
        if piece.is_none() || this.left == Some(0) {
            this.untaken.store(false, Relaxed);
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        let ended = |load: &Load| load.left == Some(0) || load.is_taken();
        self.0.as_deref().is_none_or(ended)
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.0.as_ref().map_or(Some(0), |load| load.left);
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Load {
    fn is_taken(&self) -> bool {
        self.data.is_empty() && self.reader.is_none()
    }
}
