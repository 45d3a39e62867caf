//! A small, strict parser for `http` and `https` URLs.
//!
//! Two kinds of text come in. What the *caller* wrote ([`Url::parse`], [`Url::parse_base`],
//! [`Url::join`]) is refused when it is doubtful, because a mistake there sends credentials to the
//! wrong place. What a *server* sent ([`Url::resolve`]) is read as the WHATWG URL standard
//! (<https://url.spec.whatwg.org/>) reads it, because that is what servers are tested against.
//! Both end in the same normal form, so that comparing two URLs is comparing two strings.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;

use bytes::Bytes;
use http::Uri;
use http::uri::{Authority, PathAndQuery};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use crate::error::Mistake;
pub(crate) use origin::Origin;

/// The longest text `http::Uri` takes.
const MAX_LEN: usize = 65_534;

/// WHATWG URL, 1.3: the special-query percent-encode set.
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'\'');

/// The path percent-encode set of the same.
const PATH: &AsciiSet = &QUERY.remove(b'\'').add(b'?').add(b'^').add(b'`').add(b'{').add(b'}');

/// Everything but the unreserved characters of RFC 3986, section 2.3.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why a URL was refused. It never holds the URL itself, which may carry a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UrlError {
    Empty,
    Scheme,
    Userinfo,
    Host,
    Port,
    Character,
    LeavesOrigin,
    LeavesBase,
    Slash,
    Parameter,
    Relative,
    TooLong,
    Fragment,
    Query,
}

impl UrlError {
    /// A clause to follow "the URL ".
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "is empty",
            Self::Scheme => "does not have the scheme http or https",
            Self::Userinfo => "contains a user name or a password",
            Self::Host => {
                "has no valid host (an international name must be in its xn-- form, \
                 an IPv4 address four decimal numbers)"
            }
            Self::Port => "has a port that is not a number from 1 to 65535",
            Self::Character => {
                "contains a control character, a backslash, or white space around it"
            }
            Self::LeavesOrigin => "leads to another origin than the API's base",
            Self::LeavesBase => "could lead outside the path of the API's base",
            Self::Slash => {
                "starts at the root of the host, outside the path of the API's base: \
                 leave its first slash out"
            }
            Self::Parameter => "has a path parameter in braces that was given no value",
            Self::Relative => {
                "has a scheme where one relative to the API's base is expected \
                 (a whole URL is for Request::absolute, a name with a colon begins with ./)"
            }
            Self::TooLong => "is longer than 65534 bytes",
            Self::Fragment => "has a fragment, which the base of an API cannot have",
            Self::Query => "has a query, which the base of an API cannot have",
        }
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the URL {}", self.as_str())
    }
}

impl std::error::Error for UrlError {}

impl From<UrlError> for Mistake {
    fn from(error: UrlError) -> Mistake {
        Mistake::new("URL", error.as_str())
    }
}

/// An absolute `http` or `https` URL in normal form, without userinfo and fragment.
///
/// The parts are those of `http`: a URL that it would refuse cannot come to exist. Clones share
/// their bytes; most are never asked for the whole text.
#[derive(Clone)]
pub(crate) struct Url {
    origin: Origin,
    target: PathAndQuery,
    text: OnceLock<Box<str>>,
}

impl PartialEq for Url {
    fn eq(&self, other: &Url) -> bool {
        self.same_origin(other) && self.target.as_str() == other.target.as_str()
    }
}

impl Eq for Url {}

impl Url {
    /// Parses an absolute URL as the caller gave it. A fragment is dropped, as it is never sent
    /// (RFC 9110, section 7.1).
    pub(crate) fn parse(text: &str) -> Result<Url, UrlError> {
        if text.is_empty() {
            return Err(UrlError::Empty);
        }
        check_caller_text(text)?;
        let (scheme, rest) = split_scheme(text).ok_or(UrlError::Scheme)?;
        let https = parse_scheme(scheme)?;
        // The standard takes `https:host` and `https:///host` too, but nobody means them.
        let rest = rest.strip_prefix("//").ok_or(UrlError::Host)?;
        let (rest, query) = split_query(rest);
        if split_authority(rest).0.contains('@') {
            return Err(UrlError::Userinfo);
        }
        Url::absolute(https, rest, query)
    }

    /// Parses the base of an API. Its path gets a trailing slash, so that joining appends to it
    /// instead of replacing its last segment (RFC 3986, section 5.2.3).
    pub(crate) fn parse_base(text: &str) -> Result<Url, UrlError> {
        let url = Url::parse(text)?;
        if text.contains('#') {
            return Err(UrlError::Fragment);
        }
        if url.query().is_some() {
            return Err(UrlError::Query);
        }
        if url.path().ends_with('/') {
            return Ok(url);
        }
        url.with_path(format!("{}/", url.path()), None)
    }

