use std::sync::Mutex;
use std::time::Instant;

use duocall::nonblocking::Client;
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
    drive(job, meter, runtime, Client::new(api(job)?))
}

/// With tokio's sockets.
pub(super) fn on_tokio(job: &Job, meter: Meter, runtime: &Runtime) -> Result<Driven> {
    drive(job, meter, runtime, Client::with_tokio(api(job)?))
}

/// A surf client between ours and our transport.
pub(super) fn surf(job: &Job, meter: Meter, runtime: &Runtime) -> Result<Driven> {
    let api = api(job)?;
    let surf = surf::Client::with_http_client(duocall::surf::HttpClient::for_api(&api));
    drive(job, meter, runtime, Client::with_surf(api, surf))
}

fn drive(job: &Job, meter: Meter, runtime: &Runtime, client: Client) -> Result<Driven> {
    runtime.drive(job, meter, || {
        let path = job.path.clone();
        With(client.clone(), move |client: Client| {
            let request = Request::get(&*path);
            async move { check(&client.send(request).await?.json::<Page>()?) }
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
