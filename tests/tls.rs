//! TLS, the same in every way of running: whom to trust, who we are, and what can be wrong.
#![cfg(all(feature = "async", feature = "pool", feature = "tls"))]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use duocall::{
    Api, Auth, Error, ErrorKind, Phase, Request, Response, Sent, Timeouts, Tls, TlsFault,
    TlsVersion,
};
use rustls::version::{TLS12, TLS13};
use support::tls::{Blunt, Ca, End, Front, Leaf, Setup, self_signed};
use support::ways::in_every_way;
use support::{Act, Seen, Server, Word, ok, reply};

const SECRET: &str = "secret-token";

fn api(url: &str, tls: Tls) -> Api {
    Api::builder(url).auth(Auth::token(SECRET)).tls(tls).build().unwrap()
}

/// What comes of one call to a server with this set-up, in every way.
fn called(setup: &Setup, host: &str, tls: &Tls, check: impl Fn(&str, Result<Response, Error>)) {
    let server = Server::script(vec![ok("hello")]);
    let front = Front::new(setup, server.addr());
    in_every_way(|| api(&front.url(host), tls.clone()), Request::get("x"), check);
}

fn succeeds(setup: &Setup, host: &str, tls: &Tls) {
    called(setup, host, tls, |way, said| {
        assert_eq!(said.unwrap_or_else(|e| panic!("{way}: {e:?}")).text().unwrap(), "hello");
    });
}

fn fails(setup: &Setup, host: &str, tls: &Tls, fault: TlsFault) {
    called(setup, host, tls, |way, said| {
        let error = said.expect_err(way);
        assert_eq!((error.kind(), error.tls()), (ErrorKind::Tls, Some(fault)), "{way}: {error:?}");
        assert_eq!(error.attempts().len(), 1, "{way}: no retry: {error:?}");
        assert!(std::error::Error::source(&error).is_some(), "{way}: the cause is kept");
        assert!(error.is_connect());
    });
}

fn trusting(ca: &Ca) -> Tls {
    Tls::default().roots_pem(ca.pem.as_bytes())
}

fn good(ca: &Ca) -> Leaf {
    ca.issue("localhost", |_| {})
}

#[test]
fn certificates_are_judged() {
    let (ca, other) = (Ca::new("ours"), Ca::new("other"));
    let tls = trusting(&ca);
    let expired = ca.issue("localhost", |p| p.not_after = rcgen::date_time_ymd(2021, 1, 1));
    fails(&Setup::new(expired), "localhost", &tls, TlsFault::Expired);
    let early = ca.issue("localhost", |p| p.not_before = rcgen::date_time_ymd(3000, 1, 1));
    fails(&Setup::new(early), "localhost", &tls, TlsFault::NotYetValid);
    let elsewhere = ca.issue("example.com", |_| {});
    fails(&Setup::new(elsewhere), "localhost", &tls, TlsFault::HostMismatch);
    let wide = ca.issue("*.localhost", |_| {});
    fails(&Setup::new(wide), "localhost", &tls, TlsFault::HostMismatch);
    fails(&Setup::new(good(&ca)), "127.0.0.1", &tls, TlsFault::HostMismatch);
    fails(&Setup::new(good(&other)), "localhost", &tls, TlsFault::UnknownIssuer);
    fails(&Setup::new(good(&ca)), "localhost", &Tls::default(), TlsFault::UnknownIssuer);
    for is_ca in [false, true] {
        let own = Setup::new(self_signed("localhost", is_ca));
        fails(&own, "localhost", &tls, TlsFault::UnknownIssuer);
    }
}

#[test]
fn a_common_name_counts_for_nothing() {
    let ca = Ca::new("ours");
    let named = ca.issue("localhost", |p| {
        p.subject_alt_names.clear();
        p.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
    });
    fails(&Setup::new(named), "localhost", &trusting(&ca), TlsFault::HostMismatch);
}

#[test]
fn own_roots_in_pem_and_der() {
    let (ca, other) = (Ca::new("ours"), Ca::new("other"));
    let setup = Setup::new(good(&ca));
    succeeds(&setup, "localhost", &trusting(&ca));
    succeeds(&setup, "localhost", &Tls::default().root_der(ca.der.clone()));
    succeeds(&setup, "localhost", &trusting(&other).root_der(ca.der.clone()));
    let address = Setup::new(ca.issue("127.0.0.1", |_| {}));
    succeeds(&address, "127.0.0.1", &trusting(&ca));
}

#[test]
fn danger_trusts_anybody_and_shows() {
    let ca = Ca::new("ours");
    let danger = Tls::default().danger_accept_invalid_certs();
    let expired = ca.issue("example.com", |p| p.not_after = rcgen::date_time_ymd(2021, 1, 1));
    for versions in [vec![&TLS12], vec![&TLS13]] {
        let setup = Setup { versions, ..Setup::new(expired.clone()) };
        succeeds(&setup, "127.0.0.1", &danger);
    }
    let shown = format!("{:?}", api("https://localhost/", danger));
    assert!(shown.contains("danger_accept_invalid_certs: true"), "{shown}");
}

