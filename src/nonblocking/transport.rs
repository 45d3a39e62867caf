//! What moves the bytes: our own transport, or one of yours.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};

use super::own::Own;
use super::reader::Reader;
use crate::body::Body;
use crate::transport::{Exchange, Failure};

/// Moves one request and its response, and decides nothing.
///
/// It follows no redirect, decodes no body, takes no status for an error and
/// reads no environment. The caller keeps the limits of time, by dropping the
/// future; the transport only tells the exchange which phase it is in.
/// [`transport`](crate::transport) tells what is expected of one.
///
/// A closure of this shape is a transport:
///
/// ```
/// use duocall::nonblocking::{Client, Reader};
/// use duocall::{Api, Request, http};
///
/// # fn main() -> Result<(), duocall::Error> { futures_lite::future::block_on(async {
/// let client = Client::with_transport(Api::new("http://api.example.com/")?, |_, _| async {
///     let body = bytes::Bytes::from("[1, 2]");
///     Ok(http::Response::new(Reader::from(body)))
/// });
/// assert_eq!(client.send(Request::get("numbers")).await?.json::<Vec<u8>>()?, [1, 2]);
/// # Ok(()) }) }
/// ```
pub trait Transport: Send + Sync + 'static {
    /// Sends the request and waits for the head of its final response.
    ///
    /// # Errors
    /// A [`Failure`], also as the inner error of one that the body gives.
    ///
    /// # Cancel safety
    /// A dropped future, or body, must leave no connection that anybody uses again.
    fn send(
        &self,
        request: Request<Body>,
        exchange: Arc<Exchange>,
    ) -> impl Future<Output = Result<Response<Reader>, Failure>> + Send;
}

impl<F, R> Transport for F
where
    F: Fn(Request<Body>, Arc<Exchange>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Response<Reader>, Failure>> + Send,
{
    fn send(
        &self,
        request: Request<Body>,
        exchange: Arc<Exchange>,
    ) -> impl Future<Output = Result<Response<Reader>, Failure>> + Send {
        self(request, exchange)
    }
}

type Sending<'a> = Pin<Box<dyn Future<Output = Result<Response<Reader>, Failure>> + Send + 'a>>;

/// [`Transport`] behind a pointer.
pub(crate) trait Boxed: Send + Sync {
    fn send_boxed(&self, request: Request<Body>, exchange: Arc<Exchange>) -> Sending<'_>;
}

impl<T: Transport> Boxed for T {
    fn send_boxed(&self, request: Request<Body>, exchange: Arc<Exchange>) -> Sending<'_> {
        Box::pin(self.send(request, exchange))
    }
}

/// Ours needs no box for its future.
pub(crate) enum Kind {
    Own(Own),
    Other(Box<dyn Boxed>),
}
