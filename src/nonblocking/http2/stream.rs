//! One request and its response, on a connection that others use as well.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::header::{self, HeaderName};
use http::{Method, Request, Response, StatusCode, Version, response};
use http_body::Body as _;

use super::super::outgoing::Outgoing;
use super::super::reader::Reader;
use super::connection::Connection;
use super::fault::{failure, lost};
use super::late::Ear;
use crate::body::Body;
use crate::error::{ErrorKind, Phase, Sent};
use crate::transport::{Exchange, Failure};

/// Fields that speak of a connection, which in HTTP/2 no message may (RFC 9113 section 8.2.2); and
/// `Host`, which the URL gives.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::HOST,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

impl Connection {
    pub(in super::super) async fn run(
        self: Arc<Connection>,
        request: Request<Body>,
        exchange: &Arc<Exchange>,
    ) -> Result<Response<Reader>, Failure> {
        exchange.enter(Phase::Send);
        let head = request.method() == Method::HEAD;
        let place = self.place(exchange.phase()).await?;
        let mut call = Call::new(place, request, exchange)?;
        let (parts, body) = poll_fn(|cx| call.poll_head(cx, exchange)).await?.into_parts();
        let bodiless =
            head || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if bodiless || body.is_end_stream() {
            call.place.answered = true;
            return Ok(Response::from_parts(parts, Reader::from(Bytes::new())));
        }
        let incoming = call.incoming(&parts, body, exchange);
        Ok(Response::from_parts(parts, Reader::shared(incoming)))
    }
}

/// A call's place on a connection.
pub(super) struct Place {
    connection: Arc<Connection>,
    answered: bool,
}

impl Place {
    pub(super) fn new(connection: Arc<Connection>) -> Place {
        Place { connection, answered: false }
    }

    fn failure(&mut self, error: &h2::Error, phase: Phase) -> Failure {
        // It was reset, or the connection is gone: there is nothing to doubt.
        self.answered = true;
        failure(error, &self.connection.health, phase)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connection.health.call_ends(self.answered);
    }
}

/// A request whose answer has not begun. Dropped, it resets its stream; the place, which is
/// dropped first, says whether the task that this wakes has a reason for doubt.
struct Call {
    place: Place,
    response: ResponseFuture,
    upload: Option<Upload>,
    sender: h2::client::SendRequest<Bytes>,
    opened: bool,
    ear: Ear,
    /// What had gone over the connection before.
    written: u64,
}

impl Call {
    fn new(mut place: Place, request: Request<Body>, exchange: &Exchange) -> Result<Call, Failure> {
        let (mut parts, body) = request.into_parts();
        for name in &HOP_BY_HOP {
            parts.headers.remove(name);
        }
        parts.version = Version::HTTP_2;
        let body = Outgoing::new(body, usize::MAX);
        let bodiless = body.is_end_stream();
        let mut sender = place.connection.sender.clone();
        let written = place.connection.health.written();
        let sent = sender.send_request(Request::from_parts(parts, ()), bodiless);
        let (response, stream) =
            sent.map_err(|error| place.failure(&error, exchange.phase()).sent(Sent::No))?;
        // h2 sends it, sooner or later, whatever becomes of the call.
        exchange.wrote(1);
        let upload = (!bodiless).then(|| Upload { stream, body, piece: Bytes::new(), moved: 0 });
        Ok(Call { place, response, upload, sender, opened: false, ear: Ear::new(), written })
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &Exchange,
    ) -> Poll<Result<Response<RecvStream>, Failure>> {
        let cx = &mut self.ear.of(cx);
        let answer = Pin::new(&mut self.response).poll(cx);
        // Until there is room for the stream, not a byte of it is sent. Asked after the answer, which
        // may have come just now.
        self.opened = self.opened || self.sender.poll_ready(cx).is_ready();
        if answer.is_pending() && self.opened {
            let before = self.upload.as_ref().map(|upload| upload.moved);
            let sent = poll_upload(&mut self.upload, cx)?.is_ready();
            let moved = self.upload.as_ref().map(|upload| upload.moved) != before;
            if exchange.phase() == Phase::Send && (sent || moved) {
                // The limit is on a pause, not on the whole of it.
                exchange.enter(if sent { Phase::Head } else { Phase::Send });
            }
        }
        let head = ready!(answer).map_err(|error| self.failure(&error, exchange.phase()))?;
        exchange.received(1);
        Poll::Ready(Ok(head))
    }

