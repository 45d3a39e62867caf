//! Does the engine's steps on the calling thread.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::{Reader, Streamed, Transport};
use crate::api::Api;
use crate::cancel::Cancel;
use crate::clock::Seat;
use crate::engine::credentials::{Refresh, Turn};
use crate::engine::gate::{Admit, Permit, tied};
use crate::engine::inbox::Inbox;
use crate::engine::{Bounds, Call, Opened, Step};
use crate::error::{Error, ErrorKind, Phase};
use crate::landing::Landing;
use crate::request::Request;
use crate::response::Response;
use crate::transport::{Exchange, Failure};

pub(super) fn run(
    api: &Api,
    transport: &dyn Transport,
    mut request: Request,
    bounds: &mut Bounds,
) -> Result<Response, Error> {
    let seat = api.clock().sit();
    let mut call = Call::new(api, &mut request, bounds, seat.clone(), seat.now());
    drive(transport, &seat, &mut call, &mut None)
}

/// The same, but the body of a good response is left to the caller.
pub(super) fn open(
    api: &Api,
    transport: &dyn Transport,
    mut request: Request,
    bounds: &mut Bounds,
) -> Result<Streamed, Error> {
    request.opens = true;
    let seat = api.clock().sit();
    let mut call = Call::new(api, &mut request, bounds, seat.clone(), seat.now());
    let mut rest = None;
    let response = drive(transport, &seat, &mut call, &mut rest)?;
    let Rest { inbox, body, exchange } = rest.expect("a good response leaves its body");
    Ok(Streamed::new(Opened::new(response, exchange, inbox, call.into_permit()), body))
}

/// A body not read: the last exchange's, if its head was good.
struct Rest {
    inbox: Inbox,
    body: Reader,
    exchange: Arc<Exchange>,
}

fn drive(
    transport: &dyn Transport,
    seat: &Seat,
    call: &mut Call<'_>,
    rest: &mut Option<Rest>,
) -> Result<Response, Error> {
    let cancel = call.cancel();
    let cancel = cancel.as_ref();
    let mut step = call.begin();
    loop {
        step = match step {
            Step::Done(result) => return result,
            _ if cancel.is_some_and(Cancel::is_cancelled) => call.cancelled(seat.now()),
            Step::Refresh(refresh) => {
                let result = renew(seat, cancel, *refresh);
                call.refreshed(result, seat.now())
            }
            Step::Acquire(admit) => {
                let result = acquire(seat, cancel, *admit);
                call.admitted(result, seat.now())
            }
            Step::Send(limits) => {
                let result = exchange(transport, call, &limits, rest);
                call.received(&limits, result, seat.now())
            }
            Step::Sleep(until) => {
                sleep(seat, cancel, until);
                call.woken(seat.now())
            }
        };
    }
}

/// Sends, and takes the body in; a failure in the middle of it is the attempt's.
fn exchange(
    transport: &dyn Transport,
    call: &mut Call<'_>,
    exchange: &Arc<Exchange>,
    rest: &mut Option<Rest>,
) -> Result<Bytes, Failure> {
    *rest = None;
    let mut errand = call.errand();
    let response = transport.send(errand.take(), exchange)?;
    let mut body = errand.split(response);
    let mut inbox = call.inbox(exchange)?;
    if inbox.is_open() {
        *rest = Some(Rest { inbox, body, exchange: exchange.clone() });
        return Ok(Bytes::new());
    }
    let mut landing = Landing::take();
    let buffer = landing.bytes();
    loop {
        let read = match body.read(buffer) {
            Ok(0) => return inbox.finish(),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::from_io(error, Phase::Body)),
        };
        exchange.enter(Phase::Body);
        exchange.remaining()?;
        if !inbox.push(&buffer[..read])? {
            return Ok(inbox.cut());
        }
    }
}

fn acquire(seat: &Seat, cancel: Option<&Cancel>, admit: Admit) -> Result<Permit, Error> {
    match admit {
        Admit::Local(mut ticket) => seat.block(cancel, |now, waker| match cancel {
            Some(cancel) if cancel.is_cancelled() => Ok(Err(cancelled())),
            _ => ticket.poll(now, waker),
        }),
        Admit::Other(gate, ask) => gate.admit(&ask).map(|permit| tied(gate, permit)),
    }
}

fn renew(seat: &Seat, cancel: Option<&Cancel>, mut refresh: Refresh) -> Result<(), Error> {
    let turn = seat.block(cancel, |now, waker| match cancel {
        Some(cancel) if cancel.is_cancelled() => Ok(Err(cancelled())),
        _ => refresh.poll(now, waker),
    })?;
    match turn {
        Turn::Fresh => Ok(()),
        Turn::Lead(lead) => lead.run(|| seat.now()),
    }
}

fn sleep(seat: &Seat, cancel: Option<&Cancel>, until: Instant) {
    let woken = |now| now >= until || cancel.is_some_and(Cancel::is_cancelled);
    seat.block(cancel, |now, _| if woken(now) { Ok(()) } else { Err(Some(until)) });
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "")
}
