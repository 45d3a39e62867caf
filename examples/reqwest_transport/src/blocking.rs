//! The blocking transport. reqwest starts a thread for it, with a runtime.

use std::io::{self, Read};
use std::sync::Arc;

use duocall::blocking::{Reader, Transport};
use duocall::http::{Request, Response};
use duocall::transport::{Exchange, Failure};
use duocall::{Body, Phase};

/// reqwest's blocking client. It is neither made nor dropped inside an async runtime: reqwest would panic.
pub struct Reqwest(reqwest::blocking::Client);

impl Reqwest {
    pub fn new() -> reqwest::Result<Reqwest> {
        let client = reqwest::blocking::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            // Each request brings its own.
            .timeout(None)
            .build()?;
        Ok(Reqwest(client))
    }
}

impl Transport for Reqwest {
    fn send(
        &self,
        request: Request<Body>,
        exchange: &Arc<Exchange>,
    ) -> Result<Response<Reader>, Failure> {
        let (head, body) = request.into_parts();
        let body = match body.bytes() {
            Some(bytes) => bytes.clone().into(),
            // Its length, if it has one, is in the headers.
            None => reqwest::blocking::Body::new(body.into_reader()?),
        };
        let request = Request::from_parts(head, body);
        let mut request = reqwest::blocking::Request::try_from(request)
            .map_err(|error| crate::failure(error, Phase::Send))?;
        exchange.enter(Phase::Head);
        *request.timeout_mut() = Some(exchange.remaining()?);
        exchange.wrote(1);
        let sent = self.0.execute(request);
        let response = sent.map_err(|error| failure(error, exchange))?;
        exchange.received(1);
        let mut head = Response::new(());
        *head.status_mut() = response.status();
        *head.headers_mut() = response.headers().clone();
        let body = Incoming { response, exchange: exchange.clone() };
        Ok(head.map(|()| -> Reader { Box::new(body) }))
    }
}

struct Incoming {
    response: reqwest::blocking::Response,
    exchange: Arc<Exchange>,
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.response.read(buffer).map_err(|error| {
            let inner = error.into_inner().and_then(|inner| inner.downcast().ok());
            let inner: Box<reqwest::Error> = match inner {
                Some(inner) => inner,
                None => return io::ErrorKind::UnexpectedEof.into(),
            };
            failure(*inner, &self.exchange).into()
        })
    }
}

/// A limit of time is named by the exchange, which knows whether it was the phase's or the call's.
fn failure(error: reqwest::Error, exchange: &Exchange) -> Failure {
    match error.is_timeout() {
        true => exchange.timed_out(),
        false => crate::failure(error, exchange.phase()),
    }
}
