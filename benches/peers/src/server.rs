//! The server: hyper on one thread, plain and under TLS, until its standard input ends.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::rt::{Read as HyperRead, Write as HyperWrite};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::Result;

/// What is asked for, and its size.
pub(crate) const BODIES: [(&str, usize); 3] =
    [("small", 100), ("medium", 10 << 10), ("large", 1 << 20)];

/// Answers like `small`, after 100 ms.
pub(crate) const SLOW: &str = "slow";
pub(crate) const SLOWNESS: Duration = Duration::from_millis(100);

/// Says its two ports and its certificate on stdout: `PLAIN TLS` and the PEM.
pub(crate) fn serve() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let made = rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()])?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (plain, tls) = (listener()?, listener()?);
    let ports = (plain.local_addr()?.port(), tls.local_addr()?.port());
    println!("{} {}\n{}", ports.0, ports.1, made.cert.pem());
    std::io::stdout().flush()?;
    std::thread::spawn(|| {
        // Whoever started the server ends it by ending.
        drop(std::io::stdin().read(&mut [0]));
        std::process::exit(0);
    });
    let bodies: Bodies = Arc::new(BODIES.map(|(name, size)| (name, body(size))));
    let others = bodies.clone();
    runtime.block_on(async move {
        tokio::spawn(accept(TcpListener::from_std(plain)?, move |stream| {
            tokio::spawn(connection(TokioIo::new(stream), bodies.clone()));
        }));
        accept(TcpListener::from_std(tls)?, move |stream| {
            let (acceptor, bodies) = (acceptor.clone(), others.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    connection(TokioIo::new(stream), bodies).await;
                }
            });
        })
        .await;
        Ok(())
    })
}

/// With room for ten thousand that knock at once.
fn listener() -> Result<StdListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>()?.into())?;
    socket.listen(16 << 10)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

async fn accept(listener: TcpListener, serve: impl Fn(TcpStream)) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if stream.set_nodelay(true).is_ok() {
                    serve(stream);
                }
            }
            // Out of descriptors: wait for some connection to end.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

type Bodies = Arc<[(&'static str, Bytes); 3]>;

async fn connection(io: impl HyperRead + HyperWrite + Unpin, bodies: Bodies) {
    let service = service_fn(|request| answer(request, bodies.clone()));
    // A client that leaves in the middle is none of our business.
    drop(http1::Builder::new().serve_connection(io, service).await);
}

async fn answer(
    request: Request<Incoming>,
    bodies: Bodies,
) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let name = request.uri().path().trim_start_matches('/');
    let wanted = if name == SLOW { "small" } else { name };
    if name == SLOW {
        tokio::time::sleep(SLOWNESS).await;
    }
    let found = bodies.iter().find(|(name, _)| *name == wanted);
    let mut response = Response::new(Full::new(found.map(|f| f.1.clone()).unwrap_or_default()));
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    if found.is_none() {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    Ok(response)
}

/// JSON of about that size.
fn body(size: usize) -> Bytes {
    let mut text = String::from(r#"{"id":1234567,"names":["#);
    let mut n = 0;
    while text.len() < size - 4 {
        let comma = if n == 0 { "" } else { "," };
        let width = (size - text.len() - 4).min(60);
        text.push_str(&format!("{comma}\"{n:0width$}\""));
        n += 1;
    }
    text.push_str("]}");
    text.into()
}
