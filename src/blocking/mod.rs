//! Calls that block the thread, on ureq.
//!
//! ```no_run
//! use duocall::blocking::Client;
//! use duocall::{Api, Request};
//!
//! # fn main() -> Result<(), duocall::Error> {
//! let client = Client::new(Api::new("https://api.example.com/v2/")?);
//! let response = client.send(Request::get("flows.json"))?;
//! println!("{}", response.text()?);
//! # Ok(()) }
//! ```

mod announced;
mod batch;
mod connect;
mod connection;
mod current;
mod driver;
mod hangup;
mod pages;
mod peek;
mod socket;
mod streamed;
mod transport;
mod unsaid;
mod upload;
mod wire;

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

pub use batch::Stream;
pub use pages::Pages;
pub use streamed::Streamed;
pub use transport::{Reader, Transport};

use crate::api::Api;
use crate::batch::Batch;
use crate::endpoint::Endpoint;
use crate::engine::Bounds;
use crate::error::Error;
use crate::paging::Paging;
use crate::request::Request;
use crate::response::Response;
use transport::Ureq;

/// Calls an API from the thread that asks.
///
/// Clones are cheap and share the connections. It starts no thread but, while a
/// name is resolved for a new connection, one for that.
#[derive(Clone)]
pub struct Client {
    api: Api,
    transport: Arc<dyn Transport>,
}

impl Client {
    /// A client with connections of its own.
    pub fn new(api: Api) -> Client {
        let transport = Ureq::new(&api);
        Client::with_transport(api, transport)
    }

    /// A client on your own agent, with its connector, resolver and proxy.
    ///
    /// Per request it is told to follow no redirect, to take no status for an
    /// error, to add no header, and duocall's limits of time. What it cannot tell
    /// (whether a connection was reused, how far a request came) is not in the trace.
    /// Nor can a cancellation reach its sockets: a call ends when their wait does.
    pub fn with_agent(api: Api, agent: ureq::Agent) -> Client {
        let transport = Ureq::on_agent(&api, agent);
        Client::with_transport(api, transport)
    }

    /// A client on a transport of your own.
    pub fn with_transport(api: Api, transport: impl Transport) -> Client {
        let transport = Arc::new(transport);
        Client { api, transport }
    }

    /// The API it calls.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Sends a request and takes the whole response in.
    ///
    /// # Errors
    /// Every failure, and every final status outside 2xx that the request does
    /// not [`accept`](Request::accept).
    ///
    /// # Blocking
    /// Blocks the thread for the time at the gate plus at most the `total` limit; a
    /// refresh hook of [`Auth`](crate::Auth) takes as long as it takes.
    pub fn send(&self, request: Request) -> Result<Response, Error> {
        self.run(request, &mut Bounds::default())
    }

    /// Sends a request and hands the body of a good response over as it comes.
    ///
    /// An API's [`reject`](crate::ApiBuilder::reject) rule sees an empty body.
    ///
    /// # Errors
    /// As [`send`](Client::send); once the response is there, nothing is tried again.
    ///
    /// # Blocking
    /// Until the head is there; reading blocks again.
    pub fn open(&self, request: Request) -> Result<Streamed, Error> {
        self.run_open(request, &mut Bounds::default())
    }

    pub(crate) fn run_open(
        &self,
        request: Request,
        bounds: &mut Bounds,
    ) -> Result<Streamed, Error> {
        driver::open(&self.api, &*self.transport, request, bounds)
    }

    /// Makes a call and reads its answer.
    ///
    /// # Errors
    /// As [`send`](Client::send), and what the endpoint's `decode` gives.
    ///
    /// # Blocking
    /// As [`send`](Client::send).
    pub fn call<E: Endpoint>(&self, endpoint: E) -> Result<E::Output, Error> {
        endpoint.decode(self.send(endpoint.request())?)
    }

    /// Many calls, one after another.
    pub fn batch<I>(&self, items: I) -> Batch<Client, I::IntoIter>
    where
        I: IntoIterator,
        I::Item: Endpoint,
    {
        Batch::new(self.clone(), items.into_iter())
    }

    /// The items of a list that comes in pages; see [`Paging`] for the rules.
    pub fn pages<T: DeserializeOwned>(&self, request: Request, paging: Paging) -> Pages<T> {
        Pages::new(self, request, paging)
    }

    pub(crate) fn run(&self, request: Request, bounds: &mut Bounds) -> Result<Response, Error> {
        driver::run(&self.api, &*self.transport, request, bounds)
    }
}

/// The transport of [`Client::new`], for a transport of your own to wrap.
pub fn transport(api: &Api) -> impl Transport + use<> {
    Ureq::new(api)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("blocking::Client").field("api", &self.api).finish_non_exhaustive()
    }
}

const _: () = {
    const fn assert<T: Send + Sync + Clone>() {}
    assert::<Client>();
};
