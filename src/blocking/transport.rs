//! What moves the bytes: ureq, or a transport of your own.

use std::io::{self, Read};
use std::sync::Arc;

use http::header::EXPECT;
use http::request::Parts;
use http::{Request, Response, Uri};
use ureq::config::AutoHeaderValue;
use ureq::{Agent, AsSendBody, Error, SendBody, Timeout};

use super::connect::{Connect, Later};
use super::current::{self, Current};
use super::unsaid::Unsaid;
use super::upload::Upload;
use crate::api::Api;
use crate::body::Body;
use crate::error::{ErrorKind, Phase, Sent};
use crate::proxy::{self, Proxies};
use crate::tls::TlsFault;
use crate::transport::{Exchange, Failure, MAX_HEAD};

/// The body of a response as a blocking transport gives it: raw, undecoded.
pub type Reader = Box<dyn Read + Send>;

/// Moves one request and its response, and decides nothing.
///
/// It follows no redirect, decodes no body, takes no status for an error and
/// reads no environment. The exchange says how long each phase may take, and
/// tells by [`on_cancel`](Exchange::on_cancel) when nobody waits any more: what
/// blocks has to end then.
/// [`transport`](crate::transport) tells what is expected of one.
///
/// A closure of this shape is a transport:
///
/// ```
/// use duocall::blocking::{Client, Reader};
/// use duocall::{Api, Request, http};
///
/// # fn main() -> Result<(), duocall::Error> {
/// let client = Client::with_transport(Api::new("http://api.example.com/")?, |_, _: &_| {
///     let body: Reader = Box::new(&b"[1, 2]"[..]);
///     Ok(http::Response::new(body))
/// });
/// assert_eq!(client.send(Request::get("numbers"))?.json::<Vec<u8>>()?, [1, 2]);
/// # Ok(()) }
/// ```
pub trait Transport: Send + Sync + 'static {
    /// Sends the request and waits for the head of its final response.
    ///
    /// # Errors
    /// A [`Failure`], also as the inner error of one that the body's `read` gives.
    fn send(
        &self,
        request: Request<Body>,
        exchange: &Arc<Exchange>,
    ) -> Result<Response<Reader>, Failure>;
}

impl<F> Transport for F
where
    F: Fn(Request<Body>, &Arc<Exchange>) -> Result<Response<Reader>, Failure>
        + Send
        + Sync
        + 'static,
{
    fn send(
        &self,
        request: Request<Body>,
        exchange: &Arc<Exchange>,
    ) -> Result<Response<Reader>, Failure> {
        self(request, exchange)
    }
}

/// What the core does itself, ureq must not do. (Its builder has a private
/// parameter, so no function can take both kinds.)
macro_rules! plain {
    ($config:expr) => {
        $config
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .user_agent(AutoHeaderValue::None)
            .accept(AutoHeaderValue::None)
            .accept_encoding(AutoHeaderValue::None)
            .max_response_header_size(MAX_HEAD)
    };
}

pub(super) struct Ureq {
    agent: Agent,
    /// The caller's own agent: its sockets know nothing of exchanges, so ureq's
    /// limits of time have to do.
    foreign: bool,
    /// Where our agent thinks that its requests go.
    stand_in: Uri,
    proxies: Proxies,
    api: Api,
}

impl Ureq {
    pub(super) fn new(api: &Api) -> Ureq {
        let config = plain!(Agent::config_builder())
            .proxy(None)
            // A whole head has to fit, and a little of the body.
            .input_buffer_size(MAX_HEAD + (16 << 10))
            .output_buffer_size(16 << 10)
            .build();
        let agent = Agent::with_parts(config, Connect::new(api), Later);
        Ureq { foreign: false, proxies: api.proxies().clone(), ..Ureq::on_agent(api, agent) }
    }

    pub(super) fn on_agent(api: &Api, agent: Agent) -> Ureq {
        let stand_in = Uri::from_static("http://-/");
        Ureq { agent, foreign: true, stand_in, proxies: Proxies::None, api: api.clone() }
    }

    /// Tells the caller's own agent with the request what ours knows, and the limits of time.
    fn tell(&self, mut parts: Parts, exchange: &Exchange) -> Parts {
        // A hint that comes before the word would make ureq wait for a response, in vain.
        parts.headers.remove(EXPECT);
        let limits = exchange.timeouts();
        let request = self.agent.configure_request(Request::from_parts(parts, ()));
        let told = plain!(request)
            .timeout_global(Some(exchange.left()))
            .timeout_resolve(Some(limits.connect))
            .timeout_connect(Some(limits.connect))
            .timeout_recv_response(Some(limits.head))
            .timeout_per_read(Some(limits.idle.max(limits.head)))
            .timeout_per_write(Some(limits.head));
        told.build().into_parts().0
    }
}

