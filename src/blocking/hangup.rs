//! What ends a wait that the system would not end.

use std::io::ErrorKind::NotConnected;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::task::Wake;
use std::thread;
use std::time::Duration;

use crate::error::ErrorKind;
use crate::sync::lock;
use crate::transport::Failure;

pub(super) type Found = Result<Vec<SocketAddr>, Failure>;

/// What a call waits for.
pub(super) enum Target {
    /// The answer of a resolver; another is given in its place.
    Lookup(SyncSender<Found>),
    /// A connection coming about on this socket.
    Connecting(Arc<TcpStream>),
    Stream(Arc<TcpStream>),
}

/// Interrupts a wait, unless it was disarmed before.
pub(super) struct HangUp(Mutex<Option<Target>>);

impl HangUp {
    pub(super) fn new(target: Target) -> HangUp {
        HangUp(Mutex::new(Some(target)))
    }

    /// Nothing is interrupted once this has returned.
    pub(super) fn disarm(&self) {
        *lock(&self.0) = None;
    }

    /// False when it came too early to have an effect.
    fn interrupt(&self) -> bool {
        match &*lock(&self.0) {
            None => true,
            Some(Target::Lookup(tell)) => {
                // Full means that the answer is there.
                drop(tell.try_send(Err(Failure::new(ErrorKind::Cancelled, ""))));
                true
            }
            Some(Target::Connecting(stream)) => {
                !stream.shutdown(Shutdown::Both).is_err_and(|error| error.kind() == NotConnected)
            }
            Some(Target::Stream(stream)) => {
                // It fails where the socket is closed already, which is as good.
                drop(stream.shutdown(Shutdown::Both));
                true
            }
        }
    }
}

/// How often and how long a cancellation waits for a thread between its last
/// look at the flag and its call of `connect`.
const LOOKS: u32 = 100;
const PAUSE: Duration = Duration::from_micros(100);

impl Wake for HangUp {
    fn wake(self: Arc<Self>) {
        for _ in 0..LOOKS {
            if self.interrupt() {
                return;
            }
            thread::sleep(PAUSE);
        }
    }
}
