//! A small, strict parser for `http` and `https` URLs.
//!
//! Two kinds of text come in. What the *caller* wrote ([`Url::parse`], [`Url::parse_base`],
//! [`Url::join`]) is refused when it is doubtful, because a mistake there sends credentials to the
//! wrong place. What a *server* sent ([`Url::resolve`]) is read as the WHATWG URL standard
//! (<https://url.spec.whatwg.org/>) reads it, because that is what servers are tested against.
//! Both end in the same normal form, so that comparing two URLs is comparing two strings.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

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
            Self::Relative => "has a scheme where one relative to the API's base is expected",
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

/// An absolute `http` or `https` URL in normal form, without userinfo and fragment.
///
/// The parts are read off `uri`: a URL that `http` would refuse cannot come to exist.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Url {
    text: String,
    uri: http::Uri,
}

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
        let path = format!("{}/", url.path());
        Url::assemble(url.is_https(), url.host_header(), &path, None)
    }

    /// Joins a target as the caller wrote it to this base, below which the result must stay: the
    /// target may hold foreign data, and the request will carry credentials for this base.
    pub(crate) fn join(&self, target: &str) -> Result<Url, UrlError> {
        check_caller_text(target)?;
        let (head, query) = split_query(target);
        if split_scheme(head).is_some() {
            return Err(UrlError::Relative);
        }
        if head.starts_with("//") {
            return Err(UrlError::LeavesOrigin);
        }
        let url = self.relative(head, query)?;
        url.check_within(self)?;
        Ok(url)
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
        let query = match self.query() {
            None | Some("") => encoded.to_owned(),
            Some(query) => format!("{query}&{encoded}"),
        };
        *self = self.with_path(self.path(), Some(&query))?;
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
        if let Ok(url) = self.with_path(self.path(), left.as_deref()) {
            *self = url;
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The URL for logs and messages: the values of the query, where API keys are, are hidden.
    pub(crate) fn redacted(&self) -> String {
        let Some((head, query)) = self.text.split_once('?') else {
            return self.text.clone();
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
        self.text.starts_with("https:")
    }

    /// The value of the `Host` field (RFC 9110, section 7.2).
    pub(crate) fn host_header(&self) -> &str {
        self.uri.authority().map_or("", |a| a.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }

    pub(crate) fn query(&self) -> Option<&str> {
        self.uri.query()
    }

    /// Same scheme, host and port (RFC 6454, section 5).
    pub(crate) fn same_origin(&self, other: &Url) -> bool {
        self.is_https() == other.is_https() && self.host_header() == other.host_header()
    }

    /// Whether this URL is the base or below it, however a server decodes the path.
    pub(crate) fn within(&self, base: &Url) -> bool {
        self.check_within(base).is_ok()
    }

    pub(crate) fn to_uri(&self) -> http::Uri {
        self.uri.clone()
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
        Url::assemble(https, &authority, &normal, query)
    }

    /// The standard's relative state: no scheme, no authority.
    fn relative(&self, head: &str, query: Option<&str>) -> Result<Url, UrlError> {
        if head.is_empty() {
            return self.with_path(self.path(), query.or(self.query()));
        }
        let (mut path, tail) = match head.strip_prefix(['/', '\\']) {
            Some(tail) => (String::new(), tail),
            None => {
                let directory = self.path().rsplit_once('/').map_or("", |split| split.0);
                (directory.to_owned(), head)
            }
        };
        push_segments(&mut path, tail);
        self.with_path(&path, query)
    }

    fn with_path(&self, path: &str, query: Option<&str>) -> Result<Url, UrlError> {
        Url::assemble(self.is_https(), self.host_header(), path, query)
    }

    fn assemble(
        https: bool,
        authority: &str,
        path: &str,
        query: Option<&str>,
    ) -> Result<Url, UrlError> {
        let scheme = if https { "https" } else { "http" };
        let mut text = format!("{scheme}://{authority}{path}");
        if let Some(query) = query {
            text.push('?');
            text.extend(utf8_percent_encode(query, QUERY));
        }
        if text.len() > MAX_LEN {
            return Err(UrlError::TooLong);
        }
        let uri = text.parse().map_err(|_| UrlError::Character)?;
        Ok(Url { text, uri })
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
            1..=6 => segment.to_ascii_lowercase().replace("%2e", "."),
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
    let once: Vec<u8> = percent_decode(path.as_bytes()).collect();
    let twice: Vec<u8> = percent_decode(&once).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(url: Result<Url, UrlError>) -> Result<String, UrlError> {
        url.map(|url| url.as_str().to_owned())
    }

    /// Checks a table with lines of the name of an error and the texts that must give it.
    fn refuses(table: &str, parse: impl Fn(&str) -> Result<Url, UrlError>) {
        for line in table.trim().lines() {
            let mut words = line.split_whitespace();
            let error = format!("Err({})", words.next().unwrap());
            words.for_each(|word| assert_eq!(format!("{:?}", parse(word)), error, "{word}"));
        }
    }

    #[test]
    fn parse_accepts_and_normalises() {
        for (given, expected) in [
            ("HTTPS://API.Example.com", "https://api.example.com/"),
            ("https://h:443/a?b#c", "https://h/a?b"),
            ("http://h:443?x", "http://h:443/?x"),
            ("http://h:/", "http://h/"),
            ("https://my_host./é ?é '", "https://my_host./%C3%A9%20?%C3%A9%20%27"),
            ("https://h/%zz/a/./b/%2E%2e/c/..", "https://h/%zz/a/"),
            ("https://h/../..//x^", "https://h//x%5E"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
            ("http://[0:0::1]:80/", "http://[::1]/"),
            ("http://[::FFFF:1.2.3.4]/", "http://[::ffff:102:304]/"),
            ("https://h/a:b@c?u=https://x@y", "https://h/a:b@c?u=https://x@y"),
        ] {
            assert_eq!(text(Url::parse(given)).as_deref(), Ok(expected), "{given}");
        }
    }

    #[test]
    fn parse_refuses() {
        let table = r"
            Scheme     h /a //h/ localhost:80 file:///a ws://h 1: :
            Userinfo   https://a@h/ https://a:b@h https://@h https://a@b@h?c
            Host       https:h https:/h https:// https:///h https://:80/ https://. https://?a
            Host       https://é.com/ https://a%2eb/ https://a..b/ https://a,b https://.a
            Host       http://127.1 http://0x7f.1 http://2130706433 http://1.2.3.04 http://a.0x
            Host       http://1.2.3.4. http://256.1.1.1 http://a.1 http://[::1%25eth0]/
            Host       http://[::1 http://::1 http://[::1]x/ http://[v1.a]/ http://a[::1]/
            Port       http://h:0 http://h:65536 http://h:+1 http://h:1a http://h:1:2
            Character  https://h\@e https://h/\ https:\\h";
        refuses(table, Url::parse);
        let spaced =
            " https://h|https://h |https://h/\u{a0}|ht\ntps://h|https://h/\t|https://h/#\0";
        for given in spaced.split('|') {
            assert_eq!(Url::parse(given), Err(UrlError::Character), "{given:?}");
        }
        assert_eq!(Url::parse(""), Err(UrlError::Empty));
        assert_eq!(Url::parse("https://a b/"), Err(UrlError::Host));
        let long = format!("https://h/{}", "é".repeat(MAX_LEN / 4));
        assert_eq!(Url::parse(&long), Err(UrlError::TooLong));
    }

    #[test]
    fn parse_base_wants_a_bare_directory() {
        let base = |given| text(Url::parse_base(given));
        assert_eq!(base("https://h").as_deref(), Ok("https://h/"));
        assert_eq!(base("https://h/v1").as_deref(), Ok("https://h/v1/"));
        assert_eq!(base("https://h/v1/").as_deref(), Ok("https://h/v1/"));
        assert_eq!(base("https://h/v1?"), Err(UrlError::Query));
        assert_eq!(base("https://h/v1#"), Err(UrlError::Fragment));
        assert_eq!(base("https://a:b@h/v1"), Err(UrlError::Userinfo));
    }

    #[test]
    fn join_stays_below_the_base() {
        let base = Url::parse_base("https://h/v1").unwrap();
        for (target, expected) in [
            ("", ""),
            ("?x=1", "?x=1"),
            ("users", "users"),
            ("users?x=1#frag", "users?x=1"),
            ("#f", ""),
            ("/v1/users", "users"),
            ("a/../b", "b"),
            ("../v1/b", "b"),
            ("things/a:b", "things/a:b"),
            ("./a:b", "a:b"),
            ("12:30", "12:30"),
            ("?u=https://x/..", "?u=https://x/.."),
            ("a//b", "a//b"),
            ("a..b/...", "a..b/..."),
            ("a%2Fb%5C;..", "a%2Fb%5C;.."),
            ("é b", "%C3%A9%20b"),
        ] {
            let expected = format!("https://h/v1/{expected}");
            assert_eq!(text(base.join(target)), Ok(expected), "{target}");
        }
        let table = r"
            Relative      https://e/ HTTPS://e http:e https:e https:///e https://h/v1/ a:b
            Relative      javascript:x data:,x file:///etc/passwd x+y-z.1:
            LeavesOrigin  //e/x //u:p@e ///e //h/v1/ //
            Character     \\e\x /\e //e\@h %00 a%00b %2500
            LeavesBase    .. ../admin %2e%2e/admin .%2E/admin a/../../b /v1/../x
            LeavesBase    /users /v1 / /v12/x ..;/ a/..;x=1/b ..%2f %2e%2e%2f ..%5c
            LeavesBase    a%2f.. %252e%252e ..%252f ..%3f ..%23x";
        refuses(table, |target| base.join(target));
        let spaced = " https://e|ht\ntps://e/|/\t/e|x\r\nHost: e|x |\u{2003}x|?\0|#\x7f";
        for target in spaced.split('|') {
            assert_eq!(base.join(target), Err(UrlError::Character), "{target:?}");
        }
        for long in ["a".repeat(MAX_LEN), "é".repeat(MAX_LEN / 2)] {
            assert_eq!(base.join(&long), Err(UrlError::TooLong));
        }
    }

    #[test]
    fn resolve_reads_what_servers_send() {
        let url = Url::parse("https://h:8443/a/b?q=1").unwrap();
        for (location, expected) in [
            ("", "https://h:8443/a/b?q=1"),
            ("#f", "https://h:8443/a/b?q=1"),
            ("?", "https://h:8443/a/b?"),
            ("c", "https://h:8443/a/c"),
            (r"..\c d", "https://h:8443/c%20d"),
            (" /c\r\n", "https://h:8443/c"),
            ("//u:p@e/x#f", "https://e/x"),
            (r"/\e", "https://e/"),
            ("/\t/e", "https://e/"),
            ("https:c", "https://h:8443/a/c"),
            ("https:/c", "https://h:8443/c"),
            ("http:e", "http://e/"),
            ("hTTps:///e:443", "https://e/"),
            (r"//g\@e", "https://g/@e"),
        ] {
            let resolved = text(url.resolve(location));
            assert_eq!(resolved.as_deref(), Ok(expected), "{location}");
        }
        let table = "
            Scheme  javascript:x ftp://h/ data:,
            Host    // //u@/ //é/ //0x7f.1/ //a%2eb
            Port    //h:0/ //h:x";
        refuses(table, |location| url.resolve(location));
        let long = "a".repeat(1 << 20);
        assert_eq!(url.resolve(&long), Err(UrlError::TooLong));
    }

    #[test]
    fn parts() {
        let url = Url::parse("http://[::1]:8080/a?b=c&d&&e=f=g").unwrap();
        assert_eq!(url.host_header(), "[::1]:8080");
        assert_eq!((url.path(), url.query()), ("/a", Some("b=c&d&&e=f=g")));
        assert_eq!(url.to_string(), "http://[::1]:8080/a?b=***&***&&e=***");
        assert_eq!(format!("{url:?}"), r#"Url("http://[::1]:8080/a?b=***&***&&e=***")"#);
        assert!(!url.is_https());
        assert_eq!(Url::parse("https://h/?").unwrap().query(), Some(""));
    }

    #[test]
    fn origins_and_bases() {
        let base = Url::parse_base("https://h/v1").unwrap();
        for (other, same_origin, within) in [
            ("https://H:443/v1/a?b", true, true),
            ("https://h/v1", true, false),
            ("https://h/v12/", true, false),
            ("https://h/v1/%2e%2e/a", true, false),
            ("https://h/v1/..%2fa", true, false),
            ("http://h/v1/a", false, false),
            ("https://h:444/v1/a", false, false),
            ("https://h.e/v1/a", false, false),
        ] {
            let other = Url::parse(other).unwrap();
            assert_eq!((other.same_origin(&base), other.within(&base)), (same_origin, within));
        }
        // A base without a trailing slash still ends at a segment.
        let base = Url::parse("https://h/v1").unwrap();
        assert!(Url::parse("https://h/v1/a").unwrap().within(&base));
        assert!(!Url::parse("https://h/v12").unwrap().within(&base));
    }

    #[test]
    fn encoding() {
        assert_eq!(encode_segment("a/b ~%é").as_deref(), Ok("a%2Fb%20~%25%C3%A9"));
        assert_eq!(encode_segment(""), Err(UrlError::Empty));
        assert_eq!(encode_segment("."), Err(UrlError::LeavesBase));
        assert_eq!(encode_segment(".."), Err(UrlError::LeavesBase));
        let mut query = String::new();
        push_query(&mut query, "a b", "&=é");
        push_query(&mut query, "c", "");
        assert_eq!(query, "a+b=%26%3D%C3%A9&c=");
        for start in ["https://h/", "https://h/?", "https://h/?#f"] {
            let mut url = Url::parse(start).unwrap();
            assert_eq!(url.append_query(""), Ok(()));
            assert_eq!(url.append_query("a=1"), Ok(()));
            assert_eq!(url.append_query("b=#"), Ok(()));
            assert_eq!(url.as_str(), "https://h/?a=1&b=%23");
            assert_eq!(url.append_query(&"c".repeat(MAX_LEN)), Err(UrlError::TooLong));
            assert_eq!(url.to_uri().to_string(), "https://h/?a=1&b=%23");
        }
    }
}

#[cfg(test)]
mod queries {
    use super::*;

    #[test]
    fn items_of_a_name_are_removed_and_the_others_stay_as_they_are() {
        for (given, expected) in [
            ("https://h/a", "https://h/a"),
            ("https://h/a?", "https://h/a?"),
            ("https://h/a?k=1", "https://h/a"),
            ("https://h/a?k", "https://h/a"),
            ("https://h/a?b=%20&%6B=1&&c=x+y&k=2", "https://h/a?b=%20&&c=x+y"),
            ("https://h/a?kk=1&K=2", "https://h/a?kk=1&K=2"),
        ] {
            let mut url = Url::parse(given).unwrap();
            url.remove_query("k");
            assert_eq!(url.as_str(), expected, "{given}");
        }
    }
}

/// Checks against the `url` crate, which implements the WHATWG standard.
#[cfg(test)]
mod oracle {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    #[rustfmt::skip]
    const TOKENS: &[&str] = &[
        "https:", "http:", "HTTPS://", "javascript:", "file:", "//", "/", "\\", "?", "#", "@", ":", ";",
        "[", "]", "[::1]", "[::ffff:1.2.3.4]", "127.0.0.1", "0x7f", "1", "08", ":443", ":80", ":0", ":65536",
        "h", "evil.com", "api.example.com", "xn--", "xn--bcher-kva", "é", "\u{ad}", "。", "u:p@", "v1/", "/v1/",
        "..", ".", "%2e", "%2E", "%2f", "%5c", "%00", "%25", "%zz", "%", " ", "\t", "\n", "\r", "\0",
        "\x7f", "\u{85}", "\u{a0}", "^", "|", "\"", "'", "`", "{", "<", "=", "&",
    ];
    const BASES: &[&str] =
        &["https://api.example.com/v1/", "http://h:8080/a/b?q", "https://[::1]/"];

    fn hostile() -> impl Strategy<Value = String> {
        let other = any::<char>().prop_map(String::from);
        let token = prop_oneof![9 => select(TOKENS).prop_map(String::from), 1 => other];
        vec(token, 0..9).prop_map(|tokens| tokens.concat())
    }

    fn starts() -> impl Strategy<Value = &'static str> {
        select(&["", "https://", "http://", "https://h/", "http://h:", "//h/"][..])
    }

    /// What the `url` crate makes of it, without the parts we drop.
    ///
    /// It leaves `^` in a path alone: the standard's set gained it later, in 2024.
    fn expected(base: &url::Url, text: &str) -> Option<String> {
        let mut url = base.join(text).ok()?;
        url.set_fragment(None);
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        let path = url.path().replace('^', "%5E");
        let query = url.query().map_or(String::new(), |query| format!("?{query}"));
        Some(url[..url::Position::BeforePath].to_owned() + &path + &query)
    }

    /// `///h` means `//h` by the standard, but the `url` crate misses the host in it.
    fn two_slashes(text: &str) -> String {
        let text = text.trim_matches(|c| c <= ' ').replace(['\t', '\n', '\r'], "");
        let rest = text.trim_start_matches(['/', '\\']);
        match text.len() - rest.len() {
            0..3 => text,
            _ => format!("//{rest}"),
        }
    }

    /// Compares a URL we accepted. The `url` crate also decodes `xn--` labels and refuses some; we
    /// have no Unicode tables, and such a name goes to DNS as it is.
    fn check(ours: &Url, theirs: Option<String>) {
        match theirs {
            Some(theirs) => assert_eq!(ours.as_str(), theirs),
            None => assert!(ours.host_header().contains("xn--"), "{}", ours.as_str()),
        }
        assert_eq!(ours.to_uri().to_string(), ours.as_str());
        assert_eq!(ours.resolve(ours.as_str()).as_ref(), Ok(ours));
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(512)
        })]

        #[test]
        fn parse_agrees(start in starts(), rest in hostile()) {
            let text = format!("{start}{rest}");
            let base = url::Url::parse("https://unused.example/").unwrap();
            if let Ok(ours) = Url::parse(&text) {
                check(&ours, expected(&base, &text));
            }
        }

        #[test]
        fn resolve_agrees(base in select(BASES), start in starts(), rest in hostile()) {
            let text = format!("{start}{rest}");
            let theirs = url::Url::parse(base).unwrap();
            if let Ok(ours) = Url::parse(base).unwrap().resolve(&text) {
                check(&ours, expected(&theirs, &two_slashes(&text)));
            }
        }

        #[test]
        fn join_never_leaves(base in select(BASES), text in hostile()) {
            let ours = Url::parse(base).unwrap();
            let theirs = url::Url::parse(base).unwrap();
            if let Ok(joined) = ours.join(&text) {
                check(&joined, expected(&theirs, &text));
                assert!(joined.within(&ours));
                assert_eq!(theirs.join(&text).unwrap().origin(), theirs.origin());
            }
        }

        #[test]
        fn nothing_panics(base in select(BASES), text in any::<String>()) {
            let mut url = Url::parse(base).unwrap();
            let _ = (Url::parse(&text), Url::parse_base(&text));
            let _ = (url.join(&text), url.resolve(&text));
            let _ = (encode_segment(&text), url.append_query(&text), url.to_string());
            check(&url, Some(url.as_str().to_owned()));
        }
    }
}
