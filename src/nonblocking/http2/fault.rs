//! What an error of h2's means here.

use h2::Reason;

use super::health::{End, Health};
use crate::error::{ErrorKind, Phase};
use crate::transport::Failure;

/// The failure of a call in this phase. The words of a GOAWAY are the server's own, and may
/// quote the request, so they are left out.
pub(super) fn failure(error: &h2::Error, health: &Health, phase: Phase) -> Failure {
    let reason = error.reason().unwrap_or(Reason::NO_ERROR);
    let refused = error.is_reset() && reason == Reason::REFUSED_STREAM;
    // The streams that a GOAWAY leaves alone hear nothing of it.
    if error.is_remote() && (error.is_go_away() || refused) {
        health.retire();
        let what = if refused { "the server refused the stream" } else { "the server went away" };
        let failure = lost(phase, &format!("{what}: {reason:?}"));
        // What it has begun to answer it has processed, whatever it says now.
        return if phase == Phase::Body { failure } else { failure.unprocessed() };
    }
    if error.is_remote() {
        return by_server(reason, phase);
    }
    if error.is_reset() || error.is_go_away() {
        return by_us(error, reason, phase);
    }
    match (error.get_io(), health.end()) {
        (Some(_), Some(End::Silent)) => lost(phase, "no answer to a PING"),
        (Some(_), Some(End::Io(io))) => Failure::of_io(io, phase),
        (Some(io), None) => Failure::of_io(io, phase).caused_by(io.to_string()),
        (None, _) => Failure::new(ErrorKind::Other, "h2 refused the request")
            .caused_by(error.to_string())
            .lasting(),
    }
}

/// The server reset the stream.
fn by_server(reason: Reason, phase: Phase) -> Failure {
    if reason == Reason::HTTP_1_1_REQUIRED {
        return Failure::new(ErrorKind::Protocol, "the server wants HTTP/1.1 for this").lasting();
    }
    lost(phase, &format!("the server reset the stream: {reason:?}"))
}

/// The server broke the rules, and h2 has seen it.
fn by_us(error: &h2::Error, reason: Reason, phase: Phase) -> Failure {
    // h2 exports no question for it; its words are the answer.
    let words = error.to_string();
    let large = ["too_many_continuations", "header_list_way_too_large"];
    if error.is_go_away() && large.iter().any(|word| words.contains(word)) {
        return Failure::new(ErrorKind::HeadTooLarge, "");
    }
    Failure::new(ErrorKind::Protocol, "not valid HTTP/2").caused_by(match phase {
        Phase::Body => format!("{reason:?} in the body"),
        _ => format!("{reason:?}"),
    })
}

/// A response that ends early.
pub(super) fn lost(phase: Phase, what: &str) -> Failure {
    let kind = if phase == Phase::Body { ErrorKind::Truncated } else { ErrorKind::Closed };
    Failure::new(kind, what.to_owned())
}
