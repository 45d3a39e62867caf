use isahc::http::Request;
use isahc::{AsyncReadResponseExt, HttpClient};

use super::{CREDENTIAL, Page, check};
use crate::Result;
use crate::child::{Job, Meter};
use crate::drive::{Driven, Runtime, With};

pub(super) fn nonblocking(job: &Job, meter: Meter, runtime: &Runtime) -> Result<Driven> {
    if job.is_tls() {
        return Err("measured without TLS only".into());
    }
    let client = HttpClient::builder().build()?;
    runtime.drive(job, meter, || {
        let url = job.url();
        With(client.clone(), move |client: HttpClient| {
            let request = Request::get(&url).header("authorization", CREDENTIAL).body(());
            async move {
                let mut response = client.send_async(request?).await?;
                if !response.status().is_success() {
                    return Err("not a success".into());
                }
                check(&response.json::<Page>().await?)
            }
        })
    })
}
