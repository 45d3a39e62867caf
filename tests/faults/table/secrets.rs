//! L: what must not show. Every case of every section is searched for the credential; these look for it where it
//! is likeliest.

use std::sync::Arc;

use duocall::mock::{Mock, Reply};
use duocall::{Api, Auth, Request, Retry};

use crate::faults::caller::{Caller, own};
use crate::faults::case::{Case, once, row, unsent};
use crate::parity::canary::CANARY;
use crate::parity::outcome::Said;
use crate::parity::scenario::Fault::Close;
use crate::parity::scenario::{http, ok};
use crate::parity::site::Site;

/// Its name, what it is, how it is made, and what the request's target becomes.
type Kind = (&'static str, &'static str, fn() -> Auth, &'static str);

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let kinds: [Kind; 5] = [
        ("bearer", "a bearer token", || Auth::bearer(CANARY), "x"),
        ("token", "a token", || Auth::token(CANARY), "x"),
        ("basic", "a password", || Auth::basic("user", CANARY), "x"),
        ("header", "a header of its own", || Auth::header("x-api-key", CANARY), "x"),
        ("query", "a parameter of the query", || Auth::query("key", CANARY), "x?key=s3cr3t-CANARY"),
    ];
    for (id, what, auth, target) in kinds {
        cases.push(row(
            format!("L1 {id}").leak(),
            format!("the credential is {what}, and the call fails, in several ways").leak(),
            "it shows in no message, no `Debug` output and no log",
            once()
                .api(move |api| api.auth(auth()).retry(Retry::none()))
                .send(Request::get("x").accept(404))
                .send(Request::get("x"))
                .send(Request::get("x"))
                .reply(http(404).body("no"))
                .reply(http(500).body("oh"))
                .reply(Close)
                .expect(
                    "404 no | \
                         Status/Yes: GET http://H/x: 500 Internal Server Error: the server failed [oh] | \
                         Closed/Maybe: GET http://H/x: no response: the connection was closed",
                    "First 404 | First 500~ | First Closed~, Resend Closed",
                    format!(
                        "GET /{target} | GET /{target}~ | GET /{target}~ | GET /{target}"
                    ),
                ),
        ));
    }
    cases.extend(urls());
    cases.push(row(
        "L4",
        "a credential in a request's headers, as a transport and a logger get them",
        "marked as sensitive, so that their `Debug` output does not show it",
        once().own(own!(marked)).reply(ok("never")).connections(0).expect("Sensitive", "", ""),
    ));
    cases
}

fn urls() -> Vec<Case> {
    vec![
        row(
            "L2 query",
            "a secret in the query of the request's own URL",
            "the error shows the names of the parameters, not the values",
            once()
                .send(Request::get("x?api_key=s3cr3t-CANARY&b=2"))
                .send(Request::get("x").query("token", CANARY))
                .reply(http(500))
                .expect(
                    "Status/Yes: GET http://H/x?api_key=***&b=***: 500 Internal Server Error: the server failed | \
                     Status/Yes: GET http://H/x?token=***: 500 Internal Server Error: the server failed",
                    "First 500 | First 500~",
                    "GET /x?api_key=s3cr3t-CANARY&b=2 | GET /x?token=s3cr3t-CANARY~",
                ),
        ),
        row(
            "L2 userinfo",
            "a password in the request's own URL",
            "an error of the request, which does not repeat it",
            unsent(
                once().send(Request::absolute("http://user:s3cr3t-CANARY@127.0.0.1/x")),
                "URL contains a user name or a password",
            ),
        ),
    ]
}

async fn marked(caller: Caller, _: Arc<Site>) -> Vec<Said> {
    let mock = Mock::new();
    mock.on("GET", "x").reply(Reply::status(200));
    let api = Api::builder("http://api.example.com/").auth(Auth::bearer(CANARY));
    let caller = caller.mocked(api.build().expect("good"), mock.clone());
    if let Err(error) = caller.send(Request::get("x")).await {
        return vec![Said::response(Err(error))];
    }
    let seen = mock.requests();
    vec![Said::Text(format!("{:?}", seen[0].headers()["authorization"]))]
}
