//! What ends a wait that the system would not end.

use std::io::ErrorKind::NotConnected;
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::task::Wake;
use std::thread;
use std::time::Duration;

use crate::error::ErrorKind;
use crate::resolve::Found;
use crate::sync::lock;
use crate::transport::Failure;

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

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_cancellation_that_comes_late_hits_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, (mut peer, _)) = (Arc::new(stream), listener.accept().unwrap());
        peer.set_nonblocking(true).unwrap();
        let late = Arc::new(HangUp::new(Target::Stream(stream.clone())));
        // The cancellation has taken the waker out already when the call ends.
        let waker = Waker::from(late.clone());
        late.disarm();
        waker.wake();
        assert!(peer.read(&mut [0]).is_err(), "nothing has come, not even an end");
        HangUp::new(Target::Stream(stream)).interrupt();
        peer.set_nonblocking(false).unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_socket_that_does_not_connect_yet_is_looked_at_again() {
        let stream = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let stream = Arc::new(TcpStream::from(stream.unwrap()));
        assert!(!HangUp::new(Target::Connecting(stream)).interrupt());
    }
}
