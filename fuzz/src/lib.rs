//! What must hold for any input, one file for each kind of it. `check` panics where it does not.
//!
//! The fuzzer asks with input of its own making; `tests/seeds.rs` of duocall asks with what lies in
//! `seeds/`, and with that slightly changed.

pub mod cassette;
pub mod link;
pub mod response;
pub mod retry_after;
pub mod url;

use std::fmt::Debug;

use duocall::{Api, Error, Request, Response, blocking, nonblocking};
use futures_lite::future::block_on;

/// The two that everything else is built on.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Blocking,
    Async,
}

type Send = Box<dyn Fn(Request) -> Result<Response, Error>>;

impl Way {
    fn client(self, api: Api) -> Send {
        match self {
            Way::Blocking => {
                let client = blocking::Client::new(api);
                Box::new(move |request| client.send(request))
            }
            Way::Async => {
                let client = nonblocking::Client::new(api);
                Box::new(move |request| block_on(client.send(request)))
            }
        }
    }

    fn over(self, api: Api, transport: impl blocking::Transport + nonblocking::Transport) -> Send {
        match self {
            Way::Blocking => {
                let client = blocking::Client::with_transport(api, transport);
                Box::new(move |request| client.send(request))
            }
            Way::Async => {
                let client = nonblocking::Client::with_transport(api, transport);
                Box::new(move |request| block_on(client.send(request)))
            }
        }
    }
}

/// Both ways must come to the same.
fn both<T: PartialEq + Debug>(ask: impl Fn(Way) -> T) -> T {
    let [said, told] = [Way::Blocking, Way::Async].map(ask);
    assert_eq!(said, told, "blocking on the left, async on the right");
    said
}

/// What came of a call, without what differs from run to run.
#[derive(Debug, PartialEq)]
struct Outcome {
    error: Option<String>,
    response: Option<(u16, Vec<String>, Vec<u8>)>,
}

impl Outcome {
    fn of(result: Result<Response, Error>) -> Outcome {
        let parts = |response: &Response| {
            let fields = response.headers().iter();
            let fields = fields.map(|(name, value)| format!("{name}: {value:?}")).collect();
            (response.status().as_u16(), fields, response.bytes().to_vec())
        };
        match result {
            Ok(response) => Outcome { error: None, response: Some(parts(&response)) },
            Err(error) => Outcome {
                error: Some(format!("{:?}, sent {:?}", error.kind(), error.sent())),
                response: error.response().map(parts),
            },
        }
    }
}
