//! A build without TLS.

use std::fmt;
use std::io;

use crate::error::{Mistake, Phase};
use crate::transport::Failure;

#[derive(Clone, Default)]
pub(super) struct Config;

impl Config {
    pub(super) fn check(&mut self) -> Result<(), Mistake> {
        Ok(())
    }

    pub(super) fn offering_http2(&self, _: bool) -> Config {
        self.clone()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

pub(super) fn recognise(_: &io::Error, _: Phase) -> Option<Failure> {
    None
}
