//! One API definition, one policy, three ways to call it: blocking, async, thread pool.

#![forbid(unsafe_code)]
#![warn(missing_docs, missing_debug_implementations, unreachable_pub)]
#![cfg_attr(docsrs, feature(doc_cfg))]

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
#[cfg(feature = "async")]
#[cfg_attr(docsrs, doc(cfg(feature = "async")))]
pub mod nonblocking;
mod policy;
#[cfg(feature = "pool")]
#[cfg_attr(docsrs, doc(cfg(feature = "pool")))]
pub mod pool;
mod request;
mod resolve;
mod response;
mod sync;
mod tls;
mod trace;
pub mod transport;
mod url;

pub use api::{Api, ApiBuilder};
pub use auth::{Auth, Secret};
pub use batch::{Batch, ErrorGroup, Progress};
pub use body::Body;
pub use cancel::Cancel;
pub use endpoint::{Endpoint, Json};
pub use engine::gate::{Ask, Gate, Permit};
pub use error::{Error, ErrorKind, Phase, Sent};
pub use policy::{Rate, Retry, Timeouts};
pub use request::Request;
pub use response::Response;
pub use tls::Tls;
pub use trace::{Attempt, Cause};

pub use http;
