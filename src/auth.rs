//! Credentials, and the secrets they are made of.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};

use crate::error::{BoxError, Error, ErrorKind, Mistake};
use crate::request::check_ours;

/// A value that never shows: not in `Debug`, not in an error, not in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Reads the environment variable `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Auth`] when it is not set, empty, or not Unicode.
    pub fn from_env(name: &str) -> Result<Secret, Error> {
        match std::env::var(name) {
            Ok(value) if !value.is_empty() => Ok(Secret(value.into())),
            Ok(_) => Err(missing(format!("the environment variable {name} is empty"))),
            Err(std::env::VarError::NotPresent) => {
                Err(missing(format!("the environment variable {name} is not set")))
            }
            // The error itself would show the value.
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(missing(format!("the environment variable {name} is not Unicode")))
            }
        }
    }

    /// Reads a file, exactly: a newline at its end makes the credential invalid.
    /// [`trimmed`](Secret::trimmed) takes it off.
    ///
    /// # Errors
    /// [`ErrorKind::Auth`] when the file cannot be read, is empty, or not UTF-8.
    ///
    /// # Blocking
    /// Reads the file on the calling thread.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Secret, Error> {
        let path = path.as_ref();
        match std::fs::read_to_string(path) {
            Ok(value) if !value.is_empty() => Ok(Secret(value.into())),
            Ok(_) => Err(missing(format!("the file {} is empty", path.display()))),
            Err(error) => {
                let detail =
                    format!("the file {} cannot be read: {}", path.display(), error.kind());
                Err(missing(detail).caused_by(error))
            }
        }
    }

    /// The secret without white space around it.
    #[must_use]
    pub fn trimmed(&self) -> Secret {
        Secret(self.0.trim().into())
    }

    /// The value itself, for a transport or a hook of your own.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

