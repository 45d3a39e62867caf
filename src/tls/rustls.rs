//! TLS by rustls: its configuration, and what its errors mean.

use std::fmt;
use std::io;
use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct as Signed, RootCertStore, SignatureScheme,
};

use super::TlsFault;
use crate::auth::Secret;
use crate::error::{Mistake, Phase};
use crate::transport::Failure;

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[default]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

const HTTP_1_1: &[u8] = b"http/1.1";
const HTTP_2: &[u8] = b"h2";

#[derive(Clone)]
pub(super) struct Config {
    roots: Vec<CertificateDer<'static>>,
    identity: Option<Arc<Identity>>,
    pub(super) min_version: TlsVersion,
    alpn: Vec<Vec<u8>>,
    pub(super) platform: bool,
    pub(super) danger: bool,
    mistake: Option<Mistake>,
    /// Where it is not the one that most share.
    made: Option<Arc<ClientConfig>>,
}

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            roots: Vec::new(),
            identity: None,
            min_version: TlsVersion::default(),
            alpn: vec![HTTP_1_1.to_vec()],
            platform: false,
            danger: false,
            mistake: None,
            made: None,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alpn: Vec<_> = self.alpn.iter().map(|name| String::from_utf8_lossy(name)).collect();
        f.debug_struct("Tls")
            .field("own_roots", &self.roots.len())
            .field("platform_verifier", &self.platform)
            .field("client_certificate", &self.identity.is_some())
            .field("min_version", &self.min_version)
            .field("alpn", &alpn)
            .field("danger_accept_invalid_certs", &self.danger)
            .finish()
    }
}

/// Most APIs change nothing; they share one configuration, and with it its tickets. Made when
/// TLS is first spoken: it fills memory, and has most of rustls loaded.
static PLAIN: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let made = Config::default().make();
    Arc::new(made.expect("the defaults are good"))
});

impl Config {
    pub(super) fn roots_pem(&mut self, pem: &[u8]) {
        match certificates(pem) {
            Ok(found) => self.roots.extend(found),
            Err(what) => self.keep("TLS roots", what),
        }
    }

    pub(super) fn root_der(&mut self, der: Vec<u8>) {
        self.roots.push(CertificateDer::from(der));
    }

    pub(super) fn client_certificate(&mut self, chain_pem: &[u8], key_pem: &Secret) {
        let chain = match certificates(chain_pem) {
            Ok(chain) => chain,
            Err(what) => return self.keep("client certificates", what),
        };
        // The error may hold a piece of the text.
        match PrivateKeyDer::from_pem_slice(key_pem.expose().as_bytes()) {
            Ok(key) => self.identity = Some(Arc::new(Identity { chain, key })),
            Err(_) => self.keep("key of the client certificate", "is not a private key in PEM"),
        }
    }

    pub(super) fn alpn(&mut self, protocols: Vec<Vec<u8>>) {
        if protocols.iter().any(|name| name.is_empty() || name.len() > 255) {
            self.keep("ALPN protocol", "is not of 1 to 255 bytes");
        }
        if protocols.iter().any(|name| name == HTTP_2) {
            self.keep("ALPN protocol", "is h2, which is asked for by ApiBuilder::http2");
        }
        self.alpn = protocols;
    }

    /// The same, but with HTTP/2 offered: before the others, or `alone`.
    pub(super) fn offering_http2(&self, alone: bool) -> Config {
        let mut config = self.clone();
        if alone {
            config.alpn.clear();
        } else if config.alpn.is_empty() {
            config.alpn.push(HTTP_1_1.to_vec());
        }
        config.alpn.insert(0, HTTP_2.to_vec());
        let mut made = ClientConfig::clone(self.made());
        made.alpn_protocols = config.alpn.clone();
        config.made = Some(Arc::new(made));
        config
    }

    fn keep(&mut self, field: &'static str, what: &'static str) {
        self.mistake.get_or_insert(Mistake::new(field, what));
    }

    fn is_plain(&self) -> bool {
        self.roots.is_empty()
            && self.identity.is_none()
            && self.min_version == TlsVersion::default()
            && self.alpn == [HTTP_1_1]
            && !self.platform
            && !self.danger
    }

    pub(super) fn check(&mut self) -> Result<(), Mistake> {
        if let Some(mistake) = self.mistake.take() {
            return Err(mistake);
        }
        if !self.is_plain() {
            self.made = Some(Arc::new(self.make()?));
        }
        Ok(())
    }

    pub(super) fn made(&self) -> &Arc<ClientConfig> {
        self.made.as_ref().unwrap_or_else(|| {
            assert!(self.is_plain(), "made when the API was built");
            &PLAIN
        })
    }

