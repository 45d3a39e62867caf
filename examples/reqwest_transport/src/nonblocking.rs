//! The async transport. It needs tokio, and brings it along to whatever executor polls the call.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use duocall::http::{Request, Response};
use duocall::nonblocking::{Reader, Transport};
use duocall::transport::{Exchange, Failure};
use duocall::{Body, Phase};
use futures_lite::{AsyncReadExt, Stream, StreamExt, stream};
use tokio::runtime::Handle;

/// reqwest's client, and the runtime that drives its connections.
pub struct Reqwest {
    client: reqwest::Client,
    runtime: Handle,
}

impl Reqwest {
    /// `runtime` must have threads of its own, or be the one that polls the calls.
    pub fn new(runtime: Handle) -> reqwest::Result<Reqwest> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()?;
        Ok(Reqwest { client, runtime })
    }
}

impl Transport for Reqwest {
    async fn send(
        &self,
        request: Request<Body>,
        exchange: Arc<Exchange>,
    ) -> Result<Response<Reader>, Failure> {
        let request = reqwest::Request::try_from(request.map(outgoing))
            .map_err(|error| crate::failure(error, Phase::Send))?;
        exchange.enter(Phase::Head);
        // From here on nobody may say that nothing was sent.
        exchange.wrote(1);
        let sent = Within::new(&self.runtime, self.client.execute(request)).await;
        let response = sent.map_err(|error| crate::failure(error, Phase::Head))?;
        exchange.received(1);
        let mut head = Response::new(());
        *head.status_mut() = response.status();
        *head.headers_mut() = response.headers().clone();
        let pieces = response.bytes_stream().map(|piece| {
            piece.map_err(|error| io::Error::from(crate::failure(error, Phase::Body)))
        });
        let body = Reader::from_stream(Within::new(&self.runtime, pieces));
        Ok(head.map(|()| body))
    }
}

fn outgoing(body: Body) -> reqwest::Body {
    match body.bytes() {
        Some(bytes) => bytes.clone().into(),
        // Its length, if it has one, is in the headers.
        None => reqwest::Body::wrap_stream(pieces(body)),
    }
}

fn pieces(body: Body) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold(body.into_async_reader(), |mut reader| async move {
        let mut buffer = vec![0; 16 << 10];
        let read = reader.read(&mut buffer).await?;
        buffer.truncate(read);
        Ok((read > 0).then(|| (buffer.into(), reader)))
    })
}

/// Polls something of reqwest's where it finds its runtime, whoever polls.
struct Within<T> {
    runtime: Handle,
    inner: Pin<Box<T>>,
}

impl<T> Within<T> {
    fn new(runtime: &Handle, inner: T) -> Within<T> {
        Within { runtime: runtime.clone(), inner: Box::pin(inner) }
    }
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let _inside = this.runtime.enter();
        this.inner.as_mut().poll(cx)
    }
}

impl<S: Stream> Stream for Within<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = &mut *self;
        let _inside = this.runtime.enter();
        this.inner.as_mut().poll_next(cx)
    }
}
