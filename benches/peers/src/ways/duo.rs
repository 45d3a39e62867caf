use std::sync::Mutex;
use std::time::Instant;

use duocall::{Api, Auth, Request, Tls};

use super::{CREDENTIAL, Page, check};
use crate::Result;
use crate::child::{Job, Meter};
use crate::drive::{self, Driven, Runtime, Turn, With};

fn api(job: &Job) -> Result<Api> {
    let token = CREDENTIAL.trim_start_matches("Token ");
    let builder = Api::builder(&job.base).auth(Auth::token(token)).concurrency(job.in_flight);
    let builder =
        if job.is_tls() { builder.tls(Tls::default().roots_pem(&job.ca_pem()?)) } else { builder };
    Ok(builder.build()?)
}

pub(super) fn nonblocking(job: &Job, meter: Meter, runtime: &Runtime) -> Result<Driven> {
    let client = duocall::nonblocking::Client::new(api(job)?);
    runtime.drive(job, meter, || {
        let path = job.path.clone();
        With(client.clone(), move |client: duocall::nonblocking::Client| {
            let sent = client.send(Request::get(&*path));
            async move { check(&sent.await?.json::<Page>()?) }
        })
    })
}

pub(super) fn blocking(job: &Job, meter: Meter) -> Result<Driven> {
    let client = duocall::blocking::Client::new(api(job)?);
    drive::threads(job, meter, || check(&client.send(Request::get(&*job.path))?.json::<Page>()?))
}

/// A batch on the pool, from this thread.
pub(super) fn pool(job: &Job, mut meter: Meter) -> Result<Driven> {
    let client = duocall::pool::Client::builder(api(job)?).threads(job.in_flight).build()?;
    let all = |turn: Turn| -> Result<Vec<u64>> {
        let started = Mutex::new(Vec::new());
        let items = std::iter::from_fn(|| {
            let now = Instant::now();
            let next = turn.next(now).then(|| Request::get(&*job.path));
            next.inspect(|_| started.lock().expect("one thread").push(now))
        });
        let mut took = Vec::new();
        for (index, result) in client.batch(items).concurrency(job.in_flight).stream() {
            check(&result?.json::<Page>()?)?;
            took.push(started.lock().expect("one thread")[index].elapsed().as_nanos() as u64);
        }
        Ok(took)
    };
    all(job.warm_up())?;
    meter.start()?;
    let start = Instant::now();
    let took = all(job.measured())?;
    Ok((meter, took, start.elapsed()))
}
