//! What no step of a scenario can do, written once for all ways of running.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use duocall::mock::Mock;
use duocall::{Api, Cancel, Endpoint, Error, Request, Response, blocking, nonblocking, pool};
use futures_util::StreamExt;

/// A client. Its calls are async; those of the blocking ones are done when they are polled.
#[derive(Clone)]
pub enum Caller {
    Blocking(blocking::Client),
    Pool(pool::Client),
    Task(nonblocking::Client),
}

/// The step that does this in each colour: an `async fn(Caller, Arc<Site>) -> Vec<Said>`.
macro_rules! own {
    ($what:path) => {
        $crate::parity::scenario::Own {
            blocking: |client, site| {
                let caller = $crate::faults::caller::Caller::Blocking(client.clone());
                futures_lite::future::block_on($what(caller, site.clone()))
            },
            pool: |client, site| {
                let caller = $crate::faults::caller::Caller::Pool(client.clone());
                futures_lite::future::block_on($what(caller, site.clone()))
            },
            task: |client, site| {
                Box::pin($what($crate::faults::caller::Caller::Task(client), site))
            },
        }
    };
}
pub(crate) use own;

impl Caller {
    /// The same way of running with another API, answered by a mock.
    pub fn mocked(&self, api: Api, mock: Mock) -> Caller {
        match self {
            Caller::Blocking(_) => Caller::Blocking(blocking::Client::with_transport(api, mock)),
            Caller::Pool(_) => Caller::Pool(pool::Client::with_transport(api, mock)),
            Caller::Task(_) => Caller::Task(nonblocking::Client::with_transport(api, mock)),
        }
    }

    pub async fn send(&self, request: Request) -> Result<Response, Error> {
        match self {
            Caller::Blocking(client) => client.send(request),
            Caller::Pool(client) => client.send(request).wait(),
            Caller::Task(client) => client.send(request).await,
        }
    }

    pub async fn call<E>(&self, endpoint: E) -> Result<E::Output, Error>
    where
        E: Endpoint + Send + 'static,
        E::Output: Send + 'static,
    {
        match self {
            Caller::Blocking(client) => client.call(endpoint),
            Caller::Pool(client) => client.call(endpoint).wait(),
            Caller::Task(client) => client.call(endpoint).await,
        }
    }

    pub async fn gather<E>(&self, items: Vec<E>, most: usize) -> Vec<Result<E::Output, Error>>
    where
        E: Endpoint + Send + 'static,
        E::Output: Send + 'static,
    {
        match self {
            Caller::Blocking(client) => client.batch(items).concurrency(most).gather(),
            Caller::Pool(client) => client.batch(items).concurrency(most).gather(),
            Caller::Task(client) => client.batch(items).concurrency(most).gather().await,
        }
    }

    /// Given up when it was polled so many times; where nothing is polled, as many times 20 µs later.
    pub async fn give_up(&self, request: Request, after: usize) -> Option<Result<Response, Error>> {
        let late = Duration::from_micros(20) * after as u32;
        match self {
            Caller::Blocking(client) => {
                let cancel = Cancel::new();
                let theirs = cancel.clone();
                let cancelling = thread::spawn(move || {
                    thread::sleep(late);
                    theirs.cancel();
                });
                let mut results = client.batch([request]).cancel(&cancel).gather();
                cancelling.join().expect("no panic");
                results.pop()
            }
            Caller::Pool(client) => {
                let job = client.send(request);
                thread::sleep(late);
                if after % 2 == 0 {
                    drop(job);
                    return None;
                }
                job.cancel();
                Some(job.wait())
            }
            Caller::Task(client) => {
                let mut call = pin!(client.send(request));
                let mut left = after;
                poll_fn(|cx| {
                    if left == 0 {
                        return Poll::Ready(None);
                    }
                    left -= 1;
                    let polled = call.as_mut().poll(cx).map(Some);
                    if polled.is_pending() && left == 0 { Poll::Ready(None) } else { polled }
                })
                .await
            }
        }
    }

    /// The first few results of a batch, whose rest is not wanted.
    pub async fn first<E>(
        &self,
        items: impl Iterator<Item = E> + Send + 'static,
        most: usize,
        wanted: usize,
    ) -> usize
    where
        E: Endpoint + Send + 'static,
        E::Output: Send + 'static,
    {
        match self {
            Caller::Blocking(client) => {
                client.batch(items).concurrency(most).stream().take(wanted).count()
            }
            Caller::Pool(client) => {
                client.batch(items).concurrency(most).stream().take(wanted).count()
            }
            Caller::Task(client) => {
                let results = client.batch(items).concurrency(most).stream();
                results.take(wanted).count().await
            }
        }
    }

    /// Opens a response, reads so many pieces, and drops it.
    pub async fn peek(&self, request: Request, pieces: usize) -> Result<(), Error> {
        let read = |mut body: blocking::Streamed| -> Result<(), Error> {
            (0..pieces).try_for_each(|_| body.piece().map(drop))
        };
        match self {
            Caller::Blocking(client) => read(client.open(request)?),
            Caller::Pool(client) => read(client.open(request).wait()?),
            Caller::Task(client) => {
                let mut body = client.open(request).await?;
                for _ in 0..pieces {
                    body.piece().await?;
                }
                Ok(())
            }
        }
    }
}
