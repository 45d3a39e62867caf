//! A real nginx, where it is installed: TLS of both versions, client certificates, its limits.
#![cfg(all(feature = "async", feature = "pool", feature = "tls", feature = "gzip"))]

mod support;

use std::collections::HashSet;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use duocall::{
    Api, ErrorKind, Request, Retry, Tls, TlsFault, TlsVersion, blocking, nonblocking, pool,
};
use support::tls::{Ca, Leaf};
use support::ways::{self, in_every_way};

/// Who issued the server's certificate, and who issues those of clients.
static OURS: LazyLock<Ca> = LazyLock::new(|| Ca::new("ours"));
static CLIENTS: LazyLock<Ca> = LazyLock::new(|| Ca::new("clients"));

/// Where it serves plain HTTP, TLS of one version, and TLS with client certificates.
const PORTS: [&str; 4] = ["PLAIN", "TLS12", "TLS13", "CLIENTS"];

const CONFIG: &str = r#"
daemon off;
worker_processes 1;
error_log stderr crit;
pid FOLDER/pid;
events { worker_connections 512; }
http {
    access_log off;
    default_type text/plain;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    limit_req_zone $arg_way zone=few:1m rate=4r/s;
    ssl_certificate FOLDER/server.pem;
    ssl_certificate_key FOLDER/server.key;
    client_max_body_size 64m;
    server {
        listen PLAIN;
        location /hello { return 200 "hello"; }
        location /old { return 301 /hello; }
        location /gone { return 444; }
        location /five { keepalive_requests 5; return 200 "$connection"; }
        location /soon { keepalive_timeout 1s; return 200 "$connection"; }
        location /few { limit_req zone=few; limit_req_status 429; try_files /none @hello; }
        location @hello { return 200 "hello"; }
        location /files/ { root FOLDER; dav_methods PUT DELETE; }
        location /gzip/ {
            alias FOLDER/files/;
            gzip on;
            gzip_types text/plain;
        }
    }
    server { listen TLS12 ssl; ssl_protocols TLSv1.2; return 200 "$ssl_protocol"; }
    server { listen TLS13 ssl; ssl_protocols TLSv1.3; return 200 "$ssl_protocol"; }
    server {
        listen CLIENTS ssl;
        ssl_client_certificate FOLDER/clients.pem;
        ssl_verify_client on;
        return 200 "$ssl_client_s_dn";
    }
}
"#;

struct Nginx {
    child: Child,
    addrs: [SocketAddr; 4],
    folder: PathBuf,
}

impl Nginx {
    /// `None` where it is not installed.
    fn start() -> Option<Nginx> {
        // The system may give a port to somebody else before nginx takes it.
        for _ in 0..3 {
            let mut nginx = Nginx::spawn()?;
            if nginx.listens() {
                return Some(nginx);
            }
        }
        panic!("nginx does not listen");
    }

