//! Calls made by worker threads: blocking underneath, to be waited for or awaited.
//!
//! ```no_run
//! use duocall::pool::Client;
//! use duocall::{Api, Request};
//!
//! # fn main() -> Result<(), duocall::Error> {
//! let client = Client::new(Api::new("https://api.example.com/v2/")?);
//! let one = client.send(Request::get("flows.json"));
//! let two = client.send(Request::get("runs.json"));
//! println!("{} {}", one.wait()?.text()?, two.wait()?.text()?);
//! # Ok(()) }
//! ```

mod batch;
mod job;
mod lane;
mod pages;
#[cfg(test)]
mod races;
mod runner;
mod workers;

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

pub use batch::Stream;
pub use job::Job;
pub use pages::Pages;

use crate::api::Api;
use crate::batch::Batch;
use crate::blocking;
use crate::cancel::Cancel;
use crate::endpoint::Endpoint;
use crate::engine::Bounds;
use crate::error::{Error, Mistake};
use crate::paging::Paging;
use crate::request::Request;
use crate::response::Response;
use workers::{Task, Workers};

/// Calls an API from threads of its own.
///
/// Clones are cheap and share the threads and the connections. Threads are
/// started when there is work for them, up to the number set, and named
/// `duocall-worker`. When the last clone is dropped, what is queued is refused
/// with [`ErrorKind::Shutdown`](crate::ErrorKind::Shutdown), what is under way is
/// finished, and the threads are joined (a worker that drops the last clone
/// itself does not join itself).
///
/// A worker whose endpoint waits for a job or a batch of its own pool makes those
/// calls itself if no other thread is free, so a pool of one thread will do.
///
/// A call that waits for a free thread waits as at the gate: it counts against
/// the `queue` limit alone, and ends with `Timeout(Queue)` when a thread finds
/// that too late.
///
/// # Blocking
/// Dropping the last clone waits for what is under way.
#[derive(Clone)]
pub struct Client {
    client: blocking::Client,
    workers: Arc<Workers>,
}

impl Client {
    /// A client with as many threads as the API's concurrency, at most 32, and
    /// connections of its own.
    pub fn new(api: Api) -> Client {
        let client = blocking::Client::new(api);
        Client::on(client, None)
    }

    /// A client on a transport of your own.
    pub fn with_transport(api: Api, transport: impl blocking::Transport) -> Client {
        Client::on(blocking::Client::with_transport(api, transport), None)
    }

    /// Settings first.
    pub fn builder(api: Api) -> Builder {
        Builder { client: blocking::Client::new(api), threads: None }
    }

    fn on(client: blocking::Client, threads: Option<usize>) -> Client {
        let threads = threads.unwrap_or(client.api().concurrency().min(32));
        let workers = Arc::new(Workers::new(threads));
        Client { client, workers }
    }

    /// The API it calls.
    pub fn api(&self) -> &Api {
        self.client.api()
    }

    /// Hands a request to the workers. Does not wait: the queue has no limit, so a
    /// great many are better sent as a [`batch`](Client::batch).
    pub fn send(&self, request: Request) -> Job<Response> {
        self.call(request)
    }

    /// Has a worker send a request; whoever waits for the job reads the body of a
    /// good response as it comes, see [`blocking::Streamed`]. Does not wait.
    pub fn open(&self, request: Request) -> Job<blocking::Streamed> {
        self.job(move |client, bounds| client.run_open(request, bounds))
    }

    /// Hands a call to the workers; they read its answer, too. Does not wait.
    pub fn call<E>(&self, endpoint: E) -> Job<E::Output>
    where
        E: Endpoint + Send + 'static,
        E::Output: Send + 'static,
    {
        self.job(made(endpoint))
    }

    /// Has a worker make the call and keep the result for the job, whatever happens.
    fn job<T: Send + 'static>(
        &self,
        call: impl FnOnce(&blocking::Client, &mut Bounds) -> Result<T, Error> + Send + 'static,
    ) -> Job<T> {
        let cancel = Cancel::new();
        let queued = Some(self.api().clock().now());
        let mut bounds = Bounds { cancel: Some(cancel.clone()), queued, ..Bounds::default() };
        let (slot, tell) = job::slot();
        let client = self.client.clone();
        let task = Task::new(move || call(&client, &mut bounds), move |result| tell.tell(result));
        self.workers.submit(task.clone(), &cancel);
        Job::new(slot, cancel, task, self.workers.id())
    }

    /// Many calls at once.
    pub fn batch<I>(&self, items: I) -> Batch<Client, I::IntoIter>
    where
        I: IntoIterator,
        I::Item: Endpoint,
    {
        Batch::new(self.clone(), items.into_iter())
    }

    /// The items of a list that comes in pages; see [`Paging`] for the rules.
    pub fn pages<T>(&self, request: Request, paging: Paging) -> Pages<T>
    where
        T: DeserializeOwned + Send + 'static,
    {
        Pages::new(self, request, paging)
    }
}

/// The call of an endpoint, to be made by a worker.
fn made<E>(
    endpoint: E,
) -> impl FnOnce(&blocking::Client, &mut Bounds) -> Result<E::Output, Error> + Send + 'static
where
    E: Endpoint + Send + 'static,
{
    move |client, bounds| {
        let response = client.run(endpoint.request(), bounds)?;
        endpoint.decode(response)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("pool::Client").field("api", self.api()).finish_non_exhaustive()
    }
}

/// Makes a pool [`Client`].
#[derive(Debug)]
#[must_use = "no client exists before `build`"]
pub struct Builder {
    client: blocking::Client,
    threads: Option<usize>,
}

impl Builder {
    /// How many threads at most, at least 1. Defaults to the API's concurrency, at most 32.
    pub fn threads(mut self, most: usize) -> Builder {
        self.threads = Some(most);
        self
    }

    /// Another client to make the calls with: on an agent or a transport of your own.
    pub fn over(mut self, client: blocking::Client) -> Builder {
        self.client = client;
        self
    }

    /// The client.
    ///
    /// # Errors
    /// [`ErrorKind::Request`](crate::ErrorKind::Request) when the number of threads is zero.
    pub fn build(self) -> Result<Client, Error> {
        if self.threads == Some(0) {
            return Err(Mistake::new("threads of the pool", "are zero").into());
        }
        Ok(Client::on(self.client, self.threads))
    }
}

const _: () = {
    const fn assert<T: Send + Sync + Clone>() {}
    assert::<Client>();
};
