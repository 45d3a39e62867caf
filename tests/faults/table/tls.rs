//! T: TLS.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use duocall::{Error, Request, Response, Tls, TlsVersion};
use rcgen::{CertificateParams, DnType};
use rustls::version::{TLS12, TLS13};

use crate::faults::case::{Case, case, once, row};
use crate::parity::outcome::Said;
use crate::parity::scenario::{Own, Reply, Scenario, ok, raw_close};
use crate::support::Act;
use crate::support::tls::{Ca, End, Setup, self_signed};

static CA: LazyLock<Ca> = LazyLock::new(|| Ca::new("ours"));
static OTHER: LazyLock<Ca> = LazyLock::new(|| Ca::new("other"));

pub fn cases() -> Vec<Case> {
    let mut cases = certificates();
    cases.extend(refusals());
    cases.extend(ends());
    cases.extend(noise());
    cases
}

fn get() -> Request {
    Request::get("x")
}

fn ours() -> Tls {
    Tls::default().roots_pem(CA.pem.as_bytes())
}

fn issued(change: fn(&mut CertificateParams)) -> Setup {
    Setup::new(CA.issue("localhost", change))
}

fn good() -> Setup {
    issued(|_| {})
}

fn only_12() -> Setup {
    Setup { versions: vec![&TLS12], ..good() }
}

/// A certificate by an authority below ours, which the server does not show.
fn without_intermediate() -> Setup {
    Setup::new(CA.below().issue("localhost", |_| {}))
}

fn trusting(host: &'static str, setup: fn() -> Setup) -> Scenario {
    case().api(|api| api.tls(ours())).https(host).tls(setup).send(get()).reply(ok("a"))
}

fn certificates() -> Vec<Case> {
    let refused = |id, what, host: &'static str, setup: fn() -> Setup, fault: &str| {
        let error = format!("Tls/No: GET https://H/x: TLS failed: {fault}");
        let calls = trusting(host, setup).connections(0);
        let calls = calls.expect(error, "First Tls", "");
        row(id, what, "an error that says so; not tried again, and nothing is sent", calls)
    };
    let (host, issuer) =
        ("the certificate is for another host", "nobody we trust has issued the certificate");
    vec![
        refused(
            "T1 expired",
            "the certificate has expired",
            "localhost",
            || issued(|p| p.not_after = rcgen::date_time_ymd(2021, 1, 1)),
            "the certificate has expired",
        ),
        refused(
            "T1 early",
            "the certificate is not valid yet",
            "localhost",
            || issued(|p| p.not_before = rcgen::date_time_ymd(3000, 1, 1)),
            "the certificate is not valid yet",
        ),
        refused(
            "T2 host",
            "the certificate is for another host",
            "localhost",
            || Setup::new(CA.issue("example.com", |_| {})),
            host,
        ),
        refused(
            "T2 wildcard",
            "a wildcard that covers only names below ours",
            "localhost",
            || Setup::new(CA.issue("*.localhost", |_| {})),
            host,
        ),
        refused(
            "T2 too wide",
            "a wildcard for everything",
            "localhost",
            || Setup::new(CA.issue("*", |_| {})),
            host,
        ),
        refused(
            "T2 address",
            "an address as the host, and only a name in it",
            "127.0.0.1",
            good,
            host,
        ),
        refused(
            "T2 common name",
            "the right name in the common name alone",
            "localhost",
            || {
                issued(|p| {
                    p.subject_alt_names.clear();
                    p.distinguished_name.push(DnType::CommonName, "localhost");
                })
            },
            host,
        ),
        refused(
            "T3 self-signed",
            "self-signed",
            "localhost",
            || Setup::new(self_signed("localhost", false)),
            issuer,
        ),
        refused(
            "T3 authority",
            "an authority that nobody knows",
            "localhost",
            || Setup::new(OTHER.issue("localhost", |_| {})),
            issuer,
        ),
        refused(
            "T3 intermediate",
            "an intermediate certificate is missing",
            "localhost",
            without_intermediate,
            issuer,
        ),
    ]
}

fn with_clients(version: &'static rustls::SupportedProtocolVersion) -> Setup {
    static CLIENTS: LazyLock<Arc<Ca>> = LazyLock::new(|| Arc::new(Ca::new("clients")));
    Setup { versions: vec![version], clients: Some(CLIENTS.clone()), ..good() }
}

/// Whether a byte of the request had left is a matter of chance.
const FAULT: Own = Own {
    blocking: |client, _| fault(client.send(get())),
    pool: |client, _| fault(client.send(get()).wait()),
    task: |client, _| Box::pin(async move { fault(client.send(get()).await) }),
};

fn fault(result: Result<Response, Error>) -> Vec<Said> {
    let error = result.expect_err("it wants a certificate");
    let attempts = error.attempts().len();
    vec![Said::Text(format!("{:?} {:?}, {attempts} attempt", error.kind(), error.tls()))]
}

/// `O` is the server itself, `H` is TLS in front of it.
fn alerted(host: &str, name: &str) -> String {
    format!("Tls/No: GET https://{host}/x: TLS failed: the server refused: the alert {name}")
}

