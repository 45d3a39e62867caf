//! A job, its worker and its cancellation, in every order of theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Waker;

use super::job::{Job, slot};
use super::workers::Task;
use crate::cancel::Cancel;
use crate::error::ErrorKind;
use crate::sync::model::{Actor, every_order};

/// Of no pool that there is: nobody here works for it.
const POOL: usize = 1;

#[test]
fn a_job_is_done_once_and_its_waiter_hears_of_it() {
    let orders = every_order(3, || {
        let (made, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (calls, results) = (made.clone(), told.clone());
        let (shared, tell) = slot();
        let make = move || Ok(calls.fetch_add(1, SeqCst));
        let task = Task::new(make, move |result| {
            results.fetch_add(1, SeqCst);
            tell.tell(result);
        });
        let cancel = Cancel::new();
        let listening = cancel.listen(&Waker::from(task.0.clone()));
        let job = Job::new(shared, cancel.clone(), task.clone(), POOL);
        let actors: Vec<Actor> = vec![
            Box::new(move || match job.wait() {
                Ok(first) => assert_eq!(first, 0),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Cancelled),
            }),
            Box::new(move || {
                task.run();
                drop(listening);
            }),
            Box::new(move || cancel.cancel()),
        ];
        let end = move || {
            assert!(made.load(SeqCst) <= 1);
            assert_eq!(told.load(SeqCst), 1);
        };
        (actors, end)
    });
    println!("a job: {orders} orders");
    assert!(orders > 100);
}
