//! The feature `mock`: scripted answers, virtual time, record and replay.

mod support;

use std::path::Path;
use std::time::Duration;

use duocall::mock::{Mock, Recorder, Replay, Reply, VirtualClock};
use duocall::{
    Api, Auth, ErrorKind, Phase, Rate, Request, Response, Retry, Timeouts, blocking, nonblocking,
    pool,
};
use futures_lite::future::{block_on, poll_once};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// One request through each way, each with a clock and a mock of its own.
fn each_way(
    settings: impl Fn(duocall::ApiBuilder) -> duocall::ApiBuilder,
    script: impl Fn(&Mock),
    request: Request,
    check: impl Fn(Result<Response, duocall::Error>, &VirtualClock, &Mock),
) {
    for way in 0..3 {
        let (clock, mock) = (VirtualClock::new(), Mock::new());
        script(&mock);
        let builder = Api::builder("http://api.test/v1/").retry(Retry::default().seed(7));
        let api = settings(builder.clock(&clock)).build().unwrap();
        let request = request.clone();
        let result = match way {
            0 => blocking::Client::with_transport(api, mock.clone()).send(request),
            1 => pool::Client::with_transport(api, mock.clone()).send(request).wait(),
            _ => block_on(nonblocking::Client::with_transport(api, mock.clone()).send(request)),
        };
        check(result, &clock, &mock);
    }
}

#[test]
fn retry_after_passes_in_no_time() {
    each_way(
        |api| api,
        |mock| {
            let busy = Reply::status(429).header("retry-after", "30");
            mock.on("GET", "x").reply(busy.clone()).reply(busy).reply(Reply::text("done"));
        },
        Request::get("x"),
        |result, clock, mock| {
            let response = result.unwrap();
            assert_eq!(response.text().unwrap(), "done");
            assert_eq!(clock.elapsed(), secs(60));
            let waited: Vec<_> = response.attempts().iter().map(|a| a.waited()).collect();
            assert_eq!(waited, [secs(0), secs(30), secs(30)]);
            assert_eq!(mock.calls(), 3);
        },
    );
}

#[test]
fn a_wait_beyond_the_limit_fails_at_once() {
    each_way(
        |api| api.timeouts(Timeouts::default().total(secs(20))),
        |mock| drop(mock.on("GET", "x").reply(Reply::status(429).header("retry-after", "30"))),
        Request::get("x"),
        |result, clock, _| {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Status);
            assert_eq!(error.retry_after(), Some(secs(30)));
            assert_eq!(clock.elapsed(), secs(0));
        },
    );
}

#[test]
fn every_limit_of_time_names_its_phase() {
    for (phase, named, after) in [
        (Phase::Resolve, Phase::Resolve, 5),
        (Phase::Connect, Phase::Connect, 5),
        (Phase::Tls, Phase::Tls, 5),
        (Phase::Send, Phase::Send, 15),
        (Phase::Head, Phase::Head, 15),
        (Phase::Body, Phase::Body, 15),
    ] {
        each_way(
            |api| api,
            |mock| drop(mock.on("GET", "x").reply(Reply::stall(phase))),
            Request::get("x").retry(Retry::none()),
            |result, clock, _| {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::Timeout(named));
                assert_eq!(clock.elapsed(), secs(after));
            },
        );
    }
}

#[test]
fn the_call_ends_with_its_total() {
    each_way(
        |api| api.timeouts(Timeouts::default().total(secs(20))),
        |mock| drop(mock.on("GET", "x").reply(Reply::stall(Phase::Head))),
        Request::get("x"),
        |result, clock, _| {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Total));
            assert_eq!(error.attempts().len(), 2);
            assert_eq!(clock.elapsed(), secs(20));
        },
    );
}

fn at_five_a_second() -> (VirtualClock, Mock, Api) {
    let (clock, mock) = (VirtualClock::new(), Mock::new());
    mock.on("GET", "x").reply(Reply::text("x").delay(Duration::from_millis(100)));
    let api = Api::builder("http://api.test/").clock(&clock).rate(Rate::per_second(5));
    (clock, mock, api.build().unwrap())
}

#[test]
fn two_hundred_calls_at_five_a_second_take_forty_virtual_seconds() {
    let requests = || (0..200).map(|_| Request::get("x"));
    let expected = Duration::from_millis(39_800 + 100);

    let (clock, mock, api) = at_five_a_second();
    let client = nonblocking::Client::with_transport(api, mock);
    let results = block_on(client.batch(requests()).gather());
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(clock.elapsed(), expected);

    let (clock, mock, api) = at_five_a_second();
    let client = pool::Client::with_transport(api, mock);
    assert!(client.batch(requests()).gather().iter().all(Result::is_ok));
    assert_eq!(clock.elapsed(), expected);

    let (clock, mock, api) = at_five_a_second();
    let client = blocking::Client::with_transport(api, mock);
    assert!(client.batch(requests()).gather().iter().all(Result::is_ok));
    assert_eq!(clock.elapsed(), expected);
}

