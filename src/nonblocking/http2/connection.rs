//! One connection, and the task that moves its bytes.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use smol::Task;
use smol::lock::Mutex;

use super::super::wire::Wire;
use super::fault::failure;
use super::health::{Health, Pipe, Pulse};
use super::late;
use super::stream::Place;
use crate::api::Api;
use crate::error::{Phase, Sent};
use crate::http2::{Http2, KeepAlive, LARGEST_WINDOW};
use crate::transport::{Exchange, Failure, MAX_HEAD};

/// What connections are opened with.
pub(super) struct Terms {
    builder: Builder,
    keep_alive: Option<KeepAlive>,
    connecting: Duration,
}

impl Terms {
    pub(super) fn new(api: &Api, policy: &Http2) -> Terms {
        let window = policy.stream_window();
        let calls = u32::try_from(api.concurrency()).unwrap_or(u32::MAX);
        let all = window.saturating_mul(calls).clamp(u16::MAX.into(), LARGEST_WINDOW);
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            // Until the server has said how many it takes. A second one would be a guess, and a
            // wrong guess is refused.
            .initial_max_send_streams(1)
            .initial_window_size(window)
            .initial_connection_window_size(all)
            // Above it, h2 knows no better than "a protocol error"; below it, the engine's limit
            // has a name.
            .max_header_list_size(4 * MAX_HEAD as u32)
            // What still comes for a call that was dropped is no mistake of the server's.
            .max_concurrent_reset_streams(1000)
            .reset_stream_duration(Duration::from_secs(5));
        let (keep_alive, connecting) = (policy.keeps_alive(), api.timeouts().connect);
        Terms { builder, keep_alive, connecting }
    }
}

/// A connection that many calls share. When the last of them and the hub have let go of it,
/// it is closed.
pub(in super::super) struct Connection {
    pub(super) sender: SendRequest<Bytes>,
    pub(super) health: Arc<Health>,
    /// Who is in it is the next to be sent.
    door: Mutex<()>,
    /// Dropping it ends the task.
    _driver: Task<()>,
}

impl Connection {
    pub(super) async fn open(
        wire: Wire,
        terms: &Terms,
        exchange: &Exchange,
    ) -> Result<Arc<Connection>, Failure> {
        let health = Health::new();
        let pipe = Pipe::new(wire, health.clone());
        let shaken = terms.builder.handshake(pipe).await;
        let shaken = shaken.map_err(|error| failure(&error, &health, exchange.phase()));
        let (sender, mut connection): (SendRequest<Bytes>, _) = shaken?;
        let ping = connection.ping_pong().expect("asked for once");
        let mut pulse = Pulse::new(health.clone(), ping, terms.keep_alive, terms.connecting);
        let record = health.clone();
        let driver = smol::spawn(async move {
            // How it ended, its streams hear, and the record knows.
            poll_fn(|cx| {
                let driven = late::together(|| Pin::new(&mut connection).poll(cx));
                record.moved();
                if driven.is_ready() { Poll::Ready(()) } else { pulse.poll(cx) }
            })
            .await;
            drop(connection);
            record.moved();
        });
        Ok(Arc::new(Connection { sender, health, door: Mutex::new(()), _driver: driver }))
    }

    /// A place among the calls. Above the server's limit (RFC 9113 section 5.1.2) a request waits
    /// here, and not in h2, which sends one even after its call was dropped.
    pub(super) async fn place(self: Arc<Self>, phase: Phase) -> Result<Place, Failure> {
        if let Some(place) = self.door.try_lock().and_then(|_door| self.claim()) {
            return Ok(place);
        }
        // Boxed: it is large, and rare.
        Box::pin(async {
            let _door = self.door.lock().await;
            poll_fn(|cx| self.poll_place(cx, phase)).await
        })
        .await
    }

    fn claim(self: &Arc<Self>) -> Option<Place> {
        // Asked each time: the answer to a call may be known before what the driver would tell.
        let most = self.sender.current_max_send_streams();
        self.health.call_begins(most).then(|| Place::new(self.clone()))
    }

    fn poll_place(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        phase: Phase,
    ) -> Poll<Result<Place, Failure>> {
        self.health.waits_for_room(cx);
        if let Poll::Ready(Err(error)) = self.sender.clone().poll_ready(cx) {
            let failure = failure(&error, &self.health, phase);
            return Poll::Ready(Err(failure.sent(Sent::No)));
        }
        self.claim().map_or(Poll::Pending, |place| Poll::Ready(Ok(place)))
    }

    /// Whether another call may use it.
    pub(super) fn is_good(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let ready = self.sender.clone().poll_ready(&mut cx);
        !self.health.is_retired() && !matches!(ready, Poll::Ready(Err(_)))
    }
}
