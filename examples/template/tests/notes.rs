//! The API's calls against a script: no port is opened. One list of checks for each way to call.

use duocall::mock::{Mock, Reply};
use duocall::{Api, Error, ErrorKind};
use notes_api::{Note, Problem};

const NOTES: [&str; 2] = [
    r#"{"next":"notes?page=2","notes":[{"id":1,"text":"one"},{"id":2,"text":"two"}]}"#,
    r#"{"next":null,"notes":[{"id":3,"text":"three"}]}"#,
];

fn mock() -> Mock {
    let mock = Mock::new();
    mock.on("GET", "notes/17").reply(Reply::text(r#"{"id":17,"text":"seventeen"}"#));
    mock.on("GET", "notes/18").reply(Reply::status(404).body(r#"{"detail":"no such note"}"#));
    mock.on("GET", "notes").reply(Reply::text(NOTES[0])).reply(Reply::text(NOTES[1]));
    mock
}

fn api() -> Api {
    notes_api::api("http://notes.test/v1/", "a token").unwrap()
}

fn check(found: Result<Note, Error>, missing: Result<Note, Error>, all: Vec<Note>, mock: &Mock) {
    assert_eq!(found.unwrap().text, "seventeen");
    let missing = missing.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Status);
    assert_eq!(missing.api::<Problem>().unwrap().detail, "no such note");
    assert_eq!(all.iter().map(|note| note.id).collect::<Vec<_>>(), [1, 2, 3]);
    let requests = mock.requests();
    assert!(requests.iter().all(|seen| seen.header("authorization") == Some("Bearer a token")));
}

#[cfg(feature = "blocking")]
#[test]
fn blocking() {
    let mock = mock();
    let client = duocall::blocking::Client::with_transport(api(), mock.clone());
    let (request, paging) = notes_api::notes();
    let all = client.pages(request, paging).map(Result::unwrap).collect();
    check(client.call(notes_api::note(17)), client.call(notes_api::note(18)), all, &mock);
}

#[cfg(feature = "pool")]
#[test]
fn pool() {
    let mock = mock();
    let client = duocall::pool::Client::with_transport(api(), mock.clone());
    let (request, paging) = notes_api::notes();
    let all = client.pages(request, paging).map(Result::unwrap).collect();
    let (found, missing) = (client.call(notes_api::note(17)), client.call(notes_api::note(18)));
    check(found.wait(), missing.wait(), all, &mock);
}

#[cfg(feature = "async")]
#[test]
fn nonblocking() {
    use futures_lite::StreamExt;

    let mock = mock();
    let client = duocall::nonblocking::Client::with_transport(api(), mock.clone());
    futures_lite::future::block_on(async {
        let (request, paging) = notes_api::notes();
        let all = client.pages(request, paging).map(Result::unwrap).collect().await;
        let found = client.call(notes_api::note(17)).await;
        check(found, client.call(notes_api::note(18)).await, all, &mock);
    });
}
