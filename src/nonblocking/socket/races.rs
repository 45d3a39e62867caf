//! A connection's task and those who wake it, in every order of theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Context;

use super::{Link, tokio::Place};
use crate::sync::model::{Actor, every_order, step};
use crate::sync::{park, unparker};

/// Each of `wakers` has something for the task, and tells the link. The task drives until it has all of it.
fn nobody_is_missed(wakers: [fn(&Link); 2], driven: bool) -> usize {
    every_order(3, || {
        let (link, there) = (Arc::new(Link::new(Place::default())), Arc::new(AtomicUsize::new(0)));
        let mut actors: Vec<Actor> = wakers
            .into_iter()
            .map(|wake| {
                let (link, there) = (link.clone(), there.clone());
                Box::new(move || {
                    there.fetch_add(1, SeqCst);
                    wake(&link);
                }) as Actor
            })
            .collect();
        actors.push(Box::new(move || {
            let waker = unparker();
            let cx = Context::from_waker(&waker);
            if driven {
                drive(&link, &there, &cx);
            } else {
                read(&link, &there, &cx);
            }
        }));
        (actors, || ())
    })
}

/// Asks before it says whom to wake, as the owner of a connection does.
fn drive(link: &Arc<Link>, there: &AtomicUsize, cx: &Context<'_>) {
    let mut seen = 0;
    loop {
        link.drive();
        link.bell.rang();
        step();
        seen += there.swap(0, SeqCst);
        step();
        if seen == 2 {
            return;
        }
        link.wait(cx);
        step();
        park(None);
    }
}

/// Asks whether it rang before it says whom to wake, as a socket does that nobody drives yet.
fn read(link: &Arc<Link>, there: &AtomicUsize, cx: &Context<'_>) {
    let mut seen = 0;
    while seen < 2 {
        if link.bell.rang() {
            step();
            seen += there.swap(0, SeqCst);
        } else {
            link.listen(cx);
            step();
            park(None);
        }
    }
}

#[test]
fn what_comes_while_a_connection_is_driven_is_not_missed() {
    let news: fn(&Link) = |link| link.bell.ring();
    let more: fn(&Link) = Link::stir;
    for wakers in [[news, news], [news, more], [more, more]] {
        let orders = nobody_is_missed(wakers, true);
        println!("driven: {orders} orders");
        assert!(orders > 100);
    }
}

#[test]
fn news_that_comes_while_a_socket_is_read_is_not_missed() {
    let orders = nobody_is_missed([|link| link.bell.ring(); 2], false);
    println!("read: {orders} orders");
    assert!(orders > 100);
}
