//! Whether a response is what the caller hoped for, and what it means if not.

use http::StatusCode;

use super::EVIDENCE;
use crate::api::Api;
use crate::error::{Error, ErrorKind};
use crate::request::Request;
use crate::response::Response;

pub(super) fn judge(api: &Api, request: &Request, response: Response) -> Result<Response, Error> {
    let status = response.status();
    let accepted = request.accepted.contains(&status.as_u16());
    if !status.is_success() && !accepted {
        let meaning = api.meaning_of(status.as_u16()).or_else(|| meaning(status));
        return Err(refused(ErrorKind::Status, meaning.unwrap_or_default(), response));
    }
    match api.reject(&response) {
        Some(reason) => {
            // Mostly the server's words, which may quote the credential.
            let reason = response.without_secret(reason);
            Err(refused(ErrorKind::Rejected, reason, response))
        }
        None => Ok(response),
    }
}

fn refused(kind: ErrorKind, meaning: String, response: Response) -> Error {
    Error::new(kind, meaning).of_response(response.shortened(EVIDENCE))
}

/// What a status says to the caller of an API, for those the registry knows.
/// RFC 9110 section 15 unless noted.
fn meaning(status: StatusCode) -> Option<String> {
    let text = match status.as_u16() {
        300 => "the resource has several forms to choose from",
        301 | 308 => "the resource has moved for good",
        302 | 307 => "the resource is elsewhere for now",
        303 => "the answer is at another address",
        304 => "the resource has not changed",
        305 => "the resource wants a proxy",
        400 => "the server could not understand the request",
        401 => "the credential is missing or not valid",
        402 => "payment is required",
        403 => "the server understood and refuses",
        404 => "there is no such resource",
        405 => "the resource does not know this method",
        406 => "the resource has no form that the request accepts",
        407 => "the proxy wants a credential",
        408 => "the server waited too long for the request",
        409 => "the request is at odds with the state of the resource",
        410 => "the resource is gone for good",
        411 => "the server wants a Content-Length",
        412 => "a condition of the request does not hold",
        413 => "the body of the request is too large",
        414 => "the URL is too long",
        415 => "the body is of a type that the resource does not take",
        416 => "the range is outside the resource",
        417 => "the server cannot meet an expectation",
        421 => "the connection leads to a server that is not in charge",
        422 => "the body is well formed and still makes no sense",
        // RFC 4918
        423 => "the resource is locked",
        424 => "an action that this one depends on failed",
        // RFC 8470
        425 => "the server will not act on early data",
        426 => "the server wants another protocol",
        // RFC 6585
        428 => "the server wants a conditional request",
        429 => "the server wants fewer requests",
        431 => "the header fields are too large",
        // RFC 7725
        451 => "the resource is withheld for legal reasons",
        500 => "the server failed",
        501 => "the server does not know this method",
        502 => "the gateway got no good answer",
        503 => "the server is not ready",
        504 => "the gateway got no answer in time",
        505 => "the server does not speak this version of HTTP",
        // RFC 2295
        506 => "the server is misconfigured: its choice of forms goes in circles",
        // RFC 4918
        507 => "the server has no room left",
        // RFC 5842
        508 => "the server met a loop",
        // RFC 2774
        510 => "the server wants an extension",
        // RFC 6585
        511 => "the network wants a sign-in",
        _ => return None,
    };
    Some(text.to_owned())
}
