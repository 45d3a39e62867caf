//! The same calls over reqwest, async and blocking.

#[path = "../../../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use duocall::{
    Api, Body, Cause, Error, ErrorKind, Phase, Request, Response, Retry, Sent, Timeouts,
};
use duocall::{blocking, nonblocking};
use futures_lite::future::{block_on, poll_once};
use support::{Act, Server, ok, reply};
use tokio::runtime::Runtime;

/// Sends it in both colours, each from the beginning of the script; they must agree.
fn both(replies: &[Vec<Act>], set: fn(Request) -> Request) -> (Result<Response, Error>, Server) {
    let api = |server: &Server| {
        let retry = Retry::default().backoff(Duration::from_millis(1), Duration::from_millis(2));
        let limits = Timeouts::default().head(Duration::from_millis(300));
        Api::builder(server.url()).retry(retry).timeouts(limits).build().unwrap()
    };
    let server = Server::script(replies.to_vec());
    let transport = reqwest_transport::blocking::Reqwest::new().unwrap();
    let client = blocking::Client::with_transport(api(&server), transport);
    let one = client.send(set(Request::get("x")));

    let server = Server::script(replies.to_vec());
    let runtime = Runtime::new().unwrap();
    let transport = reqwest_transport::nonblocking::Reqwest::new(runtime.handle().clone()).unwrap();
    let client = nonblocking::Client::with_transport(api(&server), transport);
    // No executor of tokio's polls this.
    let other = block_on(client.send(set(Request::get("x"))));
    assert_eq!(told(&one), told(&other));
    (other, server)
}

fn told(result: &Result<Response, Error>) -> String {
    match result {
        Ok(response) => format!("{} {:?}", response.status(), response.bytes()),
        Err(error) => format!("{:?} {:?}", error.kind(), error.sent()),
    }
}

#[test]
fn answers_come_whole_after_retries_and_redirects() {
    let moved = reply(302, &[("location", "/y")], "");
    let (result, server) = both(&[reply(503, &[], ""), moved, ok("done")], |request| request);
    let response = result.unwrap();
    let causes: Vec<Cause> = response.attempts().iter().map(|attempt| attempt.cause()).collect();
    assert_eq!(causes, [Cause::First, Cause::Retry, Cause::Redirect]);
    assert_eq!(response.text().unwrap(), "done");
    let seen = server.requests();
    assert_eq!(seen[2].target, "/y");
    assert_eq!(seen[0].header("accept-encoding"), Some("gzip, deflate"));
}

#[test]
fn bodies_go_out_from_memory_and_from_readers() {
    let (result, server) = both(&[ok("")], |_| Request::post("x").body("text"));
    assert!(result.is_ok());
    assert_eq!(server.requests()[0].header("content-length"), Some("4"));
    let reader = |_| Request::put("x").body(Body::sized_reader(&b"from a reader"[..], 13));
    let (result, server) = both(&[ok("")], reader);
    assert!(result.is_ok());
    let seen = &server.requests()[0];
    assert_eq!(
        (seen.header("content-length"), &seen.body[..]),
        (Some("13"), &b"from a reader"[..])
    );
    let short = |_| Request::put("x").body(Body::sized_reader(&b"short"[..], 13));
    assert_eq!(both(&[ok("")], short).0.unwrap_err().kind(), ErrorKind::Body);
}

#[test]
fn failures_are_named() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc".to_vec();
    let short = vec![Act::Write(head), Act::Close];
    let (result, _) = both(&[short], |request| request.retry(Retry::none()));
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Truncated);
    let (result, server) = both(&[vec![Act::Close], ok("")], |_| Request::post("x"));
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Closed, Sent::Maybe));
    assert_eq!(server.requests().len(), 1, "a POST that may have arrived is not repeated");
    let silent = |request: Request| request.retry(Retry::none()).query("key", "canary");
    let error = both(&[vec![Act::Stall]], silent).0.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Head));
    assert!(!format!("{error} {error:?}").contains("canary"));
}

#[test]
fn nobody_there_means_nothing_sent() {
    let api = Api::builder("http://127.0.0.1:1/").retry(Retry::none()).build().unwrap();
    let transport = reqwest_transport::blocking::Reqwest::new().unwrap();
    let client = blocking::Client::with_transport(api, transport);
    let error = client.send(Request::post("x").query("key", "canary")).unwrap_err();
    assert_eq!((error.kind(), error.sent()), (ErrorKind::Connect, Sent::No));
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
}

#[test]
fn a_dropped_call_closes_its_connection() {
    let server = Server::script(vec![vec![Act::Stall]]);
    let runtime = Runtime::new().unwrap();
    let transport = reqwest_transport::nonblocking::Reqwest::new(runtime.handle().clone()).unwrap();
    let client = nonblocking::Client::with_transport(Api::new(server.url()).unwrap(), transport);
    let mut call = Box::pin(client.send(Request::get("x")));
    block_on(async {
        while !server.wait_requests(1, Duration::from_millis(1)) {
            assert!(poll_once(&mut call).await.is_none());
        }
    });
    drop(call);
    assert!(server.wait_closed(Duration::from_secs(5)));
}
