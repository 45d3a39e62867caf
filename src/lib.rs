//! One API definition, one policy, three ways to call it: blocking, async, thread pool.
//!
//! An [`Api`] says once where an API is, who calls, how often and how long. A client takes it and
//! makes the calls: [`blocking::Client`] on the calling thread, [`pool::Client`] on worker threads,
//! [`nonblocking::Client`] in a task of any executor. The requests on the wire, the retries, the
//! limits and the errors are the same in all three.
//!
//! ```no_run
//! use duocall::blocking::Client; // or duocall::pool::Client, duocall::nonblocking::Client
//! use duocall::{Api, Auth, Rate, Request};
//!
//! # fn main() -> Result<(), duocall::Error> {
//! let api = Api::builder("https://api.example.com/v2/")
//!     .auth(Auth::token("from your configuration"))
//!     .rate(Rate::per_second(20))
//!     .build()?;
//! let client = Client::new(api);
//! let response = client.send(Request::get("flows.json").query("limit", 50))?;
//! let names: Vec<String> = response.json()?;
//! # drop(names); Ok(()) }
//! ```
//!
//! Where to look next: [`Request`] for what can be asked, [`Endpoint`] for typed calls, [`Batch`] for
//! many calls at once, [`Paging`] for lists in pages, [`Error`] for what can go wrong, [`Retry`],
//! [`Rate`] and [`Timeouts`] for the policies and their defaults.
//!
//! # The three ways
//!
//! | | a call | its result | many at once |
//! |---|---|---|---|
//! | [`blocking::Client`] | made on the calling thread | returned | one after another |
//! | [`pool::Client`] | made by a worker thread | a [`pool::Job`]: `.wait()` or `.await` | on up to as many threads as it has |
//! | [`nonblocking::Client`] | made in the task that polls it | a future | in one task; a stream's as tasks of their own |
//!
//! # Features
//!
//! | feature | default | what it gives |
//! |---|---|---|
//! | `blocking` | yes | [`blocking::Client`], on ureq |
//! | `async` | | [`nonblocking::Client`]: hyper's HTTP/1.1 over async-io sockets, on any executor |
//! | `http2` | | `ApiBuilder::http2`: HTTP/2 for the async client, many calls on one connection; implies `async` |
//! | `pool` | | [`pool::Client`]: worker threads over `blocking`; implies it |
//! | `tls` | yes | https, by rustls with ring and the roots of the Mozilla programme |
//! | `platform-verifier` | | `Tls::platform_verifier`: trust whom the operating system trusts; implies `tls` |
//! | `gzip` | yes | gzip and deflate are asked for and decoded |
//! | `brotli` | | brotli is asked for and decoded |
//! | `zstd` | | zstd is asked for and decoded, by the library in C |
//! | `cookies` | | [`ApiBuilder::cookies`]: what responses set is sent again, by the public suffix list |
//! | `surf` | | [`surf`]: our transport under surf, and surf's middleware under our calls; implies `async` |
//! | `tokio` | | [`nonblocking::Client::with_tokio`]: sockets on tokio's own reactor, for less per call; implies `async` |
//! | `tracing` | | spans and events of every call, see [below](#spans-and-events) |
//! | `redis` | | [`redis::RedisGate`]: rate, concurrency and retry budget shared by many machines |
//! | `mock` | | [`mock`]: scripted answers, virtual time, record and replay |
//!
//! Features only add: turning one on changes nothing about another.
//!
//! # Spans and events
//!
//! With the feature `tracing`, each call is a span of the crate `tracing` (target `duocall`, level
//! *info*), a child of the span that its caller is in where the call runs, and each request that goes
//! out for it is a span below. Their fields follow the OpenTelemetry conventions for HTTP clients:
//! `http.request.method`, `url.full`, `server.address`, `server.port`, `http.response.status_code`,
//! `error.type` (a status from 400 on, or the [`ErrorKind`]), `http.request.resend_count`; with
//! `otel.name`, `otel.kind` and `otel.status_code` for the bridge to it. Events of level *debug* tell
//! the end of a request, and a wait before another. Values of the query are hidden, headers and bodies
//! are not shown, and nothing else is.
//!
//! A call in a pool's worker, or of an async batch's stream, has no caller's span. To have all of it in
//! the facade `log`, turn on the feature `log` of the crate `tracing` in your own program.
//!
//! # Implementation
//!
//! Everything that decides (retry, gate, deadline, redirect, credential, decoding, judgement) is one
//! step machine without I/O. Each way of calling is a short loop that does the machine's steps, over
//! a transport that only moves bytes.
//!
//! ## Every thread that is ever started
//!
//! | way | thread | when, and why |
//! |---|---|---|
//! | all | `duocall-resolve` | for lookups of names: a resolver cannot be interrupted, and the call has a deadline. Started when there is a lookup and nobody free, at most 64; further lookups wait for one of them. Each ends when no lookup waits. None for a host that is an address, or has one by [`ApiBuilder::resolve`]. |
//! | pool | `duocall-worker` | makes the calls. Started when there is work and nobody free, up to the number set; joined when the last clone of the client is dropped. |
//! | async | `async-io` | one for all of the process, started by the crate async-io at the first socket or timer. It waits for events where no executor does. It is never stopped. |
//! | async | `blocking-1`, … | those of the crate `blocking`: each run of a refresh hook and each [`Body::reader`] takes one, for they may block. They end when they have been idle for a while. |
//! | async | `smol-1` | one for all of the process, started by the first [`stream`](Batch::stream) of an async batch, or the first pages with a [`prefetch`](Paging::prefetch) or a [`total`](Paging::total), or the first connection of HTTP/2: calls and connections run there, so that they go on while the consumer is busy. It is never stopped. |
//! | `redis` | `duocall-redis` | one for each [`redis::RedisGate`], from its first call on. It asks Redis for admissions and renews the leases; joined when the gate is dropped. |
//! | `redis` | `duocall-redis-listen` | one for each [`redis::RedisGate`]. It hears at once when another worker closes the gate; ends within two seconds of the gate. |
//!
//! [`blocking::Client`] starts no other, and `gather`, `fail_fast` and single calls of the async client
//! run in the task that polls them.
//!
//! ## What is never done
//!
//! - No environment variable is obeyed but those for proxies, which [`ApiBuilder::build`] reads once unless
//!   [`ApiBuilder::proxy`] or [`ApiBuilder::no_proxy`] was called, and two for certificates that
//!   `Tls::platform_verifier` names. [`Secret::from_env`] reads the one you name. (Crates underneath read three kinds of their own: ureq looks at the proxy
//!   variables when a client is made, and what it finds is thrown away; `blocking` reads
//!   `BLOCKING_MAX_THREADS`; smol reads `SMOL_THREADS` when the first stream is started.)
//! - No file is read or written, but by [`Secret::from_file`], [`Body::file`] and the cassettes of [`mock`].
//! - No global state decides anything: two `Api` values share no connection, gate, credential or
//!   budget. What is static is the TLS configuration of those who change nothing about it, and the
//!   queue of the `duocall-resolve` threads.
//! - No connection is used again after a response that was not proven complete; over HTTP/2, where each
//!   response has a stream of its own, no stream.
//! - No secret is part of a text: `Debug` and `Display` of every type leave it out.
//! - No log is written by duocall, but by the feature `tracing`. ureq writes to the facade `log`, at the level *trace* every byte it
//!   sends; queries and credentials are therefore kept from it and put in by our connection. (On an agent
//!   of your own, [`blocking::Client::with_agent`], they are not.) h2 tells a subscriber of `tracing` about
//!   frames, without headers and bodies, but with what a server says when it closes a connection.
//! - No unsafe code: `#![forbid(unsafe_code)]`. No build script.