impl Transport for Ureq {
    fn send(
        &self,
        request: Request<Body>,
        exchange: &Arc<Exchange>,
    ) -> Result<Response<Reader>, Failure> {
        self.api.takes_http1()?;
        let (mut parts, body) = request.into_parts();
        let proxy = self.proxies.choose(&parts.uri)?;
        let proxy = proxy.filter(|proxy| proxy.forwards(&parts.uri));
        let mut unsaid = Unsaid::default();
        if self.foreign {
            parts = self.tell(parts, exchange);
        } else {
            unsaid = Unsaid::new(&mut parts, &body, proxy, &self.stand_in);
        }
        let (mut nothing, mut bytes, mut reader) = ((), body.bytes().map(|it| &it[..]), None);
        let load = match &mut bytes {
            Some(bytes) if bytes.is_empty() || unsaid.whole => nothing.as_body(),
            Some(bytes) => bytes.as_body(),
            None => {
                let upload = Upload::new(body.clone().into_reader()?, body.length());
                SendBody::from_reader(reader.insert(upload))
            }
        };
        let request = Request::from_parts(parts, load);
        let mut current = Some(Current::new(exchange, unsaid));
        let sent = current::within(&mut current, || self.agent.run(request));
        let (parts, body) = sent.map_err(|error| failure(error, exchange))?.into_parts();
        if self.foreign {
            // It tells nothing of bytes, but here is a head.
            exchange.received(1);
        }
        proxy::judge(proxy, parts.status)?;
        let body = BodyReader { reader: body.into_reader(), current };
        Ok(Response::from_parts(parts, Box::new(body)))
    }
}

struct BodyReader {
    reader: ureq::BodyReader<'static>,
    current: Option<Current>,
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let reader = &mut self.reader;
        current::within(&mut self.current, || reader.read(buffer)).map_err(|error| {
            let exchange = self.current.as_ref().map(|current| &current.exchange);
            let exchange = exchange.expect("put back by `within`");
            failure(error.into(), exchange).into()
        })
    }
}

/// What an error of ureq's means here. Our own sockets' failures come back as they went in.
fn failure(error: Error, exchange: &Exchange) -> Failure {
    let phase = exchange.phase();
    match error {
        Error::Other(inner) => match inner.downcast::<Failure>() {
            Ok(failure) => *failure,
            Err(other) => Failure::new(ErrorKind::Other, "in the connector").caused_by(other),
        },
        Error::Io(error) => Failure::from_io(error, phase),
        Error::Timeout(which) => timed_out(which, exchange),
        Error::HostNotFound => Failure::new(ErrorKind::Dns, "the name is not known").sent(Sent::No),
        Error::ConnectionFailed | Error::ConnectProxyFailed(_) => {
            Failure::new(ErrorKind::Connect, "no connection").caused_by(error)
        }
        Error::TlsRequired | Error::Tls(_) => {
            Failure::tls(TlsFault::Other, "this build has no TLS").sent(Sent::No)
        }
        Error::LargeResponseHeader(..) => too_large().caused_by(error),
        Error::Protocol(_) if too_many_fields(&error) => too_large().caused_by(error),
        Error::BodyStalled => Failure::new(ErrorKind::Truncated, "the connection was closed"),
        _ => Failure::new(ErrorKind::Protocol, "not valid HTTP/1.1").caused_by(error),
    }
}

/// The type of ureq's protocol errors is not exported; its words are.
fn too_many_fields(error: &Error) -> bool {
    error.to_string().contains("too many headers")
}

fn too_large() -> Failure {
    Failure::new(ErrorKind::HeadTooLarge, "")
}

fn timed_out(which: Timeout, exchange: &Exchange) -> Failure {
    let phase = match which {
        Timeout::Resolve => Phase::Resolve,
        Timeout::Connect => Phase::Connect,
        Timeout::SendRequest | Timeout::SendBody | Timeout::PerWrite => Phase::Send,
        Timeout::RecvResponse => Phase::Head,
        Timeout::RecvBody => Phase::Body,
        Timeout::PerRead if exchange.phase() == Phase::Body => Phase::Body,
        Timeout::PerRead => Phase::Head,
        _ => return exchange.timed_out(),
    };
    Failure::new(ErrorKind::Timeout(phase), "").sent(match phase {
        Phase::Resolve | Phase::Connect => Sent::No,
        Phase::Send => Sent::Maybe,
        _ => Sent::Yes,
    })
}
