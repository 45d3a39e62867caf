//! What several threads at once must not break, in every order of theirs: the gate, the refresh of a
//! credential, a cancellation. The idle connections need none of this: each hand-over is one lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::credentials::{Credentials, Turn};
use super::gate::{Admit, Gates, LocalGate, Permit, Ticket};
use crate::auth::Auth;
use crate::cancel::Cancel;
use crate::clock::Seat;
use crate::error::Error;
use crate::sync::model::{Actor, every_order, step};

fn ticket(gate: &Gates) -> Ticket {
    let until = Instant::now() + Duration::from_secs(1000);
    match gate.ask(1, until, None) {
        Admit::Local(ticket) => ticket,
        Admit::Other(..) => unreachable!("made local"),
    }
}

/// As the blocking driver waits.
fn wait(gate: &Gates, cancel: &Cancel) -> Option<Permit> {
    let mut ticket = ticket(gate);
    Seat::default().block(Some(cancel), |now, waker| {
        if cancel.is_cancelled() {
            return Ok(None);
        }
        ticket.poll(now, waker).map(|permit| Some(permit.expect("it is not late")))
    })
}

/// Nobody holds a place, and nobody waits for one.
fn empty(gate: &Gates) -> impl FnOnce() + use<> {
    let gate = gate.clone();
    move || {
        let text = format!("{gate:?}");
        assert!(text.contains("in_flight: 0, waiting: 0"), "{text}");
    }
}

/// A caller who takes a place, is there with no more than `most`, and says what came of it.
fn caller(gate: &Gates, inside: &Arc<AtomicUsize>, most: usize, said: fn(Permit)) -> Actor {
    let (gate, inside) = (gate.clone(), inside.clone());
    Box::new(move || {
        let permit = wait(&gate, &Cancel::new()).expect("never cancelled");
        assert!(inside.fetch_add(1, SeqCst) < most, "too many at once");
        // Whoever waits meanwhile has the time to find the place taken.
        step();
        inside.fetch_sub(1, SeqCst);
        said(permit);
    })
}

#[test]
fn everybody_gets_a_place_and_never_too_many() {
    for most in [1, 2] {
        let orders = every_order(2, || {
            let gate = Gates::Local(Arc::new(LocalGate::new(most, None)));
            let inside = Arc::default();
            (
                vec![(); 3].into_iter().map(|()| caller(&gate, &inside, most, drop)).collect(),
                empty(&gate),
            )
        });
        println!("{most} of 3 at once: {orders} orders");
        assert!(orders > 100);
    }
}

#[test]
fn a_rejection_leaves_nobody_behind() {
    let orders = every_order(2, || {
        let gate = Gates::Local(Arc::new(LocalGate::new(2, None)));
        let inside = Arc::default();
        let rejected = |permit: Permit| permit.rejected(Instant::now(), Duration::ZERO);
        let served = |mut permit: Permit| permit.served();
        let actors = [rejected, served, served].map(|said| caller(&gate, &inside, 2, said));
        (actors.into(), empty(&gate))
    });
    println!("a rejection: {orders} orders");
    assert!(orders > 100);
}

#[test]
fn who_leaves_the_queue_takes_no_place_along() {
    let orders = every_order(1, || {
        let gate = Gates::Local(Arc::new(LocalGate::new(1, None)));
        let held = ticket(&gate).poll(Instant::now(), Waker::noop()).ok();
        let (cancel, inside) = (Cancel::new(), Arc::default());
        let (impatient, cancelled) = (gate.clone(), cancel.clone());
        let actors: Vec<Actor> = vec![
            Box::new(move || drop(held)),
            Box::new(move || drop(wait(&impatient, &cancelled))),
            Box::new(move || cancel.cancel()),
            caller(&gate, &inside, 1, drop),
        ];
        (actors, empty(&gate))
    });
    println!("a waiter cancelled: {orders} orders");
    assert!(orders > 100);
}

#[test]
fn a_dropped_future_passes_its_place_on() {
    let orders = every_order(2, || {
        let gate = Gates::Local(Arc::new(LocalGate::new(1, None)));
        let held = ticket(&gate).poll(Instant::now(), Waker::noop()).ok();
        let (dropped, inside) = (gate.clone(), Arc::default());
        let actors: Vec<Actor> = vec![
            Box::new(move || drop(held)),
            Box::new(move || {
                let mut ticket = ticket(&dropped);
                drop(ticket.poll(Instant::now(), Waker::noop()));
            }),
            caller(&gate, &inside, 1, drop),
        ];
        (actors, empty(&gate))
    });
    println!("a future dropped: {orders} orders");
    assert!(orders > 100);
}

#[test]
fn a_cancellation_reaches_whoever_listens_or_begins_to() {
    let orders = every_order(2, || {
        let (parent, child) = (Cancel::new(), Cancel::new());
        let (follower, stopper, again, end) =
            (child.clone(), parent.clone(), parent.clone(), child.clone());
        let actors: Vec<Actor> = vec![
            Box::new(move || {
                Seat::default().block(Some(&child), |_, _| {
                    if child.is_cancelled() { Ok(()) } else { Err(None) }
                });
            }),
            Box::new(move || follower.follow(&parent)),
            Box::new(move || stopper.cancel()),
            Box::new(move || again.cancel()),
        ];
        (actors, move || assert!(end.is_cancelled()))
    });
    println!("a cancellation: {orders} orders");
    assert!(orders > 100);
}

/// Waits for a newer credential; makes it, if it is the one to, or gives that up.
fn refresh(credentials: &Arc<Credentials>, gives_up: bool) -> Actor {
    let mut refresh = credentials.refresh(1, Instant::now() + Duration::from_secs(1000));
    Box::new(move || {
        let turn = Seat::default().block(None, |now, waker| refresh.poll(now, waker));
        match turn.expect("no failure") {
            Turn::Lead(lead) if gives_up => drop(lead),
            Turn::Lead(lead) => lead.run(Instant::now).expect("no failure"),
            Turn::Fresh => {}
        }
    })
}

#[test]
fn one_refresh_serves_all_and_a_leader_may_leave() {
    for leaves in [false, true] {
        let orders = every_order(2, || {
            let made = Arc::new(AtomicUsize::new(0));
            let count = made.clone();
            let auth = Auth::refreshing(move || {
                count.fetch_add(1, SeqCst);
                Ok::<_, Error>(Auth::bearer("t"))
            });
            let credentials = Arc::new(Credentials::new(auth));
            let actors = [leaves, false, false].map(|leaves| refresh(&credentials, leaves));
            (actors.into(), move || assert_eq!(made.load(SeqCst), 1))
        });
        println!("a refresh: {orders} orders");
        assert!(orders > 100);
    }
}

#[test]
fn a_credential_set_meanwhile_ends_the_wait() {
    let orders = every_order(2, || {
        let auth = Auth::refreshing(|| Ok::<_, Error>(Auth::bearer("made")));
        let credentials = Arc::new(Credentials::new(auth));
        let end = credentials.clone();
        let setting = credentials.clone();
        let mut actors: Vec<Actor> =
            [false, true].map(|leaves| refresh(&credentials, leaves)).into();
        actors.push(Box::new(move || setting.set(Auth::bearer("set"))));
        (actors, move || assert_eq!(end.current().auth.canary(), Some("set")))
    });
    println!("a credential set meanwhile: {orders} orders");
    assert!(orders > 100);
}
