//! Calls that are awaited, on any executor.
//!
//! ```no_run
//! use duocall::nonblocking::Client;
//! use duocall::{Api, Request};
//!
//! # async fn example() -> Result<(), duocall::Error> {
//! let client = Client::new(Api::new("https://api.example.com/v2/")?);
//! let response = client.send(Request::get("flows.json")).await?;
//! println!("{}", response.text()?);
//! # Ok(()) }
//! ```

mod alarm;
mod batch;
mod bell;
mod connect;
mod driver;
mod h1;
#[cfg(feature = "http2")]
mod http2;
#[cfg(not(feature = "http2"))]
#[path = "http2_none.rs"]
mod http2;
mod outgoing;
mod own;
mod pages;
mod reader;
mod socket;
mod streamed;
mod transport;
mod wire;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use serde::de::DeserializeOwned;

pub use batch::Stream;
pub use pages::Pages;
pub use reader::Reader;
pub use streamed::Streamed;
pub use transport::Transport;

use crate::api::Api;
use crate::batch::Batch;
use crate::endpoint::Endpoint;
use crate::engine::Bounds;
use crate::error::Error;
use crate::paging::Paging;
use crate::request::Request;
use crate::response::Response;
pub(crate) use own::Own;
use transport::Kind;

/// Calls an API from a task.
///
/// Clones are cheap and share the connections. The futures are `Send`, need no
/// runtime, and do their I/O in the task that polls them; a connection of HTTP/2,
/// which they share, has a task on smol's global executor. (Sockets and timers
/// are those of async-io, which starts one thread, `async-io`, for all of the
/// process; names are resolved on threads of our own, and refresh hooks run on
/// those of the `blocking` crate.)
#[derive(Clone)]
pub struct Client(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) api: Api,
    transport: Kind,
}

impl Client {
    /// A client with connections of its own.
    pub fn new(api: Api) -> Client {
        let transport = Kind::Own(Own::new(&api));
        Client::on(api, transport)
    }

    /// A client on a transport of your own.
    pub fn with_transport(api: Api, transport: impl Transport) -> Client {
        Client::on(api, Kind::Other(Box::new(transport)))
    }

    /// A client that leaves its sockets to tokio, where it is called in a tokio runtime.
    ///
    /// It does the same as one of [`new`](Client::new), for less: the runtime's own thread
    /// hears of an answer, where otherwise async-io's thread has to wake it. The runtime
    /// must do I/O (`enable_io`, as `#[tokio::main]` does) and be running while a call
    /// waits; connections serve the runtime they were made in. Outside of tokio, sockets
    /// are async-io's, as timers always are. So are connections of HTTP/2, which all runtimes
    /// share, and the one by which a server is asked for it.
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn with_tokio(api: Api) -> Client {
        let transport = Kind::Own(Own::on(&api, socket::TOKIO));
        Client::on(api, transport)
    }

    /// A client on a surf client, whose middleware sees every attempt.
    ///
    /// Retries, limits, redirects and credentials stay duocall's, around the middleware. Let the
    /// surf client run on [`surf::HttpClient`](crate::surf::HttpClient): then statuses and headers
    /// that surf has no types for arrive, a dropped call leaves nothing behind, and the trace of a
    /// call knows how far each attempt came. On surf's own transports none of this holds.
    ///
    /// A header of a request must be ASCII. surf's `base_url` and default headers are not used: an
    /// [`Api`] has its own.
    ///
    /// ```
    /// use duocall::nonblocking::Client;
    /// use duocall::surf::HttpClient;
    /// # use duocall::{Api, Error};
    ///
    /// # fn main() -> Result<(), Error> {
    /// let api = Api::new("https://api.example.com/v2/")?;
    /// let surf = surf::Client::with_http_client(HttpClient::for_api(&api));
    /// let client = Client::with_surf(api, surf); // .with(middleware) goes to `surf` before
    /// # drop(client); Ok(()) }
    /// ```
    #[cfg(feature = "surf")]
    #[cfg_attr(docsrs, doc(cfg(feature = "surf")))]
    pub fn with_surf(api: Api, client: ::surf::Client) -> Client {
        let under = crate::surf::Under::new(&api, client);
        Client::with_transport(api, under)
    }

    fn on(api: Api, transport: Kind) -> Client {
        Client(Arc::new(Inner { api, transport }))
    }

    /// The API it calls.
    pub fn api(&self) -> &Api {
        &self.0.api
    }

    /// Sends a request and takes the whole response in.
    ///
    /// # Errors
    /// Every failure, and every final status outside 2xx that the request does
    /// not [`accept`](Request::accept).
    ///
    /// # Cancel safety
    /// Dropping the future closes its connection (over HTTP/2, resets its stream) and
    /// gives its place at the gate up. The request may have reached the server.
    pub fn send(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<Response, Error>> + Send + use<> {
        driver::run(self.0.clone(), request, Bounds::default(), Ok)
    }

    /// Sends a request and hands the body of a good response over as it comes.
    ///
    /// An API's [`reject`](crate::ApiBuilder::reject) rule sees an empty body.
    ///
    /// # Errors
    /// As [`send`](Client::send); once the response is there, nothing is tried again.
    ///
    /// # Cancel safety
    /// As [`send`](Client::send).
    pub fn open(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<Streamed, Error>> + Send + use<> {
        driver::open(self.0.clone(), request, Bounds::default())
    }

    /// Makes a call and reads its answer.
    ///
    /// # Errors
    /// As [`send`](Client::send), and what the endpoint's `decode` gives.
    ///
    /// # Cancel safety
    /// As [`send`](Client::send).
    pub fn call<E>(
        &self,
        endpoint: E,
    ) -> impl Future<Output = Result<E::Output, Error>> + Send + use<E>
    where
        E: Endpoint + Send,
    {
        let request = endpoint.request();
        let read = move |response| endpoint.decode(response);
        driver::run(self.0.clone(), request, Bounds::default(), read)
    }

    /// Many calls at once.
    pub fn batch<I>(&self, items: I) -> Batch<Client, smol::stream::Iter<I::IntoIter>>
    where
        I: IntoIterator,
        I::Item: Endpoint,
    {
        Batch::new(self.clone(), smol::stream::iter(items))
    }

    /// Many calls at once, from items that come as they come.
    pub fn batch_stream<S>(&self, items: S) -> Batch<Client, S>
    where
        S: smol::stream::Stream,
        S::Item: Endpoint,
    {
        Batch::new(self.clone(), items)
    }

    /// The items of a list that comes in pages; see [`Paging`] for the rules.
    pub fn pages<T>(&self, request: Request, paging: Paging) -> Pages<T>
    where
        T: DeserializeOwned + Send + 'static,
    {
        Pages::new(self, request, paging)
    }
}

/// The transport of [`Client::new`], for a transport of your own to wrap.
pub fn transport(api: &Api) -> impl Transport + use<> {
    Own::new(api)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("nonblocking::Client").field("api", &self.0.api).finish_non_exhaustive()
    }
}

const _: () = {
    const fn assert<T: Send + Sync + Clone>() {}
    assert::<Client>();
};

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand calls in flight are a thousand of these.
    #[test]
    fn the_future_of_a_call_is_small() {
        let client = Client::new(Api::new("http://api.example.com/").unwrap());
        let size = size_of_val(&client.send(Request::get("x")));
        assert!(size <= 1880, "{size} bytes");
    }
}
