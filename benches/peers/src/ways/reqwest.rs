use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use super::{CREDENTIAL, Page, check};
use crate::Result;
use crate::child::{Job, Meter};
use crate::drive::{self, Driven, Runtime, With};

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_static(CREDENTIAL));
    headers
}

/// The two builders share no trait.
macro_rules! client {
    ($builder:expr, $job:expr) => {{
        let mut builder = $builder.default_headers(headers());
        if $job.is_tls() {
            builder = builder.tls_certs_only([reqwest::Certificate::from_pem(&$job.ca_pem()?)?]);
        }
        builder.build()?
    }};
}

pub(super) fn nonblocking(job: &Job, meter: Meter, runtime: &Runtime) -> Result<Driven> {
    let client = client!(reqwest::Client::builder(), job);
    runtime.drive(job, meter, || {
        let url = job.url();
        With(client.clone(), move |client: reqwest::Client| {
            let request = client.get(&url);
            async move { check(&request.send().await?.error_for_status()?.json::<Page>().await?) }
        })
    })
}

pub(super) fn blocking(job: &Job, meter: Meter) -> Result<Driven> {
    let client = client!(reqwest::blocking::Client::builder(), job);
    let url = job.url();
    drive::threads(job, meter, || {
        check(&client.get(&url).send()?.error_for_status()?.json::<Page>()?)
    })
}
