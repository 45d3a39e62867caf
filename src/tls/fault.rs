//! What was wrong with TLS.

use std::fmt;

/// Why TLS failed, the same in every transport; [`Error::tls`](crate::Error::tls) tells.
///
/// None of them is cured by another attempt, so none is tried again. The list
/// grows; match with a `_` arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsFault {
    /// The server's certificate has expired.
    Expired,
    /// The server's certificate is not valid yet; the clock here may be slow.
    NotYetValid,
    /// The server's certificate is for another host. Only its alternative names
    /// count, as RFC 9525 has it: never its common name, and for a host that is
    /// an address only an address.
    HostMismatch,
    /// Nobody we trust has issued the server's certificate: it is self-signed, its
    /// authority is unknown, or the server left an intermediate certificate out.
    UnknownIssuer,
    /// The server's certificate was revoked. Only the verifier of the operating
    /// system may know.
    Revoked,
    /// The server ended it with an alert (RFC 8446 section 6): no version or cipher
    /// in common, a client certificate missing or refused. In TLS 1.3 that one may
    /// come when the request is under way already.
    Alert,
    /// The server does not speak TLS; perhaps it is plain http on that port. Not
    /// one byte of the request was sent.
    NotTls,
    /// Something else: a broken certificate, a handshake outside the rules.
    Other,
}

impl TlsFault {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            TlsFault::Expired => "the certificate has expired",
            TlsFault::NotYetValid => "the certificate is not valid yet",
            TlsFault::HostMismatch => "the certificate is for another host",
            TlsFault::UnknownIssuer => "nobody we trust has issued the certificate",
            TlsFault::Revoked => "the certificate was revoked",
            TlsFault::Alert => "the server refused",
            TlsFault::NotTls => "the server does not speak TLS",
            TlsFault::Other => "the handshake failed",
        }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
