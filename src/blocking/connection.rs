//! What ureq reads from and writes to: a socket, plain or under TLS, with its buffers.

use std::fmt;
use std::io::{self, Read, Write};
use std::mem;
use std::sync::Arc;

use http::Uri;
use ureq::Error;
use ureq::config::Config;
use ureq::unversioned::transport::{Buffers, LazyBuffers, NextTimeout, Transport};

use super::announced::{GO_ON, Word, word};
use super::current;
use super::wire::Wire;
use crate::engine::chunks::Chunks;
use crate::error::{ErrorKind, Phase};
use crate::idle::Idle;
use crate::transport::{Exchange, Failure, MAX_HEAD};
use crate::url::Origin;

pub(super) fn other(failure: Failure) -> Error {
    Error::Other(failure.into())
}

pub(super) fn exchange<T>(look: impl FnOnce(&Arc<Exchange>) -> T) -> Result<T, Error> {
    let nothing = || other(Failure::new(ErrorKind::Other, "no exchange at hand"));
    current::exchange(look).ok_or_else(nothing)
}

/// The bytes on their way in and out, and the wire.
pub(super) struct Connection {
    /// `None` where it may not serve again.
    origin: Option<Origin>,
    wire: Wire,
    buffers: LazyBuffers,
    chunks: Chunks,
    /// The head of the response lies in the buffers, and ureq asks for it once more.
    answered: bool,
}

impl Connection {
    pub(super) fn new(mut wire: Wire, uri: &Uri, config: &Config) -> Connection {
        if let Wire::Plain(socket) = &mut wire {
            socket.plain = true;
        }
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        let (origin, chunks) = (Origin::of(uri), Chunks::new());
        Connection { origin, wire, buffers, chunks, answered: false }
    }

    pub(super) fn leads_to(&self, uri: &Uri) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.is_of(uri))
    }

    /// Whether nothing has happened to it since it was put away.
    pub(super) fn is_quiet(&self) -> bool {
        self.wire.socket().is_quiet()
    }

    /// Serves the call at hand as well.
    pub(super) fn serve_again(&mut self) {
        self.wire.socket().hang_up_on_cancel();
        self.chunks = Chunks::new();
    }

    /// Waits for the server's word on an announced body, and passes on what ureq understands of it.
    fn await_word(&mut self, exchange: &Exchange) -> Result<(), Failure> {
        exchange.be_patient();
        let mut heard = Vec::new();
        let mut buffer = [0; 4 << 10];
        loop {
            match word(&heard) {
                Word::Nothing(bytes) => drop(heard.drain(..bytes)),
                Word::Wanted => break,
                Word::Response => {
                    exchange.withhold();
                    self.answered = true;
                    break;
                }
                Word::None if heard.len() >= MAX_HEAD => {
                    return Err(Failure::new(ErrorKind::HeadTooLarge, ""));
                }
                Word::None => match self.wire.read(&mut buffer) {
                    Ok(0) => return Err(closed()),
                    Ok(read) => {
                        exchange.received(read);
                        heard.extend_from_slice(&buffer[..read]);
                    }
                    Err(error) => {
                        let failure = Failure::from_io(error, Phase::Send);
                        if !matches!(failure.kind, ErrorKind::Timeout(Phase::Send)) {
                            return Err(failure);
                        }
                        // It has had its time.
                        heard.splice(..0, GO_ON.iter().copied());
                        break;
                    }
                },
            }
        }
        // Waiting is no part of the time for writing.
        exchange.enter(Phase::Send);
        let kept = self.chunks.pass(&mut heard)?;
        self.buffers.input_append_buf()[..kept].copy_from_slice(&heard[..kept]);
        self.buffers.input_appended(kept);
        Ok(())
    }

    /// Sends so much of what ureq has written.
    fn transmit(&mut self, amount: usize) -> Result<(), Error> {
        exchange(|exchange| exchange.enter(Phase::Send))?;
        if amount == 0 {
            return Ok(());
        }
        let mut output = &self.buffers.output()[..amount];
        // ureq's stand-in for a head is a few lines, which it writes at once.
        let head = current::unsaid(|unsaid| &mut unsaid.head);
        if !head.is_empty() {
            output = &head;
        }
        let written = self.wire.write_all(output).and_then(|()| self.wire.flush());
        written.map_err(|error| other(Failure::from_io(error, Phase::Send)))
    }

    /// Reads what ureq wants to see; false at the end.
    fn receive(&mut self) -> Result<bool, Error> {
        if current::unsaid(|unsaid| &mut unsaid.announced) {
            let exchange = exchange(Arc::clone)?;
            return self.await_word(&exchange).map(|()| true).map_err(other);
        }
        if mem::take(&mut self.answered) {
            return Ok(true);
        }
        let phase = exchange(|exchange| {
            if exchange.phase() == Phase::Send {
                exchange.enter(Phase::Head);
            }
            exchange.phase()
        })?;
        loop {
            let input = self.buffers.input_append_buf();
            // As a failure of ours it is not taken for the end of a body.
            let amount = self.wire.read(input);
            let amount = amount.map_err(|error| other(Failure::from_io(error, phase)))?;
            exchange(|exchange| exchange.received(amount))?;
            let kept = self.chunks.take_in(input, amount).map_err(other)?;
            self.buffers.input_appended(kept);
            if kept > 0 || amount == 0 {
                return Ok(kept > 0);
            }
        }
    }
}

fn closed() -> Failure {
    Failure::from_io(io::ErrorKind::UnexpectedEof.into(), Phase::Send)
}

/// A connection in ureq's hands.
pub(super) struct Lent {
    connection: Option<Box<Connection>>,
    idle: Arc<Idle<Connection>>,
}

impl Lent {
    pub(super) fn new(connection: Box<Connection>, idle: &Arc<Idle<Connection>>) -> Lent {
        Lent { connection: Some(connection), idle: idle.clone() }
    }

    fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("ureq drops a connection that is not open")
    }
}

impl Transport for Lent {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.connection().buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        self.connection().transmit(amount)
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        self.connection().receive()
    }

    /// ureq asks behind a complete response, when it would keep the connection. Its pool
    /// holds a lock while it asks the system about one; ours does not, so it goes there.
    fn is_open(&mut self) -> bool {
        let whole = |connection: &mut Box<Connection>| !connection.wire.socket().is_broken();
        if let Some(connection) = self.connection.take_if(whole) {
            // From now on it may serve another call.
            current::let_go();
            self.idle.put(connection);
        }
        false
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lent")
    }
}
