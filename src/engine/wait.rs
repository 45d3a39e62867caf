//! How long a server asks to wait.

use std::time::{Duration, SystemTime};

use http::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

static RATELIMIT_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
static RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
static X_RATELIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
static X_RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");

/// The wait a rejection asks for: `Retry-After` (RFC 9110 section 10.2.3), else
/// `RateLimit-Reset`, else `X-RateLimit-Reset`. `None` where none can be read.
///
/// Many APIs tell the reset with every response. Where `Remaining` says that something is left of
/// the quota, it is no reason to wait, whatever else the failure is.
///
/// A number too large to hold is `Duration::MAX`; a date in the past is zero.
pub(crate) fn asked(headers: &HeaderMap, wall: impl Fn() -> SystemTime) -> Option<Duration> {
    // Most responses ask for nothing: the clock and the date are for those that do.
    let now = || date(headers, &DATE).unwrap_or_else(&wall);
    let since = |at: SystemTime| at.duration_since(now()).unwrap_or_default();
    let after = text(headers, &RETRY_AFTER).and_then(|value| {
        seconds(value).or_else(|| Some(since(httpdate::parse_http_date(value).ok()?)))
    });
    let used_up = |remaining| {
        let left = text(headers, remaining).and_then(|value| value.parse::<f64>().ok());
        left.is_none_or(|left| left <= 0.0)
    };
    let told = |reset, remaining| seconds(text(headers, reset)?).filter(|_| used_up(remaining));
    let reset = || told(&RATELIMIT_RESET, &RATELIMIT_REMAINING);
    let x_reset = || {
        let value = told(&X_RATELIMIT_RESET, &X_RATELIMIT_REMAINING)?;
        // Some APIs give a time of the Unix epoch, others a number of seconds.
        if value < Duration::from_secs(1_000_000_000) {
            return Some(value);
        }
        Some(SystemTime::UNIX_EPOCH.checked_add(value).map_or(Duration::MAX, since))
    };
    after.or_else(reset).or_else(x_reset)
}

/// The one value of a field; two that differ tell nothing.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.any(|other| other != first) {
        return None;
    }
    Some(first.to_str().ok()?.trim_matches([' ', '\t']))
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(text(headers, name)?).ok()
}

/// `1*DIGIT`, and nothing that `parse` would let by, such as a sign.
fn seconds(value: &str) -> Option<Duration> {
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(value.parse().map_or(Duration::MAX, Duration::from_secs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const NOON: &str = "Sat, 21 Nov 2026 12:00:00 GMT";

    fn wait(fields: &[(&'static str, &str)]) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        asked(&headers, || httpdate::parse_http_date(NOON).unwrap())
    }

    #[test]
    fn seconds_dates_and_garbage() {
        let secs = |n| Some(Duration::from_secs(n));
        let cases: [(&str, Option<Duration>); 18] = [
            ("2", secs(2)),
            ("0", secs(0)),
            (" 2 ", secs(2)),
            ("1000000000", secs(1_000_000_000)),
            ("99999999999999999999", Some(Duration::MAX)),
            ("2.5", None),
            ("+2", None),
            ("-1", None),
            ("1e9", None),
            ("", None),
            ("soon", None),
            ("Sat, 21 Nov 2026 12:00:30 GMT", secs(30)),
            ("Sat, 21 Nov 2026 11:00:00 GMT", secs(0)),
            ("Saturday, 21-Nov-26 12:00:30 GMT", secs(30)),
            ("Sat Nov 21 12:00:30 2026", secs(30)),
            ("Sat, 21 Nov 2026 12:00:30 CET", None),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(Duration::MAX)),
            ("Sat, 21 Nov 2026", None),
        ];
        for (value, expected) in cases {
            let got = wait(&[("retry-after", value)]);
            match expected {
                Some(far) if far > Duration::from_secs(2_000_000_000) => {
                    assert!(got > secs(2_000_000_000), "{value}")
                }
                _ => assert_eq!(got, expected, "{value:?}"),
            }
        }
    }

    #[test]
    fn the_servers_own_clock_counts() {
        let fields = [
            ("date", "Sat, 21 Nov 2026 13:00:00 GMT"),
            ("retry-after", "Sat, 21 Nov 2026 13:00:07 GMT"),
        ];
        assert_eq!(wait(&fields), Some(Duration::from_secs(7)));
    }

    #[test]
    fn twice_is_one_value_or_none() {
        assert_eq!(
            wait(&[("retry-after", "2"), ("retry-after", "2")]),
            Some(Duration::from_secs(2))
        );
        assert_eq!(wait(&[("retry-after", "2"), ("retry-after", "3")]), None);
    }

    #[test]
    fn a_reset_is_no_wait_while_something_is_left() {
        for (reset, remaining) in [
            ("ratelimit-reset", "ratelimit-remaining"),
            ("x-ratelimit-reset", "x-ratelimit-remaining"),
        ] {
            for left in ["1", "4999", "0.5"] {
                assert_eq!(wait(&[(reset, "9"), (remaining, left)]), None, "{left}");
                let both = [(reset, "9"), (remaining, left), ("retry-after", "2")];
                assert_eq!(wait(&both), Some(Duration::from_secs(2)), "{left}");
            }
            for used_up in ["0", "-1", "", "none"] {
                let nine = Some(Duration::from_secs(9));
                assert_eq!(wait(&[(reset, "9"), (remaining, used_up)]), nine, "{used_up}");
            }
        }
    }

    #[test]
    fn resets_stand_in() {
        assert_eq!(wait(&[("ratelimit-reset", "9")]), Some(Duration::from_secs(9)));
        assert_eq!(wait(&[("x-ratelimit-reset", "9")]), Some(Duration::from_secs(9)));
        let noon = httpdate::parse_http_date(NOON).unwrap();
        let epoch = noon.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 11;
        assert_eq!(
            wait(&[("x-ratelimit-reset", &epoch.to_string())]),
            Some(Duration::from_secs(11))
        );
        assert_eq!(
            wait(&[("retry-after", "soon"), ("ratelimit-reset", "9")]),
            Some(Duration::from_secs(9))
        );
    }
}
