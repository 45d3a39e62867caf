//! HTTP/1.1 by hyper, its connection polled by the task that awaits the answer.

use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::header::{EXPECT, HOST};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming as HyperBody;
use hyper::client::conn::http1;
use smol::io::AsyncRead;

use super::connect::Means;
use super::idle::{Idle, Origin};
use super::reader::Reader;
use super::socket::{Link, Reactor};
use super::transport::Transport;
use super::wire::Wire;
use crate::api::Api;
use crate::body::{Body, PIECE};
use crate::error::{ErrorKind, Phase};
use crate::proxy::{self, Proxy};
use crate::transport::{Exchange, Failure, MAX_HEAD};

pub(crate) struct Http1 {
    means: Means,
    idle: Arc<Idle>,
}

impl Http1 {
    pub(super) fn new(api: &Api, reactor: Reactor) -> Http1 {
        let idle = Arc::new(Idle::new(api.concurrency()));
        Http1 { means: Means::new(api, reactor), idle }
    }

    pub(super) async fn run(
        &self,
        request: Request<Body>,
        exchange: &Arc<Exchange>,
    ) -> Result<Response<Reader>, Failure> {
        let proxy = self.means.forwarder(request.uri())?;
        let reused = self.idle.take(request.uri(), self.means.reactor);
        exchange.set_reused(reused.is_some());
        let mut connection = match reused {
            Some(connection) => connection,
            // Boxed: it is large, and rare.
            None => Box::pin(self.open(request.uri(), exchange)).await?,
        };
        connection.link.serve(Some(exchange));
        exchange.enter(Phase::Send);
        let request = to_hyper(request, connection.host.clone(), proxy);
        let head = connection.request(request, exchange).await?;
        // Who answers before it has the whole request wants no more of it (RFC 9112 section 9.5).
        let early = connection.link.is_early();
        let (parts, body) = head.into_parts();
        proxy::judge(proxy, parts.status)?;
        let (idle, exchange) = (self.idle.clone(), exchange.clone());
        let incoming = Incoming { connection: Some(connection), body, idle, exchange, early };
        Ok(Response::from_parts(parts, Reader::own(incoming)))
    }

    async fn open(&self, uri: &Uri, exchange: &Exchange) -> Result<Box<Connection>, Failure> {
        let (wire, link) = self.means.connect(uri, exchange).await?;
        // Told of a number of fields, even of its own, it would allocate for each head.
        let shaken = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(wire).await;
        let (sender, driver) = shaken.map_err(|error| failure(&error, exchange))?;
        let authority = uri.authority().map(|authority| authority.as_str());
        let host = authority.and_then(|text| HeaderValue::from_str(text).ok());
        let host = host.expect("the engine's URLs have a good host");
        let origin = Origin::of(uri);
        Ok(Box::new(Connection { sender, driver, link, origin, host }))
    }
}

impl Transport for Http1 {
    async fn send(
        &self,
        request: Request<Body>,
        exchange: Arc<Exchange>,
    ) -> Result<Response<Reader>, Failure> {
        self.run(request, &exchange).await
    }
}

/// hyper wants a Host, and a path where we have a whole URL, unless that is for a proxy.
fn to_hyper(request: Request<Body>, host: HeaderValue, proxy: Option<&Proxy>) -> Request<Outgoing> {
    let (mut parts, body) = request.into_parts();
    parts.headers.insert(HOST, host);
    match proxy {
        Some(proxy) => proxy.sign(&mut parts.headers),
        None => {
            let path = parts.uri.into_parts().path_and_query;
            parts.uri = path.map_or_else(Uri::default, Uri::from);
        }
    }
    let announced = parts.headers.contains_key(EXPECT);
    let mut request = Request::from_parts(parts, Outgoing::new(body));
    if let (true, Some(load)) = (announced, &mut request.body_mut().0) {
        let held = Arc::new(AtomicBool::new(true));
        load.held = Some(held.clone());
        hyper::ext::on_informational(&mut request, move |head| {
            held.fetch_and(head.status() != StatusCode::CONTINUE, Relaxed);
        });
    }
    request
}

