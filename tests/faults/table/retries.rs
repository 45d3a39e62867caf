//! Y: retries, limits and batches.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use duocall::mock::{Mock, Reply, VirtualClock};
use duocall::{Api, Body, Error, Rate, Request, Response, Retry, Timeouts};
use futures_lite::future::block_on;

use crate::faults::caller::{Caller, own};
use crate::faults::case::{Case, case, row, unsent};
use crate::parity::outcome::Said;
use crate::parity::scenario::Fault::{Close, Reset, Silence};
use crate::parity::scenario::{Http, Own, http, ok};
use crate::parity::site::Site;

pub fn cases() -> Vec<Case> {
    let mut cases = seconds();
    cases.extend(dates());
    cases.extend(statuses());
    cases.extend(once_only());
    cases.push(storm());
    cases.extend(settings());
    cases.push(jumps());
    cases.extend(rates());
    cases.extend(permits());
    cases
}

fn get() -> Request {
    Request::get("x")
}

const WAITED: Own = own!(waited);

/// One call, and the whole seconds it waited before its second attempt.
async fn waited(caller: Caller, _: Arc<Site>) -> Vec<Said> {
    let said = caller.send(get()).await;
    let attempts = said.as_ref().map_or_else(Error::attempts, Response::attempts);
    let waited = attempts.get(1).map(|attempt| attempt.waited().as_secs());
    let asked = said.as_ref().err().and_then(Error::retry_after);
    let text = match (waited, asked) {
        (Some(waited), _) => format!("waited {waited} s"),
        (None, Some(Duration::MAX)) => "for ever".into(),
        // A date in some years is a number of seconds nobody can name.
        (None, Some(asked)) if asked.as_secs() > 2_000_000_000 => "for ages".into(),
        (None, Some(asked)) => format!("asked for {} s", asked.as_secs()),
        (None, None) => "asked for nothing".into(),
    };
    match said {
        Ok(response) => vec![Said::response(Ok(response)), Said::Text(text)],
        // Its text says how long, which differs where our clock counts.
        Err(error) => {
            let status = error.status().map(|status| status.as_u16());
            let attempts = error.attempts().len();
            vec![Said::Text(format!("{:?} {status:?} in {attempts}, {text}", error.kind()))]
        }
    }
}

fn asks(status: u16, values: &[&str]) -> Http {
    values.iter().fold(http(status), |reply, value| reply.header("retry-after", value))
}

const NOT_READY: &str =
    "Status/Yes: GET http://H/x: 503 Service Unavailable: the server is not ready";

/// It is tried again after so many whole seconds.
fn again(id: &'static str, what: &'static str, reply: Http, seconds: u64) -> Case {
    let status = reply.status;
    let we = match seconds {
        0 => "tried again after the own back-off",
        _ => "tried again after the time asked for",
    };
    row(
        id,
        what,
        we,
        case().own(WAITED).reply(reply).reply(ok("a")).expect(
            format!("200 a | waited {seconds} s"),
            format!("First {status}, Retry 200~"),
            "GET /x | GET /x~",
        ),
    )
}

/// It is not worth waiting for.
fn at_once(id: &'static str, what: &'static str, reply: Http, asked: &'static str) -> Case {
    let status = reply.status;
    row(
        id,
        what,
        "longer than the call may last: the response at once, with the time asked for",
        case().own(WAITED).reply(reply).expect(
            format!("Status Some({status}) in 1, {asked}"),
            "",
            "GET /x",
        ),
    )
    .within(500)
}

fn seconds() -> Vec<Case> {
    vec![
        again("Y1 429", "429 with `Retry-After: 1`", asks(429, &["1"]), 1),
        again("Y1 503", "503 with `Retry-After: 2`", asks(503, &["2"]), 2),
        again("Y1 spaces", "`\" 1 \"`", asks(429, &[" 1 "]), 1),
        again("Y1 twice", "`1` and `1`", asks(429, &["1", "1"]), 1),
        again("Y1 two", "`1` and `2`", asks(429, &["1", "2"]), 0),
        again("Y1 zero", "`0`", asks(429, &["0"]), 0),
        again("Y1 fraction", "`2.5`", asks(429, &["2.5"]), 0),
        again("Y1 plus", "`+2`", asks(429, &["+2"]), 0),
        again("Y1 minus", "`-1`", asks(429, &["-1"]), 0),
        again("Y1 exponent", "`1e9`", asks(429, &["1e9"]), 0),
        again("Y1 empty", "empty", asks(429, &[""]), 0),
        again("Y1 garbage", "`soon`", asks(429, &["soon"]), 0),
        at_once("Y1 late", "`6`, with 5 s for the call", asks(429, &["6"]), "asked for 6 s"),
        at_once("Y1 late 503", "the same with 503", asks(503, &["6"]), "asked for 6 s"),
        at_once("Y1 long", "`1000000000`", asks(429, &["1000000000"]), "asked for 1000000000 s"),
        at_once(
            "Y1 too large",
            "`99999999999999999999`",
            asks(429, &["99999999999999999999"]),
            "for ever",
        ),
    ]
}

