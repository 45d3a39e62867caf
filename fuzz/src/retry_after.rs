//! Any header fields on a 429: the wait is the one asked for, or our own; never beyond the limit of the call.

use std::time::Duration;

use duocall::mock::{Mock, Reply, VirtualClock};
use duocall::{Api, Request, Retry, Timeouts};
use http::{HeaderName, HeaderValue};

use super::both;

const TOTAL: Duration = Duration::from_secs(3600);
const CAP: Duration = Duration::from_secs(10);

/// Lines of `name: value`; a line that no response could hold is left out.
pub fn check(data: &[u8]) {
    let mut refusal = Reply::status(429);
    let mut named = Vec::new();
    for line in data.split(|byte| *byte == b'\n').take(16) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let name = HeaderName::from_bytes(name);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            named.push((name.clone(), value.clone()));
            refusal = refusal.header(name, value);
        }
    }
    let (waited, calls) = both(|way| {
        let (mock, clock) = (Mock::new(), VirtualClock::new());
        mock.on("*", "*").reply(refusal.clone()).reply(Reply::status(200));
        let limits = Timeouts::default().total(TOTAL);
        let retry = Retry::default().backoff(Duration::from_millis(200), CAP).seed(7);
        let api = Api::builder("http://api.example.com/").clock(&clock).timeouts(limits);
        let api = api.retry(retry).build().expect("good settings");
        let result = way.over(api, mock.clone())(Request::get("x"));
        assert_eq!(result.is_ok(), mock.calls() == 2, "{result:?}");
        // A date is told against the clock of the wall, which the two ways read one after the other.
        (clock.elapsed().as_secs(), mock.calls())
    });
    assert!(waited <= TOTAL.as_secs(), "{waited} s");
    let plain = |value: &HeaderValue| {
        let text = value.to_str().ok()?;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let mut asked = named.iter().filter(|(name, _)| name == "retry-after");
    let only = asked.next().filter(|_| asked.next().is_none());
    match only.and_then(|(_, value)| plain(value)) {
        // Below that a pause of our own may come on top.
        Some(seconds) if seconds < TOTAL.as_secs() => {
            assert!(
                calls == 2 && waited >= seconds && waited <= seconds + CAP.as_secs(),
                "{waited} s"
            );
        }
        Some(seconds) if seconds > TOTAL.as_secs() => {
            assert_eq!((calls, waited), (1, 0), "it would come too late");
        }
        _ if named.iter().any(|(name, _)| name.as_str().contains("re")) => {}
        _ => assert!(calls == 2 && waited <= CAP.as_secs(), "{waited} s without being asked"),
    }
}