#[cfg(feature = "platform-verifier")]
#[test]
fn the_platform_takes_roots_besides_its_own() {
    let (ca, other) = (Ca::new("ours"), Ca::new("other"));
    let setup = Setup::new(good(&ca));
    succeeds(&setup, "localhost", &trusting(&ca).platform_verifier());
    let tls = trusting(&other).platform_verifier();
    fails(&setup, "localhost", &tls, TlsFault::UnknownIssuer);
}

#[test]
fn versions_on_both_sides() {
    let ca = Ca::new("ours");
    let tls = trusting(&ca);
    let only = |version| Setup { versions: vec![version], ..Setup::new(good(&ca)) };
    succeeds(&only(&TLS12), "localhost", &tls);
    succeeds(&only(&TLS13), "localhost", &tls);
    let strict = tls.min_version(TlsVersion::Tls13);
    succeeds(&only(&TLS13), "localhost", &strict);
    fails(&only(&TLS12), "localhost", &strict, TlsFault::Alert);
}

#[test]
fn a_client_certificate_is_shown_when_asked_for() {
    let (ca, clients) = (Ca::new("ours"), Arc::new(Ca::new("clients")));
    let tls = trusting(&ca);
    for version in [&TLS12, &TLS13] {
        for abrupt in [false, true] {
            let setup = Setup {
                versions: vec![version],
                clients: Some(clients.clone()),
                abrupt,
                ..Setup::new(good(&ca))
            };
            let mine = clients.issue("me", |_| {});
            let known = tls.clone().client_certificate(mine.chain.as_bytes(), mine.key);
            succeeds(&setup, "localhost", &known);
            // Of TLS 1.3 the alert comes when the client has sent its request.
            fails(&setup, "localhost", &tls, TlsFault::Alert);
            let alien = ca.issue("me", |_| {});
            let wrong = tls.clone().client_certificate(alien.chain.as_bytes(), alien.key);
            fails(&setup, "localhost", &wrong, TlsFault::Alert);
        }
    }
}

#[test]
fn http_1_1_is_offered_unless_told_otherwise() {
    let ca = Ca::new("ours");
    let server = Server::script(vec![ok("hello")]);
    let both = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let setup = Setup { alpn: both, ..Setup::new(good(&ca)) };
    let front = Front::new(&setup, server.addr());
    let none: [&str; 0] = [];
    for (tls, agreed) in
        [(trusting(&ca), Some(b"http/1.1".to_vec())), (trusting(&ca).alpn(none), None)]
    {
        let before = front.alpn().len();
        let url = front.url("localhost");
        in_every_way(
            || api(&url, tls.clone()),
            Request::get("x"),
            |way, said| {
                said.expect(way);
            },
        );
        assert!(front.alpn()[before..].iter().all(|found| *found == agreed));
    }
    let h2 = Setup { alpn: vec![b"h2".to_vec()], ..Setup::new(good(&ca)) };
    fails(&h2, "localhost", &trusting(&ca), TlsFault::Alert);
}

fn on_port(addr: SocketAddr) -> String {
    format!("https://127.0.0.1:{}/", addr.port())
}

#[test]
fn plain_http_on_that_port_gets_no_token() {
    let blunt = Blunt::new(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    in_every_way(
        || api(&on_port(blunt.addr()), Tls::default()),
        Request::get("x"),
        |way, said| {
            let error = said.expect_err(way);
            assert_eq!((error.kind(), error.tls()), (ErrorKind::Tls, Some(TlsFault::NotTls)));
            assert_eq!((error.sent(), error.attempts().len()), (Sent::No, 1), "{way}");
        },
    );
    for bytes in blunt.seen() {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(SECRET) && !text.contains("HTTP/1.1"), "{text:?}");
    }
}

#[test]
fn a_silent_server_is_a_timeout_of_the_handshake() {
    let server = Server::on_accept(|_| Some(vec![Act::Stall]), |_| unreachable!("no request"));
    // Part of it goes to the connection below.
    let limits = Timeouts::default().connect(Duration::from_millis(500));
    let api = || {
        let api = Api::builder(on_port(server.addr())).timeouts(limits);
        api.retry(duocall::Retry::none()).build().unwrap()
    };
    in_every_way(api, Request::get("x"), |way, said| {
        let error = said.expect_err(way);
        assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Tls), "{way}");
        assert_eq!((error.sent(), error.tls()), (Sent::No, None), "{way}");
    });
}

