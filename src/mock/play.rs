//! Plays replies in both colours.

use std::time::Duration;

use http::Request;

use super::reply::{Fault, Reply};
use crate::body::Body;
use crate::error::{ErrorKind, Phase, Sent};
use crate::transport::{Exchange, Failure};

/// Anything that answers a request at once: a mock, a cassette.
pub(super) trait Answer: Send + Sync + 'static {
    fn answer(&self, request: &Request<Body>) -> Result<Reply, Failure>;
}

/// What a transport does next: wait, then give the head or fail.
struct Start {
    wait: Duration,
    reply: Result<Reply, Failure>,
}

fn start<A: Answer>(answerer: &A, request: &Request<Body>, exchange: &Exchange) -> Start {
    let reply = match answerer.answer(request) {
        Ok(reply) => reply,
        Err(failure) => return Start { wait: Duration::ZERO, reply: Err(failure) },
    };
    let (phase, sent) = match reply.fault {
        Some(Fault::Fails(ErrorKind::Dns)) => (Phase::Resolve, false),
        Some(Fault::Fails(ErrorKind::Connect)) => (Phase::Connect, false),
        Some(Fault::Fails(ErrorKind::Tls)) => (Phase::Tls, false),
        Some(Fault::Stalls(phase)) => (phase, phase >= Phase::Send),
        _ => (Phase::Head, true),
    };
    exchange.enter(phase);
    if sent {
        exchange.wrote(1);
    }
    match reply.fault {
        None => Start { wait: reply.delay, reply: Ok(reply) },
        Some(Fault::Stalls(Phase::Body)) => {
            Start { wait: reply.delay, reply: Ok(reply.body_delay(Duration::MAX)) }
        }
        Some(Fault::Stalls(_)) => Start { wait: Duration::MAX, reply: Ok(reply) },
        Some(Fault::Fails(kind)) => {
            let mut failure = Failure::new(kind, "as the mock was told");
            if !sent {
                failure = failure.sent(Sent::No);
            }
            Start { wait: reply.delay, reply: Err(failure) }
        }
    }
}

/// The end of a wait, or of the phase if that is earlier.
fn until(exchange: &Exchange, wait: Duration) -> std::time::Instant {
    let now = exchange.seat().now();
    now.checked_add(wait).map_or(exchange.deadline(), |at| at.min(exchange.deadline()))
}

#[cfg(feature = "blocking")]
mod blocking {
    use std::collections::VecDeque;
    use std::io::{self, Read};
    use std::sync::Arc;

    use bytes::{Buf, Bytes};
    use http::Response;

    use super::super::{Mock, Replay};
    use super::{Answer, Body, Duration, Exchange, Failure, Request, start, until};
    use crate::blocking::{Reader, Transport};

    fn sleep(exchange: &Exchange, wait: Duration) -> Result<(), Failure> {
        let until = until(exchange, wait);
        exchange.seat().block(exchange.cancel(), |now, _| {
            let over = now >= until || exchange.is_cancelled();
            if over { Ok(()) } else { Err(Some(until)) }
        });
        exchange.remaining().map(drop)
    }

    fn play(
        answerer: &impl Answer,
        request: &Request<Body>,
        exchange: &Arc<Exchange>,
    ) -> Result<Response<Reader>, Failure> {
        let start = start(answerer, request, exchange);
        sleep(exchange, start.wait)?;
        let reply = start.reply?;
        exchange.received(1);
        let body = MockBody {
            pieces: reply.pieces().into(),
            piece: Bytes::new(),
            exchange: exchange.clone(),
        };
        Ok(reply.head().map(|()| -> Reader { Box::new(body) }))
    }

    macro_rules! transport {
        ($($answerer:ty),*) => {$(
            impl Transport for $answerer {
                fn send(
                    &self,
                    request: Request<Body>,
                    exchange: &Arc<Exchange>,
                ) -> Result<Response<Reader>, Failure> {
                    play(self, &request, exchange)
                }
            }
        )*};
    }

    transport!(Mock, Replay);

    struct MockBody {
        pieces: VecDeque<(Duration, Result<Bytes, Failure>)>,
        piece: Bytes,
        exchange: Arc<Exchange>,
    }

    impl Read for MockBody {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            while self.piece.is_empty() {
                let Some((wait, piece)) = self.pieces.pop_front() else { return Ok(0) };
                if !wait.is_zero() {
                    sleep(&self.exchange, wait)?;
                }
                self.piece = piece?;
            }
            let taken = buffer.len().min(self.piece.len());
            self.piece.copy_to_slice(&mut buffer[..taken]);
            Ok(taken)
        }
    }
}

#[cfg(feature = "async")]
mod nonblocking {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::task::Poll;

    use http::Response;
    use smol::stream;

    use super::super::{Mock, Replay};
    use super::{Answer, Body, Duration, Exchange, Failure, Request, start, until};
    use crate::nonblocking::{Reader, Transport};

    /// The driver looks at its limits and wakes us; here we only say when.
    async fn sleep(exchange: &Exchange, wait: Duration) {
        if wait.is_zero() {
            return;
        }
        let until = until(exchange, wait);
        let endless = exchange.seat().now().checked_add(wait).is_none_or(|at| at > until);
        poll_fn(|_| {
            if !endless && exchange.seat().now() >= until {
                return Poll::Ready(());
            }
            exchange.wake_at(until);
            Poll::Pending
        })
        .await;
    }

    async fn play(
        answerer: &impl Answer,
        request: Request<Body>,
        exchange: Arc<Exchange>,
    ) -> Result<Response<Reader>, Failure> {
        let start = start(answerer, &request, &exchange);
        sleep(&exchange, start.wait).await;
        let reply = start.reply?;
        exchange.received(1);
        let pieces = stream::unfold(reply.pieces().into_iter(), move |mut pieces| {
            let exchange = exchange.clone();
            async move {
                let (wait, piece) = pieces.next()?;
                sleep(&exchange, wait).await;
                Some((piece.map_err(Into::into), pieces))
            }
        });
        Ok(reply.head().map(|()| Reader::from_stream(pieces)))
    }

    macro_rules! transport {
        ($($answerer:ty),*) => {$(
            impl Transport for $answerer {
                async fn send(
                    &self,
                    request: Request<Body>,
                    exchange: Arc<Exchange>,
                ) -> Result<Response<Reader>, Failure> {
                    play(self, request, exchange).await
                }
            }
        )*};
    }

    transport!(Mock, Replay);
}
