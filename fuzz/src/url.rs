//! Any text as a target, and any bytes as where a redirect leads. What goes out is what the URL standard
//! makes of it (the crate `url` is the judge), stays at the base unless asked otherwise, and takes the
//! credential nowhere else.

use duocall::mock::{Mock, Reply};
use duocall::{Api, Auth, Request};
use http::HeaderValue;
use http::header::AUTHORIZATION;
use url::{Position, Url};

use super::{Outcome, both};

const BASES: [&str; 3] =
    ["https://api.example.com/v1/", "http://127.0.0.1:8080/", "https://[::1]/a/b/"];

pub fn check(data: &[u8]) {
    let base = BASES[data.len() % BASES.len()];
    if let Ok(text) = std::str::from_utf8(data) {
        joined(base, text);
        let _ = Api::new(text);
        let _ = sent(base, Request::absolute(text), None);
    }
    redirected(base, data);
}

/// The URLs that went out, and whether each took the credential along.
fn sent(base: &str, request: Request, location: Option<&HeaderValue>) -> Vec<(Url, bool)> {
    let (seen, _) = both(|way| {
        let mock = Mock::new();
        if let Some(location) = location {
            mock.on("GET", "start").reply(Reply::status(307).header("location", location));
        }
        mock.on("*", "*").reply(Reply::status(200));
        let api = Api::builder(base).auth(Auth::bearer("t")).build().expect("a good base");
        let result = way.over(api, mock.clone())(request.clone());
        let seen = mock.requests();
        let seen = seen.iter().filter_map(|it| {
            let credential = it.headers().contains_key(AUTHORIZATION);
            match Url::parse(&it.uri().to_string()) {
                Ok(url) => Some((url, credential)),
                // Ours does not read such names and leaves them to DNS.
                Err(_) if it.uri().to_string().contains("xn--") && !credential => None,
                Err(error) => panic!("{error}: {}", it.uri()),
            }
        });
        (seen.collect::<Vec<_>>(), Outcome::of(result))
    });
    seen
}

fn is_within(base: &Url, url: &Url) -> bool {
    url.origin() == base.origin() && url.path().starts_with(base.path())
}

fn joined(base: &str, text: &str) {
    let whole = Url::parse(base).expect("a good base");
    for (url, credential) in sent(base, Request::get(text), None) {
        assert!(is_within(&whole, &url) && credential, "{url}");
        let wanted = whole.join(text).expect("the standard can join them");
        if !text.split('/').any(is_drive) {
            assert_eq!(bare(&url), bare(&wanted));
        }
    }
}

fn redirected(base: &str, data: &[u8]) {
    let Ok(location) = HeaderValue::from_bytes(data) else { return };
    let whole = Url::parse(base).expect("a good base");
    let mut left = false;
    for (url, credential) in sent(base, Request::get("start"), Some(&location)) {
        assert!(matches!(url.scheme(), "http" | "https"), "{url}");
        assert!(!(whole.scheme() == "https" && url.scheme() == "http"), "{url}");
        // Whoever has been outside does not get it back.
        left |= !is_within(&whole, &url);
        assert!(!(credential && left), "{url}");
    }
}

/// The crate `url` lets no `..` take these away, as the standard wants it of files only.
fn is_drive(segment: &str) -> bool {
    matches!(segment.as_bytes(), [letter, b':' | b'|'] if letter.is_ascii_alphabetic())
}

/// Without what never goes out, and with the one sign that the crate `url` leaves as it is.
fn bare(url: &Url) -> String {
    url[..Position::AfterQuery].replace('^', "%5E")
}