    /// It tells its id when it has all of its ports. That somebody answers there would not do.
    fn listens(&mut self) -> bool {
        let (told, id) = (self.folder.join("pid"), self.child.id().to_string());
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(10) {
            if fs::read_to_string(&told).is_ok_and(|pid| pid.trim_end() == id) {
                return true;
            }
            if !matches!(self.child.try_wait(), Ok(None)) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    fn spawn() -> Option<Nginx> {
        // All bound at once, so that they differ.
        let listeners = PORTS.map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let addrs = listeners.map(|listener| listener.local_addr().unwrap());
        let folder = std::env::temp_dir().join(format!("duocall-nginx-{}", addrs[0].port()));
        fs::create_dir_all(folder.join("files")).unwrap();
        let mut config = CONFIG.replace("FOLDER", folder.to_str().expect("UTF-8"));
        for (name, addr) in PORTS.iter().zip(addrs) {
            config = config.replace(&format!("listen {name}"), &format!("listen {addr}"));
        }
        if is_root() {
            config = format!("user root;\n{config}");
        }
        let Leaf { chain, key } = OURS.issue("localhost", |_| {});
        for (file, text) in [
            ("nginx.conf", &config),
            ("server.pem", &chain),
            ("server.key", &key),
            ("clients.pem", &CLIENTS.pem),
        ] {
            fs::write(folder.join(file), text).unwrap();
        }
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&folder).arg("-c").arg(folder.join("nginx.conf"));
        let Ok(child) = command.stdout(Stdio::null()).spawn() else {
            eprintln!("NOT TESTED: nginx is not installed");
            fs::remove_dir_all(&folder).unwrap();
            return None;
        };
        Some(Nginx { child, addrs, folder })
    }

    fn plain(&self) -> String {
        format!("http://{}/", self.addrs[0])
    }

    /// Its second, third or fourth port.
    fn secure(&self, port: &str) -> String {
        let index = PORTS.iter().position(|name| *name == port).expect("one of them");
        format!("https://localhost:{}/", self.addrs[index].port())
    }
}

/// Its workers would then be somebody who cannot write to our folder, if not told otherwise.
fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Killed, it would leave its worker behind.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn get() -> Request {
    Request::get("hello")
}

fn trusting() -> Tls {
    Tls::default().roots_pem(OURS.pem.as_bytes())
}

fn says(url: &str, tls: &Tls, wanted: &str) {
    let api = || Api::builder(url).tls(tls.clone()).build().unwrap();
    in_every_way(api, get(), |way, said| {
        let response = said.unwrap_or_else(|error| panic!("{way}: {error:?}"));
        assert_eq!(response.text().unwrap(), wanted, "{way}");
    });
}

fn fails(url: &str, tls: &Tls, fault: TlsFault) {
    let api = || Api::builder(url).tls(tls.clone()).build().unwrap();
    in_every_way(api, get(), |way, said| {
        let error = said.expect_err(way);
        assert_eq!((error.kind(), error.tls()), (ErrorKind::Tls, Some(fault)), "{way}: {error:?}");
        assert_eq!(error.attempts().len(), 1, "{way}: {error:?}");
    });
}

#[test]
fn tls_of_either_version() {
    let Some(nginx) = Nginx::start() else { return };
    let [old, new] = ["TLS12", "TLS13"].map(|port| nginx.secure(port));
    let strict = trusting().min_version(TlsVersion::Tls13);
    says(&new, &strict, "TLSv1.3");
    fails(&old, &strict, TlsFault::Alert);
    for (url, version) in [(old, "TLSv1.2"), (new, "TLSv1.3")] {
        says(&url, &trusting(), version);
        fails(&url, &Tls::default(), TlsFault::UnknownIssuer);
        let by_address = url.replace("localhost", "127.0.0.1");
        fails(&by_address, &trusting(), TlsFault::HostMismatch);
        says(&by_address, &Tls::default().danger_accept_invalid_certs(), version);
    }
}

#[test]
fn plain_and_secure_on_the_wrong_port() {
    let Some(nginx) = Nginx::start() else { return };
    fails(&nginx.plain().replace("http:", "https:"), &trusting(), TlsFault::NotTls);
    let plain = nginx.secure("TLS12").replace("https:", "http:");
    refused(&plain, &trusting(), "The plain HTTP request was sent to HTTPS port");
}

/// A 400 with this in its page.
fn refused(url: &str, tls: &Tls, words: &str) {
    let api = || Api::builder(url).tls(tls.clone()).build().unwrap();
    in_every_way(api, get(), |way, said| {
        let error = said.expect_err(way);
        assert_eq!(error.status().map(|status| status.as_u16()), Some(400), "{way}: {error:?}");
        assert!(error.response().expect("its page").text_contains(words), "{way}: {error:?}");
    });
}

#[test]
fn client_certificates() {
    let Some(nginx) = Nginx::start() else { return };
    let url = nginx.secure("CLIENTS");
    let showing = |ca: &Ca| {
        let leaf = ca.issue("me", |params| {
            params.distinguished_name.push(rcgen::DnType::CommonName, "myself");
        });
        trusting().client_certificate(leaf.chain.as_bytes(), leaf.key)
    };
    says(&url, &showing(&CLIENTS), "CN=myself");
    refused(&url, &trusting(), "No required SSL certificate was sent");
    refused(&url, &showing(&OURS), "The SSL certificate error");
}

#[test]
fn a_connection_for_five_requests() {
    let Some(nginx) = Nginx::start() else { return };
    for way in ways::ALL {
        let api = Api::new(nginx.plain()).unwrap();
        let said = ways::send(way, api, vec![Request::get("five"); 50]);
        let responses: Vec<_> = said.into_iter().map(|said| said.expect(way.name)).collect();
        assert!(responses.iter().all(|response| response.attempts().len() == 1), "{}", way.name);
        let connections: HashSet<_> = responses.iter().map(|r| r.text().unwrap()).collect();
        assert_eq!(connections.len(), 10, "{}", way.name);
    }
}

#[test]
fn an_idle_connection_that_was_closed_is_not_used_again() {
    let Some(nginx) = Nginx::start() else { return };
    let api = || Api::new(nginx.plain()).unwrap();
    let (blocking, pool) = (blocking::Client::new(api()), pool::Client::new(api()));
    let nonblocking = nonblocking::Client::new(api());
    // Not idempotent: it must not be sent on a connection that may be dead.
    let request = || Request::post("soon").body("x");
    let all = || {
        let said = [
            blocking.send(request()),
            pool.send(request()).wait(),
            smol::block_on(nonblocking.send(request())),
        ];
        said.map(|said| {
            let response = said.unwrap();
            assert_eq!(response.attempts().len(), 1);
            response.text().unwrap()
        })
    };
    let first = all();
    std::thread::sleep(Duration::from_millis(1500));
    let second = all();
    assert!(first.iter().all(|connection| !second.contains(connection)), "{first:?} {second:?}");
}

#[test]
fn closed_without_an_answer() {
    let Some(nginx) = Nginx::start() else { return };
    let retry = Retry::default().backoff(Duration::from_millis(1), Duration::from_millis(2));
    let api = || Api::builder(nginx.plain()).retry(retry.clone()).build().unwrap();
    in_every_way(api, Request::get("gone"), |way, said| {
        let error = said.expect_err(way);
        assert_eq!((error.kind(), error.attempts().len()), (ErrorKind::Closed, 3), "{way}");
    });
    in_every_way(api, Request::post("gone"), |way, said| {
        let error = said.expect_err(way);
        assert_eq!((error.kind(), error.attempts().len()), (ErrorKind::Closed, 1), "{way}");
    });
}

#[test]
fn too_many_requests_are_waited_for() {
    let Some(nginx) = Nginx::start() else { return };
    let retry = Retry::default()
        .attempts(20)
        .budget(100.0)
        .backoff(Duration::from_millis(20), Duration::from_millis(60));
    for way in ways::ALL {
        let api = Api::builder(nginx.plain()).retry(retry.clone()).build().unwrap();
        let request = Request::get("few").query("way", way.name);
        let started = Instant::now();
        let said = ways::send(way, api, vec![request.clone(), request]);
        let [_, second] = &said[..] else { panic!("two calls") };
        let attempts = second.as_ref().expect(way.name).attempts();
        // Unless the machine was so slow that a quarter of a second went by.
        let refused = attempts.len() > 1 || started.elapsed() >= Duration::from_millis(250);
        assert!(refused, "{}: the second was served too soon", way.name);
        let (_, before) = attempts.split_last().expect("at least one");
        let statuses = before.iter().map(|attempt| attempt.status().expect("an answer").as_u16());
        assert!(statuses.eq(vec![429; before.len()]), "{}: {before:?}", way.name);
    }
}

#[test]
fn a_redirect_of_nginx() {
    let Some(nginx) = Nginx::start() else { return };
    let api = || Api::new(nginx.plain()).unwrap();
    in_every_way(api, Request::post("old").body("x"), |way, said| {
        let response = said.expect(way);
        assert_eq!((response.text().unwrap(), response.attempts().len()), ("hello".into(), 2));
        assert_eq!(response.method(), "GET", "{way}");
    });
}

#[test]
fn big_bodies_both_ways() {
    let Some(nginx) = Nginx::start() else { return };
    let body: String = (0..600_000).map(|n| format!("line {n}\n")).collect();
    for (n, way) in ways::ALL.iter().enumerate() {
        let api = Api::new(nginx.plain()).unwrap();
        let file = format!("files/{n}.txt");
        let said = ways::send(
            way,
            api,
            vec![
                Request::put(&file).body(body.clone()),
                Request::get(&file),
                // Encoded on the way, and so in chunks.
                Request::get(format!("gzip/{n}.txt")),
            ],
        );
        let mut said = said.into_iter().map(|said| said.expect(way.name));
        let [put, plain, gzip] = std::array::from_fn(|_| said.next().expect("three"));
        assert_eq!(put.status(), 201, "{}", way.name);
        assert!(plain.bytes() == body.as_bytes(), "{}", way.name);
        assert!(gzip.bytes() == body.as_bytes(), "{}", way.name);
        assert_eq!(plain.header("content-length"), Some(&*body.len().to_string()));
        assert_eq!(gzip.header("transfer-encoding"), Some("chunked"), "{}", way.name);
    }
}
