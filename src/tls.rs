//! How TLS is done, the same for every transport.

use std::fmt;
use std::io;

#[cfg(not(feature = "tls"))]
use crate::error::Sent;
use crate::error::{ErrorKind, Mistake};
use crate::transport::Failure;

/// Settings of TLS: whom to trust, who we are.
///
/// Without the feature `tls` only plain http works, and an https URL is an
/// error of kind [`Tls`](crate::ErrorKind::Tls).
#[derive(Clone, Default)]
pub struct Tls {
    backend: imp::Config,
}

impl Tls {
    /// Trusts these certificates, in PEM, instead of the roots of the Mozilla programme.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn roots_pem(mut self, pem: &[u8]) -> Tls {
        self.backend.roots_pem(pem);
        self
    }

    pub(crate) fn check(&mut self) -> Result<(), Mistake> {
        self.backend.check()
    }

    /// What an https URL meets in a build without the feature.
    #[cfg(not(feature = "tls"))]
    pub(crate) fn missing(&self) -> Failure {
        Failure::new(ErrorKind::Tls, "this build has no TLS").sent(Sent::No).lasting()
    }

    /// The client's side of a connection to `host`.
    #[cfg(feature = "tls")]
    pub(crate) fn client(&self, host: &str) -> Result<rustls::ClientConnection, Failure> {
        let made = rustls::ClientConnection::new(self.rustls().clone(), server_name(host)?);
        made.map_err(|error| imp::failure(&error))
    }

    #[cfg(feature = "tls")]
    pub(crate) fn rustls(&self) -> &std::sync::Arc<rustls::ClientConfig> {
        self.backend.config.as_ref().expect("made when the API was built")
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// The failure behind an I/O error that came through TLS.
pub(crate) fn recognise(error: &io::Error) -> Option<Failure> {
    imp::recognise(error)
}

#[cfg(feature = "tls")]
pub(crate) fn server_name(host: &str) -> Result<rustls::pki_types::ServerName<'static>, Failure> {
    let bare = host.trim_matches(['[', ']']).to_owned();
    rustls::pki_types::ServerName::try_from(bare).map_err(|error| {
        Failure::new(ErrorKind::Tls, "the host is no name for TLS").lasting().caused_by(error)
    })
}

#[cfg(not(feature = "tls"))]
mod imp {
    use super::{Failure, Mistake, io};

    pub(super) fn recognise(_: &io::Error) -> Option<Failure> {
        None
    }

    #[derive(Clone, Default)]
    pub(super) struct Config;

    impl Config {
        pub(super) fn check(&mut self) -> Result<(), Mistake> {
            Ok(())
        }
    }
}

#[cfg(feature = "tls")]
mod imp {
    use std::sync::{Arc, LazyLock};

    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    use rustls::{ClientConfig, RootCertStore};

    use super::{ErrorKind, Failure, Mistake, io};

    pub(super) fn recognise(error: &io::Error) -> Option<Failure> {
        Some(failure(error.get_ref()?.downcast_ref()?))
    }

    /// A failure of TLS in words. None of them is cured by another attempt.
    pub(super) fn failure(error: &rustls::Error) -> Failure {
        use rustls::CertificateError::*;
        use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
        let detail = match error {
            InvalidCertificate(Expired | ExpiredContext { .. }) => "the certificate has expired",
            InvalidCertificate(NotValidYet | NotValidYetContext { .. }) => {
                "the certificate is not valid yet"
            }
            InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
                "the certificate is for another host"
            }
            InvalidCertificate(UnknownIssuer) => "nobody we trust has issued the certificate",
            InvalidCertificate(_) => "the certificate is not good",
            AlertReceived(_) => "the server refused the handshake",
            InvalidMessage(_) => "the server does not speak TLS",
            _ => "the handshake failed",
        };
        Failure::new(ErrorKind::Tls, detail).lasting().caused_by(error.clone())
    }

    #[derive(Clone, Default)]
    pub(super) struct Config {
        roots: Vec<CertificateDer<'static>>,
        mistake: Option<Mistake>,
        pub(super) config: Option<Arc<ClientConfig>>,
    }

    /// Most APIs change nothing; they share one configuration, and with it its tickets.
    static PLAIN: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        Arc::new(configured(roots))
    });

    fn configured(roots: RootCertStore) -> ClientConfig {
        // The provider is named, so that another one in the program changes nothing.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring serves the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    impl Config {
        pub(super) fn roots_pem(&mut self, pem: &[u8]) {
            let before = self.roots.len();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                match certificate {
                    Ok(certificate) => self.roots.push(certificate),
                    Err(_) => self.mistake = Some(Mistake::new("TLS roots", "are not PEM")),
                }
            }
            if self.roots.len() == before {
                self.mistake = Some(Mistake::new("TLS roots", "hold no certificate"));
            }
        }

        pub(super) fn check(&mut self) -> Result<(), Mistake> {
            if let Some(mistake) = self.mistake.take() {
                return Err(mistake);
            }
            if self.roots.is_empty() {
                self.config = Some(PLAIN.clone());
                return Ok(());
            }
            let mut store = RootCertStore::empty();
            for certificate in self.roots.drain(..) {
                let added = store.add(certificate);
                added.map_err(|_| Mistake::new("TLS roots", "hold a broken certificate"))?;
            }
            self.config = Some(Arc::new(configured(store)));
            Ok(())
        }
    }
}