/// A connection and the future that moves its bytes. Boxed once for its life: it is large, and
/// goes from hand to hand with each call.
pub(super) struct Connection {
    sender: http1::SendRequest<Outgoing>,
    driver: http1::Connection<Wire, Outgoing>,
    pub(super) link: Arc<Link>,
    pub(super) origin: Origin,
    /// The value of the field Host.
    host: HeaderValue,
}

impl Connection {
    /// Whether it can take another request: open, and without a stray byte. The
    /// system is asked, also about one just put away: what came in the meantime
    /// would be taken for the answer to the next request.
    pub(super) fn is_good(&mut self) -> bool {
        self.link.probe();
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(&mut self.driver).poll(&mut cx).is_pending() && self.sender.is_ready()
    }

    /// Sends, and drives the connection until the head is there.
    fn request(
        &mut self,
        request: Request<Outgoing>,
        exchange: &Exchange,
    ) -> impl Future<Output = Result<Response<HyperBody>, Failure>> {
        let Connection { sender, driver, link, .. } = self;
        let load = request.body().0.as_ref();
        let untaken = load.map(|load| load.untaken.clone());
        let mut hold = Hold::new(load.and_then(|load| load.held.clone()), exchange);
        let mut answer = Box::pin(sender.send_request(request));
        let mut closed = false;
        poll_fn(move |cx| {
            hold.look(exchange);
            let driven = if closed { Poll::Pending } else { Pin::new(&mut *driver).poll(cx) };
            let taken = || untaken.as_ref().is_none_or(|it| !it.load(Relaxed));
            if exchange.phase() == Phase::Send && taken() && !link.is_full() {
                exchange.enter(Phase::Head);
            }
            let ended = match driven {
                Poll::Ready(Err(error)) => Some(failure(&error, exchange)),
                Poll::Ready(Ok(())) => {
                    closed = true;
                    None
                }
                Poll::Pending => None,
            };
            match answer.as_mut().poll(cx) {
                Poll::Ready(Ok(head)) => {
                    hold.answered(exchange);
                    Poll::Ready(Ok(head))
                }
                // What ended the connection tells more than that it ended.
                Poll::Ready(Err(error)) => {
                    Poll::Ready(Err(ended.unwrap_or_else(|| failure(&error, exchange))))
                }
                Poll::Pending => ended.map_or(Poll::Pending, |ended| Poll::Ready(Err(ended))),
            }
        })
    }
}

/// Holds an announced body back until the server says 100, or its time is up.
struct Hold(Option<(Arc<AtomicBool>, Instant)>);

impl Hold {
    fn new(held: Option<Arc<AtomicBool>>, exchange: &Exchange) -> Hold {
        Hold(held.map(|held| {
            let until = exchange.now() + exchange.patience();
            exchange.wake_at(until);
            (held, until)
        }))
    }

    /// To be asked before the connection is driven, which then finds the body free.
    fn look(&mut self, exchange: &Exchange) {
        let over = |(held, until): &mut (Arc<AtomicBool>, Instant)| {
            let over = !held.load(Relaxed) || exchange.now() >= *until;
            if over {
                held.store(false, Relaxed);
            }
            over
        };
        if self.0.take_if(over).is_some() {
            exchange.let_sleep();
            // Waiting is no part of the time for writing.
            exchange.enter(Phase::Send);
        }
    }

    /// A body still held stays here for good, and with it the connection's use.
    fn answered(&mut self, exchange: &Exchange) {
        if let Some((held, _)) = self.0.take() {
            exchange.let_sleep();
            if held.load(Relaxed) {
                exchange.withhold();
            }
        }
    }
}

/// A body on its way in; brings its connection home when it is complete.
pub(super) struct Incoming {
    connection: Option<Box<Connection>>,
    body: HyperBody,
    idle: Arc<Idle>,
    exchange: Arc<Exchange>,
    early: bool,
}

