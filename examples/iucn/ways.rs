//! Pages until an empty one, three times: one at a time and several at once.

use duocall::{Api, Error, blocking, nonblocking, pool};
use futures_lite::StreamExt;

use crate::client::{List, pages};

/// Lazy: a page is asked for when the one before it was looked at, and none after the empty one.
pub fn one_at_a_time(api: Api) -> Result<List, Error> {
    let mut list = List::default();
    for (_, page) in blocking::Client::new(api).batch(pages()).stream() {
        if !list.add(page?) {
            break;
        }
    }
    Ok(list)
}

/// As many at once as the API allows, in order; what is under way beyond the empty page is dropped.
pub fn on_threads(api: Api) -> Result<List, Error> {
    let mut list = List::default();
    for (_, page) in pool::Client::new(api).batch(pages()).ordered().stream() {
        if !list.add(page?) {
            break;
        }
    }
    Ok(list)
}

/// The same in a task.
pub async fn in_a_task(api: Api) -> Result<List, Error> {
    let mut list = List::default();
    let mut stream = nonblocking::Client::new(api).batch(pages()).ordered().stream();
    while let Some((_, page)) = stream.next().await {
        if !list.add(page?) {
            break;
        }
    }
    Ok(list)
}
