//! TLS: whom to trust, who we are, and what is wrong where it fails.

use duocall::{ApiBuilder, Request, Tls, TlsVersion};
use rustls::version::TLS12;

use crate::parity::door::{ALIEN, CLIENTS, OURS};
use crate::parity::scenario::{Scenario, case, ok};
use crate::support::Act;
use crate::support::tls::{Leaf, Setup};

pub fn rows() -> Vec<Scenario> {
    let mut rows = trusted();
    rows.extend(refused());
    rows.extend(clients());
    rows
}

fn tls() -> Tls {
    Tls::default().roots_pem(OURS.pem.as_bytes())
}

fn trusting(api: ApiBuilder) -> ApiBuilder {
    api.tls(tls())
}

fn leaf() -> Leaf {
    OURS.issue("localhost", |_| {})
}

fn good() -> Setup {
    Setup::new(leaf())
}

fn old() -> Setup {
    Setup { versions: vec![&TLS12], ..good() }
}

fn get() -> Request {
    Request::get("x")
}

fn trusted() -> Vec<Scenario> {
    vec![
        case("own roots are trusted, and the connection is used again")
            .tls(good)
            .api(trusting)
            .send(get())
            .send(Request::post("x").body("b"))
            .open(get())
            .reply(ok("a"))
            .expect(
                "200 a | 200 a | 200 a",
                "First 200 | First 200~",
                "GET /x | POST /x~ b | GET /x~",
            ),
        case("TLS 1.2 will do").tls(old).api(trusting).send(get()).reply(ok("a")).expect(
            "200 a",
            "First 200",
            "GET /x",
        ),
        case("danger trusts anybody")
            .tls(|| {
                Setup::new(
                    ALIEN.issue("elsewhere", |p| p.not_after = rcgen::date_time_ymd(2021, 1, 1)),
                )
            })
            .api(|api| api.tls(Tls::default().danger_accept_invalid_certs()))
            .send(get())
            .reply(ok("a"))
            .expect("200 a", "First 200", "GET /x"),
        case("danger in one API is none in another")
            .tls(|| Setup::new(ALIEN.issue("localhost", |_| {})))
            .api(trusting)
            .then(|_, site| {
                let danger = Tls::default().danger_accept_invalid_certs();
                let api = site.api("").tls(danger).build().unwrap();
                site.blocking(api.clone()).send(get()).unwrap();
                smol::block_on(site.nonblocking(api.clone()).send(get())).unwrap();
                smol::block_on(site.surf(api).send(get())).unwrap();
            })
            .send(get())
            .reply(ok("a"))
            .expect(UNKNOWN, "First Tls", "3 x GET /x"),
        case("a Secure cookie goes with https")
            .tls(good)
            .api(|api| trusting(api).cookies(true))
            .send(get())
            .send(get())
            .reply(ok("a").header("set-cookie", "k=v; Secure"))
            .show(&["cookie"])
            .expect("200 a | 200 a", "First 200 | First 200~", "GET /x | GET /x~ {cookie: k=v}"),
    ]
}

const UNKNOWN: &str = "Tls/No: GET https://H/x: TLS failed: nobody we trust has issued the \
                 certificate";

fn refused() -> Vec<Scenario> {
    let row = |name, setup: fn() -> Setup| case(name).tls(setup).api(trusting).send(get());
    vec![
        row("a certificate of an unknown issuer", || Setup::new(ALIEN.issue("localhost", |_| {})))
            .expect(UNKNOWN, "First Tls", ""),
        row("an expired certificate", || {
            Setup::new(OURS.issue("localhost", |p| p.not_after = rcgen::date_time_ymd(2021, 1, 1)))
        })
        .expect(
            "Tls/No: GET https://H/x: TLS failed: the certificate has expired",
            "First Tls",
            "",
        ),
        row("a certificate of days to come", || {
            Setup::new(OURS.issue("localhost", |p| p.not_before = rcgen::date_time_ymd(3000, 1, 1)))
        })
        .expect(
            "Tls/No: GET https://H/x: TLS failed: the certificate is not valid yet",
            "First Tls",
            "",
        ),
        row("a certificate for another host", || Setup::new(OURS.issue("elsewhere", |_| {})))
            .expect(
                "Tls/No: GET https://H/x: TLS failed: the certificate is for another host",
                "First Tls",
                "",
            ),
        case("TLS 1.2 is not enough")
            .tls(old)
            .api(|api| api.tls(tls().min_version(TlsVersion::Tls13)))
            .send(get())
            .expect(
                "Tls/No: GET https://H/x: TLS failed: the server refused: the alert \
                 ProtocolVersion",
                "First Tls",
                "",
            ),
        case("a server without TLS")
            .api(trusting)
            .send_made(|api| Request::absolute(api.base_url().replace("http:", "https:") + "x"))
            .accepts(vec![Act::Write(b"HTTP/1.1 400 No\r\n\r\n".to_vec()), Act::Close])
            .connections(1)
            .expect(
                "Tls/No: GET https://H/x: TLS failed: the server does not speak TLS",
                "First Tls",
                "",
            ),
    ]
}

fn asking() -> Setup {
    Setup { clients: Some(CLIENTS.clone()), versions: vec![&TLS12], ..good() }
}

fn showing(leaf: Leaf) -> Tls {
    tls().client_certificate(leaf.chain.as_bytes(), leaf.key)
}

fn clients() -> Vec<Scenario> {
    vec![
        case("a client certificate is shown")
            .tls(asking)
            .api(|api| api.tls(showing(CLIENTS.issue("me", |_| {}))))
            .send(get())
            .reply(ok("a"))
            .expect("200 a", "First 200", "GET /x"),
        case("a server that misses the client certificate")
            .tls(asking)
            .api(trusting)
            .send(get())
            .expect(
                "Tls/No: GET https://H/x: TLS failed: the server refused: the \
                 alert CertificateRequired",
                "First Tls",
                "",
            ),
        case("a client certificate of the wrong issuer")
            .tls(asking)
            .api(|api| api.tls(showing(ALIEN.issue("me", |_| {}))))
            .send(get())
            .expect(
                "Tls/No: GET https://H/x: TLS failed: the server refused: the alert \
                 UnknownCA",
                "First Tls",
                "",
            ),
    ]
}
