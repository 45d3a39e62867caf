//! HTTP/2 over TLS: what is agreed on, through proxies too, and by whom it is not spoken.
#![cfg(all(feature = "http2", feature = "pool", feature = "tls"))]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use duocall::nonblocking::Client;
use duocall::{
    Api, ApiBuilder, ErrorKind, Http2, Proxy, Request, Response, Retry, Sent, Tls, TlsFault,
};
use futures_util::future::join_all;
use rustls::version::{TLS12, TLS13};
use smol::block_on;
use support::h2::Good;
use support::proxy::{Relay, Rules};
use support::tls::{Ca, Front, Setup};
use support::ways::{ALL, send};
use support::{Server, ok};

/// TLS that agrees on these protocols, in front of a server, and an API behind it.
struct Place {
    ca: Arc<Ca>,
    front: Front,
}

impl Place {
    fn new(behind: SocketAddr, alpn: &[&str], change: impl FnOnce(&mut Setup)) -> Place {
        let ca = Arc::new(Ca::new("ours"));
        let mut setup = Setup::new(ca.issue("localhost", |_| {}));
        setup.alpn = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        change(&mut setup);
        Place { front: Front::new(&setup, behind), ca }
    }

    fn api(&self) -> ApiBuilder {
        let tls = Tls::default().roots_pem(self.ca.pem.as_bytes());
        let api = Api::builder(self.front.url("localhost")).tls(tls).http2(Http2::default());
        api.concurrency(100).retry(Retry::none())
    }

    /// How many handshakes agreed on this.
    fn agreed(&self, protocol: Option<&str>) -> usize {
        let wanted = protocol.map(|name| name.as_bytes().to_vec());
        self.front.alpn().iter().filter(|&agreed| *agreed == wanted).count()
    }
}

fn echo() -> Good {
    Good::new(|incoming| async move {
        let path = incoming.path().to_owned();
        incoming.answer(200, path).await;
    })
}

fn text(response: Response) -> String {
    response.text().unwrap()
}

fn fifty(api: ApiBuilder) {
    let client = Client::new(api.build().unwrap());
    let calls = (0..50).map(|n| client.send(Request::get(format!("{n}"))));
    for said in block_on(join_all(calls)) {
        let response = said.unwrap();
        assert_eq!(response.attempts().len(), 1);
    }
}

#[test]
fn what_both_know_is_spoken() {
    for versions in [[&TLS12], [&TLS13]] {
        let server = echo();
        let both = ["h2", "http/1.1"];
        let place = Place::new(server.addr(), &both, |setup| setup.versions = versions.to_vec());
        fifty(place.api());
        assert_eq!((place.agreed(Some("h2")), place.front.connections()), (1, 1));
        assert_eq!(server.connections(), 1);
        // Its own protocols come second; none of them is as good as HTTP/1.1.
        let own = Tls::default().roots_pem(place.ca.pem.as_bytes());
        fifty(place.api().tls(own.clone().alpn(["acme/1"])));
        fifty(place.api().tls(own.alpn([""; 0])));
        assert_eq!(place.agreed(Some("h2")), 3);
    }
}

#[test]
fn where_the_server_knows_only_http1_that_is_spoken() {
    for alpn in [&["http/1.1"][..], &[]] {
        let server = Server::new(|_| ok("hello"));
        let place = Place::new(server.addr(), alpn, |_| {});
        fifty(place.api());
        assert_eq!(server.requests().len(), 50);
        assert_eq!(place.agreed(alpn.first().copied()), place.front.connections());
        let client = Client::new(place.api().build().unwrap());
        let reused = [1, 2]
            .map(|_| block_on(client.send(Request::get("x"))).unwrap().attempts()[0].reused());
        assert_eq!(reused, [false, true]);
    }
}

/// The socket that asked is async-io's and serves once; those after it are the runtime's.
#[cfg(feature = "tokio")]
#[test]
fn where_the_server_knows_only_http1_a_client_on_tokio_goes_on_there() {
    let server = Server::new(|_| ok("hello"));
    let place = Place::new(server.addr(), &["http/1.1"], |_| {});
    let client = Client::with_tokio(place.api().build().unwrap());
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let thrice = || async {
        let mut reused = Vec::new();
        for _ in 0..3 {
            let response = client.send(Request::get("x")).await.unwrap();
            reused.push(response.attempts()[0].reused());
            assert_eq!(text(response), "hello");
        }
        reused
    };
    assert_eq!(runtime().block_on(thrice()), [false, false, true]);
    assert_eq!(runtime().block_on(thrice()), [false, true, true]);
}

