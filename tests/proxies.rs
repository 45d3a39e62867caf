//! Requests through proxies, the same in every way of running.
#![cfg(all(feature = "async", feature = "pool"))]

mod support;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use duocall::{
    Api, ApiBuilder, Auth, Error, ErrorKind, Phase, Proxy, Request, Response, Retry, Sent, Timeouts,
};
use support::proxy::{Relay, Rules};
use support::ways::{self, in_every_way};
use support::{Act, Seen, Server, ok, reply};

const NAME: &str = "http://api.example.invalid:8080/";
const LOGIN: &str = "user:proxy-secret";

fn via(scheme: &str, relay: &Relay) -> Proxy {
    Proxy::new(format!("{scheme}://{}", relay.addr()))
}

/// A call in every way; no proxy may make a secret of its own appear in an error.
fn called(url: &str, proxy: &Proxy, check: impl Fn(&str, Result<Response, Error>)) {
    let retry = Retry::default().backoff(Duration::from_millis(1), Duration::from_millis(2));
    let api = || {
        let api = Api::builder(url).auth(Auth::token("secret")).retry(retry.clone());
        api.proxy(proxy.clone()).build().unwrap()
    };
    let shown = format!("{:?}", api());
    in_every_way(api, Request::get("x?y=z"), |way, said| {
        let shown = format!("{shown} {said:?}");
        assert!(!shown.contains("proxy-secret") && !shown.contains("cHJveHkt"), "{way}: {shown}");
        check(way, said);
    });
}

fn greets(way: &str, said: Result<Response, Error>) {
    let response = said.unwrap_or_else(|error| panic!("{way}: {error:?}"));
    assert_eq!(response.text().unwrap(), "hello", "{way}");
    assert_eq!(response.attempts().len(), 1, "{way}");
}

fn refuses(words: &'static str, tries: usize) -> impl Fn(&str, Result<Response, Error>) {
    move |way, said| {
        let error = said.expect_err(way);
        assert_eq!((error.kind(), error.sent()), (ErrorKind::Connect, Sent::No), "{way}: {error}");
        assert!(error.to_string().ends_with(words), "{way}: {error}");
        assert_eq!(error.attempts().len(), tries, "{way}: {error}");
    }
}

/// What the server must see, whichever way the request came.
fn unmarked(server: &Server, host: &str) {
    assert_eq!(server.requests().len(), ways::ALL.len());
    for seen in server.requests() {
        assert_eq!((seen.target.as_str(), seen.header("host")), ("/x?y=z", Some(host)));
        assert_eq!(seen.header("authorization"), Some("Token secret"));
        assert_eq!(seen.header("proxy-authorization"), None);
    }
}

#[test]
fn plain_http_goes_with_its_whole_url() {
    for login in [None, Some(LOGIN)] {
        let server = Server::script(vec![ok("hello")]);
        let leads_to = Some(server.addr());
        let relay = Relay::new(Rules { login, leads_to, ..Rules::default() });
        let mut proxy = via("http", &relay);
        if login.is_some() {
            proxy = proxy.credential("user", "proxy-secret");
        }
        called(NAME, &proxy, greets);
        unmarked(&server, "api.example.invalid:8080");
        for head in relay.seen() {
            let line = "GET http://api.example.invalid:8080/x?y=z HTTP/1.1\r\n";
            assert!(head.starts_with(line), "{head}");
            let signed = head.to_ascii_lowercase().contains("proxy-authorization: basic ");
            assert_eq!(signed, login.is_some());
        }
    }
}

#[test]
fn a_body_goes_along_and_connections_are_kept() {
    let server = Server::new(|seen| ok(&String::from_utf8_lossy(&seen.body)));
    let relay = Relay::new(Rules { leads_to: Some(server.addr()), ..Rules::default() });
    let api = || Api::builder(NAME).proxy(via("http", &relay)).build().unwrap();
    in_every_way(api, Request::post("x").body("a body"), |way, said| {
        assert_eq!(said.expect(way).text().unwrap(), "a body");
    });
}

