//! A build without HTTP/2.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};

use super::h1;
use super::reader::Reader;
use crate::api::Api;
use crate::body::Body;
use crate::transport::{Exchange, Failure};
use crate::url::Origin;

pub(super) enum Hub {}

impl Hub {
    pub(super) fn new(_: &Api) -> Option<Box<Hub>> {
        None
    }

    pub(super) async fn line(&self, _: &Origin, _: &Exchange) -> Result<Line, Failure> {
        match *self {}
    }
}

pub(super) enum Line {
    Shared(Shared),
    Single(Option<Box<h1::Connection>>),
}

pub(super) struct Shared(Infallible);

impl Shared {
    pub(super) async fn run(
        self,
        _: Request<Body>,
        _: &Arc<Exchange>,
    ) -> Result<Response<Reader>, Failure> {
        match self.0 {}
    }
}

pub(super) enum Incoming {}

impl Incoming {
    pub(super) fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        match *self {}
    }
}
