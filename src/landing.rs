//! Where bytes land before they go where they belong.

use std::cell::Cell;

/// As much as is read at once.
const AT_ONCE: usize = 64 << 10;

thread_local! {
    static PLACE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The thread's own place for bytes: zeroing a new one for each read costs more than to copy a
/// small body out of it. It is taken out while in use, for a waker may run code of anybody's.
pub(crate) struct Landing(Vec<u8>);

impl Landing {
    pub(crate) fn take() -> Landing {
        // A thread at its end has no place any more.
        let place = PLACE.try_with(Cell::take).unwrap_or_default();
        Landing(if place.is_empty() { vec![0; AT_ONCE] } else { place })
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let place = std::mem::take(&mut self.0);
        let _ = PLACE.try_with(|own| own.set(place));
    }
}
