//! Which proxy a request goes through, by settings or environment.

use std::net::IpAddr;
use std::sync::Arc;

use http::Uri;

use super::Proxy;
use crate::error::{ErrorKind, Mistake, Sent};
use crate::transport::Failure;

/// The proxies of an API.
#[derive(Clone, Debug, Default)]
pub(crate) enum Proxies {
    /// As the environment says; not read yet.
    #[default]
    Unread,
    None,
    One(Arc<Proxy>),
    Environment(Arc<Environment>),
}

impl Proxies {
    /// Checks them, and reads the environment if it decides.
    pub(crate) fn check(&mut self) -> Result<(), Mistake> {
        match self {
            Proxies::One(proxy) => proxy.check()?,
            Proxies::Unread => {
                // One that is not Unicode cannot be the URL of a proxy, nor a list of hosts.
                let read = Environment::read(|name| std::env::var(name).ok());
                *self = Proxies::Environment(Arc::new(read));
            }
            Proxies::None | Proxies::Environment(_) => {}
        }
        Ok(())
    }

    /// The proxy for this URL, if there is one.
    pub(crate) fn choose(&self, uri: &Uri) -> Result<Option<&Proxy>, Failure> {
        let excepts = |list: &Exceptions| list.cover(uri.host().unwrap_or_default());
        match self {
            Proxies::Unread | Proxies::None => Ok(None),
            Proxies::One(proxy) => Ok(Some(&**proxy).filter(|proxy| !excepts(&proxy.except))),
            Proxies::Environment(environment) => {
                let named = if uri.scheme_str() == Some("https") {
                    &environment.https
                } else {
                    &environment.http
                };
                match named {
                    Some(_) if excepts(&environment.except) => Ok(None),
                    Some(Ok(proxy)) => Ok(Some(proxy)),
                    Some(Err(variable)) => {
                        let words = format!("the proxy in {variable} is not one that can be used");
                        let failure = Failure::new(ErrorKind::Connect, words);
                        Err(failure.sent(Sent::No).lasting())
                    }
                    None => Ok(None),
                }
            }
        }
    }
}

/// A proxy, or the variable that names none we can use.
type Named = Option<Result<Proxy, &'static str>>;

/// What the environment says of proxies.
#[derive(Debug)]
pub(crate) struct Environment {
    http: Named,
    https: Named,
    except: Exceptions,
}

impl Environment {
    /// In lower case first. Upper-case `HTTP_PROXY` is not read: a web server puts
    /// the header `Proxy` of a request there for its CGI programs (CVE-2016-5385).
    pub(super) fn read(get: impl Fn(&str) -> Option<String>) -> Environment {
        let first = |names: &[&'static str]| {
            let set = |name: &&'static str| {
                Some((*name, get(name)?)).filter(|(_, value)| !value.trim().is_empty())
            };
            names.iter().find_map(set)
        };
        let proxy = |names: &[&'static str]| -> Named {
            let (name, value) = first(names)?;
            let parsed = Proxy::parse(value.trim()).map_err(|_| name);
            Some(parsed.and_then(|proxy| proxy.check().map(|()| proxy).map_err(|_| name)))
        };
        let except = first(&["no_proxy", "NO_PROXY"]);
        Environment {
            http: proxy(&["http_proxy", "all_proxy", "ALL_PROXY"]),
            https: proxy(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            except: except.map(|(_, list)| Exceptions::parse(&list)).unwrap_or_default(),
        }
    }
}

/// Hosts that no proxy is used for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exceptions {
    all: bool,
    names: Vec<String>,
    nets: Vec<(IpAddr, u8)>,
}

impl Exceptions {
    pub(super) fn parse(list: &str) -> Exceptions {
        let mut out = Exceptions { all: list.trim() == "*", ..Exceptions::default() };
        for entry in list.split([',', ' ', '\t']).filter(|entry| !entry.is_empty()) {
            match net(entry) {
                Some(net) => out.nets.push(net),
                None => {
                    let name = entry.strip_prefix('.').unwrap_or(entry);
                    let name = name.strip_suffix('.').unwrap_or(name);
                    out.names.push(name.to_ascii_lowercase());
                }
            }
        }
        out
    }

    pub(super) fn cover(&self, host: &str) -> bool {
        if self.all {
            return true;
        }
        let host = host.trim_matches(['[', ']']);
        if let Ok(ip) = host.parse() {
            return self.nets.iter().any(|(net, bits)| within(ip, *net, *bits));
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        self.names.iter().any(|name| match host.strip_suffix(name.as_str()) {
            Some(rest) => !name.is_empty() && (rest.is_empty() || rest.ends_with('.')),
            None => false,
        })
    }
}

/// An address, or a block of them in CIDR notation (RFC 4632, RFC 4291).
fn net(entry: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match entry.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
        None => (entry, None),
    };
    let address: IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(most);
    (bits <= most).then_some((address, bits))
}

