//! The clients, each the way its own documentation would have it.

mod duo;
mod hyper;
#[cfg(feature = "isahc")]
mod isahc;
mod reqwest;
mod ureq;

use serde::Deserialize;

use crate::Result;
use crate::child::{Job, Meter};
use crate::drive::{Driven, Runtime};

/// What every request carries as its credential.
const CREDENTIAL: &str = "Token 0123456789abcdef";

/// What is decoded.
#[derive(Deserialize)]
struct Page {
    id: u64,
    names: Vec<String>,
}

/// Sees to it that the decoding is not optimised away, nor wrong.
fn check(page: &Page) -> Result<()> {
    if page.id == 1_234_567 && !page.names.is_empty() {
        Ok(())
    } else {
        Err("not the page that was asked for".into())
    }
}

pub(crate) fn run(job: &Job, meter: Meter) -> Result<Driven> {
    match job.way.as_str() {
        "duocall async, smol" => duo::nonblocking(job, meter, &Runtime::smol()),
        "duocall async, tokio 1" => duo::on_tokio(job, meter, &Runtime::tokio1()?),
        "duocall async, tokio 2" => duo::on_tokio(job, meter, &Runtime::tokio2()?),
        "duocall plain, tokio 1" => duo::nonblocking(job, meter, &Runtime::tokio1()?),
        "duocall plain, tokio 2" => duo::nonblocking(job, meter, &Runtime::tokio2()?),
        "duocall over surf" => duo::surf(job, meter, &Runtime::smol()),
        "duocall blocking" => duo::blocking(job, meter),
        "duocall pool" => duo::pool(job, meter),
        "reqwest, tokio 1" => reqwest::nonblocking(job, meter, &Runtime::tokio1()?),
        "reqwest, tokio 2" => reqwest::nonblocking(job, meter, &Runtime::tokio2()?),
        "reqwest blocking" => reqwest::blocking(job, meter),
        "ureq" => ureq::blocking(job, meter),
        "hyper-util, tokio 1" => hyper::pooled(job, meter, &Runtime::tokio1()?),
        "hyper by hand, smol" => hyper::by_hand_smol(job, meter),
        "hyper by hand, tokio 1" => hyper::by_hand_tokio(job, meter),
        #[cfg(feature = "isahc")]
        "isahc, smol" => isahc::nonblocking(job, meter, &Runtime::smol()),
        other => Err(format!("no way is named {other}").into()),
    }
}
