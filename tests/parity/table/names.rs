//! Names: fixed addresses, a resolver of one's own, and its faults.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use duocall::transport::Failure;
use duocall::{Api, ErrorKind, Request, Timeouts};

use crate::parity::scenario::{Scenario, case, ok};

type Found = Result<Vec<SocketAddr>, Failure>;

/// The server by its other name.
fn by_name(api: &Api) -> Request {
    Request::absolute(api.base_url().replace("127.0.0.1", "localhost") + "x")
}

fn here(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Where nobody listens.
fn nowhere() -> SocketAddr {
    (Ipv4Addr::new(127, 0, 0, 9), 1).into()
}

pub fn rows() -> Vec<Scenario> {
    let row = |name| case(name).send_made(by_name).reply(ok("a")).only_bytes();
    vec![
        row("a fixed address needs no resolver, and the next one is tried")
            .noting(|api, notes| {
                let notes = notes.clone();
                let api = api.resolver(move |_: &str, _| -> Found {
                    notes.add("asked");
                    Ok(Vec::new())
                });
                api.resolve("localhost", nowhere()).resolve("LOCALHOST", here(0))
            })
            .expect("200 a", "First 200", "GET O/x"),
        case("a resolver is asked once for a connection")
            .send_made(by_name)
            .send_made(by_name)
            .reply(ok("a"))
            .only_bytes()
            .noting(|api, notes| {
                let notes = notes.clone();
                api.resolver(move |host: &str, port| -> Found {
                    notes.add(host);
                    Ok(vec![here(port)])
                })
            })
            .notes("localhost")
            .expect("200 a | 200 a", "First 200 | First 200~", "GET O/x | GET O/x~"),
        row("a name that does not exist is not asked for again")
            .noting(|api, notes| {
                let notes = notes.clone();
                api.resolver(move |_: &str, _| -> Found {
                    notes.add("asked");
                    Err(Failure::new(ErrorKind::Dns, "there is no such name").lasting())
                })
            })
            .notes("asked")
            .expect(
                "Dns/No: GET http://O/x: name not resolved: there is no such name",
                "First Dns",
                "",
            ),
        row("a name without an address")
            .api(|api| api.resolver(|_: &str, _| -> Found { Ok(Vec::new()) }))
            .expect(
                "Dns/No: GET http://O/x: name not resolved: the name has no address",
                "First Dns",
                "",
            ),
        row("a resolver that fails for now is asked again")
            .api(|api| {
                let asked = AtomicUsize::new(0);
                api.resolver(move |_: &str, port| -> Found {
                    match asked.fetch_add(1, SeqCst) {
                        0 => Err(Failure::new(ErrorKind::Dns, "SERVFAIL")),
                        _ => Ok(vec![here(port)]),
                    }
                })
            })
            .expect("200 a", "First Dns, Retry 200", "GET O/x"),
        row("a resolver that says nothing")
            .api(|api| {
                let api = api.timeouts(Timeouts::default().connect(Duration::from_millis(50)));
                api.retry(duocall::Retry::none()).resolver(|_: &str, _| -> Found {
                    std::thread::sleep(Duration::from_millis(300));
                    Ok(Vec::new())
                })
            })
            .expect(
                "Timeout(Resolve)/No: GET http://O/x: timed out: resolving the name",
                "First Timeout(Resolve)",
                "",
            ),
        row("a resolver that panics")
            .api(|api| api.resolver(|_: &str, _| -> Found { panic!("of the caller's") }))
            .expect("Panicked/No: GET http://O/x: panicked: in the resolver", "First Panicked", ""),
    ]
}
