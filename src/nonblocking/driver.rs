//! Does the engine's steps in the task that polls.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::alarm::Alarm;
use super::{Inner, Kind, Reader, Streamed};
use crate::cancel::{Cancel, Subscription};
use crate::clock::Seat;
use crate::engine::credentials::{Refresh, Turn};
use crate::engine::gate::{Admit, Permit, tied};
use crate::engine::inbox::Inbox;
use crate::engine::{Bounds, Call, Opened, Step};
use crate::error::{Error, ErrorKind, Phase};
use crate::request::Request;
use crate::response::Response;
use crate::transport::{Exchange, Failure};

/// Makes a call, and of its response what `read` makes of it.
#[expect(clippy::manual_async_fn, reason = "would hold twice what it was given")]
pub(super) fn run<T>(
    client: Arc<Inner>,
    mut request: Request,
    mut bounds: Bounds,
    read: impl FnOnce(Response) -> Result<T, Error> + Send,
) -> impl Future<Output = Result<T, Error>> + Send {
    async move {
        let mut alarm = Alarm::new(client.api.clock().sit());
        let (seat, now) = (alarm.seat.clone(), alarm.now());
        let mut call = Call::new(&client.api, &mut request, &mut bounds, seat, now);
        let response = drive(&client, &mut alarm, &mut call, &mut None).await?;
        read(response)
    }
}

/// Leaves the body of a good response to the caller.
pub(super) fn open(
    client: Arc<Inner>,
    mut request: Request,
    mut bounds: Bounds,
) -> impl Future<Output = Result<Streamed, Error>> + Send + use<> {
    request.opens = true;
    async move {
        let mut alarm = Alarm::new(client.api.clock().sit());
        let (seat, now) = (alarm.seat.clone(), alarm.now());
        let mut call = Call::new(&client.api, &mut request, &mut bounds, seat, now);
        let mut rest = None;
        let response = drive(&client, &mut alarm, &mut call, &mut rest).await?;
        let Rest { inbox, body, exchange } = *rest.expect("a good response leaves its body");
        let opened = Opened::new(response, exchange, inbox, call.into_permit());
        Ok(Streamed::new(opened, body, alarm))
    }
}

/// A body not read: the last exchange's, if its head was good. On the heap, for the future of every
/// call would hold it.
struct Rest {
    inbox: Inbox,
    body: Reader,
    exchange: Arc<Exchange>,
}

async fn drive(
    client: &Inner,
    alarm: &mut Alarm,
    call: &mut Call<'_>,
    rest: &mut Option<Box<Rest>>,
) -> Result<Response, Error> {
    let cancel = call.cancel();
    let cancel = cancel.as_ref();
    let mut step = call.begin();
    loop {
        step = match step {
            Step::Refresh(refresh) => {
                let result = unless(cancel, pin!(renew(alarm, refresh))).await;
                call.refreshed(result.unwrap_or_else(|Cancelled| Err(cancelled())), alarm.now())
            }
            Step::Acquire(admit) => {
                let result = unless(cancel, pin!(acquire(alarm, *admit))).await;
                call.admitted(result.unwrap_or_else(|Cancelled| Err(cancelled())), alarm.now())
            }
            Step::Send(limits) => {
                *rest = None;
                let result = {
                    let work = pin!(exchange(client, call, &limits, rest));
                    unless(cancel, pin!(timed(alarm, &limits, work))).await
                };
                let lost = |Cancelled| Err(Failure::new(ErrorKind::Cancelled, ""));
                call.received(&limits, result.unwrap_or_else(lost), alarm.now())
            }
            Step::Sleep(until) => {
                let over = |seat: &Seat, _: &mut Context<'_>| match seat.now() >= until {
                    true => Ok(()),
                    false => Err(Some(until)),
                };
                let slept = unless(cancel, pin!(alarm.wait(over))).await;
                match slept {
                    Ok(()) => call.woken(alarm.now()),
                    Err(Cancelled) => call.cancelled(alarm.now()),
                }
            }
            Step::Done(result) => return result,
        };
    }
}

struct Cancelled;

fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "")
}