#![forbid(unsafe_code)]
#![warn(missing_docs, missing_debug_implementations, unreachable_pub)]
#![warn(clippy::missing_errors_doc, clippy::missing_panics_doc, clippy::return_self_not_must_use)]
#![cfg_attr(docsrs, feature(doc_cfg))]
// The ways to call share one engine, and a build with some of them leaves the others' parts of it
// idle. What nobody uses shows where every feature is on.
#![cfg_attr(
    not(all(
        feature = "async",
        feature = "gzip",
        feature = "http2",
        feature = "mock",
        feature = "pool",
        feature = "redis",
        feature = "tls"
    )),
    allow(dead_code, unused_imports)
)]

mod api;
mod auth;
mod batch;
#[cfg(feature = "blocking")]
#[cfg_attr(docsrs, doc(cfg(feature = "blocking")))]
pub mod blocking;
mod body;
mod cancel;
mod clock;
pub mod endpoint;
mod engine;
mod error;
mod group;
#[cfg(feature = "http2")]
mod http2;
#[cfg(not(feature = "http2"))]
#[path = "http2_none.rs"]
mod http2;
#[cfg(any(feature = "async", feature = "blocking"))]
mod idle;
#[cfg(any(feature = "async", feature = "blocking"))]
mod landing;
#[cfg(feature = "mock")]
#[cfg_attr(docsrs, doc(cfg(feature = "mock")))]
pub mod mock;
mod multipart;
#[cfg(feature = "async")]
#[cfg_attr(docsrs, doc(cfg(feature = "async")))]
pub mod nonblocking;
mod paging;
mod policy;
#[cfg(feature = "pool")]
#[cfg_attr(docsrs, doc(cfg(feature = "pool")))]
pub mod pool;
mod proxy;
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub mod redis;
mod request;
mod resolve;
mod response;
#[cfg(feature = "surf")]
#[cfg_attr(docsrs, doc(cfg(feature = "surf")))]
pub mod surf;
mod sync;
pub mod timeline;
mod tls;
mod trace;
mod trace_log;
pub mod transport;
mod url;

