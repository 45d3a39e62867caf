//! Without the feature `tokio` every socket lives on async-io's reactor.

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::nonblocking) struct Place;
