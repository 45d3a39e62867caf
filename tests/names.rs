//! From names to addresses, the same in every way of running.
#![cfg(all(feature = "async", feature = "pool"))]

mod support;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use duocall::transport::Failure;
use duocall::{
    Api, ApiBuilder, Error, ErrorKind, Phase, Request, Response, Retry, Sent, Timeouts, blocking,
    nonblocking,
};
use support::ways::in_every_way;
use support::{Server, ok};

type Found = Result<Vec<SocketAddr>, Failure>;

const NAME: &str = "http://api.example.invalid:8080/";

/// What comes of a call to a name, in every way.
fn called(set: impl Fn(ApiBuilder) -> ApiBuilder, check: impl Fn(&str, Result<Response, Error>)) {
    let retry = Retry::default().backoff(Duration::from_millis(1), Duration::from_millis(2));
    let api = || set(Api::builder(NAME).retry(retry.clone())).build().unwrap();
    in_every_way(api, Request::get("x"), check);
}

#[test]
fn a_fixed_address_stands_in_for_the_name() {
    let server = Server::script(vec![ok("hello")]);
    let unasked = |_: &str, _: u16| -> Found { panic!("nobody has to be asked") };
    called(
        |api| api.resolver(unasked).resolve("API.example.invalid", server.addr()),
        |way, said| assert_eq!(said.expect(way).text().unwrap(), "hello"),
    );
    for seen in server.requests() {
        assert_eq!(seen.header("host"), Some("api.example.invalid:8080"));
    }
}

#[test]
fn port_0_is_that_of_the_url() {
    let server = Server::script(vec![ok("hello")]);
    let url = format!("http://api.example.invalid:{}/", server.addr().port());
    let fixed = SocketAddr::new(server.addr().ip(), 0);
    let api = || Api::builder(&url).resolve("api.example.invalid", fixed).build().unwrap();
    in_every_way(api, Request::get("x"), |way, said| {
        said.expect(way);
    });
}

#[test]
fn a_resolver_is_asked_once_for_a_connection() {
    let server = Server::script(vec![ok("hello")]);
    let addr = server.addr();
    let asked: Arc<Mutex<Vec<(String, u16)>>> = Arc::default();
    let ours = asked.clone();
    let resolver = move |host: &str, port: u16| -> Found {
        ours.lock().unwrap().push((host.to_owned(), port));
        Ok(vec![addr])
    };
    let api = Api::builder(NAME).resolver(resolver).build().unwrap();
    let (one, two) = (blocking::Client::new(api.clone()), nonblocking::Client::new(api));
    for _ in 0..3 {
        one.send(Request::get("x")).unwrap();
        smol::block_on(two.send(Request::get("x"))).unwrap();
    }
    let name = ("api.example.invalid".to_owned(), 8080);
    assert_eq!(*asked.lock().unwrap(), [name.clone(), name]);
}

#[test]
fn a_name_that_does_not_exist_is_not_asked_for_again() {
    let unknown = |_: &str, _: u16| -> Found {
        Err(Failure::new(ErrorKind::Dns, "there is no such name").lasting())
    };
    let empty = |_: &str, _: u16| -> Found { Ok(Vec::new()) };
    let check = |way: &str, said: Result<Response, Error>| {
        let error = said.expect_err(way);
        assert_eq!((error.kind(), error.sent()), (ErrorKind::Dns, Sent::No), "{way}");
        assert_eq!(error.attempts().len(), 1, "{way}");
    };
    called(|api| api.resolver(unknown), check);
    called(|api| api.resolver(empty), check);
}

#[test]
fn a_resolver_that_fails_for_now_is_asked_again() {
    let server = Server::script(vec![ok("hello")]);
    let addr = server.addr();
    let asked = Arc::new(AtomicUsize::new(0));
    let servfail = || {
        let asked = asked.clone();
        move |_: &str, _: u16| -> Found {
            match asked.fetch_add(1, SeqCst) % 2 {
                0 => Err(Failure::new(ErrorKind::Dns, "SERVFAIL")),
                _ => Ok(vec![addr]),
            }
        }
    };
    called(
        |api| api.resolver(servfail()),
        |way, said| {
            let response = said.expect(way);
            assert_eq!(response.attempts().len(), 2, "{way}");
            assert_eq!(response.attempts()[0].error(), Some(ErrorKind::Dns), "{way}");
        },
    );
}

#[test]
fn a_silent_resolver_is_a_timeout() {
    let limits = Timeouts::default().connect(Duration::from_millis(50));
    let silent = |_: &str, _: u16| -> Found {
        std::thread::sleep(Duration::from_millis(500));
        Ok(Vec::new())
    };
    called(
        |api| api.resolver(silent).timeouts(limits),
        |way, said| {
            let error = said.expect_err(way);
            assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Resolve), "{way}");
            assert_eq!((error.sent(), error.attempts().len()), (Sent::No, 3), "{way}");
        },
    );
}

#[test]
fn a_panic_of_the_resolver_is_an_error() {
    std::panic::set_hook(Box::new(|info| {
        if std::thread::current().name() != Some("duocall-resolve") {
            eprintln!("{info}");
        }
    }));
    called(
        |api| api.resolver(|_: &str, _: u16| -> Found { panic!("of the caller's") }),
        |way, said| {
            let error = said.expect_err(way);
            assert_eq!((error.kind(), error.attempts().len()), (ErrorKind::Panicked, 1), "{way}");
        },
    );
}

/// A listener that answers nobody: its queue is full.
struct Silent {
    listener: TcpListener,
    _fillers: Vec<TcpStream>,
}

impl Silent {
    fn new() -> Silent {
        use socket2::{Domain, Socket, Type};
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        socket.bind(&any.into()).unwrap();
        socket.listen(0).unwrap();
        let listener = TcpListener::from(socket);
        let addr = listener.local_addr().unwrap();
        let connect = || TcpStream::connect_timeout(&addr, Duration::from_millis(200));
        let _fillers = std::iter::from_fn(|| connect().ok()).take(100).collect();
        Silent { listener, _fillers }
    }
}

#[test]
fn the_next_address_is_tried_when_one_refuses_or_is_silent() {
    let server = Server::script(vec![ok("hello")]);
    let refused = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap();
    let silent = Silent::new();
    let addrs = [refused, silent.listener.local_addr().unwrap(), server.addr()];
    let limits = Timeouts::default().connect(Duration::from_secs(3));
    let started = Instant::now();
    called(
        |api| {
            addrs
                .iter()
                .fold(api.timeouts(limits), |api, at| api.resolve("api.example.invalid", *at))
        },
        |way, said| {
            let response = said.expect(way);
            assert_eq!(
                (response.attempts().len(), response.text().unwrap()),
                (1, "hello".to_owned()),
                "{way}"
            );
        },
    );
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn the_async_client_gives_an_address_a_quarter_of_a_second() {
    let server = Server::script(vec![ok("hello")]);
    let silent = Silent::new();
    let api = Api::builder(NAME)
        .timeouts(Timeouts::default().connect(Duration::from_secs(20)))
        .resolve("api.example.invalid", silent.listener.local_addr().unwrap())
        .resolve("api.example.invalid", server.addr())
        .build()
        .unwrap();
    let started = Instant::now();
    smol::block_on(nonblocking::Client::new(api).send(Request::get("x"))).unwrap();
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(240) && took < Duration::from_secs(5), "{took:?}");
}
