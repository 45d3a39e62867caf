//! What ends a wait that the system would not end.

use std::io::ErrorKind::NotConnected;
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::thread;
use std::time::Duration;

use crate::cancel::{Cancel, Subscription};
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

/// Hears a cancellation, of one call after another, and interrupts what the call at hand waits for.
pub(super) struct Ear {
    hangup: Arc<HangUp>,
    listening: Subscription,
}

impl Ear {
    pub(super) fn new(cancel: &Cancel) -> Ear {
        let hangup = Arc::<HangUp>::default();
        let listening = cancel.listen(&Waker::from(hangup.clone()));
        Ear { hangup, listening }
    }

    pub(super) fn hears(&self, cancel: &Cancel) -> bool {
        self.listening.is_to(cancel)
    }

    /// From now on `cancel`, which it hears, interrupts this. A wait that comes later asks the exchange first.
    pub(super) fn arm(&self, cancel: &Cancel, target: Target) {
        *lock(&self.hangup.0) = Some(target);
        if cancel.is_cancelled() {
            // It may have come when there was nothing to interrupt.
            self.hangup.interrupt();
        }
    }

    /// Nothing is interrupted once this has returned: the socket may serve another call, which must
    /// not be hit.
    pub(super) fn disarm(&self) {
        *lock(&self.hangup.0) = None;
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        // A cancellation may hold the waker already.
        self.disarm();
    }
}

#[derive(Default)]
struct HangUp(Mutex<Option<Target>>);

impl HangUp {
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
    use std::sync::mpsc::{Receiver, sync_channel};

    use super::*;
    use crate::sync::model::{Actor, every_order, step};

    #[test]
    fn a_cancellation_that_comes_late_hits_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, (mut peer, _)) = (Arc::new(stream), listener.accept().unwrap());
        peer.set_nonblocking(true).unwrap();
        let cancel = Cancel::new();
        let ear = Ear::new(&cancel);
        ear.arm(&cancel, Target::Stream(stream.clone()));
        // The cancellation has taken the waker out already when the call ends.
        let waker = Waker::from(ear.hangup.clone());
        drop(ear);
        waker.wake();
        assert!(peer.read(&mut [0]).is_err(), "nothing has come, not even an end");
        cancel.cancel();
        Ear::new(&cancel).arm(&cancel, Target::Stream(stream));
        peer.set_nonblocking(false).unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_socket_that_does_not_connect_yet_is_looked_at_again() {
        let stream = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let stream = Arc::new(TcpStream::from(stream.unwrap()));
        assert!(!HangUp(Mutex::new(Some(Target::Connecting(stream)))).interrupt());
    }

    #[test]
    fn one_ear_serves_one_call_after_another() {
        fn waits() -> (Target, Receiver<Found>) {
            let (tell, told) = sync_channel(2);
            (Target::Lookup(tell), told)
        }
        let orders = every_order(3, || {
            let cancel = Cancel::new();
            let (second, hears_second) = waits();
            let (ears, kept) = sync_channel(1);
            let caller = {
                let cancel = cancel.clone();
                move || {
                    let ear = Ear::new(&cancel);
                    let (first, hears_first) = waits();
                    ear.arm(&cancel, first);
                    step();
                    ear.disarm();
                    while hears_first.try_recv().is_ok() {}
                    step();
                    assert!(hears_first.try_recv().is_err(), "a call that was over is hit");
                    ear.arm(&cancel, second);
                    ears.send(ear).unwrap();
                }
            };
            let actors: Vec<Actor> = vec![Box::new(caller), Box::new(move || cancel.cancel())];
            let end = move || {
                assert!(hears_second.try_recv().is_ok(), "the cancellation is lost");
                drop(kept);
            };
            (actors, end)
        });
        println!("an ear: {orders} orders");
        assert!(orders > 10);
    }
}