#[test]
fn socks_leads_to_names_and_addresses() {
    for login in [None, Some(LOGIN)] {
        let server = Server::script(vec![ok("hello")]);
        let leads_to = Some(server.addr());
        let relay = Relay::new(Rules { login, leads_to, ..Rules::default() });
        let mut proxy = via("socks5h", &relay);
        if login.is_some() {
            proxy = Proxy::new(format!("socks5h://user:proxy%2Dsecret@{}", relay.addr()));
        }
        called(NAME, &proxy, greets);
        unmarked(&server, "api.example.invalid:8080");
        assert!(relay.seen().iter().all(|seen| seen == "SOCKS api.example.invalid:8080"));
    }
}

#[test]
fn socks5_resolves_here() {
    let server = Server::script(vec![ok("hello")]);
    let relay = Relay::new(Rules::default());
    let api = || {
        let api = Api::builder(NAME).proxy(via("socks5", &relay));
        api.resolve("api.example.invalid", server.addr()).build().unwrap()
    };
    in_every_way(api, Request::get("x"), greets);
    let place = format!("SOCKS {}", server.addr());
    assert!(relay.seen().iter().all(|seen| *seen == place));
}

#[test]
fn a_proxy_without_our_credential_is_told_from_a_server_without() {
    let server = Server::script(vec![reply(401, &[], "")]);
    let leads_to = Some(server.addr());
    let relay = Relay::new(Rules { login: Some(LOGIN), leads_to, ..Rules::default() });
    let wants = || refuses("the proxy wants a credential", 1);
    called(NAME, &via("http", &relay), wants());
    called(NAME, &via("http", &relay).credential("user", "proxy-secret-2"), wants());
    called(NAME, &via("socks5h", &relay), wants());
    let other = via("socks5h", &relay).credential("user", "proxy-secret-2");
    called(NAME, &other, refuses("the proxy does not take the credential", 1));
    let known = via("http", &relay).credential("user", "proxy-secret");
    called(NAME, &known, |way, said| assert_eq!(said.expect_err(way).kind(), ErrorKind::Status));
}

#[test]
fn what_a_proxy_refuses() {
    let refusing = |code| Relay::new(Rules { refuses: Some(code), ..Rules::default() });
    let relay = refusing(5);
    let words = "the server refused the proxy's connection";
    called(NAME, &via("socks5h", &relay), refuses(words, 3));
    let relay = refusing(2);
    called(NAME, &via("socks5h", &relay), refuses("the proxy's rules forbid it", 1));
    let gone = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap();
    for scheme in ["http", "socks5h"] {
        let proxy = Proxy::new(format!("{scheme}://{gone}"));
        called(NAME, &proxy, refuses("connection refused", 3));
    }
}

#[test]
fn a_silent_proxy_is_a_timeout_of_connecting() {
    let relay = Relay::new(Rules { silent: true, ..Rules::default() });
    let limits = Timeouts::default().connect(Duration::from_millis(100));
    let api = || {
        let api = Api::builder(NAME).timeouts(limits).retry(Retry::none());
        api.proxy(via("socks5h", &relay)).build().unwrap()
    };
    in_every_way(api, Request::get("x"), |way, said| {
        let error = said.expect_err(way);
        assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Connect), "{way}");
        assert_eq!(error.sent(), Sent::No, "{way}");
    });
}

#[test]
fn exceptions_are_reached_directly() {
    let server = Server::script(vec![ok("hello")]);
    let relay = Relay::new(Rules::default());
    called(&server.url(), &via("http", &relay).except("127.0.0.0/8"), greets);
    assert_eq!(relay.seen().len(), 0);
}