    /// Joins a target as the caller wrote it to this base, below which the result must stay: the
    /// target may hold foreign data, and the request will carry credentials for this base.
    pub(crate) fn join(&self, target: &str) -> Result<Url, UrlError> {
        let base = self.path();
        if is_plain(target) && base.ends_with('/') {
            // There is no way for it to lead anywhere but below.
            let mut path = String::with_capacity(base.len() + target.len());
            path.push_str(base);
            path.push_str(target);
            return self.with_target(path);
        }
        check_caller_text(target)?;
        let (head, query) = split_query(target);
        if split_scheme(head).is_some() {
            return Err(UrlError::Relative);
        }
        if head.starts_with("//") {
            return Err(UrlError::LeavesOrigin);
        }
        if head.split_once('{').is_some_and(|(_, rest)| rest.contains('}')) {
            return Err(UrlError::Parameter);
        }
        let url = self.relative(head, query)?;
        match url.check_within(self) {
            Err(_) if head.starts_with('/') => Err(UrlError::Slash),
            within => within.map(|()| url),
        }
    }

    /// Resolves a `Location` or a link the server sent against this URL (WHATWG URL, 4.4).
    ///
    /// Userinfo is stripped: a server does not choose the credentials we send.
    pub(crate) fn resolve(&self, location: &str) -> Result<Url, UrlError> {
        if location.len() > MAX_LEN {
            return Err(UrlError::TooLong);
        }
        let text = location.trim_matches(|c| c <= ' ').replace(['\t', '\n', '\r'], "");
        let (head, query) = split_query(&text);
        let (https, rest) = match split_scheme(head) {
            Some((scheme, rest)) => (parse_scheme(scheme)?, rest),
            None => (self.is_https(), head),
        };
        // `https:x` is relative to an https URL, but names the host x for an http one.
        let after_slashes = rest.trim_start_matches(['/', '\\']);
        if https != self.is_https() || rest.len() - after_slashes.len() >= 2 {
            Url::absolute(https, after_slashes, query)
        } else {
            self.relative(rest, query)
        }
    }

    /// Appends query items that are already form-encoded. Fails only by growing too long.
    pub(crate) fn append_query(&mut self, encoded: &str) -> Result<(), UrlError> {
        if encoded.is_empty() {
            return Ok(());
        }
        let before = self.target.as_str();
        let between = match self.query() {
            None => "?",
            Some("") => "",
            Some(_) => "&",
        };
        let mut target = String::with_capacity(before.len() + between.len() + encoded.len());
        target.push_str(before);
        target.push_str(between);
        target.extend(utf8_percent_encode(encoded, QUERY));
        *self = self.with_target(target)?;
        Ok(())
    }

