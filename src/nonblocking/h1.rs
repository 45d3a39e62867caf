//! HTTP/1.1 by hyper, its connection polled by the task that awaits the answer.

use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use http::header::{EXPECT, HOST};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use hyper::body::Incoming as HyperBody;
use hyper::client::conn::http1;

use super::outgoing::Outgoing;
use super::reader::Reader;
use super::socket::Link;
use super::wire::Wire;
use crate::body::Body;
use crate::error::{ErrorKind, Phase};
use crate::idle::{Idle, Origin};
use crate::proxy::Proxy;
use crate::transport::{Exchange, Failure, MAX_HEAD};

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
    pub(super) async fn new(
        (wire, link): (Wire, Arc<Link>),
        uri: &Uri,
        exchange: &Exchange,
    ) -> Result<Box<Connection>, Failure> {
        // Told of a number of fields, even of its own, it would allocate for each head.
        let shaken = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(wire).await;
        let (sender, driver) = shaken.map_err(|error| failure(&error, exchange))?;
        let authority = uri.authority().map(|authority| authority.as_str());
        let host = authority.and_then(|text| HeaderValue::from_str(text).ok());
        let host = host.expect("the engine's URLs have a good host");
        let origin = Origin::of(uri);
        Ok(Box::new(Connection { sender, driver, link, origin, host }))
    }

    /// Sends a request. No `async fn`: that would hold the request twice.
    pub(super) fn send(
        &mut self,
        request: Request<Body>,
        proxy: Option<&Proxy>,
        exchange: &Arc<Exchange>,
    ) -> impl Future<Output = Result<Response<HyperBody>, Failure>> {
        self.link.serve(Some(exchange));
        exchange.enter(Phase::Send);
        let request = to_hyper(request, self.host.clone(), proxy);
        self.request(request, exchange)
    }

    /// The response with its body to come; `idle` gets the connection when it is complete.
    pub(super) fn response(
        self: Box<Connection>,
        head: Response<HyperBody>,
        exchange: &Arc<Exchange>,
        idle: &Arc<Idle<Connection>>,
    ) -> Response<Reader> {
        let (idle, exchange) = (idle.clone(), exchange.clone());
        // Who answers before it has the whole request wants no more of it (RFC 9112 section 9.5).
        let early = self.link.is_early();
        let connection = Some(self);
        head.map(|body| Reader::own(Incoming { connection, body, idle, exchange, early }))
    }

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
        let load = request.body().0.as_ref();
        let untaken = load.map(|load| load.untaken.clone());
        let mut hold = Hold::new(load.and_then(|load| load.held.clone()), exchange);
        let mut answer = Box::pin(self.sender.send_request(request));
        let mut closed = false;
        poll_fn(move |cx| {
            hold.look(exchange);
            let driven = if closed { Poll::Pending } else { Pin::new(&mut self.driver).poll(cx) };
            let taken = || untaken.as_ref().is_none_or(|it| !it.load(Relaxed));
            if exchange.phase() == Phase::Send && taken() && !self.link.is_full() {
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
    idle: Arc<Idle<Connection>>,
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
        connection.link.serve(None);
        let open = Pin::new(&mut connection.driver).poll(cx).is_pending();
        if open && connection.sender.is_ready() && !self.early {
            self.idle.put(connection);
        }
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