    fn make(&self) -> Result<ClientConfig, Mistake> {
        // The provider is named, so that another one in the program changes nothing.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions: &[_] = match self.min_version {
            TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .expect("ring serves both versions");
        let builder = if self.danger {
            let schemes = provider.signature_verification_algorithms.supported_schemes();
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(schemes)))
        } else if self.platform {
            builder.dangerous().with_custom_certificate_verifier(self.platform_verifier(provider)?)
        } else {
            builder.with_root_certificates(self.root_store()?)
        };
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = (identity.chain.clone(), identity.key.clone_key());
                let made = builder.with_client_auth_cert(chain, key);
                made.map_err(|_| Mistake::new("client certificate", "does not go with its key"))?
            }
        };
        config.alpn_protocols = self.alpn.clone();
        Ok(config)
    }

    fn root_store(&self) -> Result<RootCertStore, Mistake> {
        if self.roots.is_empty() {
            return Ok(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect());
        }
        let mut store = RootCertStore::empty();
        for certificate in &self.roots {
            let added = store.add(certificate.clone());
            added.map_err(|_| Mistake::new("TLS roots", "hold a broken certificate"))?;
        }
        Ok(store)
    }

    #[cfg(feature = "platform-verifier")]
    fn platform_verifier(
        &self,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, Mistake> {
        use rustls_platform_verifier::Verifier;
        #[cfg(not(target_os = "android"))]
        let made = Verifier::new_with_extra_roots(self.roots.iter().cloned(), provider);
        #[cfg(target_os = "android")]
        let made = Verifier::new(provider);
        match made {
            Ok(verifier) => Ok(Arc::new(verifier)),
            Err(_) => Err(Mistake::new("certificates of the system", "cannot be read")),
        }
    }

    #[cfg(not(feature = "platform-verifier"))]
    fn platform_verifier(
        &self,
        _: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, Mistake> {
        unreachable!("nobody can ask for it")
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err("hold no certificate"),
        Ok(found) => Ok(found),
        Err(_) => Err("are not PEM"),
    }
}

/// What is said of a signature.
type Verdict = Result<HandshakeSignatureValid, rustls::Error>;

/// Trusts anybody.
#[derive(Debug)]
struct Anybody(Vec<SignatureScheme>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    // Whoever may show any certificate can sign with its key: checking would add nothing.
    fn verify_tls12_signature(&self, _: &[u8], _: &CertificateDer<'_>, _: &Signed) -> Verdict {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(&self, _: &[u8], _: &CertificateDer<'_>, _: &Signed) -> Verdict {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

pub(super) fn recognise(error: &io::Error, phase: Phase) -> Option<Failure> {
    Some(failure(error.get_ref()?.downcast_ref()?, phase))
}

/// A failure of TLS in words. None of them is cured by another attempt.
pub(super) fn failure(error: &rustls::Error, phase: Phase) -> Failure {
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage, PeerIncompatible};
    let failure = match error {
        InvalidCertificate(error) => of_certificate(error),
        AlertReceived(alert) => {
            let words = format!("{}: the alert {alert:?}", TlsFault::Alert);
            Failure::tls(TlsFault::Alert, words)
        }
        // Later it is a broken record of somebody who does speak TLS.
        InvalidMessage(_) if phase <= Phase::Tls => of(TlsFault::NotTls),
        PeerIncompatible(_) => Failure::tls(TlsFault::Other, "no version or cipher in common"),
        _ if phase > Phase::Tls => Failure::tls(TlsFault::Other, "a record is not good"),
        _ => of(TlsFault::Other),
    };
    failure.caused_by(error.clone())
}

fn of(fault: TlsFault) -> Failure {
    Failure::tls(fault, fault.as_str())
}

fn of_certificate(error: &CertificateError) -> Failure {
    use CertificateError::*;
    match error {
        Expired | ExpiredContext { .. } => of(TlsFault::Expired),
        NotValidYet | NotValidYetContext { .. } => of(TlsFault::NotYetValid),
        NotValidForName | NotValidForNameContext { .. } => of(TlsFault::HostMismatch),
        UnknownIssuer => of(TlsFault::UnknownIssuer),
        Revoked => of(TlsFault::Revoked),
        // What `openssl req -x509` makes: self-signed, and by its own words an authority.
        Other(other) if is_authority(other) => {
            let words = "the certificate is self-signed, or that of an authority";
            Failure::tls(TlsFault::UnknownIssuer, words)
        }
        _ => Failure::tls(TlsFault::Other, "the certificate is not good"),
    }
}

fn is_authority(error: &rustls::OtherError) -> bool {
    let cause = error.0.downcast_ref::<webpki::Error>();
    cause == Some(&webpki::Error::CaUsedAsEndEntity)
}