#[test]
fn mistakes_are_told_when_the_api_is_built() {
    for proxy in [
        Proxy::new("ftp://h"),
        Proxy::new("https://user:proxy-secret@h"),
        Proxy::new("socks4://h"),
        Proxy::new("socks4a://h"),
        Proxy::new("http://"),
        Proxy::new("http://h").credential("a:b", "proxy-secret"),
        Proxy::new("http://h").credential("a", "proxy-secret\n"),
        Proxy::new("socks5://h").credential("a", "x".repeat(256)),
    ] {
        let error = Api::builder(NAME).proxy(proxy).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Request);
        assert!(error.to_string().contains("proxy "), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[cfg(feature = "tls")]
mod secure {
    use duocall::{Tls, TlsFault};
    use support::tls::{Ca, Front, Setup};

    use super::*;

    fn called(url: &str, ca: &Ca, proxy: &Proxy, check: impl Fn(&str, Result<Response, Error>)) {
        let tls = Tls::default().roots_pem(ca.pem.as_bytes());
        let retry = Retry::default().backoff(Duration::from_millis(1), Duration::from_millis(2));
        let api = || {
            let api = Api::builder(url).auth(Auth::token("secret")).retry(retry.clone());
            api.tls(tls.clone()).proxy(proxy.clone()).build().unwrap()
        };
        in_every_way(api, Request::get("x?y=z"), check);
    }

    const URL: &str = "https://api.example.invalid/";

    #[test]
    fn https_goes_through_a_tunnel() {
        let ca = Ca::new("ours");
        for scheme in ["http", "socks5h"] {
            for login in [None, Some(LOGIN)] {
                let server = Server::script(vec![ok("hello")]);
                let setup = Setup::new(ca.issue("api.example.invalid", |_| {}));
                let front = Front::new(&setup, server.addr());
                let leads_to = Some(front.addr());
                let relay = Relay::new(Rules { login, leads_to, ..Rules::default() });
                let mut proxy = via(scheme, &relay);
                if login.is_some() {
                    proxy = proxy.credential("user", "proxy-secret");
                }
                called(URL, &ca, &proxy, greets);
                unmarked(&server, "api.example.invalid");
                for seen in relay.seen() {
                    let asked = [
                        "CONNECT api.example.invalid:443 HTTP/1.1",
                        "SOCKS api.example.invalid:443",
                    ];
                    assert!(asked.iter().any(|line| seen.starts_with(line)), "{seen}");
                    assert!(!seen.contains("Token"), "{seen}");
                }
            }
        }
    }

    #[test]
    fn what_a_proxy_refuses() {
        let ca = Ca::new("ours");
        for (rules, words, tries) in [
            (Rules { login: Some(LOGIN), ..Rules::default() }, "the proxy wants a credential", 1),
            (Rules { refuses: Some(403), ..Rules::default() }, "the proxy refused: 403", 1),
            (Rules { refuses: Some(502), ..Rules::default() }, "the proxy refused: 502", 3),
        ] {
            let relay = Relay::new(rules);
            called(URL, &ca, &via("http", &relay), refuses(words, tries));
            assert_eq!(relay.seen().len(), tries * ways::ALL.len());
        }
    }

    #[test]
    fn the_certificate_is_judged_behind_the_proxy() {
        let ca = Ca::new("ours");
        let server = Server::script(vec![ok("hello")]);
        let front = Front::new(&Setup::new(ca.issue("localhost", |_| {})), server.addr());
        let relay = Relay::new(Rules { leads_to: Some(front.addr()), ..Rules::default() });
        called(URL, &ca, &via("http", &relay), |way, said| {
            assert_eq!(said.expect_err(way).tls(), Some(TlsFault::HostMismatch), "{way}");
        });
    }
}

/// What this binary does as its own child, under an environment.
const CHILD: &str = "DUOCALL_TEST_URL";
/// How the error must end, if there must be one.
const REFUSED: &str = "DUOCALL_TEST_REFUSED";

fn in_environment(url: &str, variables: &[(&str, &str)]) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "the_child_in_an_environment", "--nocapture"]).env(CHILD, url);
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        child.env_remove(name).env_remove(name.to_ascii_uppercase());
    }
    let output = child.envs(variables.iter().copied()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn the_child_in_an_environment() {
    let Ok(url) = std::env::var(CHILD) else { return };
    let api = || Api::new(&url).unwrap();
    match std::env::var(REFUSED) {
        Ok(words) => in_every_way(api, Request::get("x"), |way, said| {
            let error = said.expect_err(way);
            assert_eq!((error.kind(), error.attempts().len()), (ErrorKind::Connect, 1), "{way}");
            assert!(error.to_string().ends_with(&words), "{way}: {error}");
        }),
        Err(_) => in_every_way(api, Request::get("x"), greets),
    }
}

#[test]
fn the_environment_decides_where_nobody_else_does() {
    let server = Server::script(vec![ok("hello")]);
    let relay = Relay::new(Rules { leads_to: Some(server.addr()), ..Rules::default() });
    let proxy = relay.addr().to_string();
    in_environment(NAME, &[("http_proxy", &proxy)]);
    assert_eq!(relay.seen().len(), ways::ALL.len());
    in_environment(&server.url(), &[("HTTP_PROXY", &proxy)]);
    in_environment(&server.url(), &[("all_proxy", &proxy), ("no_proxy", "127.0.0.1")]);
    assert_eq!(relay.seen().len(), ways::ALL.len());
    in_environment(NAME, &[("ALL_PROXY", &format!("socks5h://{proxy}"))]);
    assert_eq!(relay.seen().len(), 2 * ways::ALL.len());
    let api = Api::builder(server.url()).no_proxy().build().unwrap();
    in_every_way(|| api.clone(), Request::get("x"), greets);
}

#[test]
fn a_proxy_of_the_environment_that_cannot_be_used_is_not_passed_by() {
    let server = Server::script(vec![ok("hello")]);
    for url in ["https://127.0.0.1:1", "socks4://127.0.0.1:1", "socks4a://127.0.0.1:1"] {
        let words = "the proxy in http_proxy is not one that can be used";
        in_environment(&server.url(), &[("http_proxy", url), (REFUSED, words)]);
    }
    assert_eq!(server.requests().len(), 0);
}

/// The real one, where it is installed.
struct Tinyproxy {
    child: Child,
    addr: SocketAddr,
    folder: std::path::PathBuf,
}

impl Tinyproxy {
    fn start(login: Option<(&str, &str)>) -> Option<Tinyproxy> {
        let addr = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap();
        let folder = std::env::temp_dir().join(format!("duocall-{}", addr.port()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("tinyproxy.conf");
        let mut config = format!("Port {}\nListen 127.0.0.1\nAllow 127.0.0.1\n", addr.port());
        config += "Timeout 20\nMaxClients 50\nLogLevel Critical\n";
        if let Some((user, password)) = login {
            config += &format!("BasicAuth {user} {password}\n");
        }
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new("tinyproxy");
        let child = command.arg("-d").arg("-c").arg(&file).stdout(Stdio::null()).spawn();
        let Ok(child) = child else {
            eprintln!("NOT TESTED: tinyproxy is not installed");
            return None;
        };
        let tinyproxy = Tinyproxy { child, addr, folder };
        let started = Instant::now();
        while TcpStream::connect(addr).is_err() {
            assert!(started.elapsed() < Duration::from_secs(10), "tinyproxy does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(tinyproxy)
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A POST and a GET through it, in every way. Behind a POST the proxy may close without
/// a word; a GET is then sent again.
fn passes(url: &str, proxy: &Proxy, set: impl Fn(ApiBuilder) -> ApiBuilder) {
    for way in ways::ALL {
        let api = set(Api::builder(url).proxy(proxy.clone())).build().unwrap();
        let requests = vec![Request::post("x").body("a body"), Request::get("x")];
        for (said, wanted) in ways::send(way, api, requests).into_iter().zip(["a body", ""]) {
            let response = said.unwrap_or_else(|error| panic!("{}: {error:?}", way.name));
            assert_eq!(response.text().unwrap(), wanted, "{}", way.name);
        }
    }
}

/// It closes when it is told to: to a server that does not, tinyproxy would hand
/// the next request as it is.
fn echo(seen: &Seen) -> Vec<Act> {
    let mut acts = ok(&String::from_utf8_lossy(&seen.body));
    if seen.header("connection") == Some("close") {
        acts.push(Act::Close);
    }
    acts
}

#[test]
fn through_a_real_proxy() {
    for login in [None, Some(("user", "proxysecret"))] {
        let Some(tinyproxy) = Tinyproxy::start(login) else { return };
        let server = Server::new(echo);
        let door = Proxy::new(format!("http://{}", tinyproxy.addr));
        let proxy = match login {
            Some((user, password)) => door.clone().credential(user, password),
            None => door.clone(),
        };
        let wanted = || refuses("the proxy wants a credential", 1);
        if login.is_some() {
            called(&server.url(), &door, wanted());
        }
        passes(&server.url(), &proxy, |api| api);
        #[cfg(feature = "tls")]
        {
            use support::tls::{Ca, Front, Setup};
            let ca = Ca::new("ours");
            let front = Front::new(&Setup::new(ca.issue("127.0.0.1", |_| {})), server.addr());
            let tls = duocall::Tls::default().roots_pem(ca.pem.as_bytes());
            if login.is_some() {
                called(&front.url("127.0.0.1"), &door, wanted());
            }
            passes(&front.url("127.0.0.1"), &proxy, |api| api.tls(tls.clone()));
        }
        for seen in server.requests() {
            assert_eq!(seen.header("proxy-authorization"), None);
        }
    }
}