/// What the work gives, unless the call is cancelled before.
fn unless<T>(
    cancel: Option<&Cancel>,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> impl Future<Output = Result<T, Cancelled>> {
    let mut ear = Ear::default();
    poll_fn(move |cx| {
        if cancel.is_some_and(Cancel::is_cancelled) {
            return Poll::Ready(Err(Cancelled));
        }
        match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            // Listening costs; what is ready at once is spared it.
            Poll::Pending if cancel.is_some_and(|cancel| ear.hears(cancel, cx)) => {
                Poll::Ready(Err(Cancelled))
            }
            Poll::Pending => Poll::Pending,
        }
    })
}

/// A task's ear for a cancellation.
#[derive(Default)]
pub(super) struct Ear(Option<(Waker, Subscription)>);

impl Ear {
    pub(super) fn hears(&mut self, cancel: &Cancel, cx: &mut Context<'_>) -> bool {
        if !self.0.as_ref().is_some_and(|(waker, _)| waker.will_wake(cx.waker())) {
            self.0 = Some((cx.waker().clone(), cancel.listen(cx.waker())));
        }
        cancel.is_cancelled()
    }
}

/// One timer serves every phase: it is looked at only when nothing else is ready,
/// so what has arrived counts before the clock does.
fn timed<T>(
    alarm: &mut Alarm,
    limits: &Exchange,
    mut work: Pin<&mut impl Future<Output = Result<T, Failure>>>,
) -> impl Future<Output = Result<T, Failure>> {
    alarm.wait(move |_, cx| match work.as_mut().poll(cx) {
        Poll::Ready(result) => Ok(result),
        Poll::Pending => match limits.look() {
            Ok(again) => Err(Some(again)),
            Err(late) => Ok(Err(late)),
        },
    })
}

/// Sends, and takes the body in; a failure in the middle of it is the attempt's.
async fn exchange(
    client: &Inner,
    call: &mut Call<'_>,
    exchange: &Arc<Exchange>,
    rest: &mut Option<Box<Rest>>,
) -> Result<Bytes, Failure> {
    let mut errand = call.errand();
    let mut body = match &client.transport {
        Kind::Own(own) => own.run(&mut errand, exchange).await?,
        Kind::Other(other) => {
            let response = other.send_boxed(errand.take(), exchange.clone()).await?;
            errand.split(response)
        }
    };
    let mut inbox = call.inbox(exchange)?;
    if inbox.is_open() {
        *rest = Some(Box::new(Rest { inbox, body, exchange: exchange.clone() }));
        return Ok(Bytes::new());
    }
    let mut came = false;
    loop {
        let piece = poll_fn(|cx| {
            let piece = body.poll_piece(cx);
            // A new wait; what is there at once needs none.
            if piece.is_pending() && std::mem::take(&mut came) {
                exchange.enter(Phase::Body);
            }
            piece
        });
        let Some(piece) = piece.await else { return inbox.finish() };
        let piece = piece.map_err(|error| Failure::from_io(error, Phase::Body))?;
        came = true;
        if !inbox.push_bytes(piece)? {
            return Ok(inbox.cut());
        }
    }
}

async fn acquire(alarm: &mut Alarm, admit: Admit) -> Result<Permit, Error> {
    match admit {
        Admit::Local(mut ticket) => {
            let ask = |seat: &Seat, cx: &mut Context<'_>| ticket.poll(seat.now(), cx.waker());
            alarm.wait(ask).await
        }
        Admit::Other(gate, ask) => {
            let permit = gate.admit_async(&ask).await?;
            Ok(tied(gate, permit))
        }
    }
}

async fn renew(alarm: &mut Alarm, mut refresh: Box<Refresh>) -> Result<(), Error> {
    match alarm.wait(|seat, cx| refresh.poll(seat.now(), cx.waker())).await? {
        Turn::Fresh => Ok(()),
        Turn::Lead(lead) => {
            // Also where the call is dropped: while the hook runs, virtual time stands still.
            let seat = alarm.seat.clone();
            // A hook may block; the executor must not.
            smol::unblock(move || lead.run(|| seat.now())).await
        }
    }
}