impl Incoming {
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => return Poll::Ready(Some(Ok(data))),
                    // Trailers tell us nothing.
                    Err(_) => continue,
                },
                Poll::Ready(Some(Err(error))) => {
                    self.connection = None;
                    return Poll::Ready(Some(Err(failure(&error, &self.exchange).into())));
                }
                Poll::Ready(None) => {
                    self.bring_home(cx);
                    return Poll::Ready(None);
                }
                Poll::Pending => {}
            }
            let Some(connection) = &mut self.connection else { return Poll::Pending };
            match Pin::new(&mut connection.driver).poll(cx) {
                // The body has heard what there was to hear.
                Poll::Ready(_) => self.connection = None,
                Poll::Pending => match Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Ok(frame))) => {
                        if let Ok(data) = frame.into_data() {
                            return Poll::Ready(Some(Ok(data)));
                        }
                    }
                    Poll::Ready(Some(Err(error))) => {
                        self.connection = None;
                        return Poll::Ready(Some(Err(failure(&error, &self.exchange).into())));
                    }
                    Poll::Ready(None) => {
                        self.bring_home(cx);
                        return Poll::Ready(None);
                    }
                },
            }
        }
    }

    /// The body is complete: lets the connection settle, and keeps it if it is good.
    fn bring_home(&mut self, cx: &mut Context<'_>) {
        let Some(mut connection) = self.connection.take() else { return };
        let open = Pin::new(&mut connection.driver).poll(cx).is_pending();
        if open && connection.sender.is_ready() && !self.early {
            connection.link.serve(None);
            self.idle.put(connection);
        }
    }
}

/// The request's body, if it has one. Small: hyper keeps room for 32 requests with
/// every connection.
pub(super) struct Outgoing(Option<Box<Load>>);

/// One piece, or what a reader gives.
struct Load {
    data: Option<Bytes>,
    reader: Option<(Box<dyn AsyncRead + Send + Unpin>, BytesMut)>,
    left: Option<u64>,
    /// The server has yet to ask for it. Whoever lets it go polls the connection next.
    held: Option<Arc<AtomicBool>>,
    /// hyper has yet to take it all.
    untaken: Arc<AtomicBool>,
}

impl Outgoing {
    fn new(body: Body) -> Outgoing {
        let left = body.length();
        let data = body.bytes().filter(|bytes| !bytes.is_empty()).cloned();
        let mut reader: Option<(Box<dyn AsyncRead + Send + Unpin>, _)> = None;
        if body.bytes().is_none() {
            reader = Some((Box::new(body.into_async_reader()), BytesMut::new()));
        }
        if data.is_none() && reader.is_none() {
            return Outgoing(None);
        }
        let untaken = Arc::new(AtomicBool::new(true));
        Outgoing(Some(Box::new(Load { data, reader, left, held: None, untaken })))
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
            None => this.data.take(),
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
        self.data.is_none() && self.reader.is_none()
    }
}

/// What an error of hyper's means here.
fn failure(error: &hyper::Error, exchange: &Exchange) -> Failure {
    let phase = exchange.phase();
    // A request that waited while the connection ended is one level up from the cause.
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    if let Some(io) = causes.take(3).find_map(|cause| cause.downcast_ref::<io::Error>()) {
        let failure = Failure::of_io(io, phase);
        // That of TLS has its cause already.
        return if failure.source.is_some() {
            failure
        } else {
            failure.caused_by(error.to_string())
        };
    }
    // hyper exports no question for it to clients; its words are the answer.
    let (kind, detail) = if error.is_parse() && error.to_string().contains("too large") {
        (ErrorKind::HeadTooLarge, "")
    } else if error.is_parse() {
        (ErrorKind::Protocol, "not valid HTTP/1.1")
    } else if phase == Phase::Body {
        (ErrorKind::Truncated, "the connection was closed")
    } else if error.is_user() {
        (ErrorKind::Other, "hyper refused the request")
    } else {
        (ErrorKind::Closed, "the connection was closed")
    };
    Failure::new(kind, detail).caused_by(error.to_string())
}
