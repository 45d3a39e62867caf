//! Checks against the `url` crate, which implements the WHATWG standard.

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
const BASES: &[&str] = &["https://api.example.com/v1/", "http://h:8080/a/b?q", "https://[::1]/"];

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
        None => assert!(ours.origin().host_header().contains("xn--"), "{}", ours.as_str()),
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
