//! The ways of running: a few calls with one client, one after another.

use std::io::Read;
use std::pin::Pin;

use duocall::{Api, Error, Paging, Request, Response, blocking, nonblocking, pool};
use futures_lite::{AsyncReadExt, StreamExt};
use serde_json::Value;

pub enum Ask {
    Send(Request),
    /// Its body read as a stream.
    Open(Request),
    Pages(Request, Paging),
}

pub enum Said {
    /// Of a stream the response has no body, so the body comes beside it.
    Response(Response, Vec<u8>),
    Item(Value),
    Error(Error),
}

pub struct Way {
    pub name: &'static str,
    pub run: fn(Api, Vec<Ask>) -> Vec<Said>,
}

pub const ALL: &[Way] = &[
    Way { name: "blocking", run: on_this_thread },
    Way { name: "pool", run: in_a_pool },
    Way { name: "async on smol", run: |api, asks| smol::block_on(over_ours(api, asks)) },
    Way { name: "async on tokio, one thread", run: on_tokio_current },
    Way { name: "async on tokio, threads", run: on_tokio_threads },
    Way { name: "async, tokio's sockets", run: on_tokio_sockets },
    Way {
        name: "async on async-std",
        run: |api, asks| async_std::task::block_on(async_std::task::spawn(over_ours(api, asks))),
    },
    Way {
        name: "async, bare block_on",
        run: |api, asks| futures_lite::future::block_on(over_ours(api, asks)),
    },
    #[cfg(feature = "surf")]
    Way { name: "async over surf", run: |api, asks| smol::block_on(over_surf(api, asks)) },
];

fn on_tokio_current(api: Api, asks: Vec<Ask>) -> Vec<Said> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(over_ours(api, asks))
}

fn on_tokio_threads(api: Api, asks: Vec<Ask>) -> Vec<Said> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(runtime.spawn(over_ours(api, asks))).expect("no panic")
}

fn on_tokio_sockets(api: Api, asks: Vec<Ask>) -> Vec<Said> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let client = nonblocking::Client::with_tokio(api);
    runtime.expect("a runtime").block_on(awaited(client, asks))
}

fn on_this_thread(api: Api, asks: Vec<Ask>) -> Vec<Said> {
    let client = blocking::Client::new(api);
    let said = asks.into_iter().flat_map(|ask| match ask {
        Ask::Send(request) => vec![whole(client.send(request))],
        Ask::Open(request) => vec![read(client.open(request))],
        Ask::Pages(first, paging) => client.pages(first, paging).map(item).collect(),
    });
    said.collect()
}

fn in_a_pool(api: Api, asks: Vec<Ask>) -> Vec<Said> {
    let client = pool::Client::new(api);
    let said = asks.into_iter().flat_map(|ask| match ask {
        Ask::Send(request) => vec![whole(client.send(request).wait())],
        Ask::Open(request) => vec![read(client.open(request).wait())],
        Ask::Pages(first, paging) => client.pages(first, paging).map(item).collect(),
    });
    said.collect()
}

fn over_ours(api: Api, asks: Vec<Ask>) -> Pin<Box<dyn Future<Output = Vec<Said>> + Send>> {
    Box::pin(awaited(nonblocking::Client::new(api), asks))
}

#[cfg(feature = "surf")]
async fn over_surf(api: Api, asks: Vec<Ask>) -> Vec<Said> {
    let surf = surf::Client::with_http_client(duocall::surf::HttpClient::for_api(&api));
    awaited(nonblocking::Client::with_surf(api, surf), asks).await
}

async fn awaited(client: nonblocking::Client, asks: Vec<Ask>) -> Vec<Said> {
    let mut said = Vec::new();
    for ask in asks {
        match ask {
            Ask::Send(request) => said.push(whole(client.send(request).await)),
            Ask::Open(request) => said.push(read_async(client.open(request).await).await),
            Ask::Pages(first, paging) => {
                said.extend(client.pages(first, paging).map(item).collect::<Vec<_>>().await);
            }
        }
    }
    said
}

fn whole(result: Result<Response, Error>) -> Said {
    result.map_or_else(Said::Error, |response| {
        let body = response.bytes().to_vec();
        Said::Response(response, body)
    })
}

fn item(item: Result<Value, Error>) -> Said {
    item.map_or_else(Said::Error, Said::Item)
}

fn read(opened: Result<blocking::Streamed, Error>) -> Said {
    let mut opened = match opened {
        Ok(opened) => opened,
        Err(error) => return Said::Error(error),
    };
    let mut body = Vec::new();
    match opened.read_to_end(&mut body) {
        Ok(_) => Said::Response(opened.response().clone(), body),
        Err(error) => Said::Error(inner(error)),
    }
}

async fn read_async(opened: Result<nonblocking::Streamed, Error>) -> Said {
    let mut opened = match opened {
        Ok(opened) => opened,
        Err(error) => return Said::Error(error),
    };
    let mut body = Vec::new();
    match opened.read_to_end(&mut body).await {
        Ok(_) => Said::Response(opened.response().clone(), body),
        Err(error) => Said::Error(inner(error)),
    }
}

fn inner(error: std::io::Error) -> Error {
    *error.into_inner().expect("a cause").downcast().expect("ours")
}

/// Sends one after another, with one client.
pub fn send(way: &Way, api: Api, requests: Vec<Request>) -> Vec<Result<Response, Error>> {
    let said = (way.run)(api, requests.into_iter().map(Ask::Send).collect());
    let result = |said| match said {
        Said::Response(response, _) => Ok(response),
        Said::Error(error) => Err(error),
        Said::Item(_) => unreachable!("no pages were asked for"),
    };
    said.into_iter().map(result).collect()
}

/// Sends in every way, each with an API of its own; the errors must read the same.
pub fn in_every_way(
    api: impl Fn() -> Api,
    request: Request,
    check: impl Fn(&str, Result<Response, Error>),
) {
    let mut first: Option<String> = None;
    for way in ALL {
        let said = send(way, api(), vec![request.clone()]).remove(0);
        let text = match &said {
            Ok(response) => format!("{} {:?}", response.status(), response.text()),
            Err(error) => masked(&error.to_string()),
        };
        check(way.name, said);
        let first = first.get_or_insert_with(|| text.clone());
        assert_eq!(*first, text, "{} differs from the first", way.name);
    }
}

/// Without the seconds that it took.
fn masked(text: &str) -> String {
    let Some((before, rest)) = text.split_once(" attempts in ") else { return text.to_owned() };
    let after = rest.split_once(" s").map_or("", |(_, after)| after);
    format!("{before} attempts in T s{after}")
}