#[test]
fn cut_bodies_and_failures_are_retried() {
    each_way(
        |api| api,
        |mock| {
            mock.on("GET", "x")
                .reply(Reply::text("whole").cut_after(3))
                .reply(Reply::fail(ErrorKind::Connect))
                .reply(Reply::text("whole"));
        },
        Request::get("x"),
        |result, _, _| {
            let response = result.unwrap();
            let met: Vec<_> = response.attempts().iter().map(|a| a.error()).collect();
            assert_eq!(met, [Some(ErrorKind::Truncated), Some(ErrorKind::Connect), None]);
        },
    );
}

#[test]
fn routes_count_and_complain() {
    let mock = Mock::new();
    mock.on("POST", "/v1/x").reply(Reply::status(201)).expect(1);
    mock.on("GET", "never").expect(1);
    let api = Api::new("http://api.test/v1/").unwrap();
    let client = blocking::Client::with_transport(api, mock.clone());
    client.send(Request::post("x").json(&[1])).unwrap();
    assert_eq!(mock.requests()[0].body(), b"[1]");
    let error = client.send(Request::get("elsewhere")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    assert!(error.to_string().contains("no route for GET /v1/elsewhere"), "{error}");
    let complaint = std::panic::catch_unwind(|| mock.verify()).unwrap_err();
    assert!(complaint.downcast_ref::<String>().unwrap().contains("GET never"));
}

#[test]
fn a_cassette_plays_what_was_recorded_and_holds_no_secret() {
    let server = support::Server::new(|seen| {
        let token = seen.header("authorization").unwrap_or_default().to_owned();
        support::reply(200, &[("set-cookie", "id=s3cr3t"), ("x-seen", &token)], b"\xff\xfe")
    });
    let dir = std::env::temp_dir().join(format!("duocall-cassette-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let requests = || [Request::get("a").query("q", 1), Request::post("b").json("x")];
    for colour in ["blocking", "async"] {
        let path = dir.join(colour);
        let api = |auth| Api::builder(server.url()).auth(auth).build().unwrap();
        let recorded = api(Auth::token("s3cr3t-CANARY"));
        if colour == "blocking" {
            let inner = blocking::transport(&recorded);
            let recorder = Recorder::new(&recorded, inner, &path);
            let client = blocking::Client::with_transport(recorded, recorder);
            drop(requests().map(|request| client.send(request).unwrap()));
        } else {
            let inner = nonblocking::transport(&recorded);
            let recorder = Recorder::new(&recorded, inner, &path);
            let client = nonblocking::Client::with_transport(recorded, recorder);
            drop(requests().map(|request| block_on(client.send(request)).unwrap()));
        }
        let file = std::fs::read_to_string(&path).unwrap();
        assert!(!file.contains("s3cr3t"), "{file}");

        let played = api(Auth::token("another"));
        let replay = Replay::open(&played, &path).unwrap();
        let client = blocking::Client::with_transport(played.clone(), replay.clone());
        let [one, two] = requests();
        assert_eq!(client.send(one.clone()).unwrap().bytes(), b"\xff\xfe");
        let client = nonblocking::Client::with_transport(played.clone(), replay.clone());
        assert_eq!(block_on(client.send(two)).unwrap().header("set-cookie"), Some("***"));
        assert_eq!(replay.left(), 0);
        let error = block_on(client.send(one)).unwrap_err();
        assert!(error.to_string().contains("no answer left for GET /a"), "{error}");
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

/// A call of each client, which gives this body.
fn record(api: &Api, path: &Path, body: &[u8]) {
    let recorder = Recorder::new(api, blocking::transport(api), path);
    let client = blocking::Client::with_transport(api.clone(), recorder);
    assert_eq!(client.send(Request::get("a")).unwrap().bytes(), body);
    let recorder = Recorder::new(api, nonblocking::transport(api), path);
    let client = nonblocking::Client::with_transport(api.clone(), recorder);
    assert_eq!(block_on(client.send(Request::get("a"))).unwrap().bytes(), body);
}

#[test]
fn a_chunked_response_is_played_again() {
    let server = support::Server::new(|_| {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        vec![support::Act::Write(format!("{head}5\r\nhello\r\n0\r\n\r\n").into())]
    });
    let path = std::env::temp_dir().join(format!("duocall-chunked-{}", std::process::id()));
    let api = Api::new(server.url()).unwrap();
    record(&api, &path, b"hello");

    let client = blocking::Client::with_transport(api.clone(), Replay::open(&api, &path).unwrap());
    assert_eq!(client.send(Request::get("a")).unwrap().bytes(), b"hello");
    let client =
        nonblocking::Client::with_transport(api.clone(), Replay::open(&api, &path).unwrap());
    assert_eq!(block_on(client.send(Request::get("a"))).unwrap().bytes(), b"hello");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_recorder_asks_for_no_coding_that_would_hide_a_secret() {
    let server = support::Server::new(|seen| {
        assert_eq!(seen.header("accept-encoding"), Some("identity"));
        support::reply(200, &[], seen.header("authorization").unwrap_or_default().as_bytes())
    });
    let path = std::env::temp_dir().join(format!("duocall-plain-{}", std::process::id()));
    let api = Api::builder(server.url()).auth(Auth::token("s3cr3t-CANARY")).build().unwrap();
    record(&api, &path, b"Token s3cr3t-CANARY");
    assert!(std::fs::read_to_string(&path).unwrap().contains("Token ***"));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_hook_set_while_a_call_waits_at_the_gate_runs_before_it_is_sent() {
    let mock = Mock::new();
    mock.on("GET", "slow").reply(Reply::text("a").delay(secs(60)));
    let api = Api::builder("http://api.test/").auth(Auth::token("old")).concurrency(1);
    let api = api.build().unwrap();
    mock.on("GET", "next").reply(Reply::text("a"));
    let client = nonblocking::Client::with_transport(api.clone(), mock.clone());
    let mut slow = Box::pin(client.send(Request::get("slow")));
    let mut next = Box::pin(client.send(Request::get("next")));
    assert!(block_on(poll_once(&mut slow)).is_none());
    assert!(block_on(poll_once(&mut next)).is_none());
    api.set_auth(Auth::refreshing(|| Ok::<_, duocall::Error>(Auth::token("new"))));
    drop(slow);
    let response = block_on(next).unwrap();
    assert_eq!(response.attempts().len(), 1);
    let sent: Vec<_> = mock.requests();
    assert_eq!(sent[1].header("authorization"), Some("Token new"));
    assert_eq!(sent.len(), 2);
}

#[test]
fn what_is_no_cassette_is_said_to_be_none() {
    let api = Api::new("http://api.test/").unwrap();
    let path = std::env::temp_dir().join(format!("duocall-no-cassette-{}", std::process::id()));
    assert_eq!(Replay::open(&api, &path).unwrap_err().kind(), ErrorKind::Request);
    for text in ["", "[]", "{\"version\":2}", "{\"version\":1,\"exchanges\":[{}]}"] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(Replay::open(&api, &path).unwrap_err().kind(), ErrorKind::Request, "{text}");
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn the_reason_of_a_rejection_does_not_show_the_credential_that_it_quotes() {
    each_way(
        |api| api.auth(Auth::token("canary")).reject(|response| response.text().ok()),
        |mock| drop(mock.on("GET", "x").reply(Reply::text("Token canary is not valid!"))),
        Request::get("x"),
        |result, _, _| {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Rejected);
            assert_eq!(error.meaning(), Some("Token *** is not valid!"));
            assert!(!format!("{error} {error:?}").contains("canary"));
        },
    );
}

#[test]
fn another_server_does_not_close_the_gate() {
    let (clock, mock) = (VirtualClock::new(), Mock::new());
    mock.on("GET", "/f").reply(Reply::status(429).header("retry-after", "80000"));
    mock.on("GET", "x").reply(Reply::text("x"));
    mock.on("GET", "to").reply(Reply::status(302).header("location", "http://files.test/f"));
    let api = Api::builder("http://api.test/").clock(&clock).build().unwrap();
    let client = blocking::Client::with_transport(api, mock);
    client.send(Request::absolute("http://files.test/f")).unwrap_err();
    let error = client.send(Request::get("to")).unwrap_err();
    assert_eq!(error.retry_after(), Some(secs(80_000)));
    client.send(Request::get("x")).unwrap();
    assert_eq!(clock.elapsed(), secs(0));
    client.send(Request::absolute("http://api.test/f")).unwrap_err();
    client.send(Request::get("x")).unwrap();
    assert_eq!(clock.elapsed(), secs(80_000), "its own server does");
}

#[test]
fn a_credential_replaced_meanwhile_shows_in_no_message() {
    let api = Api::builder("http://api.test/").auth(Auth::token("canary")).build().unwrap();
    let replacing = api.clone();
    let client = blocking::Client::with_transport(api, move |_, _: &_| {
        replacing.set_auth(Auth::token("another"));
        let body: blocking::Reader = Box::new(&b"\"canary\""[..]);
        Ok(duocall::http::Response::new(body))
    });
    let response = client.send(Request::get("echo")).expect("a good response");
    let message = response.json::<u8>().expect_err("no number").to_string();
    assert!(message.contains("***") && !message.contains("canary"), "{message}");
}
