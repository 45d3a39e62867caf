//! Whether HTTP/2 is spoken, and how.

use std::fmt;
use std::time::Duration;

use crate::error::Mistake;

/// HTTP/2 (RFC 9113) for [`nonblocking::Client`](crate::nonblocking::Client): many calls share one connection.
///
/// An [`Api`](crate::Api) asks for it by [`ApiBuilder::http2`](crate::ApiBuilder::http2); without
/// that, HTTP/1.1 is spoken. There are two ways to ask:
///
/// - `Http2::default()` offers it by ALPN (RFC 7301) where there is TLS, before the protocols of
///   [`Tls::alpn`](crate::Tls::alpn), and speaks what the server chooses. Plain http stays HTTP/1.1.
/// - [`Http2::prior_knowledge`] speaks it to every server, without asking, in plain text too.
///
/// The other ways to call speak HTTP/1.1 only. [`blocking::Client`](crate::blocking::Client),
/// [`pool::Client`](crate::pool::Client) and a client on surf
/// ([`with_surf`](crate::nonblocking::Client::with_surf)) do so with a negotiating `Api` as well; with
/// prior knowledge their calls are errors of kind [`Request`](crate::ErrorKind::Request). A transport
/// of your own decides for itself.
///
/// The calls of a client to one origin go over one connection, those made while it is being opened
/// included. Where the server takes fewer at once (`SETTINGS_MAX_CONCURRENT_STREAMS`), the others
/// wait, in the phase [`Send`](crate::Phase::Send), for a response to be read or dropped: better set
/// [`concurrency`](crate::ApiBuilder::concurrency) to what it takes. Dropping a call resets its
/// stream only; one that waits is never sent. After 15 s without a call a connection is closed, and at once when the client and
/// its last response are dropped.
///
/// A call that ends without an answer, on a connection that has been silent for a second, makes
/// it prove itself: a PING goes out, and if nothing comes back within the limit of time for
/// connecting, the connection is given up with all that is on it.
///
/// A request that the server says it has not processed (`REFUSED_STREAM`, or above the last stream
/// of a `GOAWAY`: RFC 9113 section 8.7) is sent once more at no charge, whatever its method, on
/// another connection; unless it has begun to answer.
///
/// | limit | value |
/// |---|---|
/// | connections to an origin | 1 |
/// | calls at once | what the server takes, and no more than [`concurrency`](crate::ApiBuilder::concurrency) |
/// | window of a body, window of the connection | 2 MiB ([`window`](Http2::window)); that times `concurrency` |
/// | frames that come, push | 16 KiB; not taken |
/// | heads | those of HTTP/1.1: 64 KiB and 100 fields |
/// | PING | only where a connection is in doubt ([`keep_alive`](Http2::keep_alive)) |
///
/// ```
/// use std::time::Duration;
/// use duocall::{Api, Http2};
///
/// # fn main() -> Result<(), duocall::Error> {
/// let api = Api::builder("https://api.example.com/")
///     .http2(Http2::default().keep_alive(Duration::from_secs(10), Duration::from_secs(5)))
///     .build()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Http2 {
    prior: bool,
    keep_alive: Option<KeepAlive>,
    window: u32,
}

/// Ask after so long a silence, and wait for an answer for so long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepAlive {
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

/// RFC 9113 section 6.9.1.
pub(crate) const LARGEST_WINDOW: u32 = (1 << 31) - 1;

impl Default for Http2 {
    fn default() -> Http2 {
        Http2 { prior: false, keep_alive: None, window: 2 << 20 }
    }
}

impl Http2 {
    /// Speaks HTTP/2 to every server, without asking whether it does (RFC 9113 section 3.3). Over
    /// TLS only `h2` is offered, and spoken even to a server that knows no ALPN. A plain http URL
    /// cannot go through an http proxy then: that is an error of kind
    /// [`Request`](crate::ErrorKind::Request).
    pub fn prior_knowledge() -> Http2 {
        Http2 { prior: true, ..Http2::default() }
    }

    /// Sends a PING when nothing has come from the server for `interval` while calls are under way,
    /// and gives the connection up if nothing comes within `timeout`. Its calls then fail as on any
    /// lost connection, and are tried again where that is safe. Defaults to no such PING.
    #[must_use]
    pub fn keep_alive(mut self, interval: Duration, timeout: Duration) -> Http2 {
        self.keep_alive = Some(KeepAlive { interval, timeout });
        self
    }

    /// How many bytes of a body the server may send before the caller reads them (RFC 9113 section
    /// 6.9): no body comes faster than so many for each way there and back. More is faster over long
    /// distances, less saves memory where bodies are read slowly. From 1 byte to 2 GiB - 1; defaults
    /// to 2 MiB, which is 20 MiB/s at a distance of 100 ms. The connection has room for as many as
    /// its `Api` has calls at once, so one whose body is not read holds up no other.
    #[must_use]
    pub fn window(mut self, bytes: u32) -> Http2 {
        self.window = bytes;
        self
    }

    pub(crate) fn is_prior(&self) -> bool {
        self.prior
    }

    pub(crate) fn keeps_alive(&self) -> Option<KeepAlive> {
        self.keep_alive
    }

    /// The window of a stream.
    pub(crate) fn stream_window(&self) -> u32 {
        self.window
    }

    pub(crate) fn check(&self) -> Result<(), Mistake> {
        if self.keep_alive.is_some_and(|it| it.interval.is_zero() || it.timeout.is_zero()) {
            return Err(Mistake::new("HTTP/2 keep-alive", "is zero"));
        }
        if self.window == 0 || self.window > LARGEST_WINDOW {
            return Err(Mistake::new("HTTP/2 window", "is not of 1 byte to 2 GiB - 1"));
        }
        Ok(())
    }
}

impl fmt::Debug for Http2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2")
            .field("prior_knowledge", &self.prior)
            .field("keep_alive", &self.keep_alive)
            .field("window", &self.window)
            .finish()
    }
}
