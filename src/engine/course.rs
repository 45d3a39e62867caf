//! How a call has gone so far.

use std::sync::Arc;

use http::Method;

use super::credentials::Live;
use crate::trace::Trace;
use crate::url::Url;

/// What a response tells besides its answer, and the next attempt goes on from.
#[derive(Clone)]
pub(crate) struct Course {
    pub(crate) hop: Hop,
    /// The URLs that redirected here.
    pub(crate) history: Vec<Url>,
    pub(crate) trace: Trace,
    /// What the last request went out with, or the next will.
    pub(crate) live: Option<Arc<Live>>,
}

/// Where the next request goes, and with what.
#[derive(Clone)]
pub(crate) struct Hop {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// Under the API's base ever since the first request: the credential and
    /// the API's own headers go along.
    pub(crate) trusted: bool,
    /// Never sent elsewhere by a redirect: the request's headers go along.
    pub(crate) at_home: bool,
    /// The body goes along.
    pub(crate) carries: bool,
}

impl Course {
    pub(crate) fn new(hop: Hop) -> Course {
        Course { hop, history: Vec::new(), trace: Trace::default(), live: None }
    }
}
