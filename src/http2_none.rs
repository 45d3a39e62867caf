//! A build without HTTP/2.

use crate::error::Mistake;

/// Nobody can ask for it.
#[derive(Clone, Debug)]
pub(crate) enum Http2 {}

impl Http2 {
    pub(crate) fn is_prior(&self) -> bool {
        match *self {}
    }

    pub(crate) fn check(&self) -> Result<(), Mistake> {
        match *self {}
    }
}
