//! A body read as it comes, in each colour: how much of it the caller gets to see, and how it ends.

use std::sync::Arc;

use duocall::{Error, Request, blocking, nonblocking};

use crate::parity::outcome::Said;
use crate::parity::scenario::{Own, Saying};
use crate::parity::site::Site;

/// Opens `x` and reads it to its end.
pub const TO_THE_END: Own = Own {
    blocking: |client, _| to_the_end(client.open(Request::get("x"))),
    pool: |client, _| to_the_end(client.open(Request::get("x")).wait()),
    task,
};

fn to_the_end(opened: Result<blocking::Streamed, Error>) -> Vec<Said> {
    let mut body = match opened {
        Ok(body) => body,
        Err(error) => return vec![Said::response(Err(error))],
    };
    loop {
        match body.piece() {
            Ok(Some(_)) => {}
            ended => return said(body.received(), ended.map(drop)),
        }
    }
}

fn task(client: nonblocking::Client, _: Arc<Site>) -> Saying {
    Box::pin(async move {
        let mut body = match client.open(Request::get("x")).await {
            Ok(body) => body,
            Err(error) => return vec![Said::response(Err(error))],
        };
        loop {
            match body.piece().await {
                Ok(Some(_)) => {}
                ended => return said(body.received(), ended.map(drop)),
            }
        }
    })
}

fn said(bytes: u64, ended: Result<(), Error>) -> Vec<Said> {
    let came = Said::Text(format!("{bytes} bytes"));
    match ended {
        Ok(()) => vec![came, Said::Text("complete".into())],
        Err(error) => vec![came, Said::response(Err(error))],
    }
}
