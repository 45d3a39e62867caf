//! What a server set, until it expires.

use std::cmp::Reverse;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use http::header::{HeaderMap, HeaderValue, SET_COOKIE};

use super::date;
use crate::sync::lock;
use crate::url::Url;

/// Name and value of one, in bytes.
const LONGEST: usize = 4096;
const PER_HOST: usize = 50;
const IN_ALL: usize = 3000;
/// A cookie lasts no longer, whatever it says.
const LAST: Duration = Duration::from_secs(400 * 24 * 3600);

#[derive(Default)]
pub(crate) struct Jar(Mutex<Vec<Cookie>>);

/// In a jar, in the order in which they were first set.
#[derive(Clone)]
struct Cookie {
    name: String,
    value: String,
    /// The host it belongs to, and whether the hosts below are meant as well.
    host: String,
    below: bool,
    path: String,
    secure: bool,
    expires: Option<SystemTime>,
}

impl Jar {
    /// Takes what a response from `url` sets.
    pub(crate) fn take(&self, url: &Url, headers: &HeaderMap, now: SystemTime) {
        let mut values = headers.get_all(SET_COOKIE).iter().peekable();
        if values.peek().is_none() {
            return;
        }
        let mut cookies = lock(&self.0);
        for value in values {
            let Ok(text) = std::str::from_utf8(value.as_bytes()) else { continue };
            if let Some(cookie) = Cookie::parse(text, url, now) {
                put(&mut cookies, cookie, url.is_https(), now);
            }
        }
    }

    /// The field for a request to `url`.
    pub(crate) fn give(&self, url: &Url, now: SystemTime) -> Option<HeaderValue> {
        let uri = url.to_uri();
        let host = uri.host().unwrap_or_default();
        let cookies = lock(&self.0);
        let fits = |cookie: &&Cookie| {
            cookie.is_for(host)
                && within(uri.path(), &cookie.path)
                && (url.is_https() || !cookie.secure)
                && !cookie.is_over(now)
        };
        let mut fitting: Vec<&Cookie> = cookies.iter().filter(fits).collect();
        fitting.sort_by_key(|cookie| Reverse(cookie.path.len()));
        let pairs = fitting.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value));
        let text = pairs.collect::<Vec<_>>().join("; ");
        if text.is_empty() {
            return None;
        }
        let mut value = HeaderValue::from_bytes(text.as_bytes()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

fn put(cookies: &mut Vec<Cookie>, cookie: Cookie, safely: bool, now: SystemTime) {
    cookies.retain(|other| !other.is_over(now));
    // A plain connection does not overwrite, nor hide, what a safe one has set.
    let guards = |other: &Cookie| {
        let near = other.is_for(&cookie.host) || cookie.is_for(&other.host);
        other.secure && other.name == cookie.name && near && within(&cookie.path, &other.path)
    };
    if !safely && cookies.iter().any(guards) {
        return;
    }
    let same = |other: &Cookie| {
        (&other.name, &other.host, other.below, &other.path)
            == (&cookie.name, &cookie.host, cookie.below, &cookie.path)
    };
    let place = cookies.iter().position(same);
    match place {
        Some(at) if cookie.is_over(now) => drop(cookies.remove(at)),
        Some(at) => cookies[at] = cookie,
        None if cookie.is_over(now) => {}
        None => {
            let of_host = cookies.iter().filter(|other| other.host == cookie.host).count();
            let oldest = if of_host >= PER_HOST {
                cookies.iter().position(|other| other.host == cookie.host)
            } else {
                (cookies.len() >= IN_ALL).then_some(0)
            };
            oldest.map(|at| cookies.remove(at));
            cookies.push(cookie);
        }
    }
}

impl Cookie {
    /// RFC 6265, sections 5.2 and 5.3.
    fn parse(text: &str, url: &Url, now: SystemTime) -> Option<Cookie> {
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return None;
        }
        let uri = url.to_uri();
        let host = uri.host()?;
        let mut parts = text.split(';');
        let (name, value) = parts.next()?.split_once('=')?;
        let (name, value) = (trimmed(name), trimmed(value));
        if name.is_empty() || name.len() + value.len() > LONGEST {
            return None;
        }
        let (mut domain, mut path, mut secure) = ("", None, false);
        let (mut until, mut max_age) = (None, None);
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let value = trimmed(value);
            match trimmed(key).to_ascii_lowercase().as_str() {
                "domain" => domain = value.strip_prefix('.').unwrap_or(value),
                "path" => path = Some(value).filter(|path| path.starts_with('/')),
                "secure" => secure = true,
                "expires" => until = date::parse(value).or(until),
                "max-age" => max_age = age(value).or(max_age),
                // HttpOnly and SameSite are for programs inside a page.
                _ => {}
            }
        }
        let (host, below) = belongs(host, &domain.to_ascii_lowercase())?;
        let expires = match max_age {
            Some(age) => Some(now.checked_add(age.min(LAST)).unwrap_or(now)),
            None => until.map(|until| until.min(now.checked_add(LAST).unwrap_or(until))),
        };
        let cookie = Cookie {
            name: name.to_owned(),
            value: value.to_owned(),
            host,
            below,
            path: path.map_or_else(|| folder(uri.path()), ToOwned::to_owned),
            secure,
            expires,
        };
        let allowed = (url.is_https() || !secure) && cookie.keeps_its_prefix(path);
        allowed.then_some(cookie)
    }

    fn is_for(&self, host: &str) -> bool {
        host == self.host || self.below && is_below(host, &self.host)
    }

    fn is_over(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// A name that begins with `__Secure-` or `__Host-` promises how it was set.
    fn keeps_its_prefix(&self, path: Option<&str>) -> bool {
        let name = self.name.to_ascii_lowercase();
        if name.starts_with("__host-") {
            return self.secure && !self.below && path == Some("/");
        }
        self.secure || !name.starts_with("__secure-")
    }
}

