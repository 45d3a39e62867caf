//! Does the engine's steps on the calling thread.

use std::io;
use std::time::Instant;

use super::Transport;
use crate::api::Api;
use crate::cancel::Cancel;
use crate::clock::Seat;
use crate::engine::credentials::{Refresh, Turn};
use crate::engine::gate::{Admit, Permit, tied};
use crate::engine::inbox::Reply;
use crate::engine::{Bounds, Call, Outgoing, Step};
use crate::error::{Error, ErrorKind, Phase};
use crate::request::Request;
use crate::response::Response;
use crate::transport::Failure;

pub(super) fn run(
    api: &Api,
    transport: &dyn Transport,
    request: Request,
    bounds: Bounds,
) -> Result<Response, Error> {
    let seat = api.clock().sit();
    let cancel = bounds.cancel.clone();
    let cancel = cancel.as_ref();
    let mut call = Call::new(api, request, bounds, seat.clone(), seat.now());
    let mut step = call.begin(seat.now());
    loop {
        // What is done is done; its error tells more than that it was cancelled.
        let done = matches!(step, Step::Done(_));
        if !done && cancel.is_some_and(Cancel::is_cancelled) {
            step = call.cancelled(seat.now());
        }
        step = match step {
            Step::Refresh(refresh) => {
                let result = renew(&seat, cancel, refresh);
                call.refreshed(result, seat.now())
            }
            Step::Acquire(admit) => {
                let result = acquire(&seat, cancel, admit);
                call.admitted(result, seat.now())
            }
            Step::Send(outgoing) => {
                let result = exchange(transport, &outgoing);
                call.received(&outgoing.exchange, result, seat.now())
            }
            Step::Sleep(until) => {
                sleep(&seat, cancel, until);
                call.woken(seat.now())
            }
            Step::Done(result) => return result,
        };
    }
}

/// Sends, and takes the body in; a failure in the middle of it is the attempt's.
fn exchange(transport: &dyn Transport, outgoing: &Outgoing) -> Result<Reply, Failure> {
    let exchange = &outgoing.exchange;
    let (parts, mut body) = transport.send(outgoing.request.clone(), exchange)?.into_parts();
    exchange.enter(Phase::Body);
    let mut inbox = outgoing.inbox(http::Response::from_parts(parts, ()))?;
    let mut buffer = [0; 16 << 10];
    loop {
        let read = match body.read(&mut buffer) {
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
    let turn = seat.block(cancel, |_, waker| match cancel {
        Some(cancel) if cancel.is_cancelled() => Ok(Err(cancelled())),
        _ => refresh.poll(waker),
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
