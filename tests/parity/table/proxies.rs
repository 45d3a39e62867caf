//! Proxies: plain, by tunnel, by SOCKS; credentials, exceptions, refusals.

use duocall::{ApiBuilder, Auth, Proxy, Request, Tls};

use crate::parity::door::OURS;
use crate::parity::scenario::{Scenario, case, ok};
use crate::support::proxy::Rules;
use crate::support::tls::Setup;

const SHOWN: &[&str] = &["authorization", "proxy-authorization"];

pub fn rows() -> Vec<Scenario> {
    let mut rows = plain();
    rows.extend(tunnels());
    rows.extend(refusals());
    rows
}

fn open() -> Rules {
    Rules::default()
}

fn closed() -> Rules {
    Rules { login: Some("user:proxy-secret"), ..open() }
}

fn refusing(code: u16) -> Rules {
    Rules { refuses: Some(code), ..open() }
}

fn get() -> Request {
    Request::get("x")
}

fn plain() -> Vec<Scenario> {
    let row = |name| {
        case(name)
            .api(|api| api.auth(Auth::token("t")))
            .send(get())
            .send(Request::post("x").body("b"))
            .reply(ok("a"))
            .show(SHOWN)
    };
    let saw = "GET /x {authorization: Token t} | POST /x {authorization: Token t} b";
    // On the connection of the first, for the proxy has no part in it.
    let kept = "GET /x {authorization: Token t} | POST /x~ {authorization: Token t} b";
    let traces = "First 200 | First 200~";
    vec![
        row("a proxy is asked with the whole URL")
            .via(open(), |at| Proxy::new(format!("http://{at}")))
            .notes("GET http://H/x | POST http://H/x")
            .expect("200 a | 200 a", traces, saw),
        row("a proxy gets its credential, the server does not")
            .via(closed(), |at| Proxy::new(format!("http://user:proxy-secret@{at}")))
            .notes("GET http://H/x signed | POST http://H/x signed")
            .expect("200 a | 200 a", traces, saw),
        row("an exception is reached directly")
            .via(open(), |at| Proxy::new(format!("http://{at}")).except("10.0.0.1,127.0.0.0/8"))
            .expect("200 a | 200 a", traces, kept),
        row("SOCKS 5 leads to an address")
            .via(open(), |at| Proxy::new(format!("socks5://{at}")))
            .notes("SOCKS H")
            .expect("200 a | 200 a", traces, kept),
        row("SOCKS 5 takes a credential")
            .via(closed(), |at| {
                Proxy::new(format!("socks5h://{at}")).credential("user", "proxy-secret")
            })
            .notes("SOCKS H")
            .expect("200 a | 200 a", traces, kept),
    ]
}

fn good() -> Setup {
    Setup::new(OURS.issue("localhost", |_| {}))
}

fn trusting(api: ApiBuilder) -> ApiBuilder {
    api.tls(Tls::default().roots_pem(OURS.pem.as_bytes())).auth(Auth::token("t"))
}

fn tunnels() -> Vec<Scenario> {
    let row = |name| {
        case(name).tls(good).api(trusting).send(get()).send(get()).reply(ok("a")).show(SHOWN)
    };
    let saw = "GET /x {authorization: Token t} | GET /x~ {authorization: Token t}";
    let traces = "First 200 | First 200~";
    vec![
        row("https goes through a tunnel, which is used again")
            .via(open(), |at| Proxy::new(format!("http://{at}")))
            .notes("CONNECT H")
            .expect("200 a | 200 a", traces, saw),
        row("a tunnel with a credential")
            .via(closed(), |at| Proxy::new(format!("http://user:proxy-secret@{at}")))
            .notes("CONNECT H signed")
            .expect("200 a | 200 a", traces, saw),
        row("https through SOCKS 5, which resolves the name")
            .via(open(), |at| Proxy::new(format!("socks5h://{at}")))
            .notes("SOCKS H")
            .expect("200 a | 200 a", traces, saw),
    ]
}

fn refusals() -> Vec<Scenario> {
    let row = |name| case(name).send(get()).reply(ok("a"));
    let tunnel = |name| row(name).tls(good).api(trusting);
    vec![
        row("a proxy that wants a credential")
            .via(closed(), |at| Proxy::new(format!("http://{at}")))
            .notes("GET http://H/x")
            .expect(
                "Connect/No: GET http://H/x: could not connect: the proxy wants a \
                 credential",
                "First Connect",
                "",
            ),
        tunnel("a tunnel that wants a credential")
            .via(closed(), |at| Proxy::new(format!("http://{at}")).credential("user", "wrong"))
            .notes("CONNECT H signed")
            .expect(
                "Connect/No: GET https://H/x: could not connect: the proxy wants a \
                 credential",
                "First Connect",
                "",
            ),
        tunnel("a tunnel refused for good")
            .via(refusing(403), |at| Proxy::new(format!("http://{at}")))
            .notes("CONNECT H")
            .expect(
                "Connect/No: GET https://H/x: could not connect: the proxy refused: 403",
                "First Connect",
                "",
            ),
        tunnel("a tunnel refused for now")
            .via(refusing(503), |at| Proxy::new(format!("http://{at}")))
            .notes("CONNECT H | CONNECT H | CONNECT H")
            .expect(
                "Connect/No: GET https://H/x: could not connect after 3 attempts in T \
                 s: the proxy refused: 503",
                "First Connect, Retry Connect, Retry Connect",
                "",
            ),
        row("SOCKS 5 does not take the credential")
            .via(closed(), |at| Proxy::new(format!("socks5h://{at}")).credential("user", "wrong"))
            .expect(
                "Connect/No: GET http://H/x: could not connect: the proxy does not \
                 take the credential",
                "First Connect",
                "",
            ),
        row("SOCKS 5 forbids it")
            .via(refusing(2), |at| Proxy::new(format!("socks5h://{at}")))
            .notes("SOCKS H")
            .expect(
                "Connect/No: GET http://H/x: could not connect: the proxy's rules forbid it",
                "First Connect",
                "",
            ),
        row("a proxy of a kind there is not")
            .via(open(), |at| Proxy::new(format!("socks4://{at}")))
            .expect(
                "Request/No: invalid request: proxy has a scheme other than http, \
                 socks5 and socks5h",
                "",
                "",
            ),
        row("a proxy under TLS").via(open(), |at| Proxy::new(format!("https://{at}"))).expect(
            "Request/No: invalid request: proxy has a scheme other than http, \
                 socks5 and socks5h",
            "",
            "",
        ),
    ]
}
