//! Proxies: which one a request goes through, and how to get through it.

mod choose;
mod tunnel;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderValue, PROXY_AUTHORIZATION};
use http::{HeaderMap, StatusCode, Uri};
use percent_encoding::percent_decode_str;

use crate::auth::Secret;
use crate::error::{ErrorKind, Mistake, Sent};
use crate::transport::Failure;
use choose::Exceptions;
pub(crate) use choose::Proxies;
pub(crate) use tunnel::{AT_ONCE, Move, Tunnel};

/// The port of a proxy whose URL has none, as in curl.
const PORT: u16 = 1080;

/// A proxy to send requests through.
///
/// | URL | what it does |
/// |---|---|
/// | `http://host:port` | plain http is asked for with the whole URL (RFC 9112 section 3.2.2), https goes through a tunnel made by CONNECT (RFC 9110 section 9.3.6) |
/// | `socks5h://host:port` | everything goes through SOCKS 5 (RFC 1928); the proxy resolves the names |
/// | `socks5://host:port` | the same, with names resolved here |
///
/// A proxy under TLS (`https://`) and SOCKS 4 are not supported: such a URL is an
/// error of kind [`Request`](crate::ErrorKind::Request) when the `Api` is built.
/// Where it comes from the environment, each call that would go through it is an
/// error of kind [`Connect`](crate::ErrorKind::Connect) that names the variable.
///
/// Without a port it is 1080, as in curl. A proxy that refuses, or wants a
/// credential that it has not got, is an error of kind
/// [`Connect`](crate::ErrorKind::Connect). Its credential goes to the proxy and
/// never to the server behind it.
#[derive(Clone)]
pub struct Proxy {
    kind: Kind,
    host: String,
    port: u16,
    credential: Option<(Secret, Secret)>,
    except: Exceptions,
    mistake: Option<Mistake>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Http,
    Socks { resolves: bool },
}

impl Proxy {
    /// The proxy at this URL, which may hold a user name and a password,
    /// percent-encoded. A mistake in it is an error when the `Api` is built.
    pub fn new(url: impl AsRef<str>) -> Proxy {
        Proxy::parse(url.as_ref()).unwrap_or_else(|what| Proxy {
            kind: Kind::Http,
            host: String::new(),
            port: PORT,
            credential: None,
            except: Exceptions::default(),
            mistake: Some(Mistake::new("proxy", what)),
        })
    }

    /// Shows the proxy who we are: by Basic (RFC 7617), or in SOCKS 5 by RFC 1929.
    /// Defaults to what the URL holds.
    #[must_use]
    pub fn credential(mut self, user: impl Into<Secret>, password: impl Into<Secret>) -> Proxy {
        self.credential = Some((user.into(), password.into()));
        self
    }

    /// Hosts that are reached without it: a list like that of `NO_PROXY`, see
    /// [`ApiBuilder::proxy`](crate::ApiBuilder::proxy). Defaults to none.
    #[must_use]
    pub fn except(mut self, hosts: impl AsRef<str>) -> Proxy {
        self.except = Exceptions::parse(hosts.as_ref());
        self
    }

    fn parse(text: &str) -> Result<Proxy, &'static str> {
        const SHAPE: &str = "is not a URL of a proxy";
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let kind = match scheme.to_ascii_lowercase().as_str() {
            "http" => Kind::Http,
            "socks5" => Kind::Socks { resolves: false },
            "socks5h" => Kind::Socks { resolves: true },
            _ => return Err("has a scheme other than http, socks5 and socks5h"),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (userinfo, place) = match authority.rsplit_once('@') {
            Some((userinfo, place)) => (Some(userinfo), place),
            None => (None, authority),
        };
        // The same rules for hosts as in every URL of ours.
        let url = crate::url::Url::parse(&format!("https://{place}")).map_err(|_| SHAPE)?;
        let uri = url.to_uri();
        let named =
            place.rsplit_once(':').filter(|(_, port)| !port.is_empty() && !port.ends_with(']'));
        // The default port of the scheme, when named, is gone from the URL.
        let port = named.map_or(PORT, |_| uri.port_u16().unwrap_or(443));
        let credential = match userinfo {
            Some(userinfo) => {
                let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
                let decoded = |part: &str| {
                    let text = percent_decode_str(part).decode_utf8().map_err(|_| SHAPE)?;
                    Ok::<_, &'static str>(Secret::from(text.into_owned()))
                };
                Some((decoded(user)?, decoded(password)?))
            }
            None => None,
        };
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        Ok(Proxy { kind, host, port, credential, except: Exceptions::default(), mistake: None })
    }

