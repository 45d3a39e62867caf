//! N: what stands in front of the server. A real proxy stands there in `tests/proxies.rs`.

use std::net::SocketAddr;

use duocall::{Auth, Proxy, Request, Tls};

use crate::faults::case::{Case, case, row};
use crate::parity::door::OURS;
use crate::parity::scenario::{Scenario, ok};
use crate::support::proxy::Rules;
use crate::support::tls::Setup;

const SHOWN: &[&str] = &["authorization", "proxy-authorization"];

fn open() -> Rules {
    Rules::default()
}

fn closed() -> Rules {
    Rules { login: Some("user:proxy-secret"), ..open() }
}

fn plain(at: SocketAddr) -> Proxy {
    Proxy::new(format!("http://{at}"))
}

fn signed(at: SocketAddr) -> Proxy {
    plain(at).credential("user", "proxy-secret")
}

fn get() -> Scenario {
    case().api(|api| api.auth(Auth::token("t"))).send(Request::get("x")).reply(ok("a")).show(SHOWN)
}

fn tunnel() -> Scenario {
    let trusting = |api: duocall::ApiBuilder| {
        api.tls(Tls::default().roots_pem(OURS.pem.as_bytes())).auth(Auth::token("t"))
    };
    get().tls(|| Setup::new(OURS.issue("localhost", |_| {}))).api(trusting)
}

pub fn cases() -> Vec<Case> {
    let saw = "GET /x {authorization: Token t}";
    let wants = "Connect/No: GET http://H/x: could not connect: the proxy wants a credential";
    vec![
        row(
            "N3 plain",
            "a proxy in front",
            "asks it with the whole URL",
            get().via(open(), plain).notes("GET http://H/x").expect("200 a", "First 200", saw),
        ),
        row(
            "N3 signed",
            "a proxy that wants a credential, and gets it",
            "the server does not see it",
            get().via(closed(), signed).notes("GET http://H/x signed").expect(
                "200 a",
                "First 200",
                saw,
            ),
        ),
        row(
            "N3 tunnel",
            "a proxy in front of TLS",
            "a tunnel, so that the proxy sees nothing of the call",
            tunnel().via(open(), plain).notes("CONNECT H").expect("200 a", "First 200", saw),
        ),
        row(
            "N3 unsigned",
            "a proxy that wants a credential, and gets none",
            "a typed error; the server is not reached",
            get().via(closed(), plain).notes("GET http://H/x").expect(wants, "First Connect", ""),
        ),
    ]
}