    /// Takes away what the query has under this name.
    pub(crate) fn remove_query(&mut self, name: &str) {
        let Some(query) = self.query() else { return };
        let other = |item: &&str| {
            form_urlencoded::parse(item.as_bytes()).next().is_none_or(|(of, _)| of != name)
        };
        let left: Vec<&str> = query.split('&').filter(other).collect();
        let left = (!left.is_empty()).then(|| left.join("&"));
        if left.as_deref() == Some(query) {
            return;
        }
        // Never fails: what is left of a URL is one.
        if let Ok(url) = self.with_path(self.path().to_owned(), left.as_deref()) {
            *self = url;
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        let Origin { authority, .. } = &self.origin;
        let text = || format!("{}://{authority}{}", self.origin.scheme(), self.target);
        self.text.get_or_init(|| text().into())
    }

    /// The URL for logs and messages: the values of the query, where API keys are, are hidden.
    pub(crate) fn redacted(&self) -> String {
        let Some((head, query)) = self.as_str().split_once('?') else {
            return self.as_str().to_owned();
        };
        let mut out = format!("{head}?");
        for (index, item) in query.split('&').enumerate() {
            if index > 0 {
                out.push('&');
            }
            if let Some((name, _)) = item.split_once('=') {
                out.push_str(name);
                out.push('=');
            }
            if !item.is_empty() {
                out.push_str("***");
            }
        }
        out
    }

    pub(crate) fn is_https(&self) -> bool {
        self.origin.https
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(crate) fn path(&self) -> &str {
        self.target.path()
    }

    pub(crate) fn query(&self) -> Option<&str> {
        self.target.query()
    }

    pub(crate) fn same_origin(&self, other: &Url) -> bool {
        self.origin == other.origin
    }

    /// Whether this URL is the base or below it, however a server decodes the path.
    pub(crate) fn within(&self, base: &Url) -> bool {
        self.check_within(base).is_ok()
    }

    pub(crate) fn to_uri(&self) -> Uri {
        self.origin.with(self.target.clone())
    }

    /// Of a request that others have made.
    pub(crate) fn of(uri: Uri) -> Option<Url> {
        let origin = Origin::of(&uri)?;
        let target = uri.into_parts().path_and_query?;
        Some(Url { origin, target, text: OnceLock::new() })
    }

    /// The path and the query alone, which is what a server is asked for.
    pub(crate) fn to_target(&self) -> Uri {
        self.target.clone().into()
    }

    /// The plain dot segments are gone from every `Url`, so a prefix of the path decides.
    pub(crate) fn check_within(&self, base: &Url) -> Result<(), UrlError> {
        if !self.same_origin(base) {
            return Err(UrlError::LeavesOrigin);
        }
        let rest = self.path().strip_prefix(base.path());
        let rest = rest.ok_or(UrlError::LeavesBase)?;
        if !(base.path().ends_with('/') || rest.is_empty() || rest.starts_with('/')) {
            return Err(UrlError::LeavesBase);
        }
        check_hidden_dots(rest)
    }

    /// The part of the standard's parser after the scheme and the slashes.
    fn absolute(https: bool, rest: &str, query: Option<&str>) -> Result<Url, UrlError> {
        let (authority, path) = split_authority(rest);
        let host_port = authority.rsplit('@').next().unwrap_or_default();
        let authority = parse_authority(https, host_port)?;
        let mut normal = String::new();
        push_segments(&mut normal, path.get(1..).unwrap_or_default());
        let authority = Authority::from_maybe_shared(Bytes::from(authority));
        let authority = authority.map_err(|_| UrlError::Host)?;
        let target = PathAndQuery::from_static("/");
        let origin = Origin { https, authority };
        Url { origin, target, text: OnceLock::new() }.with_path(normal, query)
    }

    /// The standard's relative state: no scheme, no authority.
    fn relative(&self, head: &str, query: Option<&str>) -> Result<Url, UrlError> {
        if head.is_empty() {
            return self.with_path(self.path().to_owned(), query.or(self.query()));
        }
        let (directory, tail) = match head.strip_prefix(['/', '\\']) {
            Some(tail) => ("", tail),
            None => (self.path().rsplit_once('/').map_or("", |split| split.0), head),
        };
        // Nearly always exactly what it takes.
        let query_len = query.map_or(0, |query| query.len() + 1);
        let mut path = String::with_capacity(directory.len() + 1 + tail.len() + query_len);
        path.push_str(directory);
        push_segments(&mut path, tail);
        self.with_path(path, query)
    }

    /// The same scheme and authority with another path, which begins with a slash.
    fn with_path(&self, path: String, query: Option<&str>) -> Result<Url, UrlError> {
        let mut target = path;
        if let Some(query) = query {
            target.push('?');
            target.extend(utf8_percent_encode(query, QUERY));
        }
        self.with_target(target)
    }

    /// The same with a path and query that are encoded.
    fn with_target(&self, target: String) -> Result<Url, UrlError> {
        let before = self.origin.scheme().as_str().len() + "://".len();
        if before + self.origin.authority.as_str().len() + target.len() > MAX_LEN {
            return Err(UrlError::TooLong);
        }
        let target = PathAndQuery::try_from(target).map_err(|_| UrlError::Character)?;
        Ok(Url { origin: self.origin.clone(), target, text: OnceLock::new() })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Url").field(&self.redacted()).finish()
    }
}

/// Percent-encodes a caller's value for use as one path segment.
///
/// Dot segments and an empty one are refused: servers resolve `%2E%2E` as they do `..`.
pub(crate) fn encode_segment(value: &str) -> Result<String, UrlError> {
    match value {
        "" => Err(UrlError::Empty),
        "." | ".." => Err(UrlError::LeavesBase),
        _ => Ok(utf8_percent_encode(value, SEGMENT).to_string()),
    }
}

/// Appends `name=value` to `out` as `application/x-www-form-urlencoded`.
pub(crate) fn push_query(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push('&');
    }
    out.extend(form_urlencoded::byte_serialize(name.as_bytes()));
    out.push('=');
    out.extend(form_urlencoded::byte_serialize(value.as_bytes()));
}

/// Whether it is segments that every parser reads alike: no scheme, no query, nothing to encode or
/// to decode, none that begins with a dot.
fn is_plain(target: &str) -> bool {
    let mut before = b'/';
    let plain = |byte: u8| {
        let last = std::mem::replace(&mut before, byte);
        match byte {
            b'/' | b'.' => last != b'/',
            b'-' | b'_' | b'~' => true,
            _ => byte.is_ascii_alphanumeric(),
        }
    };
    !target.is_empty() && target.bytes().all(plain)
}

/// Refuses what parsers are known to disagree on: one would strip it, another keep it.
fn check_caller_text(text: &str) -> Result<(), UrlError> {
    if text.len() > MAX_LEN {
        return Err(UrlError::TooLong);
    }
    if text.contains(|c: char| c.is_control() || c == '\\') || text.trim() != text {
        return Err(UrlError::Character);
    }
    Ok(())
}

/// Splits off a scheme (RFC 3986, section 3.1), whichever it is.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    valid.then_some((scheme, rest))
}