    fn check(&self) -> Result<(), Mistake> {
        if let Some(mistake) = &self.mistake {
            return Err(mistake.clone());
        }
        let Some((user, password)) = &self.credential else { return Ok(()) };
        let parts = [user.expose(), password.expose()];
        let wrong = |what| Err(Mistake::new("credential of the proxy", what));
        if parts.iter().any(|part| part.chars().any(char::is_control)) {
            return wrong("has a control character");
        }
        match self.kind {
            Kind::Http if user.expose().contains(':') => wrong("has a user name with a colon"),
            Kind::Socks { .. } if user.expose().is_empty() => wrong("has no user name"),
            Kind::Socks { .. } if parts.iter().any(|part| part.len() > 255) => {
                wrong("is longer than 255 bytes")
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Takes the request as it is, with its whole URL, and answers itself.
    pub(crate) fn forwards(&self, uri: &Uri) -> bool {
        self.kind == Kind::Http && uri.scheme_str() == Some("http")
    }

    /// Wants the address of the host, not its name.
    pub(crate) fn wants_address(&self) -> bool {
        self.kind == Kind::Socks { resolves: false }
    }

    /// Adds what only a proxy that forwards may see.
    pub(crate) fn sign(&self, headers: &mut HeaderMap) {
        if let Some(value) = self.basic() {
            headers.insert(PROXY_AUTHORIZATION, value);
        }
    }

    fn basic(&self) -> Option<HeaderValue> {
        let (user, password) = self.credential.as_ref()?;
        let plain = format!("{}:{}", user.expose(), password.expose());
        let value = format!("Basic {}", STANDARD.encode(plain));
        let mut value = HeaderValue::try_from(value).expect("base64");
        value.set_sensitive(true);
        Some(value)
    }
}

/// A 407 is the proxy's word, not the server's (RFC 9110 section 15.5.8).
pub(crate) fn judge(proxy: Option<&Proxy>, status: StatusCode) -> Result<(), Failure> {
    match proxy {
        Some(_) if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            Err(refused("the proxy wants a credential").lasting())
        }
        _ => Ok(()),
    }
}

/// The server behind it has seen nothing of the request.
fn refused(detail: impl Into<std::borrow::Cow<'static, str>>) -> Failure {
    Failure::new(ErrorKind::Connect, detail).sent(Sent::No)
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("kind", &self.kind)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("credential", &self.credential.as_ref().map(|_| "***"))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_proxies() {
        let shown = |url: &str| {
            let proxy = Proxy::parse(url)?;
            let credential = proxy
                .credential
                .map(|(user, password)| format!(" {}:{}", user.expose(), password.expose()));
            let credential = credential.unwrap_or_default();
            Ok::<_, &str>(format!("{:?} {} {}{credential}", proxy.kind, proxy.host, proxy.port))
        };
        for (url, wanted) in [
            ("proxy", "Http proxy 1080"),
            ("proxy:3128/", "Http proxy 3128"),
            ("http://proxy:443", "Http proxy 443"),
            ("HTTP://Proxy.example.com:80", "Http proxy.example.com 80"),
            ("http://[::1]:8080", "Http ::1 8080"),
            ("http://[::1]", "Http ::1 1080"),
            ("socks5://1.2.3.4", "Socks { resolves: false } 1.2.3.4 1080"),
            ("socks5h://u:p%40%3a@h:9050", "Socks { resolves: true } h 9050 u:p@:"),
            ("http://user@h", "Http h 1080 user:"),
        ] {
            assert_eq!(shown(url).as_deref(), Ok(wanted), "{url}");
        }
        for url in ["", "http://", "https://h", "socks4://h", "http://h:x", "http://a b", "h:0"] {
            assert!(shown(url).is_err(), "{url}");
        }
    }

    #[test]
    fn credentials_do_not_show() {
        let proxy = Proxy::new("http://name:secret@h").credential("name", "secret");
        let shown = format!("{proxy:?} {:?} {:?}", proxy.basic(), Proxy::new("x://name:secret@h"));
        assert!(!shown.contains("name") && !shown.contains("secret"), "{shown}");
    }
}