fn missing(detail: String) -> Error {
    Error::new(ErrorKind::Auth, detail)
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Secret(value.into())
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Secret(value.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

pub(crate) type Hook = Arc<dyn Fn() -> Result<Auth, BoxError> + Send + Sync>;

/// How a call shows who it is.
///
/// A credential goes only to the base's origin and path, never across a
/// redirect that leaves them. A mistake in it (a line break, a space around
/// it, nothing at all, characters outside visible ASCII) is an error when the
/// `Api` is built or, after [`Api::set_auth`](crate::Api::set_auth), of every
/// call until the next one; the text never holds the value.
#[derive(Clone)]
pub struct Auth {
    pub(crate) kind: Kind,
    pub(crate) expires_in: Option<Duration>,
}

#[derive(Clone)]
pub(crate) enum Kind {
    None,
    Header(HeaderName, HeaderValue),
    Query(Arc<str>, Secret),
    Refreshing(Hook),
    Invalid(Mistake),
}

impl Auth {
    /// No credential.
    pub fn none() -> Auth {
        Kind::None.into()
    }

    /// `Authorization: Token VALUE`.
    pub fn token(secret: impl Into<Secret>) -> Auth {
        authorization("token", "Token ", &secret.into())
    }

    /// `Authorization: Bearer VALUE` (RFC 6750).
    pub fn bearer(secret: impl Into<Secret>) -> Auth {
        authorization("bearer token", "Bearer ", &secret.into())
    }

    /// `Authorization: Basic BASE64` (RFC 7617, UTF-8). A user name has no colon.
    pub fn basic(user: &str, password: impl Into<Secret>) -> Auth {
        let password = password.into();
        if user.contains(':') {
            return Mistake::new("user name", "has a colon").into();
        }
        let control = |c: char| c.is_control();
        if user.contains(control) || password.expose().contains(control) {
            return Mistake::new("user name or password", "has a control character").into();
        }
        let pair = STANDARD.encode(format!("{user}:{}", password.expose()));
        authorization("basic credential", "Basic ", &pair.into())
    }

    /// A header of the API's own, such as `X-Api-Key`. Those that a request may not have
    /// ([`Request::header`](crate::Request::header)) are refused here, too.
    pub fn header(name: &str, secret: impl Into<Secret>) -> Auth {
        let Ok(name) = HeaderName::try_from(name) else {
            return Mistake::new("credential's header", "is not a header name").into();
        };
        match check_ours(&name) {
            Ok(()) => field(format!("secret of header {name}"), name, "", &secret.into()),
            Err(mistake) => mistake.into(),
        }
    }

    /// A query parameter, such as `?api_key=`.
    pub fn query(name: &str, secret: impl Into<Secret>) -> Auth {
        let secret = secret.into();
        if name.is_empty() {
            return Mistake::new("credential's query parameter", "has no name").into();
        }
        match flaw(secret.expose()) {
            Some(what) => Mistake::new(format!("secret of query parameter {name}"), what).into(),
            None => Kind::Query(name.into(), secret).into(),
        }
    }

    /// A credential made by `hook`: before the first call, ahead of its
    /// expiry, and once more when the server answers 401.
    ///
    /// However many calls wait, the hook runs once, and each of them is
    /// replayed once; a second 401 is the error. The hook says how long its
    /// credential lasts with [`expires_in`](Auth::expires_in).
    ///
    /// # Blocking
    /// The hook may block: async calls run it on a thread of its own. Its time is the
    /// call's, but nothing interrupts it: give it limits of its own. It makes its calls by
    /// another `Api`, for one to the `Api` that it serves would wait for the hook itself.
    ///
    /// ```
    /// use std::time::Duration;
    /// use duocall::{Auth, Error};
    ///
    /// let auth = Auth::refreshing(|| {
    ///     let token = String::from("from the token endpoint");
    ///     Ok::<_, Error>(Auth::bearer(token).expires_in(Duration::from_secs(3600)))
    /// });
    /// ```
    pub fn refreshing<E>(hook: impl Fn() -> Result<Auth, E> + Send + Sync + 'static) -> Auth
    where
        E: Into<BoxError>,
    {
        Kind::Refreshing(Arc::new(move || hook().map_err(Into::into))).into()
    }

    /// How long the credential lasts, for one that a hook made. A new one is
    /// made when nine tenths of it have passed; if that fails, this one serves on to
    /// its end, and another attempt is made after half of the time left. Defaults to
    /// for ever.
    #[must_use]
    pub fn expires_in(mut self, lifetime: Duration) -> Auth {
        self.expires_in = Some(lifetime);
        self
    }

    /// What makes a credential, and is none.
    pub(crate) fn is_hook(&self) -> bool {
        matches!(self.kind, Kind::Refreshing(_))
    }

    pub(crate) fn check(&self) -> Result<(), Mistake> {
        match &self.kind {
            Kind::Invalid(mistake) => Err(mistake.clone()),
            _ => Ok(()),
        }
    }

    /// The values that must not show in anything a server echoes.
    pub(crate) fn canary(&self) -> Option<&str> {
        match &self.kind {
            Kind::Header(name, value) => {
                let text = value.to_str().ok()?;
                // There a scheme comes first; elsewhere a space is a part of the secret.
                let behind_scheme = text.split_once(' ').filter(|_| *name == AUTHORIZATION);
                Some(behind_scheme.map_or(text, |(_, secret)| secret))
            }
            Kind::Query(_, secret) => Some(secret.expose()),
            _ => None,
        }
    }
}

impl From<Kind> for Auth {
    fn from(kind: Kind) -> Auth {
        let expires_in = None;
        Auth { kind, expires_in }
    }
}

impl From<Mistake> for Auth {
    fn from(mistake: Mistake) -> Auth {
        Kind::Invalid(mistake).into()
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::None => f.write_str("Auth::none"),
            Kind::Header(name, _) => write!(f, "Auth({name}: ***)"),
            Kind::Query(name, _) => write!(f, "Auth(?{name}=***)"),
            Kind::Refreshing(_) => f.write_str("Auth::refreshing"),
            Kind::Invalid(mistake) => write!(f, "Auth({mistake:?})"),
        }
    }
}

fn authorization(what: &'static str, scheme: &str, secret: &Secret) -> Auth {
    field(what.to_owned(), AUTHORIZATION, scheme, secret)
}

fn field(what: String, name: HeaderName, scheme: &str, secret: &Secret) -> Auth {
    if let Some(flaw) = flaw(secret.expose()) {
        return Mistake::new(what, flaw).into();
    }
    match HeaderValue::try_from(format!("{scheme}{}", secret.expose())) {
        Ok(mut value) => {
            value.set_sensitive(true);
            Kind::Header(name, value).into()
        }
        Err(_) => Mistake::new(what, "has a character that no header may hold").into(),
    }
}

fn flaw(secret: &str) -> Option<&'static str> {
    if secret.is_empty() {
        Some("is empty")
    } else if secret.contains(['\r', '\n']) {
        Some("has a line break")
    } else if secret.starts_with([' ', '\t']) || secret.ends_with([' ', '\t']) {
        Some("has white space around it")
    } else if !secret.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        Some("has a character outside visible ASCII")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flawed_secret_is_named_and_not_shown() {
        for bad in ["", "abc\n", "abc\r\nX: y", " abc", "abc ", "caf\u{e9}", "a\0b"] {
            let makers: [fn(&str) -> Auth; 4] = [
                |s| Auth::token(s),
                |s| Auth::bearer(s),
                |s| Auth::header("x-api-key", s),
                |s| Auth::query("key", s),
            ];
            for make in makers {
                let auth = make(bad);
                let error = Error::from(auth.check().expect_err(bad));
                assert_eq!(error.kind(), ErrorKind::Request);
                assert!(!format!("{error}{error:?}{auth:?}").contains("abc"));
            }
        }
        assert!(Auth::basic("a:b", "x").check().is_err());
        assert!(Auth::basic("a", "x\ny").check().is_err());
        assert!(Auth::header("bad name", "x").check().is_err());
        for framing in ["Host", "content-length", "Transfer-Encoding", "connection"] {
            assert!(Auth::header(framing, "x").check().is_err(), "{framing}");
        }
        assert!(Auth::query("", "x").check().is_err());
    }

    #[test]
    fn credentials_look_as_their_schemes_say() {
        let header = |auth: Auth| match auth.kind {
            Kind::Header(name, value) => format!("{name}: {}", value.to_str().unwrap()),
            _ => panic!("not a header"),
        };
        assert_eq!(header(Auth::token("t")), "authorization: Token t");
        assert_eq!(header(Auth::bearer("t")), "authorization: Bearer t");
        assert_eq!(
            header(Auth::basic("Aladdin", "open sesame")),
            "authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
        assert_eq!(header(Auth::header("X-Api-Key", "k")), "x-api-key: k");
    }

    #[test]
    fn a_secret_with_a_space_is_one_secret() {
        assert_eq!(Auth::header("x-api-key", "a b c").canary(), Some("a b c"));
        assert_eq!(Auth::token("a b c").canary(), Some("a b c"));
        assert_eq!(Auth::header("Authorization", "ApiKey a b").canary(), Some("a b"));
    }

    #[test]
    fn debug_hides() {
        let shown = format!(
            "{:?}{:?}{:?}",
            Secret::from("hide"),
            Auth::token("hide"),
            Auth::query("k", "hide")
        );
        assert!(!shown.contains("hide"), "{shown}");
    }
}