/// Whether the scheme is https; an error if it is not http either.
fn parse_scheme(scheme: &str) -> Result<bool, UrlError> {
    if scheme.eq_ignore_ascii_case("https") {
        Ok(true)
    } else if scheme.eq_ignore_ascii_case("http") {
        Ok(false)
    } else {
        Err(UrlError::Scheme)
    }
}

fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

/// Splits off the query and drops the fragment.
fn split_query(text: &str) -> (&str, Option<&str>) {
    let text = text.split_once('#').map_or(text, |split| split.0);
    match text.split_once('?') {
        Some((head, query)) => (head, Some(query)),
        None => (text, None),
    }
}

/// Splits the authority from the path, which is empty or starts with a slash. A backslash ends it
/// too: `good.example\@evil.example` must not be read as userinfo and a host.
fn split_authority(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '\\']).unwrap_or(rest.len()))
}

fn parse_authority(https: bool, text: &str) -> Result<String, UrlError> {
    let host_end = match text.find(']') {
        Some(bracket) => bracket + 1,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(host_end);
    let host = parse_host(host)?;
    // RFC 3986, section 3.2.3: a colon without a port means the default port.
    if rest.is_empty() || rest == ":" {
        return Ok(host);
    }
    let digits = rest.strip_prefix(':').ok_or(UrlError::Host)?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(UrlError::Port);
    }
    match digits.parse::<u16>() {
        Ok(0) | Err(_) => Err(UrlError::Port),
        Ok(port) if port == default_port(https) => Ok(host),
        Ok(port) => Ok(format!("{host}:{port}")),
    }
}

/// Stricter than the standard: only letters, digits, `-` and `_` in labels that fit into DNS.
/// Percent-encoding and the many spellings of an IPv4 address are ways around a list of hosts.
fn parse_host(text: &str) -> Result<String, UrlError> {
    if let Some(address) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        return parse_ipv6(address);
    }
    let host = text.to_ascii_lowercase();
    let name = host.strip_suffix('.').unwrap_or(&host);
    let valid = name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        });
    // The standard's "ends in a number checker": such a host can only be an IPv4 address.
    let last = name.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|b| b.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    if !valid || (numeric && host.parse::<Ipv4Addr>().is_err()) {
        return Err(UrlError::Host);
    }
    Ok(host)
}

fn parse_ipv6(text: &str) -> Result<String, UrlError> {
    let address: Ipv6Addr = text.parse().map_err(|_| UrlError::Host)?;
    // The standard's serializer differs from std's only in that it never writes dotted decimals.
    if address.to_ipv4_mapped().is_some() {
        let [.., high, low] = address.segments();
        return Ok(format!("[::ffff:{high:x}:{low:x}]"));
    }
    Ok(format!("[{address}]"))
}

/// The standard's path state: appends the segments of `tail` to a path without trailing slash,
/// resolving the dot segments, encoded or not.
fn push_segments(path: &mut String, tail: &str) {
    let mut segments = tail.split(['/', '\\']).peekable();
    while let Some(segment) = segments.next() {
        let dots = match segment.len() {
            // Only as long as the longest spelling, `%2e%2e`, can be worth decoding.
            1..=6 if segment.contains(['.', '%']) => {
                segment.to_ascii_lowercase().replace("%2e", ".")
            }
            _ => String::new(),
        };
        if dots == ".." {
            path.truncate(path.rfind('/').unwrap_or(0));
        } else if dots != "." {
            path.push('/');
            path.extend(utf8_percent_encode(segment, PATH));
            continue;
        }
        if segments.peek().is_none() {
            path.push('/');
        }
    }
}

/// Refuses the `..` that appears only after decoding. Some servers decode before they split at
/// slashes, some do so twice, some cut `;parameters` (RFC 3986, section 3.3) off first, and some
/// forward the decoded text, in which `?` and `#` end the path.
fn check_hidden_dots(path: &str) -> Result<(), UrlError> {
    let once: Cow<'_, [u8]> = percent_decode(path.as_bytes()).into();
    let twice: Cow<'_, [u8]> = percent_decode(&once).into();
    if twice.contains(&0) {
        return Err(UrlError::Character);
    }
    let dots = twice.split(|b| b"/\\".contains(b)).any(|segment| {
        let end = segment.iter().position(|b| b";?#".contains(b));
        &segment[..end.unwrap_or(segment.len())] == b".."
    });
    if dots {
        return Err(UrlError::LeavesBase);
    }
    Ok(())
}

mod origin;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
