//! Many calls: order, limits, and stopping.

use std::time::Duration;

use duocall::{Rate, Request, Timeouts};

use crate::parity::scenario::Fault::Silence;
use crate::parity::scenario::Mode::{FailFast, Gather, Ordered, Stream};
use crate::parity::scenario::{Scenario, case, http, ok};

pub fn rows() -> Vec<Scenario> {
    let mut rows = batches();
    rows.extend(cancelled());
    rows.extend(gate());
    rows
}

fn paths(all: &[&str]) -> Vec<Request> {
    all.iter().map(|path| Request::get(*path)).collect()
}

/// Three paths of which the first is the slowest.
fn three(scenario: Scenario) -> Scenario {
    scenario.on("/a", ok("a").after(120)).on("/b", ok("b").after(60)).on("/c", ok("c"))
}

fn batches() -> Vec<Scenario> {
    let abc = || paths(&["a", "b", "c"]);
    let failing =
        |scenario: Scenario| scenario.on("/a", ok("a")).on("/b", http(404)).on("/c", ok("c"));
    vec![
        three(case("gather keeps the order").batch(Gather, 3, abc())).expect(
            "200 a | 200 b | 200 c",
            "First 200 | First 200 | First 200",
            "GET /a | GET /b | GET /c",
        ),
        failing(case("gather keeps the failures").batch(Gather, 1, abc())).expect(
            "200 a | Status/Yes: GET http://H/b: 404 Not Found: there is no such resource | 200 c",
            "First 200 | First 404~ | First 200~",
            "GET /a | GET /b~ | GET /c~",
        ),
        case("nothing to gather").batch(Gather, 3, paths(&[])).reply(ok("never")).expect("", "", ""),
        three(case("fail_fast without a failure").batch(FailFast, 3, abc())).expect(
            "200 a | 200 b | 200 c",
            "First 200 | First 200 | First 200",
            "GET /a | GET /b | GET /c",
        ),
        failing(case("fail_fast stops at the first failure").batch(FailFast, 1, abc())).expect(
            "[1] Status/Yes: GET http://H/b: 404 Not Found: there is no such resource | \
             1 finished, 0 cancelled, Some(1) not started",
            "First 404~",
            "GET /a | GET /b~",
        ),
        failing(case("a stream of one at a time").batch(Stream, 1, abc())).expect(
            "[0] 200 a | [1] Status/Yes: GET http://H/b: 404 Not Found: there is no such resource | [2] 200 c",
            "First 200 | First 404~ | First 200~",
            "GET /a | GET /b~ | GET /c~",
        ),
        three(case("an ordered stream").batch(Ordered, 3, abc())).expect(
            "[0] 200 a | [1] 200 b | [2] 200 c",
            "First 200 | First 200 | First 200",
            "GET /a | GET /b | GET /c",
        ),
        case("retries within a batch")
            .batch(Gather, 1, abc())
            .on("/a", http(503))
            .on("/a", ok("a"))
            .on("/b", http(404))
            .on("/c", ok("c"))
            .expect(
                "200 a | Status/Yes: GET http://H/b: 404 Not Found: there is no such resource | 200 c",
                "First 503, Retry 200~ | First 404~ | First 200~",
                "GET /a | GET /a~ | GET /b~ | GET /c~",
            ),
        case("a mistake in one item")
            .batch(Gather, 1, [Request::get("a"), Request::get("a").header("host", "x")])
            .reply(ok("a"))
            .expect(
                "200 a | Request/No: invalid request: header host is set by the transport only",
                "First 200 | ",
                "GET /a",
            ),
        case("a batch out of time")
            .batch(Gather, 1, abc())
            .deadline(1500)
            .on("/a", ok("a"))
            .on("/b", Silence)
            .expect(
                "200 a | Timeout(Total)/Yes: GET http://H/b: timed out: the call | \
                 Timeout(Total)/No: timed out: the call",
                "First 200 | First Timeout(Total)~ | ",
                "GET /a | GET /b~",
            ),
        failing(case("the progress of a batch").batch(Gather, 1, abc()))
            .noting_progress()
            .notes("1 0 0 1 | 1 1 0 0 | 2 1 0 1 | 2 2 1 0 | 3 2 1 1 | 3 3 1 0")
            .expect(
                "200 a | Status/Yes: GET http://H/b: 404 Not Found: there is no such resource | 200 c",
                "First 200 | First 404~ | First 200~",
                "GET /a | GET /b~ | GET /c~",
            ),
        case("no concurrency at all").batch(Gather, 0, abc()).reply(ok("never")).expect(
            "Request/No: invalid request: batch concurrency is zero | \
             Request/No: invalid request: batch concurrency is zero | \
             Request/No: invalid request: batch concurrency is zero",
            " |  | ",
            "",
        ),
    ]
}

fn cancelled() -> Vec<Scenario> {
    let stuck = |name, mode| {
        case(name)
            .batch(mode, 1, paths(&["a", "b", "c"]))
            .cancelled_at(2)
            .on("/a", ok("a"))
            .on("/b", Silence)
            .only_bytes()
    };
    vec![
        stuck("a cancelled gather", Gather).expect(
            "200 a | Cancelled/Maybe: GET http://H/b: cancelled | Cancelled/No: cancelled",
            "First 200 | First Cancelled~ | ",
            "GET /a | GET /b~",
        ),
        stuck("a cancelled fail_fast", FailFast).expect(
            "1 finished, 1 cancelled, Some(1) not started",
            "",
            "GET /a | GET /b~",
        ),
        stuck("a cancelled stream", Stream).expect(
            "[0] 200 a | [1] Cancelled/Maybe: GET http://H/b: cancelled",
            "First 200 | First Cancelled~",
            "GET /a | GET /b~",
        ),
        stuck("a cancelled ordered stream", Ordered).expect(
            "[0] 200 a | [1] Cancelled/Maybe: GET http://H/b: cancelled",
            "First 200 | First Cancelled~",
            "GET /a | GET /b~",
        ),
    ]
}

fn gate() -> Vec<Scenario> {
    vec![
        case("a queue that is too long")
            .api(|api| {
                api.concurrency(1).timeouts(Timeouts::default().queue(Duration::from_millis(100)))
            })
            .together(paths(&["a", "a"]))
            .on("/a", ok("a").after(600))
            .only_bytes()
            .expect(
                "200 a | Timeout(Queue)/No: GET http://H/a: timed out: waiting at the gate",
                " | First 200",
                "GET /a",
            ),
        case("the queue eats nothing of the call's time")
            .api(|api| {
                let total = Timeouts::default().total(Duration::from_millis(450));
                api.concurrency(1).timeouts(total)
            })
            .together(paths(&["a", "a", "a", "a"]))
            .on("/a", ok("a").after(150))
            .expect(
                "200 a | 200 a | 200 a | 200 a",
                "First 200 | First 200 | First 200 | First 200",
                "GET /a | GET /a | GET /a | GET /a",
            ),
        case("a cost above the burst")
            .api(|api| api.rate(Rate::per_second(1000).burst(5)))
            .send(Request::get("a").cost(5))
            .send(Request::get("a").cost(6))
            .reply(ok("a"))
            .expect(
                "200 a | Request/No: invalid request: cost is above the burst of the rate",
                "First 200 | ",
                "GET /a",
            ),
        case("a rejection closes the gate for all")
            .api(|api| api.concurrency(1))
            .together(paths(&["a", "a", "a"]))
            .on("/a", http(429).header("retry-after", "1"))
            .on("/a", ok("a"))
            .loose()
            .expect("200 a | 200 a | 200 a", "", ""),
    ]
}
