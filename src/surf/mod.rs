//! surf, both ways: our transport under anyone's surf client, and any surf client under our model.
//!
//! Two cases call for it:
//!
//! - A program that uses surf keeps its code, its middleware and its types, and gets a transport
//!   that is still cared for: [`HttpClient`] under its `surf::Client`.
//! - Middleware written for surf shall see the calls made through duocall:
//!   [`nonblocking::Client::with_surf`](crate::nonblocking::Client::with_surf).
//!
//! Depend on surf with `default-features = false`, or its own transport comes along.
//!
//! A program without a line of surf needs neither: [`nonblocking::Client`](crate::nonblocking::Client)
//! alone is faster, and surf brings some hundred crates along, several of them no longer maintained.
//!
//! ```
//! use duocall::surf::{HttpClient, RawHead};
//!
//! let client = surf::Client::with_http_client(HttpClient::new());
//! # async fn example(client: surf::Client) -> surf::Result<()> {
//! let response = client.get("http://127.0.0.1:8000/").await?;
//! let head = response.ext::<RawHead>().expect("from our transport");
//! println!("{}", head.status());
//! # Ok(()) }
//! ```
//!
//! # What surf cannot say
//!
//! surf's types know only registered status codes and ASCII in headers. What does not fit them is
//! no error here: the response has a status of the same class, and the truth is in its extensions,
//! as a [`RawHead`]. [`with_surf`](crate::nonblocking::Client::with_surf) reads it from there, so
//! its calls see the real status and every header.
//!
//! surf's own transports have none of this. Its default one, h1, also gives the answer of a dropped
//! call to the next one on the same connection, and panics at a header that is not ASCII: let
//! [`HttpClient`] be the transport of every client that is handed to `with_surf`. surf's `Redirect`
//! and `Logger` are best left out as well: the first resends credentials, the second writes URLs.

mod body;
mod client;
mod hosts;
mod under;

use http::{HeaderMap, StatusCode};

pub use client::HttpClient;
pub(crate) use under::Under;

/// The status and the headers of a response as they came, in its extensions.
///
/// `response.ext::<RawHead>()` finds it, for every response that [`HttpClient`] has made. A clone
/// of a response has none: surf's types do not clone extensions.
#[derive(Clone, Debug)]
pub struct RawHead {
    status: StatusCode,
    headers: HeaderMap,
}

impl RawHead {
    /// The status, also where surf's types have no name for it.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// All header fields, also those that are not ASCII.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

/// The status that surf's types can hold: the same, or that of its class (RFC 9110 section 15).
fn known(status: StatusCode) -> ::surf::StatusCode {
    use ::surf::StatusCode as Known;
    Known::try_from(status.as_u16()).unwrap_or(match status.as_u16() {
        ..200 => Known::Continue,
        200..300 => Known::Ok,
        300..400 => Known::MultipleChoice,
        400..500 => Known::BadRequest,
        _ => Known::InternalServerError,
    })
}
