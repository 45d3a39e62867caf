//! What people take for granted of a library's types.
#![cfg(all(feature = "async", feature = "pool", feature = "mock"))]

use std::any::type_name;
use std::fmt::Debug;
use std::mem::size_of;

use duocall::mock::{Mock, Reply};
use duocall::{
    Api, ApiBuilder, Auth, Body, Cancel, Error, ErrorGroup, ErrorKind, Multipart, Paging, Proxy,
    Rate, Request, Response, Retry, Secret, Timeline, Timeouts, Tls, blocking, nonblocking, pool,
};

const CANARY: &str = "s3cr3t-CANARY";

fn missing() -> Error {
    let mock = Mock::answering(|_| Reply::status(404));
    let client = blocking::Client::with_transport(Api::new("http://h/").unwrap(), mock);
    client.send(Request::get("x")).unwrap_err()
}

#[test]
fn a_question_mark_suits_everybody() {
    fn boxed() -> Result<(), Box<dyn std::error::Error>> {
        Err(missing())?
    }
    fn shared() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Err(missing())?
    }
    fn any() -> anyhow::Result<()> {
        Err(missing())?
    }
    fn group() -> anyhow::Result<()> {
        let mock = Mock::answering(|_| Reply::status(404));
        let client = blocking::Client::with_transport(Api::new("http://h/")?, mock);
        client.batch([Request::get("x")]).fail_fast()?;
        Ok(())
    }
    let said = missing().to_string();
    assert_eq!(boxed().unwrap_err().to_string(), said);
    assert_eq!(shared().unwrap_err().to_string(), said);
    let found = any().unwrap_err();
    assert_eq!(found.downcast_ref::<Error>().map(Error::kind), Some(ErrorKind::Status));
    assert!(group().unwrap_err().is::<ErrorGroup>());
}

#[test]
fn types_go_where_threads_and_tasks_go() {
    fn everywhere<T: Send + Sync + Unpin + 'static>() {}
    everywhere::<Api>();
    everywhere::<ApiBuilder>();
    everywhere::<Auth>();
    everywhere::<Body>();
    everywhere::<Cancel>();
    everywhere::<Error>();
    everywhere::<ErrorGroup>();
    everywhere::<Paging>();
    everywhere::<Proxy>();
    everywhere::<Request>();
    everywhere::<Response>();
    everywhere::<Retry>();
    everywhere::<Secret>();
    everywhere::<Timeline>();
    everywhere::<Tls>();
    everywhere::<blocking::Client>();
    everywhere::<nonblocking::Client>();
    everywhere::<pool::Client>();
    fn movable<T: Send + Unpin + 'static>() {}
    movable::<Multipart>();
    movable::<pool::Job<Response>>();
    movable::<blocking::Streamed>();
    movable::<nonblocking::Streamed>();
    movable::<blocking::Pages<String>>();
    movable::<nonblocking::Pages<String>>();
    movable::<pool::Pages<String>>();
}

#[test]
fn a_clone_of_a_client_costs_next_to_nothing() {
    let word = size_of::<usize>();
    assert_eq!(size_of::<Api>(), word);
    assert_eq!(size_of::<Response>(), word);
    assert!(size_of::<blocking::Client>() <= 4 * word, "{}", size_of::<blocking::Client>());
    assert_eq!(size_of::<nonblocking::Client>(), word);
    assert!(size_of::<pool::Client>() <= 4 * word, "{}", size_of::<pool::Client>());
}

/// `{:?}` begins with the type's name (and the way, for a client), is of a length that can be read, and has no secret in it.
#[track_caller]
fn shown<T: Debug>(value: &T) {
    let text = format!("{value:?}");
    let name = type_name::<T>().split('<').next().unwrap_or_default();
    let name = name.rsplit("::").next().unwrap_or_default();
    assert!(text.split(['(', ' ']).next().is_some_and(|head| head.contains(name)), "{text}");
    assert!(text.len() < 1500, "{name} takes {} bytes: {text}", text.len());
    assert!(!text.contains(CANARY), "{name}: {text}");
}

#[test]
fn debug_is_readable_and_tells_no_secret() {
    let api = || {
        Api::builder("http://h/")
            .auth(Auth::bearer(CANARY))
            .header("x-key", CANARY)
            .retry(Retry::default().attempts(2))
    };
    shown(&api());
    let api = api().build().unwrap();
    shown(&api);
    shown(&Secret::from(CANARY));
    for auth in [
        Auth::none(),
        Auth::token(CANARY),
        Auth::basic("me", CANARY),
        Auth::header("x-key", CANARY),
        Auth::query("key", CANARY),
        Auth::refreshing(|| Ok::<_, Error>(Auth::bearer(CANARY))),
    ] {
        shown(&auth);
    }
    let form = [("password", CANARY)];
    let request = Request::post("x").query("key", CANARY).header("x-key", CANARY).form(&form);
    shown(&request);
    shown(&request.clone().into_json::<String>());
    shown(&Request::post("x").json(&form));
    shown(&Body::from(CANARY));
    shown(&Multipart::new().text("password", CANARY));
    shown(&Proxy::new("http://proxy.example").credential("me", CANARY));
    shown(&Retry::default());
    shown(&Rate::per_second(5));
    shown(&Timeouts::default());
    shown(&Paging::page("page", 1));
    shown(&Tls::default());
    shown(&Cancel::new());
    shown(&Timeline::new());
    let answer = || Mock::answering(|_| Reply::text(CANARY).header("set-cookie", CANARY));
    shown(&answer());
    let client = blocking::Client::with_transport(api.clone(), answer());
    shown(&client);
    shown(&client.batch([request.clone()]));
    shown(&client.pages::<String>(request.clone(), Paging::page("page", 1)));
    shown(&client.send(request.clone()).unwrap());
    shown(&nonblocking::Client::with_transport(api.clone(), answer()));
    let client = pool::Client::with_transport(api, answer());
    shown(&client);
    shown(&client.send(request));
    shown(&missing());
}

#[test]
fn names_in_compile_errors_are_short() {
    fn short<T>(_: &T) {
        assert!(type_name::<T>().len() <= 160, "{}", type_name::<T>());
    }
    let api = Api::new("http://h/").unwrap();
    let mock = || Mock::answering(|_| Reply::status(200));
    let client = pool::Client::with_transport(api.clone(), mock());
    short(&client.send(Request::get("x")));
    short(&client.pages::<String>(Request::get("x"), Paging::link_header()));
    short(&client.batch(vec![Request::get("x")]));
    let client = nonblocking::Client::with_transport(api, mock());
    short(&client.pages::<String>(Request::get("x"), Paging::link_header()));
    short(&client.batch(vec![Request::get("x")]));
}