    fn failure(&mut self, error: &h2::Error, phase: Phase) -> Failure {
        let gone = self.opened && self.place.connection.health.written() > self.written;
        let failure = self.place.failure(error, phase);
        // Nor will it go any more.
        if gone { failure } else { failure.sent(Sent::No) }
    }

    fn incoming(
        self,
        head: &response::Parts,
        body: RecvStream,
        exchange: &Arc<Exchange>,
    ) -> Incoming {
        let length = head.headers.get(header::CONTENT_LENGTH);
        let left = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let Call { place, upload, ear, .. } = self;
        Incoming { place, body, upload, left, ear, exchange: exchange.clone() }
    }
}

/// The body of a request, on its way as the server makes room for it.
struct Upload {
    stream: SendStream<Bytes>,
    body: Outgoing,
    /// Read, and not yet sent.
    piece: Bytes,
    /// How often some of it went to h2.
    moved: u64,
}

impl Upload {
    /// Ready when all of it is with h2, or nobody wants it any more.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            if self.piece.is_empty() {
                match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                    Some(Ok(frame)) => self.piece = frame.into_data().unwrap_or_default(),
                    Some(Err(error)) => {
                        return Poll::Ready(Err(Failure::from_io(error, Phase::Send)));
                    }
                    None => {
                        let _ = self.stream.send_data(Bytes::new(), true);
                        return Poll::Ready(Ok(()));
                    }
                }
                continue;
            }
            self.stream.reserve_capacity(self.piece.len());
            let room = match self.stream.capacity() {
                0 => ready!(self.stream.poll_capacity(cx)),
                room => Some(Ok(room)),
            };
            // Why the stream takes no more, the response will tell.
            let Some(Ok(room)) = room else { return Poll::Ready(Ok(())) };
            let part = self.piece.split_to(room.min(self.piece.len()));
            let last = self.piece.is_empty() && self.body.is_end_stream();
            self.moved += 1;
            if self.stream.send_data(part, last).is_err() || last {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// Lets go of an upload that is done, for then it is the connection's.
fn poll_upload(upload: &mut Option<Upload>, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
    if let Some(sending) = upload {
        ready!(sending.poll(cx))?;
        *upload = None;
    }
    Poll::Ready(Ok(()))
}

/// A body on its way in.
pub(in super::super) struct Incoming {
    place: Place,
    body: RecvStream,
    /// The server may answer before it has the whole request.
    upload: Option<Upload>,
    /// What is to come, where the server has told.
    left: Option<u64>,
    ear: Ear,
    exchange: Arc<Exchange>,
}

impl Incoming {
    pub(in super::super) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        let cx = &mut self.ear.of(cx);
        if let Poll::Ready(Err(failure)) = poll_upload(&mut self.upload, cx) {
            return Poll::Ready(Some(Err(failure.into())));
        }
        loop {
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => {
                    // Read, so there is room for as much again.
                    let _ = self.body.flow_control().release_capacity(piece.len());
                    self.exchange.received(piece.len());
                    if let Some(left) = &mut self.left {
                        *left = left.saturating_sub(piece.len() as u64);
                    }
                    return Poll::Ready(Some(Ok(piece)));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(self.failure(&error).into()))),
                // Trailers tell us nothing.
                None => {
                    self.place.answered = true;
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn failure(&mut self, error: &h2::Error) -> Failure {
        let failure = self.place.failure(error, Phase::Body);
        // h2 calls it a protocol error (RFC 9113 section 8.1.1); everywhere else it is an early end.
        if failure.kind == ErrorKind::Protocol && error.is_reset() && self.left > Some(0) {
            return lost(Phase::Body, "the body is not as long as it should be");
        }
        failure
    }
}