/// The server closes its connection after this response, without close_notify.
fn cut_off(response: Vec<Act>, check: impl Fn(&str, Result<Response, Error>)) {
    let ca = Ca::new("ours");
    for version in [&TLS12, &TLS13] {
        let mut acts = response.clone();
        acts.push(Act::Close);
        let server = Server::script(vec![acts]);
        let setup = Setup { versions: vec![version], end: End::Fin, ..Setup::new(good(&ca)) };
        let front = Front::new(&setup, server.addr());
        let api = || {
            let api = Api::builder(front.url("localhost")).tls(trusting(&ca));
            api.retry(duocall::Retry::none()).build().unwrap()
        };
        in_every_way(api, Request::get("x"), &check);
    }
}

#[test]
fn an_end_without_close_notify() {
    cut_off(ok("whole"), |way, said| assert_eq!(said.expect(way).text().unwrap(), "whole"));
    for headers in [&[("content-length", "9")][..], &[("transfer-encoding", "identity")]] {
        let response = match headers {
            [("content-length", _)] => reply(200, headers, "short"),
            // Delimited by the end of the connection.
            _ => vec![Act::Write(b"HTTP/1.1 200 OK\r\n\r\nshort".to_vec())],
        };
        cut_off(response, |way, said| {
            let error = said.expect_err(way);
            assert_eq!((error.kind(), error.tls()), (ErrorKind::Truncated, None), "{way}");
        });
    }
}

#[test]
fn an_end_with_close_notify_ends_a_body_without_length() {
    let ca = Ca::new("ours");
    let whole = Act::Write(b"HTTP/1.1 200 OK\r\n\r\nwhole".to_vec());
    let server = Server::script(vec![vec![whole, Act::Close]]);
    let front = Front::new(&Setup::new(good(&ca)), server.addr());
    let api = || api(&front.url("localhost"), trusting(&ca));
    in_every_way(api, Request::get("x"), |way, said| {
        assert_eq!(said.expect(way).text().unwrap(), "whole");
    });
}

#[test]
fn an_announced_body_goes_up_with_or_without_a_word() {
    let ca = Ca::new("ours");
    for word in [Word::usual(), Word::Go(Vec::new())] {
        let answer = |seen: &Seen| ok(&seen.body.len().to_string());
        let server = Server::on_expect(|_| None, move |_| word.clone(), answer);
        let front = Front::new(&Setup::new(good(&ca)), server.addr());
        let api = || {
            // Patience is half of it.
            let timeouts = Timeouts::default().head(Duration::from_millis(800));
            let api = Api::builder(front.url("localhost")).tls(trusting(&ca));
            api.timeouts(timeouts).expect_above(9).build().unwrap()
        };
        in_every_way(api, Request::put("x").body([b'a'; 100_000].as_slice()), |way, said| {
            assert_eq!(said.expect(way).text().unwrap(), "100000", "{way}");
        });
        assert!(server.requests().iter().all(|seen| seen.header("expect").is_some()));
    }
}

#[test]
fn a_connection_is_used_again_under_tls() {
    let ca = Ca::new("ours");
    for version in [&TLS12, &TLS13] {
        let server = Server::script(vec![ok("hello")]);
        let setup = Setup { versions: vec![version], ..Setup::new(good(&ca)) };
        let front = Front::new(&setup, server.addr());
        let api = api(&front.url("localhost"), trusting(&ca));
        let blocking = duocall::blocking::Client::new(api.clone());
        let asynchronous = duocall::nonblocking::Client::new(api);
        for _ in 0..3 {
            blocking.send(Request::get("x")).unwrap();
            smol::block_on(asynchronous.send(Request::get("x"))).unwrap();
        }
        assert_eq!(front.connections(), 2);
    }
}

#[test]
fn mistakes_are_told_when_the_api_is_built() {
    let (ca, other) = (Ca::new("ours"), Ca::new("other"));
    let (leaf, alien) = (good(&ca), good(&other));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0LXRva2Vu\n-----END PRIVATE KEY-----\n";
    let chain = leaf.chain.as_bytes();
    for (tls, words) in [
        (Tls::default().roots_pem(b"nothing"), "TLS roots hold no certificate"),
        (Tls::default().roots_pem(broken.as_bytes()), "TLS roots hold a broken certificate"),
        (Tls::default().root_der("junk"), "TLS roots hold a broken certificate"),
        (Tls::default().client_certificate(b"", leaf.key.as_str()), "client certificates hold no"),
        (Tls::default().client_certificate(chain, SECRET), "is not a private key in PEM"),
        (Tls::default().client_certificate(chain, key), "does not go with its key"),
        (Tls::default().client_certificate(chain, alien.key), "does not go with its key"),
        (Tls::default().alpn(["h2"]), "ALPN protocol is h2"),
        (Tls::default().alpn([""]), "ALPN protocol"),
    ] {
        let error = Api::builder("https://localhost/").tls(tls.clone()).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Request);
        let shown = format!("{error} {error:?} {tls:?}");
        assert!(shown.contains(words), "{shown}");
        assert!(!shown.contains("secret") && !shown.contains("c2Vj"), "{shown}");
    }
}
