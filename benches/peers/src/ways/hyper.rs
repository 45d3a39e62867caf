//! hyper with a pool over it, and hyper driven by hand: a connection for each task, no pool, no
//! URL, no limits. That is as far as one can get with it.

mod socket;

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST};
use http::{HeaderValue, Request, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use smol_hyper::rt::FuturesIo;

use super::{CREDENTIAL, Page, check};
use crate::Result;
use crate::child::{Job, Meter};
use crate::drive::{Caller, Driven, Runtime, With};
use socket::Socket;

pub(super) fn pooled(job: &Job, meter: Meter, runtime: &Runtime) -> Result<Driven> {
    if job.is_tls() {
        return Err("measured without TLS only".into());
    }
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let uri: Uri = job.url().parse()?;
    runtime.drive(job, meter, || {
        let uri = uri.clone();
        With(client.clone(), move |client: Client<HttpConnector, Empty<Bytes>>| {
            let mut request = Request::new(Empty::new());
            *request.uri_mut() = uri.clone();
            let credential = HeaderValue::from_static(CREDENTIAL);
            request.headers_mut().insert(AUTHORIZATION, credential);
            async move {
                let response = client.request(request).await?;
                if !response.status().is_success() {
                    return Err("not a success".into());
                }
                let body = response.into_body().collect().await?.to_bytes();
                check(&serde_json::from_slice::<Page>(&body)?)
            }
        })
    })
}

/// Where it all goes.
#[derive(Clone)]
struct Target {
    address: SocketAddr,
    host: HeaderValue,
    path: Uri,
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Target {
    fn of(job: &Job) -> Result<Target> {
        let url: Uri = job.url().parse()?;
        let authority = url.authority().ok_or("no authority")?.as_str();
        let mut tls = None;
        if job.is_tls() {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(&job.ca_pem()?)?)?;
            let config = rustls::ClientConfig::builder().with_root_certificates(roots);
            tls = Some(Arc::new(config.with_no_client_auth()));
        }
        Ok(Target {
            address: authority.parse()?,
            host: authority.parse()?,
            path: url.path().parse()?,
            tls,
        })
    }
}

struct Hand<I: Read + Write> {
    target: Target,
    sender: http1::SendRequest<Empty<Bytes>>,
    driver: http1::Connection<I, Empty<Bytes>>,
}

impl<I: Read + Write + Unpin> Hand<I> {
    async fn new(io: I, target: Target) -> Result<Hand<I>> {
        let (sender, driver) = http1::handshake(io).await?;
        Ok(Hand { target, sender, driver })
    }
}

/// Polls the connection, then the future, in one task.
async fn along<D, F>(driver: &mut D, future: F) -> F::Output
where
    D: Future + Unpin,
    F: Future,
{
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(done) = future.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        // An end of the connection is told by the future, too.
        let _ = Pin::new(&mut *driver).poll(cx);
        future.as_mut().poll(cx)
    })
    .await
}

impl<I: Read + Write + Unpin + Send + 'static> Caller for Hand<I> {
    async fn call(&mut self) -> Result<()> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.target.path.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, self.target.host.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(AUTHORIZATION, HeaderValue::from_static(CREDENTIAL));
        let sent = self.sender.send_request(request);
        let response = along(&mut self.driver, sent).await?;
        if !response.status().is_success() {
            return Err("not a success".into());
        }
        let body = along(&mut self.driver, response.into_body().collect()).await?.to_bytes();
        along(&mut self.driver, self.sender.ready()).await?;
        check(&serde_json::from_slice::<Page>(&body)?)
    }
}

/// A connection that is opened by its first call.
enum Lazy<I: Read + Write, F> {
    Closed(Target, F),
    Open(Box<Hand<I>>),
}

impl<I, F, R> Caller for Lazy<I, F>
where
    I: Read + Write + Unpin + Send + 'static,
    F: Fn(Target) -> R + Send + Sync + 'static,
    R: Future<Output = Result<I>> + Send,
{
    async fn call(&mut self) -> Result<()> {
        if let Lazy::Closed(target, connect) = self {
            let io = connect(target.clone()).await?;
            *self = Lazy::Open(Box::new(Hand::new(io, target.clone()).await?));
        }
        match self {
            Lazy::Open(hand) => hand.call().await,
            Lazy::Closed(..) => Err("still closed".into()),
        }
    }
}

/// On sockets like those of duocall: smol's, asked no more than needed.
pub(super) fn by_hand_smol(job: &Job, meter: Meter) -> Result<Driven> {
    let (target, runtime) = (Target::of(job)?, Runtime::smol());
    if target.tls.is_none() {
        let connect = |target: Target| async move {
            Ok(FuturesIo::new(Socket::connect(target.address).await?))
        };
        return runtime.drive(job, meter, || Lazy::Closed(target.clone(), connect));
    }
    let connect = |target: Target| async move {
        let connector = futures_rustls::TlsConnector::from(target.tls.ok_or("no TLS")?);
        let socket = Socket::connect(target.address).await?;
        let name = ServerName::from(target.address.ip());
        Ok(FuturesIo::new(connector.connect(name, socket).await?))
    };
    runtime.drive(job, meter, || Lazy::Closed(target.clone(), connect))
}

pub(super) fn by_hand_tokio(job: &Job, meter: Meter) -> Result<Driven> {
    let (target, runtime) = (Target::of(job)?, Runtime::tokio1()?);
    if target.tls.is_none() {
        let connect = |target: Target| async move {
            let stream = tokio::net::TcpStream::connect(target.address).await?;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(stream))
        };
        return runtime.drive(job, meter, || Lazy::Closed(target.clone(), connect));
    }
    let connect = |target: Target| async move {
        let connector = tokio_rustls::TlsConnector::from(target.tls.ok_or("no TLS")?);
        let stream = tokio::net::TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::from(target.address.ip());
        Ok(TokioIo::new(connector.connect(name, stream).await?))
    };
    runtime.drive(job, meter, || Lazy::Closed(target.clone(), connect))
}
