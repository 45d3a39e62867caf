//! The exchange that ureq works on in this thread.
//!
//! ureq keeps connections across requests and tells them nothing of the request
//! they serve. Our sockets ask here whose limits they are under, and leave here
//! what they know: bytes, phases, reuse.

use std::cell::RefCell;
use std::mem;
use std::sync::Arc;
use std::task::Waker;

use super::hangup::{HangUp, Target};
use crate::cancel::Subscription;
use crate::transport::Exchange;

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

pub(super) struct Current {
    pub(super) exchange: Arc<Exchange>,
    /// Interrupts what the call waits for when it is cancelled.
    interrupt: Option<Interrupt>,
    unsaid: Option<Unsaid>,
    /// The body waits for the server's word.
    announced: bool,
}

impl Current {
    pub(super) fn new(
        exchange: &Arc<Exchange>,
        unsaid: Option<Unsaid>,
        announced: bool,
    ) -> Current {
        let exchange = exchange.clone();
        Current { exchange, interrupt: None, unsaid, announced }
    }
}

/// What of a request ureq is not told, because it would log it.
pub(super) struct Unsaid {
    /// The request line.
    pub(super) line: Vec<u8>,
    /// Header fields.
    pub(super) fields: Vec<u8>,
}

impl Unsaid {
    /// The bytes for the wire, from those that ureq has made without it.
    pub(super) fn said(&self, output: &[u8]) -> Option<Vec<u8>> {
        let line = output.windows(2).position(|end| end == b"\r\n")?;
        let head = output.windows(4).position(|end| end == b"\r\n\r\n")?;
        let (fields, rest) = (&output[line..head], &output[head + 2..]);
        Some([&self.line, fields, b"\r\n", &self.fields, rest].concat())
    }
}

struct Interrupt {
    hangup: Arc<HangUp>,
    _listening: Subscription,
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        // A cancellation may hold the waker already. From here on the socket may
        // serve another call, which must not be hit.
        self.hangup.disarm();
    }
}

/// Runs `f` with `slot` as the exchange of this thread, and puts it back after.
pub(super) fn within<T>(slot: &mut Option<Current>, f: impl FnOnce() -> T) -> T {
    struct PutBack<'a>(&'a mut Option<Current>);
    impl Drop for PutBack<'_> {
        fn drop(&mut self) {
            swap(self.0);
        }
    }
    swap(slot);
    let _put_back = PutBack(slot);
    f()
}

fn swap(slot: &mut Option<Current>) {
    CURRENT.with_borrow_mut(|current| mem::swap(current, slot));
}

/// The exchange at hand. There is always one while ureq runs on our sockets.
pub(super) fn exchange() -> Option<Arc<Exchange>> {
    CURRENT.with_borrow(|current| current.as_ref().map(|c| c.exchange.clone()))
}

/// What the first bytes of the request still lack.
pub(super) fn unsaid() -> Option<Unsaid> {
    CURRENT.with_borrow_mut(|current| current.as_mut()?.unsaid.take())
}

/// Whether the body waits for the server's word; says so once.
pub(super) fn announced() -> bool {
    CURRENT.with_borrow_mut(|current| {
        current.as_mut().is_some_and(|current| mem::take(&mut current.announced))
    })
}

/// Interrupts this when the call is cancelled from now on, instead of what was before.
pub(super) fn on_cancel(target: impl FnOnce() -> Target) {
    CURRENT.with_borrow_mut(|current| {
        let Some(current) = current else { return };
        if let Some(cancel) = current.exchange.cancel() {
            let hangup = Arc::new(HangUp::new(target()));
            let _listening = cancel.listen(&Waker::from(hangup.clone()));
            current.interrupt = Some(Interrupt { hangup, _listening });
        }
    });
}

/// Interrupts nothing any more.
pub(super) fn let_go() {
    CURRENT.with_borrow_mut(|current| {
        if let Some(current) = current {
            current.interrupt = None;
        }
    });
}