/// The host a cookie belongs to, and whether those below are meant; `None` refuses it.
fn belongs(host: &str, domain: &str) -> Option<(String, bool)> {
    if domain.is_empty() {
        return Some((host.to_owned(), false));
    }
    // Nobody speaks for all of `com`, or for every customer of a hosting company.
    if psl::suffix_str(domain) == Some(domain) {
        return (host == domain).then(|| (host.to_owned(), false));
    }
    let fits = host == domain || is_below(host, domain);
    fits.then(|| (domain.to_owned(), true))
}

fn is_below(host: &str, domain: &str) -> bool {
    let address = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
    !address && host.strip_suffix(domain).is_some_and(|front| front.ends_with('.'))
}

/// RFC 6265 section 5.1.4, both parts.
fn within(path: &str, base: &str) -> bool {
    let path = if path.is_empty() { "/" } else { path };
    path.strip_prefix(base)
        .is_some_and(|rest| rest.is_empty() || base.ends_with('/') || rest.starts_with('/'))
}

fn folder(path: &str) -> String {
    match path.rfind('/') {
        None | Some(0) => "/".to_owned(),
        Some(at) => path[..at].to_owned(),
    }
}

fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Zero and below are over at once.
fn age(text: &str) -> Option<Duration> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let negative = digits.len() < text.len();
    Some(if negative {
        Duration::ZERO
    } else {
        digits.parse().map_or(Duration::MAX, Duration::from_secs)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn set(jar: &Jar, url: &str, cookie: &str) {
        let mut headers = HeaderMap::new();
        headers.append(SET_COOKIE, HeaderValue::from_bytes(cookie.as_bytes()).unwrap());
        jar.take(&Url::parse(url).unwrap(), &headers, NOW);
    }

    fn get_at(jar: &Jar, url: &str, now: SystemTime) -> String {
        let value = jar.give(&Url::parse(url).unwrap(), now);
        value.map_or(String::new(), |value| String::from_utf8(value.as_bytes().into()).unwrap())
    }

    /// What `asked` is sent after `from` has set one cookie.
    fn then(from: &str, cookie: &str, asked: &str) -> String {
        let jar = Jar::default();
        set(&jar, from, cookie);
        get_at(&jar, asked, NOW)
    }

    #[test]
    fn hosts_and_domains() {
        let cases = [
            ("http://a.org/", "k=v", "http://a.org/", true),
            ("http://a.org/", "k=v", "http://b.a.org/", false),
            ("http://a.org/", "k=v", "http://a.org:8080/", true),
            ("http://a.org/", "k=v; Domain=a.org", "http://b.a.org/", true),
            ("http://b.a.org/", "k=v; domain=.A.org", "http://c.a.org/", true),
            ("http://b.a.org/", "k=v; Domain=a.org", "http://aa.org/", false),
            ("http://b.a.org/", "k=v; Domain=c.a.org", "http://c.a.org/", false),
            ("http://b.a.org/", "k=v; Domain=b.org", "http://b.org/", false),
            ("http://a.org/", "k=v; Domain=", "http://b.a.org/", false),
            // Public suffixes, by registry and by company.
            ("http://a.org/", "k=v; Domain=org", "http://b.org/", false),
            ("http://a.co.uk/", "k=v; Domain=co.uk", "http://a.co.uk/", false),
            ("http://a.github.io/", "k=v; Domain=github.io", "http://b.github.io/", false),
            ("http://github.io/", "k=v; Domain=github.io", "http://github.io/", true),
            ("http://github.io/", "k=v; Domain=github.io", "http://b.github.io/", false),
            // Addresses have nobody below them.
            ("http://127.0.0.1/", "k=v", "http://127.0.0.1/", true),
            ("http://127.0.0.1/", "k=v; Domain=0.0.1", "http://127.0.0.1/", false),
            ("http://[::1]/", "k=v", "http://[::1]/", true),
            ("http://localhost/", "k=v", "http://localhost/", true),
        ];
        for (from, cookie, asked, sent) in cases {
            let expected = if sent { "k=v" } else { "" };
            assert_eq!(then(from, cookie, asked), expected, "{from} {cookie} {asked}");
        }
    }

    #[test]
    fn paths() {
        let cases = [
            ("http://h/a/b", "k=v", "http://h/a", true),
            ("http://h/a/b", "k=v", "http://h/a/c/d", true),
            ("http://h/a/b", "k=v", "http://h/ab", false),
            ("http://h/a/b", "k=v", "http://h/", false),
            ("http://h/a", "k=v", "http://h/b", true),
            ("http://h/a/b", "k=v; path=/", "http://h/", true),
            ("http://h/", "k=v; path=/x/", "http://h/x", false),
            ("http://h/", "k=v; path=/x/", "http://h/x/y", true),
            ("http://h/a/b", "k=v; path=x", "http://h/a/c", true),
        ];
        for (from, cookie, asked, sent) in cases {
            let expected = if sent { "k=v" } else { "" };
            assert_eq!(then(from, cookie, asked), expected, "{from} {cookie} {asked}");
        }
    }

    #[test]
    fn safe_ones_stay_safe() {
        assert_eq!(then("https://h/", "k=v; Secure", "https://h/"), "k=v");
        assert_eq!(then("https://h/", "k=v; Secure", "http://h/"), "");
        assert_eq!(then("http://h/", "k=v; Secure", "https://h/"), "");
        assert_eq!(then("https://h/", "__Host-k=v; Secure; Path=/", "https://h/"), "__Host-k=v");
        for broken in ["__Host-k=v; Secure", "__Host-k=v; Path=/", "__secure-k=v"] {
            assert_eq!(then("https://h/", broken, "https://h/"), "", "{broken}");
        }
        let jar = Jar::default();
        set(&jar, "https://h/", "k=safe; Secure");
        set(&jar, "http://h/x", "k=forged");
        assert_eq!(get_at(&jar, "https://h/x", NOW), "k=safe");
    }

    #[test]
    fn time_ends_them() {
        let at = |seconds| NOW + Duration::from_secs(seconds);
        let jar = Jar::default();
        for cookie in [
            "a=1; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "b=2; Expires=Thu, 01-Jan-1970 00:00:20 GMT",
            "c=3; Max-Age=99999999999999999999",
            "d=4",
            "e=5; Max-Age=soon",
        ] {
            set(&jar, "http://h/", cookie);
        }
        assert_eq!(get_at(&jar, "http://h/", at(9)), "a=1; b=2; c=3; d=4; e=5");
        assert_eq!(get_at(&jar, "http://h/", at(10)), "b=2; c=3; d=4; e=5");
        assert_eq!(get_at(&jar, "http://h/", at(20)), "c=3; d=4; e=5");
        assert_eq!(get_at(&jar, "http://h/", NOW + LAST), "d=4; e=5");
        set(&jar, "http://h/", "d=; Max-Age=0");
        set(&jar, "http://h/", "e=; Max-Age=-1");
        assert_eq!(get_at(&jar, "http://h/", at(9)), "a=1; b=2; c=3");
    }

    #[test]
    fn order_replacement_and_limits() {
        let jar = Jar::default();
        for cookie in ["a=1; Path=/", "b=2; Path=/x", "c=3; Path=/", "a=4; Path=/", "a=5; Path=/x"]
        {
            set(&jar, "http://h/x/y", cookie);
        }
        assert_eq!(get_at(&jar, "http://h/x/y", NOW), "b=2; a=5; a=4; c=3");
        let jar = Jar::default();
        for n in 0..PER_HOST + 10 {
            set(&jar, "http://h/", &format!("k{n}=v"));
        }
        let text = get_at(&jar, "http://h/", NOW);
        assert_eq!(text.split("; ").count(), PER_HOST);
        assert!(text.starts_with("k10=v"));
        for n in 0..IN_ALL {
            set(&jar, &format!("http://h{n}.org/"), "k=v");
        }
        assert_eq!(lock(&jar.0).len(), IN_ALL);
    }

    #[test]
    fn what_is_no_cookie_is_none() {
        let long = format!("k={}", "v".repeat(LONGEST));
        for odd in ["", ";", "=v", "k", " ; k=v", &long] {
            assert_eq!(then("http://h/", odd, "http://h/"), "", "{odd:?}");
        }
        assert_eq!(then("http://h/", " k = v w ;;x;=", "http://h/"), "k=v w");
        assert_eq!(then("http://h/", "k=\"a=b\"", "http://h/"), "k=\"a=b\"");
        assert_eq!(then("http://h/", "k=é", "http://h/"), "k=é");
    }
}
