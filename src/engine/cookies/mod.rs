//! Cookies (RFC 6265, with the tightenings of its revision), kept per `Api`.

#[cfg(feature = "cookies")]
mod date;
#[cfg(feature = "cookies")]
mod jar;
#[cfg(feature = "cookies")]
pub(crate) use jar::Jar;

#[cfg(not(feature = "cookies"))]
pub(crate) use none::Jar;

#[cfg(not(feature = "cookies"))]
mod none {
    use std::time::SystemTime;

    use http::{HeaderMap, HeaderValue};

    use crate::url::Url;

    /// Nobody can ask for one.
    pub(crate) enum Jar {}

    impl Jar {
        pub(crate) fn take(&self, _: &Url, _: &HeaderMap, _: SystemTime) {
            match *self {}
        }

        pub(crate) fn give(&self, _: &Url, _: SystemTime) -> Option<HeaderValue> {
            match *self {}
        }
    }
}
