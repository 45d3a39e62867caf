//! B: bodies.

mod decoding;
mod framing;
mod limits;
mod upload;

use duocall::Request;

use crate::faults::case::Case;

pub fn cases() -> Vec<Case> {
    let mut cases = framing::cases();
    cases.extend(limits::cases());
    cases.extend(decoding::cases());
    cases.extend(upload::cases());
    cases
}

fn get() -> Request {
    Request::get("x")
}