#[test]
fn who_speaks_http1_only_says_so_or_does() {
    let server = Server::new(|_| ok("hello"));
    let place = Place::new(server.addr(), &["h2", "http/1.1"], |_| {});
    for way in ALL.iter().filter(|way| ["blocking", "pool"].contains(&way.name)) {
        let send =
            |api: ApiBuilder| send(way, api.build().unwrap(), vec![Request::get("x")]).remove(0);
        assert_eq!(text(send(place.api()).unwrap()), "hello", "{}", way.name);
        assert_eq!(place.agreed(Some("h2")), 0, "{}", way.name);
        let error = send(place.api().http2(Http2::prior_knowledge())).expect_err(way.name);
        assert_eq!((error.kind(), error.sent()), (ErrorKind::Request, Sent::No), "{}", way.name);
    }
    let agent = duocall::blocking::Client::with_agent(
        place.api().http2(Http2::prior_knowledge()).build().unwrap(),
        ureq::Agent::new_with_defaults(),
    );
    assert_eq!(agent.send(Request::get("x")).unwrap_err().kind(), ErrorKind::Request);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn plain_http_is_not_asked() {
    let server = Server::new(|_| ok("hello"));
    let api = Api::builder(server.url()).http2(Http2::default()).build().unwrap();
    assert_eq!(text(block_on(Client::new(api).send(Request::get("x"))).unwrap()), "hello");
}

#[test]
fn prior_knowledge_asks_nobody() {
    // Of three servers one agrees, one knows no ALPN, and one cannot.
    let server = echo();
    for alpn in [&["h2"][..], &[]] {
        let place = Place::new(server.addr(), alpn, |_| {});
        fifty(place.api().http2(Http2::prior_knowledge()));
        assert_eq!(place.agreed(alpn.first().copied()), 1);
    }
    let place = Place::new(server.addr(), &["http/1.1"], |_| {});
    let api = place.api().http2(Http2::prior_knowledge()).build().unwrap();
    let error = block_on(Client::new(api).send(Request::get("x"))).unwrap_err();
    assert_eq!((error.kind(), error.tls()), (ErrorKind::Tls, Some(TlsFault::Alert)), "{error:?}");
}

#[test]
fn a_tunnel_carries_it() {
    let server = echo();
    let place = Place::new(server.addr(), &["h2", "http/1.1"], |_| {});
    for scheme in ["http", "socks5"] {
        let via = |leads_to| {
            let relay = Relay::new(Rules { leads_to: Some(leads_to), ..Rules::default() });
            (Proxy::new(format!("{scheme}://{}", relay.addr())), relay)
        };
        let (proxy, _relay) = via(place.front.addr());
        fifty(place.api().proxy(proxy));
        // A plain URL would be forwarded, in HTTP/1.1; a tunnel leaves the choice to us.
        let (proxy, _relay) = via(server.addr());
        let api = Api::builder(server.url()).http2(Http2::prior_knowledge()).proxy(proxy);
        let said = block_on(Client::new(api.build().unwrap()).send(Request::get("x")));
        match scheme {
            "http" => assert_eq!(said.unwrap_err().kind(), ErrorKind::Request),
            _ => assert_eq!(text(said.unwrap()), "/x"),
        }
    }
    assert_eq!((place.agreed(Some("h2")), server.connections()), (2, 3));
}

#[test]
fn failures_of_tls_have_their_types_for_all_who_wait() {
    let server = echo();
    let clients = Arc::new(Ca::new("clients"));
    type Change = Box<dyn Fn(&mut Setup)>;
    let rows: [(Change, TlsFault); 2] = [
        // In TLS 1.3 the alert comes after the handshake.
        (Box::new(move |setup| setup.clients = Some(clients.clone())), TlsFault::Alert),
        (
            Box::new(|setup| setup.leaf = support::tls::self_signed("localhost", false)),
            TlsFault::UnknownIssuer,
        ),
    ];
    for (change, fault) in rows {
        let place = Place::new(server.addr(), &["h2"], |setup| change(setup));
        let client = Client::new(place.api().build().unwrap());
        let calls = (0..10).map(|_| client.send(Request::get("x")));
        for said in block_on(join_all(calls)) {
            let error = said.unwrap_err();
            assert_eq!((error.kind(), error.tls()), (ErrorKind::Tls, Some(fault)), "{error:?}");
        }
    }
    assert_eq!(server.counts().heads().len(), 0);
}
