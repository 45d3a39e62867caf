//! HTTP/1.1 by hyper, its connection polled by the task that awaits the answer.

use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;
use std::{io, mem};

use bytes::Bytes;
use http::header::{EXPECT, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming as HyperBody;
use hyper::client::conn::{TrySendError, http1};

use super::outgoing::Outgoing;
use super::reader::Reader;
use super::socket::Link;
use super::wire::Wire;
use crate::body::PIECE;
use crate::engine::Errand;
use crate::engine::redirect::pass_on;
use crate::error::{ErrorKind, Phase};
use crate::idle::Idle;
use crate::proxy::{self, Proxy};
use crate::transport::{Exchange, Failure, MAX_HEAD};
use crate::url::Origin;

type Answer = Result<Response<HyperBody>, TrySendError<Request<Outgoing>>>;

/// A connection and the future that moves its bytes. Boxed once for its life: it is large, and
/// goes from hand to hand with each call.
pub(super) struct Connection {
    sender: http1::SendRequest<Outgoing>,
    /// Dropped when it ends, for that is how a request or a body hears of it.
    driver: Option<http1::Connection<Wire, Outgoing>>,
    /// What hyper wakes.
    waker: Waker,
    pub(super) link: Arc<Link>,
    pub(super) origin: Origin,
    /// What each request gets here: Host, and what the proxy wants to see.
    fields: HeaderMap,
    /// How much of a body hyper gets at once.
    piece: usize,
    /// The proxy that takes requests as they are.
    forwarder: Option<Box<Proxy>>,
}

impl Connection {
    pub(super) async fn new(
        (wire, link): (Wire, Arc<Link>),
        origin: Origin,
        forwarder: Option<Box<Proxy>>,
        exchange: &Exchange,
    ) -> Result<Box<Connection>, Failure> {
        // Under TLS hyper copies it behind the head, and keeps the room for the next request.
        let piece = if wire.is_plain() { usize::MAX } else { PIECE };
        // Told of a number of fields, even of its own, it would allocate for each head.
        let shaken = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(wire).await;
        let (sender, driver) = shaken.map_err(|error| failure(&error, exchange))?;
        let host = HeaderValue::from_str(origin.host_header());
        // Mostly for one; it would make room for eight.
        let mut fields = HeaderMap::with_capacity(1);
        fields.insert(HOST, host.expect("a URL has a good host"));
        forwarder.iter().for_each(|proxy| proxy.sign(&mut fields));
        let waker = Waker::from(Arc::new(Halves(link.clone())));
        let driver = Some(driver);
        Ok(Box::new(Connection { sender, driver, waker, link, origin, fields, piece, forwarder }))
    }

    /// Sends the request, and drives the connection until the head is there. An `Err` inside says
    /// that this one, which has served before, does not any more: nothing went out, and here is the
    /// request, to come `back` on another.
    ///
    /// hyper reads before it writes. So the system is asked about an idle connection as it is used,
    /// also about one put away just now: what came in the meantime would be taken for the answer.
    pub(super) async fn send(
        &mut self,
        errand: &mut Errand<'_>,
        back: Option<Box<Request<Outgoing>>>,
        exchange: &Exchange,
    ) -> Result<Result<HyperBody, Box<Request<Outgoing>>>, Failure> {
        self.link.serve();
        if exchange.reused() {
            self.link.probe();
        }
        exchange.enter(Phase::Send);
        let request = match back {
            Some(back) => *back,
            // A proxy wants the whole URL.
            None => {
                errand.take_as(self.forwarder.is_some(), |body| Outgoing::new(body, self.piece))
            }
        };
        let (answer, untaken, mut hold) = self.begin(request, exchange);
        let (mut first, mut gone) = (true, (0, false));
        let mut answer = pin!(answer);
        poll_fn(move |cx| {
            hold.look(exchange);
            let ended = self.drive(exchange);
            if exchange.phase() == Phase::Send {
                let taken = untaken.as_ref().is_none_or(|it| !it.load(Relaxed));
                let before = mem::replace(&mut gone, (exchange.written(), self.link.is_full()));
                if taken && !gone.1 {
                    exchange.enter(Phase::Head);
                } else if gone != before {
                    // The limit is on a pause, not on the whole of it.
                    exchange.enter(Phase::Send);
                }
            }
            // Asked before it can be there, it would wake the task that polls it.
            if mem::take(&mut first) && ended.is_none() && exchange.untouched() {
                self.link.wait(cx);
                return Poll::Pending;
            }
            let error = match answer.as_mut().poll(cx) {
                Poll::Ready(Ok(response)) => {
                    hold.answered(exchange);
                    // The task goes on.
                    self.link.bell.wakes_nobody();
                    proxy::judge(self.forwarder.as_deref(), response.status())?;
                    return Poll::Ready(Ok(Ok(errand.split(response))));
                }
                Poll::Ready(Err(mut error)) => match error.take_message() {
                    Some(back) if exchange.reused() => {
                        // The server it waits for is another one now.
                        exchange.let_sleep();
                        return Poll::Ready(Ok(Err(Box::new(back))));
                    }
                    _ => Some(error.into_error()),
                },
                Poll::Pending => None,
            };
            // What ended the connection tells more than that it ended.
            if let Some(error) = ended.and_then(Result::err).or(error) {
                return Poll::Ready(Err(failure(&error, exchange)));
            }
            self.link.wait(cx);
            Poll::Pending
        })
        .await
    }

    /// Gives hyper a request. What comes of it, whether its body is still to be taken, and what
    /// holds that back.
    fn begin(
        &mut self,
        mut request: Request<Outgoing>,
        exchange: &Exchange,
    ) -> (impl Future<Output = Answer> + use<>, Option<Arc<AtomicBool>>, Hold) {
        self.address(&mut request);
        let load = request.body().0.as_ref();
        let untaken = load.map(|load| load.untaken.clone());
        let hold = Hold::new(load.and_then(|load| load.held.clone()), exchange);
        (self.sender.try_send_request(request), untaken, hold)
    }

    /// Adds what belongs to the connection.
    fn address(&self, request: &mut Request<Outgoing>) {
        pass_on(true, &self.fields, request.headers_mut());
        if request.body().is_endless() {
            // hyper would leave the body of a GET or a HEAD out.
            request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        if request.body().0.is_some() && request.headers().contains_key(EXPECT) {
            let held = Arc::new(AtomicBool::new(true));
            request.body_mut().hold(held.clone());
            hyper::ext::on_informational(request, move |head| {
                held.fetch_and(head.status() != StatusCode::CONTINUE, Relaxed);
            });
        }
    }

    /// Moves bytes, until there is nothing to do; tells once how the connection ended.
    fn drive(&mut self, exchange: &Exchange) -> Option<hyper::Result<()>> {
        self.link.drive();
        let mut cx = Context::from_waker(&self.waker);
        let driven = Pin::new(self.driver.as_mut()?).poll(&mut cx);
        self.link.tell(exchange);
        match driven {
            Poll::Ready(end) => {
                self.driver = None;
                Some(end)
            }
            Poll::Pending => None,
        }
    }

    /// Whether it can take another request.
    fn is_good(&self) -> bool {
        self.driver.is_some() && self.sender.is_ready()
    }

    /// The body to come; `idle` gets the connection when it is complete.
    pub(super) fn reader(
        self: Box<Connection>,
        body: HyperBody,
        exchange: &Arc<Exchange>,
        idle: &Arc<Idle<Connection>>,
    ) -> Reader {
        let (idle, exchange) = (idle.clone(), exchange.clone());
        // Who answers before it has the whole request wants no more of it (RFC 9112 section 9.5).
        let early = self.link.is_early();
        let connection = Some(self);
        Reader::own(Incoming { connection, body, idle, exchange, early })
    }
}

/// hyper's two halves wake each other. With the task's own waker they would wake the task that
/// polls them.
struct Halves(Arc<Link>);

impl Wake for Halves {
    fn wake(self: Arc<Self>) {
        self.0.stir();
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
        let mut driven = false;
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
                    self.bring_home();
                    return Poll::Ready(None);
                }
                Poll::Pending => {}
            }
            let Some(connection) = &mut self.connection else { return Poll::Pending };
            if mem::replace(&mut driven, true) {
                connection.link.wait(cx);
                return Poll::Pending;
            }
            // The body hears what there is to hear of its end.
            drop(connection.drive(&self.exchange));
        }
    }

    /// The body is complete: keeps the connection, if it is good.
    fn bring_home(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        connection.link.rest();
        if !connection.is_good() {
            // It may only have to settle.
            drop(connection.drive(&self.exchange));
        }
        if connection.is_good() && !self.early {
            connection.link.bell.wakes_nobody();
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