fn dates() -> Vec<Case> {
    // The server's clock is thirty years behind ours: only the difference counts.
    let dated = |value| asks(429, &[value]).header("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let never = "Fri, 31 Dec 9999 23:59:59 GMT";
    vec![
        again(
            "Y2 future",
            "a date one second after the response's, by a clock that is wrong",
            dated("Sun, 06 Nov 1994 08:49:38 GMT"),
            1,
        ),
        again("Y2 past", "a date before the response's", dated("Sun, 06 Nov 1994 08:49:00 GMT"), 0),
        again(
            "Y2 past, no date",
            "a date in the past, in a response without one",
            asks(429, &["Sun, 06 Nov 1994 08:49:37 GMT"]),
            0,
        ),
        again("Y2 RFC 850", "in the form of RFC 850", dated("Sunday, 06-Nov-94 08:49:38 GMT"), 1),
        again("Y2 asctime", "in the form of asctime", dated("Sun Nov  6 08:49:38 1994"), 1),
        again("Y2 zone", "in a zone other than GMT", dated("Sun, 06 Nov 1994 08:49:38 CET"), 0),
        at_once("Y2 9999", "a date of the year 9999", dated(never), "for ages"),
        at_once("Y2 9999, no date", "the same by our own clock", asks(429, &[never]), "for ages"),
        row(
            "Y2 local clock",
            "a date by our own clock, which is corrected by an hour back and forth",
            "what our clock shows when the response comes counts",
            case().own(own!(by_our_clock)).reply(ok("never")).connections(0).expect(
                "200 | waited 30 s | 200 | waited 0 s",
                "First 429, Retry 200 | First 429, Retry 200",
                "",
            ),
        ),
    ]
}

const HOUR: Duration = Duration::from_secs(3600);

async fn by_our_clock(caller: Caller, _: Arc<Site>) -> Vec<Said> {
    let (clock, mock) = (VirtualClock::new(), Mock::new());
    let noon = SystemTime::UNIX_EPOCH + HOUR * 24 * 365 * 50;
    let date = http_date(noon + Duration::from_secs(30));
    let asks = || Reply::status(429).header("retry-after", &date);
    let route = mock.on("GET", "x").reply(asks()).reply(Reply::status(200));
    route.reply(asks()).reply(Reply::status(200));
    let api = Api::builder("http://api.example.com/").clock(&clock).build().expect("good");
    let caller = caller.mocked(api, mock);
    let mut said = Vec::new();
    for now in [noon, noon + HOUR] {
        clock.set_wall(now);
        let response = caller.send(get()).await;
        let waited = response.as_ref().map_or(Duration::ZERO, |it| it.attempts()[1].waited());
        said.push(Said::response(response));
        said.push(Said::Text(format!("waited {} s", waited.as_secs())));
    }
    said
}

fn http_date(at: SystemTime) -> String {
    httpdate::fmt_http_date(at)
}

fn statuses() -> Vec<Case> {
    let mut cases = Vec::new();
    for status in [408, 425, 429, 500, 502, 503, 504] {
        cases.push(row(
            format!("Y3 {status}").leak(),
            format!("{status} twice").leak(),
            "tried again; the third attempt is the answer",
            case().send(get()).reply(http(status)).reply(http(status)).reply(ok("a")).expect(
                "200 a",
                format!("First {status}, Retry {status}~, Retry 200~"),
                "GET /x | GET /x~ | GET /x~",
            ),
        ));
    }
    for status in [400, 401, 403, 404, 405, 409, 410, 418, 421, 422, 451, 501, 505, 520, 599] {
        let scenario = case().send(get().accept(status)).reply(http(status).body("why"));
        cases.push(row(
            format!("Y3 {status}").leak(),
            status.to_string().leak(),
            "not tried again; the response is kept",
            scenario.expect(format!("{status} why"), format!("First {status}"), "GET /x"),
        ));
    }
    cases.push(row(
        "Y3 lasting",
        "503 for ever, with a body that says why",
        "the last response, and how many attempts there were",
        case().send(get()).reply(http(503).body("why")).expect(
            "Status/Yes: GET http://H/x: 503 Service Unavailable after 3 attempts in T s: the server is not ready [why]",
            "First 503, Retry 503~, Retry 503~",
            "GET /x | GET /x~ | GET /x~",
        ),
    ));
    cases
}

fn once_only() -> Vec<Case> {
    let post = || Request::post("x").body("b");
    let we = "sent once, for it is not known to be safe twice";
    let failing = |id, what, fault, results, trace| {
        let limits = |t: Timeouts| t.head(Duration::from_millis(200)).total(Duration::from_secs(5));
        let scenario = case().api(move |api| api.timeouts(limits(Timeouts::default())));
        let scenario = scenario.send(post()).reply(fault).connections(1);
        row(id, what, we, scenario.expect(results, trace, "POST /x b"))
    };
    vec![
        row(
            "Y4 503",
            "503 to a POST",
            we,
            case().send(post()).reply(http(503)).expect(
                "Status/Yes: POST http://H/x: 503 Service Unavailable: the server is not ready",
                "First 503",
                "POST /x b",
            ),
        ),
        failing(
            "Y4 closed",
            "FIN when a POST was read",
            Close,
            "Closed/Maybe: POST http://H/x: no response: the connection was closed",
            "First Closed",
        ),
        failing(
            "Y4 reset",
            "RST when a POST was read",
            Reset,
            "Closed/Maybe: POST http://H/x: no response: connection reset",
            "First Closed",
        ),
        failing(
            "Y4 silence",
            "no answer to a POST",
            Silence,
            "Timeout(Head)/Yes: POST http://H/x: timed out: waiting for the response",
            "First Timeout(Head)",
        ),
        row(
            "Y4 key",
            "503 and FIN to a POST with an Idempotency-Key",
            "tried again, each time with the same key",
            case()
                .send(post().idempotency_key("k1"))
                .reply(http(503))
                .reply(http(503))
                .reply(ok("a"))
                .show(&["idempotency-key"])
                .expect(
                    "200 a",
                    "First 503, Retry 503~, Retry 200~",
                    "POST /x {idempotency-key: k1} b | POST /x~ {idempotency-key: k1} b | \
                     POST /x~ {idempotency-key: k1} b",
                ),
        ),
        row(
            "Y4 made keys",
            "503 to a POST of an API that makes keys",
            "tried again, each time with the same key",
            case()
                .api(|api| api.idempotency_keys(true))
                .own(own!(same_key))
                .reply(http(503))
                .reply(ok("a"))
                .expect("200 a | one key", "First 503, Retry 200~", "POST /x b | POST /x~ b"),
        ),
        row(
            "Y5",
            "503 to a PUT whose body is a reader",
            "not tried again: the body can be sent once, and the error says so",
            case()
                .send_made(|_| Request::put("x").body(Body::reader(&b"xyz"[..])))
                .reply(http(503))
                .expect(
                    "Status/Yes: PUT http://H/x: 503 Service Unavailable: the server is not ready \
                     (not tried again: the body can be sent once)",
                    "First 503",
                    "PUT /x xyz",
                ),
        ),
    ]
}

async fn same_key(caller: Caller, site: Arc<Site>) -> Vec<Said> {
    let said = caller.send(Request::post("x").body("b")).await;
    let seen = site.requests();
    let keys: Vec<_> = seen.iter().map(|seen| seen.header("idempotency-key")).collect();
    let same = keys.iter().all(|key| key.is_some() && *key == keys[0]);
    let text = if same { "one key".to_owned() } else { format!("{keys:?}") };
    vec![Said::response(said), Said::Text(text)]
}

const CALLERS: usize = 1000;

fn storm() -> Case {
    row(
        "Y6",
        "the server answers 1,000 calls with 503, and each could be tried again",
        "the budget for repeats: a tenth more than the calls, and ten; jitter, so that no two waits are the same",
        case()
            .api(|api| {
                let wait = Duration::from_millis(20);
                api.retry(Retry::default().backoff(wait, wait).budget(0.1)).concurrency(32)
            })
            .own(own!(many))
            .reply(http(503))
            .loose()
            .expect("at most a tenth more | waits differ", "", ""),
    )
    .within(10_000)
}

async fn many(caller: Caller, site: Arc<Site>) -> Vec<Said> {
    let results = caller.gather(vec![get(); CALLERS], 32).await;
    let seen = site.requests().len();
    let load = match seen {
        CALLERS..=1110 => "at most a tenth more".to_owned(),
        _ => format!("{seen} requests"),
    };
    let attempts = results.iter().filter_map(|result| result.as_ref().err());
    let mut waits: Vec<Duration> =
        attempts.flat_map(|error| error.attempts().iter().skip(1).map(|it| it.waited())).collect();
    let count = waits.len();
    waits.sort();
    waits.dedup();
    let jitter = if waits.len() * 10 > count * 9 { "waits differ" } else { "waits are alike" };
    vec![Said::Text(load), Said::Text(jitter.into())]
}

fn settings() -> Vec<Case> {
    let refused = |id, what, retry: fn() -> Retry, why: &str| {
        let calls = case().api(move |api| api.retry(retry())).send(get());
        row(id, what, "an error when the API is built", unsent(calls, why))
    };
    let budget = "retry budget is not a share of zero or more";
    let fine = |id, what, retry: fn() -> Retry| {
        let scenario = case().api(move |api| api.retry(retry())).send(get());
        let scenario = scenario.reply(http(503)).reply(http(503)).reply(ok("a"));
        row(id, what, "works within the call's limit", scenario)
    };
    let three = ("200 a", "First 503, Retry 503~, Retry 200~", "GET /x | GET /x~ | GET /x~");
    let mut most = fine("Y7 attempts", "4,294,967,295 attempts", || {
        Retry::default()
            .attempts(u32::MAX)
            .backoff(Duration::from_nanos(1), Duration::from_nanos(2))
    });
    most.scenario = most.scenario.expect(three.0, three.1, three.2);
    let mut long = fine("Y7 back-off MAX", "a back-off of `Duration::MAX`", || {
        Retry::default().attempts(u32::MAX).backoff(Duration::MAX, Duration::MAX).seed(1)
    });
    long.we = "longer than the call may last: the response at once";
    long.scenario = long.scenario.expect(NOT_READY, "First 503", "GET /x");
    vec![
        refused("Y7 NaN", "a budget of NaN", || Retry::default().budget(f64::NAN), budget),
        refused(
            "Y7 infinite",
            "a budget without end",
            || Retry::default().budget(f64::INFINITY),
            budget,
        ),
        refused("Y7 negative", "a negative budget", || Retry::default().budget(-0.1), budget),
        refused(
            "Y7 back-off 0",
            "a back-off of zero",
            || Retry::default().backoff(Duration::ZERO, Duration::ZERO),
            "retry back-off is zero",
        ),
        refused(
            "Y7 back-off cap",
            "a back-off whose base is above its cap",
            || Retry::default().backoff(Duration::from_secs(2), Duration::from_secs(1)),
            "retry back-off has a base above its cap",
        ),
        refused(
            "Y7 no attempts",
            "no attempts",
            || Retry::default().attempts(0),
            "retry attempts are zero",
        ),
        most,
        long,
        row(
            "Y7 budget MAX",
            "a budget of f64::MAX",
            "works",
            case()
                .api(|api| api.retry(crate::parity::run::quick().budget(f64::MAX)))
                .send(get())
                .reply(http(503))
                .reply(ok("a"))
                .expect("200 a", "First 503, Retry 200~", "GET /x | GET /x~"),
        ),
    ]
}

fn jumps() -> Case {
    row(
        "Y8",
        "the wall clock jumps by an hour, back and forth, between calls of an API with a rate",
        "the rate neither stalls nor bursts: it goes by the monotonic clock",
        case().own(own!(jumping)).reply(ok("never")).connections(0).expect(
            "0 ms, 100 ms, 200 ms, 300 ms, 400 ms",
            "",
            "",
        ),
    )
}

async fn jumping(caller: Caller, _: Arc<Site>) -> Vec<Said> {
    let (clock, mock) = (VirtualClock::new(), Mock::new());
    mock.on("GET", "x").reply(Reply::status(200));
    let api = Api::builder("http://api.example.com/").clock(&clock).rate(Rate::per_second(10));
    let caller = caller.mocked(api.build().expect("good"), mock);
    let now = SystemTime::now();
    let mut at = Vec::new();
    for wall in [now, now + HOUR, now - HOUR, now + HOUR, SystemTime::UNIX_EPOCH] {
        clock.set_wall(wall);
        match caller.send(get()).await {
            Ok(_) => at.push(format!("{} ms", clock.elapsed().as_millis())),
            Err(error) => at.push(error.to_string()),
        }
    }
    vec![Said::Text(at.join(", "))]
}

fn rates() -> Vec<Case> {
    let refused = |id, what, rate: fn() -> Rate, why: &str| {
        let calls = case().api(move |api| api.rate(rate())).send(get());
        row(id, what, "an error when the API is built", unsent(calls, &format!("rate {why}")))
    };
    let above = "is not a number above zero";
    let beyond = "is out of range: from one in thirty years to one in a nanosecond";
    vec![
        refused("Y9 0", "no calls per second", || Rate::per_second(0.0), above),
        refused("Y9 negative", "a negative number of them", || Rate::per_second(-1.0), above),
        refused("Y9 NaN", "NaN of them", || Rate::per_second(f64::NAN), above),
        refused("Y9 infinite", "any number of them", || Rate::per_second(f64::INFINITY), above),
        refused("Y9 1e300", "1e300 of them", || Rate::per_second(1e300), beyond),
        refused("Y9 1e-300", "1e-300 of them", || Rate::per_second(1e-300), beyond),
        refused(
            "Y9 burst 0",
            "a burst of none",
            || Rate::per_second(1).burst(0),
            "has a burst of zero",
        ),
        row(
            "Y9 1e9",
            "a thousand million per second",
            "works",
            case()
                .api(|api| api.rate(Rate::per_second(1e9)))
                .send(get())
                .send(get())
                .reply(ok("a"))
                .expect("200 a | 200 a", "First 200 | First 200~", "GET /x | GET /x~"),
        ),
        row(
            "Y9 cost",
            "a call that costs more than a burst",
            "an error of the request; the next call is served",
            case()
                .api(|api| api.rate(Rate::per_second(100).burst(2)))
                .send(get().cost(3))
                .send(get().cost(2))
                .reply(ok("a"))
                .expect(
                    "Request/No: invalid request: cost is above the burst of the rate | 200 a",
                    " | First 200",
                    "GET /x",
                ),
        ),
    ]
}

fn permits() -> Vec<Case> {
    vec![
        row(
            "Y10 given up",
            "1,000 calls wait for the one place there is, and are given up",
            "the place goes to the next that wants it",
            case()
                .api(|api| api.concurrency(1))
                .own(own!(given_up))
                .on("/held", ok("held").after(4000))
                .on("/x", ok("a"))
                .loose()
                .expect("200 held | nothing was sent | 200 a", "", ""),
        ),
        row(
            "Y10 too late",
            "a call waits for the one place there is, longer than it may",
            "a time-out that names the wait; nothing was sent; the next call is served",
            case()
                .api(|api| {
                    let limits = Timeouts::default().queue(Duration::from_millis(200));
                    api.concurrency(1).timeouts(limits)
                })
                .own(own!(too_late))
                .on("/held", ok("held").after(800))
                .on("/x", ok("a"))
                .loose()
                .expect(
                    "Timeout(Queue)/No: GET http://H/x: timed out: waiting at the gate | 200 held | 200 a",
                    "",
                    "",
                ),
        ),
    ]
}

/// Takes the only place there is, on a thread of its own.
fn holding(caller: &Caller, site: &Site) -> thread::JoinHandle<Said> {
    let theirs = caller.clone();
    let held = thread::spawn(move || Said::response(block_on(theirs.send(Request::get("held")))));
    site.wait_requests(1);
    held
}

async fn given_up(caller: Caller, site: Arc<Site>) -> Vec<Said> {
    let held = holding(&caller, &site);
    for _ in 0..1000 {
        if held.is_finished() {
            break;
        }
        caller.give_up(get(), 1).await;
    }
    let sent = site.requests().len() - 1;
    // The last may have come when the place was free.
    let sent = if sent <= 1 { "nothing was sent".into() } else { format!("{sent} were sent") };
    let held = held.join().expect("no panic");
    vec![held, Said::Text(sent), Said::response(caller.send(get()).await)]
}

async fn too_late(caller: Caller, site: Arc<Site>) -> Vec<Said> {
    let held = holding(&caller, &site);
    let late = Said::response(caller.send(get()).await);
    let held = held.join().expect("no panic");
    vec![late, held, Said::response(caller.send(get()).await)]
}