pub use api::{Api, ApiBuilder};
pub use auth::{Auth, Secret};
pub use batch::{Batch, Progress};
pub use body::Body;
pub use cancel::Cancel;
pub use endpoint::{Endpoint, Json};
pub use engine::gate::{Ask, Gate, Permit};
pub use error::{Error, ErrorKind, Phase, Sent};
pub use group::ErrorGroup;
#[cfg(feature = "http2")]
#[cfg_attr(docsrs, doc(cfg(feature = "http2")))]
pub use http2::Http2;
pub use multipart::Multipart;
pub use paging::Paging;
pub use policy::{Rate, Retry, Timeouts};
pub use proxy::Proxy;
#[cfg(feature = "redis")]
pub use redis::RedisGate;
pub use request::Request;
pub use resolve::Resolve;
pub use response::Response;
pub use timeline::Timeline;
#[cfg(feature = "tls")]
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
pub use tls::TlsVersion;
pub use tls::{Tls, TlsFault};
pub use trace::{Attempt, Cause};

pub use http;

#[cfg(all(doctest, feature = "async", feature = "pool", feature = "blocking"))]
mod refused;

/// Makes the code in the pages for people compile.
#[cfg(all(doctest, feature = "async", feature = "pool", feature = "mock"))]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/guide.md")]
    struct Guide;
    #[doc = include_str!("../docs/from-python.md")]
    struct FromPython;
    #[doc = include_str!("../docs/from-reqwest.md")]
    struct FromReqwest;
    #[doc = include_str!("../docs/choosing.md")]
    struct Choosing;
    #[doc = include_str!("../docs/architecture.md")]
    struct Architecture;
    #[doc = include_str!("../docs/errors.md")]
    struct Errors;
    #[cfg(feature = "redis")]
    #[doc = include_str!("../docs/fleet.md")]
    struct Fleet;
}
