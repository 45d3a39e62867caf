//! The exchange that ureq works on in this thread.
//!
//! ureq tells a connection nothing of the request it serves, and is told little of
//! it. Our sockets ask here whose limits they are under and what to send, and leave
//! here what they know: bytes, phases, reuse.

use std::cell::{Cell, RefCell};
use std::mem;
use std::sync::Arc;

use super::hangup::{Ear, Target};
use super::unsaid::Unsaid;
use crate::transport::Exchange;

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
    /// The last call's: the calls of a batch are cancelled as one, and listening anew takes a lock
    /// that its threads share.
    static EAR: Cell<Option<Ear>> = const { Cell::new(None) };
}

pub(super) struct Current {
    pub(super) exchange: Arc<Exchange>,
    /// Interrupts what the call waits for when it is cancelled.
    ear: Option<Ear>,
    unsaid: Unsaid,
    /// The server takes no more of the body.
    unwanted: bool,
}

impl Current {
    pub(super) fn new(exchange: &Arc<Exchange>, unsaid: Unsaid) -> Current {
        Current { exchange: exchange.clone(), ear: None, unsaid, unwanted: false }
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

/// Looks at the exchange at hand. There is always one while ureq runs on our sockets.
pub(super) fn exchange<T>(look: impl FnOnce(&Arc<Exchange>) -> T) -> Option<T> {
    CURRENT.with_borrow(|current| current.as_ref().map(|current| look(&current.exchange)))
}

/// Takes a part of what ureq was not told.
pub(super) fn unsaid<T: Default>(part: impl FnOnce(&mut Unsaid) -> &mut T) -> T {
    CURRENT.with_borrow_mut(|current| {
        current.as_mut().map_or_else(T::default, |it| mem::take(part(&mut it.unsaid)))
    })
}

/// Nothing is sent any more: what is left of the body need not be read.
pub(super) fn stop_sending() {
    CURRENT.with_borrow_mut(|current| {
        if let Some(current) = current {
            current.unwanted = true;
        }
    });
}

pub(super) fn is_unwanted() -> bool {
    CURRENT.with_borrow(|current| current.as_ref().is_some_and(|it| it.unwanted))
}

/// Interrupts this when the call is cancelled from now on, instead of what was before.
pub(super) fn on_cancel(target: impl FnOnce() -> Target) {
    CURRENT.with_borrow_mut(|current| {
        let Some(current) = current else { return };
        if let Some(cancel) = current.exchange.cancel() {
            let spare = || EAR.try_with(Cell::take).unwrap_or_default();
            let ear = current.ear.take().or_else(spare).filter(|ear| ear.hears(cancel));
            let ear = ear.unwrap_or_else(|| Ear::new(cancel));
            ear.arm(cancel, target());
            current.ear = Some(ear);
        }
    });
}

/// Interrupts nothing any more.
pub(super) fn let_go() {
    CURRENT.with_borrow_mut(|current| {
        if let Some(ear) = current.as_mut().and_then(|current| current.ear.take()) {
            ear.disarm();
            // A thread at its end has no place for it any more.
            let _ = EAR.try_with(|spare| spare.set(Some(ear)));
        }
    });
}
