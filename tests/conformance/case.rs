//! A row of the table: what is asked, what is looked at, what must be seen.

use std::fmt::Write as _;
use std::time::Duration;

use duocall::http::Method;
use duocall::{ApiBuilder, Paging, Request, Response, Retry};
use serde_json::Value;

use crate::support::ways::{Ask, Said};

/// How the two names of the server are written in the table and on the page.
pub const BASE: &str = "http://httpbin";
pub const OTHER: &str = "http://other";

pub struct Case {
    pub name: String,
    /// `METHOD PATH` of what the case calls, redirects aside.
    pub calls: Vec<String>,
    pub asks: Vec<Ask>,
    pub setup: fn(ApiBuilder) -> ApiBuilder,
    pub seen: Seen,
    pub expected: &'static str,
}

pub enum Seen {
    /// Each outcome, with what is looked at.
    Looks(Vec<Look>),
    /// All outcomes in one line.
    Sum(fn(&[Said]) -> String),
}

/// What is looked at besides status and error.
pub enum Look {
    /// The value at this JSON pointer.
    Json(&'static str),
    /// All values of this header.
    Header(&'static str),
    Text,
    Size,
    /// Where a redirect led.
    Url,
    Attempts,
    /// Whether this is true of the body.
    Is(&'static str, fn(&[u8]) -> bool),
}

/// A GET of this path, which may hold a query.
pub fn get(path: impl Into<String>) -> Case {
    call(Method::GET, path)
}

pub fn post(path: impl Into<String>) -> Case {
    call(Method::POST, path)
}

pub fn call(method: Method, path: impl Into<String>) -> Case {
    let path = path.into();
    let call = format!("{method} /{path}");
    Case {
        name: format!("`{call}`"),
        calls: vec![call],
        asks: vec![Ask::Send(Request::new(method, path))],
        setup: |api| api,
        seen: Seen::Looks(Vec::new()),
        expected: "",
    }
}

/// Many calls at once in one row.
pub fn sweep(
    name: &str,
    calls: impl IntoIterator<Item = Case>,
    sum: fn(&[Said]) -> String,
) -> Case {
    let mut all = Case { name: name.to_owned(), seen: Seen::Sum(sum), ..get("") };
    (all.calls, all.asks) = (Vec::new(), Vec::new());
    for case in calls {
        all.calls.extend(case.calls);
        all.asks.extend(case.asks);
    }
    all
}

impl Case {
    /// Changes the last request; says so in the name.
    pub fn with(mut self, how: &str, change: impl FnOnce(Request) -> Request) -> Case {
        let asked = self.asks.pop().expect("a request");
        self.asks.push(match asked {
            Ask::Send(request) => Ask::Send(change(request)),
            Ask::Open(request) => Ask::Open(change(request)),
            Ask::Pages(request, paging) => Ask::Pages(change(request), paging),
        });
        if !how.is_empty() {
            let _ = write!(self.name, ", {how}");
        }
        self
    }

    /// Changes the API; says so in the name.
    pub fn api(mut self, how: &str, setup: fn(ApiBuilder) -> ApiBuilder) -> Case {
        self.setup = setup;
        let _ = write!(self.name, ", {how}");
        self
    }

    pub fn accepting(self, status: u16) -> Case {
        self.with("accepted", |request| request.accept(status))
    }

    /// Another call with the same client.
    pub fn then(mut self, next: Case) -> Case {
        let _ = write!(self.name, ", then {}", next.name);
        self.calls.extend(next.calls);
        self.asks.extend(next.asks);
        self
    }

    pub fn opened(mut self) -> Case {
        let Some(Ask::Send(request)) = self.asks.pop() else { panic!("a request") };
        self.asks.push(Ask::Open(request));
        self.name += ", streamed";
        self
    }

    pub fn pages(mut self, paging: Paging) -> Case {
        let Some(Ask::Send(request)) = self.asks.pop() else { panic!("a request") };
        self.asks.push(Ask::Pages(request, paging));
        self.name += ", as pages";
        self
    }

    pub fn see(mut self, looks: impl IntoIterator<Item = Look>) -> Case {
        self.seen = Seen::Looks(looks.into_iter().collect());
        self
    }

    pub fn gives(mut self, expected: &'static str) -> Case {
        self.expected = expected;
        self
    }
}

/// What every case has, unless it says otherwise: quick repeats, and time for a busy machine.
pub fn usual(api: ApiBuilder) -> ApiBuilder {
    api.retry(Retry::default().backoff(Duration::from_millis(1), Duration::from_millis(2)))
}

impl Seen {
    pub fn text(&self, said: &[Said]) -> String {
        match self {
            Seen::Sum(sum) => sum(said),
            Seen::Looks(looks) => {
                let texts: Vec<String> = said.iter().map(|said| outcome(said, looks)).collect();
                texts.join(", then ")
            }
        }
    }
}

fn outcome(said: &Said, looks: &[Look]) -> String {
    match said {
        Said::Item(item) => item.to_string(),
        Said::Response(response, body) => {
            looks.iter().fold(response.status().as_str().to_owned(), |text, look| {
                text + "; " + &looked(look, response, body)
            })
        }
        Said::Error(error) => {
            let shown = error.to_string();
            // Method and URL are in the name of the case.
            let (_, what) = shown.split_once(": ").unwrap_or_default();
            let mut text = format!("{:?}: {}", error.kind(), without_time(what));
            if let Some(response) = error.response() {
                for look in looks {
                    text = text + "; " + &looked(look, response, response.bytes());
                }
            }
            text
        }
    }
}

fn looked(look: &Look, response: &Response, body: &[u8]) -> String {
    match look {
        Look::Json(pointer) => {
            let json: Option<Value> = serde_json::from_slice(body).ok();
            let value = json.as_ref().and_then(|json| json.pointer(pointer));
            let value = value.map_or("absent".to_owned(), Value::to_string);
            format!("{} {value}", pointer.trim_start_matches('/'))
        }
        Look::Header(name) => {
            let values = response.headers().get_all(*name).iter();
            let values: Vec<_> =
                values.map(|value| value.as_bytes().escape_ascii().to_string()).collect();
            let shown = values.join(", ");
            format!("{name}: {}", if values.is_empty() { "absent" } else { &shown })
        }
        Look::Text => format!("{:?}", String::from_utf8_lossy(body)),
        Look::Size => format!("{} bytes", body.len()),
        Look::Url => format!("at {}", response.url()),
        Look::Attempts => format!("{} attempts", response.attempts().len()),
        Look::Is(what, test) => format!("{}{what}", if test(body) { "" } else { "NOT " }),
    }
}

/// `after 3 attempts in 4.1 s` without the seconds.
fn without_time(text: &str) -> String {
    let Some((before, rest)) = text.split_once(" attempts in ") else { return text.to_owned() };
    let after = rest.split_once(" s").map_or("", |(_, after)| after);
    format!("{before} attempts{after}")
}
