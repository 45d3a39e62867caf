//! How TLS is done, the same for every transport.

mod fault;
#[cfg(feature = "tls")]
#[path = "rustls.rs"]
mod imp;
#[cfg(not(feature = "tls"))]
#[path = "none.rs"]
mod imp;

use std::fmt;
use std::io;

pub use fault::TlsFault;
#[cfg(feature = "tls")]
pub use imp::TlsVersion;

#[cfg(feature = "tls")]
use crate::auth::Secret;
use crate::error::{Mistake, Phase};
use crate::transport::Failure;

/// Settings of TLS: whom to trust, who we are.
///
/// They belong to one [`Api`](crate::Api), and so do the connections of its
/// clients: none is ever used under other settings than it was made with. All
/// connections of an API also share their session tickets (RFC 8446 section 4.6.1).
///
/// Without the feature `tls` only plain http works, and an https URL is an
/// error of kind [`Tls`](crate::ErrorKind::Tls).
#[derive(Clone, Default)]
pub struct Tls {
    config: imp::Config,
}

#[cfg(feature = "tls")]
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
impl Tls {
    /// Trusts these certificates, in PEM (RFC 7468), and those of further calls.
    /// Defaults to the roots of the Mozilla programme, which are then not trusted.
    #[must_use]
    pub fn roots_pem(mut self, pem: &[u8]) -> Tls {
        self.config.roots_pem(pem);
        self
    }

    /// Trusts this certificate, in DER. The same otherwise as [`roots_pem`](Tls::roots_pem).
    #[must_use]
    pub fn root_der(mut self, der: impl Into<Vec<u8>>) -> Tls {
        self.config.root_der(der.into());
        self
    }

    /// Trusts whom the operating system trusts, and the roots given here besides:
    /// on Windows and Apple's systems by its own verifier, elsewhere by the store
    /// in its files (or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name).
    /// Defaults to the roots of the Mozilla programme.
    ///
    /// # Blocking
    /// The store is read when the [`Api`](crate::Api) is built.
    #[cfg(feature = "platform-verifier")]
    #[cfg_attr(docsrs, doc(cfg(feature = "platform-verifier")))]
    #[must_use]
    pub fn platform_verifier(mut self) -> Tls {
        self.config.platform = true;
        self
    }

    /// Shows this certificate to a server that asks for one: the chain in PEM, the
    /// end entity first, and its key in PEM (PKCS #8, PKCS #1 or SEC 1). Defaults to none.
    #[must_use]
    pub fn client_certificate(mut self, chain_pem: &[u8], key_pem: impl Into<Secret>) -> Tls {
        self.config.client_certificate(chain_pem, &key_pem.into());
        self
    }

    /// Talks to no server of an older version. Defaults to TLS 1.2.
    #[must_use]
    pub fn min_version(mut self, version: TlsVersion) -> Tls {
        self.config.min_version = version;
        self
    }

    /// The protocols offered by ALPN (RFC 7301), the one liked best first; none
    /// leaves the extension out. Whichever of them the server chooses, HTTP/1.1 is
    /// spoken. So `h2` is a mistake here: the feature `http2` has
    /// `ApiBuilder::http2`, which offers it first. Defaults to `http/1.1`.
    #[must_use]
    pub fn alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Tls {
        self.config.alpn(protocols.into_iter().map(Into::into).collect());
        self
    }

    /// Trusts every certificate of every server: whoever sits on the line can read
    /// and change all of it. For tests against servers with made-up certificates,
    /// where [`roots_pem`](Tls::roots_pem) would be better. Defaults to off.
    #[must_use]
    pub fn danger_accept_invalid_certs(mut self) -> Tls {
        self.config.danger = true;
        self
    }

    /// The client's side of a connection to `host`.
    pub(crate) fn client(&self, host: &str) -> Result<rustls::ClientConnection, Failure> {
        let made = rustls::ClientConnection::new(self.rustls().clone(), server_name(host)?);
        made.map_err(|error| imp::failure(&error, Phase::Tls))
    }

    pub(crate) fn rustls(&self) -> &std::sync::Arc<rustls::ClientConfig> {
        self.config.made()
    }
}

impl Tls {
    pub(crate) fn check(&mut self) -> Result<(), Mistake> {
        self.config.check()
    }

    /// The same settings, but with HTTP/2 offered: before HTTP/1.1, or `alone`.
    pub(crate) fn offering_http2(&self, alone: bool) -> Tls {
        Tls { config: self.config.offering_http2(alone) }
    }

    /// What an https URL meets in a build without the feature.
    #[cfg(not(feature = "tls"))]
    pub(crate) fn missing(&self) -> Failure {
        let failure =
            Failure::tls(TlsFault::Other, "this build has no TLS: it is duocall's feature tls");
        failure.sent(crate::error::Sent::No)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

/// The failure behind an I/O error that came through TLS.
pub(crate) fn recognise(error: &io::Error, phase: Phase) -> Option<Failure> {
    imp::recognise(error, phase)
}

#[cfg(feature = "tls")]
pub(crate) fn server_name(host: &str) -> Result<rustls::pki_types::ServerName<'static>, Failure> {
    let bare = host.trim_matches(['[', ']']).to_owned();
    rustls::pki_types::ServerName::try_from(bare).map_err(|error| {
        Failure::tls(TlsFault::Other, "the host is no name for TLS").caused_by(error)
    })
}
