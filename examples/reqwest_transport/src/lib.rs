//! duocall over reqwest, in both colours: an example of a transport of your own.
//!
//! A transport moves one request and its response, and decides nothing. So reqwest is told to follow
//! no redirect, to repeat nothing and to read no proxy variable, and is built without its codings;
//! duocall does all that, the same for every transport.
//!
//! What else a transport owes, and how it is paid here:
//!
//! | duty | here |
//! |---|---|
//! | tell the exchange its phase | `Head` from the beginning: reqwest does not tell when it connects |
//! | count bytes, so that duocall knows what was sent | one byte stands for "perhaps", for reqwest counts none |
//! | say that a connection was reused | never: then no request is resent for free, which is the safe side |
//! | keep the limits of time | async: the caller does, by dropping the future; blocking: reqwest does |
//! | stop when the call is cancelled | async: by being dropped; blocking: at its next limit of time |
//! | tell a short body from a whole one | hyper does, and its error is passed on |
//! | no secret in an error | reqwest's has a URL in it, which is taken out |

pub mod blocking;
pub mod nonblocking;

use std::error::Error as _;

use duocall::transport::Failure;
use duocall::{ErrorKind, Phase, Sent};

/// What an error of reqwest's means. Its URL may hold a secret and does not come along.
fn failure(error: reqwest::Error, phase: Phase) -> Failure {
    let error = error.without_url();
    if let Some(failure) = ours(&error) {
        return failure;
    }
    if error.is_builder() {
        return Failure::new(ErrorKind::Request, "reqwest refuses it").lasting().caused_by(error);
    }
    if error.is_connect() {
        return Failure::new(ErrorKind::Connect, "no connection").sent(Sent::No).caused_by(error);
    }
    let kind = match phase {
        phase if error.is_timeout() => ErrorKind::Timeout(phase),
        Phase::Body => ErrorKind::Truncated,
        _ => ErrorKind::Closed,
    };
    Failure::new(kind, "in reqwest").caused_by(error)
}

/// The failure of the request's own body, which went through reqwest as its cause.
fn ours(error: &reqwest::Error) -> Option<Failure> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        let io = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if io.is_some_and(|io| io.is::<Failure>()) {
            return Some(Failure::new(ErrorKind::Body, inner.to_string()).lasting());
        }
        cause = inner.source();
    }
    None
}
