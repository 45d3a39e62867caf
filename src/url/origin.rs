//! Where a request goes, and a connection leads.

use http::Uri;
use http::uri::{Authority, Parts, PathAndQuery, Scheme};

use super::parse_scheme;

/// Scheme, host and port (RFC 6454, section 4).
#[derive(Clone)]
pub(crate) struct Origin {
    pub(super) https: bool,
    pub(super) authority: Authority,
}

/// Names are in lower case there, so bytes are compared.
impl PartialEq for Origin {
    fn eq(&self, other: &Origin) -> bool {
        self.https == other.https && self.authority.as_str() == other.authority.as_str()
    }
}

impl Origin {
    /// `None` for what is no absolute URL of http or https.
    pub(crate) fn of(uri: &Uri) -> Option<Origin> {
        let https = parse_scheme(uri.scheme_str()?).ok()?;
        Some(Origin { https, authority: uri.authority()?.clone() })
    }

    pub(crate) fn is_of(&self, uri: &Uri) -> bool {
        let name = uri.authority().map(Authority::as_str);
        name == Some(self.authority.as_str()) && uri.scheme() == Some(&self.scheme())
    }

    pub(crate) fn is_https(&self) -> bool {
        self.https
    }

    /// The value of the `Host` field (RFC 9110, section 7.2).
    pub(crate) fn host_header(&self) -> &str {
        self.authority.as_str()
    }

    pub(super) fn scheme(&self) -> Scheme {
        if self.https { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// Its root.
    pub(crate) fn to_uri(&self) -> Uri {
        self.with(PathAndQuery::from_static("/"))
    }

    pub(super) fn with(&self, target: PathAndQuery) -> Uri {
        let mut parts = Parts::default();
        parts.scheme = Some(self.scheme());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(target);
        Uri::from_parts(parts).expect("no part is missing")
    }
}