fn refusals() -> Vec<Case> {
    let refused = |id, what, calls: Scenario, results: &str| {
        // The front lets nobody through whose handshake failed.
        let through = usize::from(calls.door.tls.is_none());
        let calls = calls.connections(through).expect(results, "First Tls", "");
        row(id, what, "an error; not tried again, and not over a plain connection", calls)
    };
    let alert = |code: u8| {
        let bytes = vec![0x15, 3, 3, 0, 2, 2, code];
        let acts = vec![Act::Write(bytes), Act::Close];
        case().api(|api| api.tls(ours())).https("localhost").send(get()).accepts(acts)
    };
    vec![
        refused(
            "T4 handshake",
            "an alert: handshake_failure",
            alert(40),
            &alerted("O", "HandshakeFailure"),
        ),
        refused(
            "T4 version alert",
            "an alert: protocol_version, as of a server of TLS 1.1",
            alert(70),
            &alerted("O", "ProtocolVersion"),
        ),
        refused(
            "T4 unrecognized",
            "an alert: unrecognized_name",
            alert(112),
            &alerted("O", "UnrecognisedName"),
        ),
        refused(
            "T4 version",
            "no version in common",
            trusting("localhost", only_12)
                .api(|api| api.tls(ours().min_version(TlsVersion::Tls13))),
            &alerted("H", "ProtocolVersion"),
        ),
        refused(
            "T4 ALPN",
            "no protocol in common",
            trusting("localhost", || Setup { alpn: vec![b"h3".to_vec()], ..good() }),
            &alerted("H", "NoApplicationProtocol"),
        ),
        refused(
            "T4 certificate, 1.2",
            "the server wants a certificate of the client",
            trusting("localhost", || with_clients(&TLS12)),
            &alerted("H", "CertificateRequired"),
        ),
        row(
            "T4 certificate, 1.3",
            "the same in TLS 1.3, where it is told only when the request may be under way",
            "an error; not tried again, and not over a plain connection",
            trusting("localhost", || with_clients(&TLS13)).own(FAULT).connections(0).expect(
                "Tls Some(Alert), 1 attempt",
                "",
                "",
            ),
        ),
        refused(
            "T5",
            "plain HTTP on that port",
            case().https("localhost").send(get()).accepts(vec![
                Act::Write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec()),
                Act::Close,
            ]),
            "Tls/No: GET https://O/x: TLS failed: the server does not speak TLS",
        ),
        refused(
            "T5 ssh",
            "another protocol on that port",
            case()
                .https("localhost")
                .send(get())
                .accepts(vec![Act::Write(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()), Act::Close]),
            "Tls/No: GET https://O/x: TLS failed: the server does not speak TLS",
        ),
        {
            let acts = vec![Act::Pause(Duration::from_millis(20)), Act::Close];
            let calls = once().https("localhost").send(get()).accepts(acts).connections(1);
            let error = "Closed/No: GET https://O/x: no response: the connection was closed";
            row(
                "T5 FIN",
                "the end within the handshake",
                "an error of the connection",
                calls.expect(error, "First Closed", ""),
            )
        },
    ]
}

fn ends() -> Vec<Case> {
    fn fin() -> Setup {
        Setup { end: End::Fin, ..good() }
    }
    fn reset() -> Setup {
        Setup { end: End::Reset, ..good() }
    }
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello";
    let open = "HTTP/1.1 200 OK\r\n\r\nhello";
    let cut = |setup: fn() -> Setup, response: &str| {
        let tls = once().api(|api| api.tls(ours()).retry(duocall::Retry::none()));
        tls.https("localhost").tls(setup).send(get()).reply(raw_close(response))
    };
    let read = |id, what, calls: Scenario| {
        row(id, what, "is read", calls.expect("200 hello", "First 200", "GET /x"))
    };
    let truncated = |id, what, calls: Scenario, results| {
        row(
            id,
            what,
            "an error, and never a short body",
            calls.expect(results, "First Truncated", "GET /x"),
        )
    };
    let by_fin = "Truncated/Yes: GET https://H/x: body truncated: the connection was closed";
    let by_reset = "Truncated/Yes: GET https://H/x: body truncated: connection reset";
    vec![
        read("T6 a", "FIN without close_notify behind a whole Content-Length", cut(fin, whole)),
        read("T6 a RST", "the same with a reset", cut(reset, whole)),
        truncated(
            "T6 b",
            "FIN without close_notify within a Content-Length",
            cut(fin, short),
            by_fin,
        ),
        truncated("T6 b RST", "the same with a reset", cut(reset, short), by_reset),
        truncated(
            "T6 c",
            "FIN without close_notify, and no Content-Length",
            cut(fin, open),
            by_fin,
        ),
        truncated("T6 c RST", "the same with a reset", cut(reset, open), by_reset),
        read("T6 notify", "close_notify, and no Content-Length", cut(good, open)),
    ]
}

fn noise() -> Vec<Case> {
    fn rekeying() -> Setup {
        Setup { versions: vec![&TLS13], rekeys: true, ..good() }
    }
    fn early() -> Setup {
        Setup { versions: vec![&TLS13], early_data: true, ..good() }
    }
    let over =
        |setup: fn() -> Setup| once().api(|api| api.tls(ours())).https("localhost").tls(setup);
    let closing = Reply::Raw(
        [crate::support::reply(200, &[("connection", "close")], "a"), vec![Act::Close]].concat(),
    );
    vec![
        row(
            "T9 tickets",
            "tickets of TLS 1.3 before the first response",
            "they are taken for what they are",
            over(|| Setup { versions: vec![&TLS13], ..good() }).send(get()).reply(ok("a")).expect(
                "200 a",
                "First 200",
                "GET /x",
            ),
        ),
        row(
            "T9 KeyUpdate",
            "new keys (KeyUpdate) before the first response",
            "they are used",
            over(rekeying).send(get()).send(get()).reply(ok("a")).expect(
                "200 a | 200 a",
                "First 200 | First 200~",
                "GET /x | GET /x~",
            ),
        ),
        row(
            "T9 0-RTT",
            "a server that takes early data, and a second connection to it",
            "none is sent: every request waits for the handshake",
            over(early).send(get()).send(Request::post("x").body("b")).reply(closing).expect(
                "200 a | 200 a",
                "First 200 | First 200",
                "GET /x | POST /x b",
            ),
        ),
    ]
}