fn within(ip: IpAddr, net: IpAddr, bits: u8) -> bool {
    match (ip, net) {
        (IpAddr::V4(ip), IpAddr::V4(net)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            ip.to_bits() & mask == net.to_bits() & mask
        }
        (IpAddr::V6(ip), IpAddr::V6(net)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            ip.to_bits() & mask == net.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variables: &[(&str, &str)], url: &str) -> Result<Option<String>, String> {
        let get = |name: &str| {
            let found = variables.iter().find(|(of, _)| *of == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let proxies = Proxies::Environment(Arc::new(Environment::read(get)));
        let chosen = proxies.choose(&url.parse().unwrap());
        chosen.map(|proxy| proxy.map(|p| p.host().to_owned())).map_err(|f| f.detail.into_owned())
    }

    #[test]
    fn the_environment_is_read_as_curl_reads_it() {
        let (plain, secure) = ("http://example.com/", "https://example.com/");
        let none = Ok(None);
        let some = |host: &str| Ok(Some(host.to_owned()));
        assert_eq!(chosen(&[], plain), none);
        assert_eq!(chosen(&[("http_proxy", "a")], plain), some("a"));
        assert_eq!(chosen(&[("http_proxy", "a")], secure), none);
        assert_eq!(chosen(&[("HTTP_PROXY", "a")], plain), none);
        assert_eq!(chosen(&[("HTTPS_PROXY", "a")], secure), some("a"));
        assert_eq!(chosen(&[("HTTPS_PROXY", "a"), ("https_proxy", "b")], secure), some("b"));
        assert_eq!(chosen(&[("ALL_PROXY", "a")], plain), some("a"));
        assert_eq!(chosen(&[("ALL_PROXY", "a"), ("all_proxy", "b")], secure), some("b"));
        assert_eq!(chosen(&[("ALL_PROXY", "a"), ("http_proxy", "b")], plain), some("b"));
        assert_eq!(chosen(&[("ALL_PROXY", "a"), ("http_proxy", "")], plain), some("a"));
        let hidden = [("ALL_PROXY", "a"), ("NO_PROXY", "x.example, example.com")];
        assert_eq!(chosen(&hidden, plain), none);
        let both = [("ALL_PROXY", "a"), ("NO_PROXY", "example.com"), ("no_proxy", "other")];
        assert_eq!(chosen(&both, plain), some("a"));
        let bad = [("ALL_PROXY", "socks4://user:secret@a")];
        let words = "the proxy in ALL_PROXY is not one that can be used";
        assert_eq!(chosen(&bad, plain), Err(words.to_owned()));
    }

    #[test]
    fn exceptions_are_suffixes_addresses_and_blocks() {
        let cover = |list: &str, host: &str| Exceptions::parse(list).cover(host);
        for (list, host) in [
            ("*", "anything"),
            (" * ", "1.2.3.4"),
            ("example.com", "example.com"),
            ("Example.COM.", "www.example.com"),
            (".example.com", "example.com"),
            ("a,example.com", "EXAMPLE.com."),
            ("a example.com", "example.com"),
            ("127.0.0.1", "127.0.0.1"),
            ("10.0.0.0/8", "10.255.0.1"),
            ("192.168.0.0/17,10.0.0.0/8", "192.168.127.1"),
            ("0.0.0.0/0", "8.8.8.8"),
            ("::1", "[::1]"),
            ("[::1]", "[::1]"),
            ("fe80::/10", "[fe9a::1]"),
            ("::/0", "[2001:db8::1]"),
        ] {
            assert!(cover(list, host), "{list} {host}");
        }
        for (list, host) in [
            ("", "example.com"),
            (",,. ", "example.com"),
            ("*,a", "example.com"),
            ("example.com", "notexample.com"),
            ("www.example.com", "example.com"),
            ("example.com:80", "example.com"),
            ("127.0.0.1", "127.0.0.2"),
            ("0.0.1", "127.0.0.1"),
            ("10.0.0.0/8", "11.0.0.1"),
            ("10.0.0.0/33", "10.0.0.0"),
            ("192.168.0.0/17", "192.168.128.1"),
            ("0.0.0.0/0", "[::1]"),
            ("fe80::/10", "[fec0::1]"),
            ("10.0.0.0/8", "10.example.com"),
        ] {
            assert!(!cover(list, host), "{list} {host}");
        }
    }
}
