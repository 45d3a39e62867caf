//! Endpoints made of endpoints, alone and mixed in a batch, in the three ways.

use std::time::Duration;

use duocall::endpoint::Boxed;
use duocall::mock::{Mock, Reply};
use duocall::{Api, Endpoint, Error, ErrorKind, Request, Retry, blocking, nonblocking, pool};
use futures_lite::StreamExt;
use futures_lite::future::block_on;
use serde::Deserialize;

#[derive(Debug, PartialEq, Deserialize)]
struct Problem {
    code: u32,
}

fn mock() -> Mock {
    let mock = Mock::new();
    mock.on("GET", "names").reply(Reply::json(&["Ada", "Grace"]));
    mock.on("GET", "gone").reply(Reply::status(410).body("gone"));
    mock.on("DELETE", "names").reply(Reply::text("not JSON"));
    mock.on("GET", "broken").reply(Reply::status(503).body(r#"{"code":17}"#));
    mock
}

fn names() -> impl Endpoint<Output = Vec<String>> + Send {
    Request::get("names").into_json()
}

/// Different endpoints with one output.
fn mixed() -> Vec<Boxed<'static, usize>> {
    let refuse = |_| Err(Error::custom(ErrorKind::Rejected, "no"));
    vec![
        names().map(|names| names.len()).boxed(),
        names().raw().map(|response| response.bytes().len()).boxed(),
        Request::delete("names").ignored().map(|()| 0).boxed(),
        Request::get("gone").accepting(410).map(|r| r.status().as_u16().into()).boxed(),
        names().and_then(refuse).boxed(),
        Request::get("broken").with_retry(Retry::none()).map(|_| 1).boxed(),
        names().with_timeout(Duration::ZERO).map(|names| names.len()).boxed(),
    ]
}

fn check(results: Vec<Result<usize, Error>>, mock: &Mock) {
    let kinds: Vec<_> = results.iter().map(|result| result.as_ref().map_err(Error::kind)).collect();
    assert_eq!(
        kinds,
        [
            Ok(&2),
            Ok(&15),
            Ok(&0),
            Ok(&410),
            Err(ErrorKind::Rejected),
            Err(ErrorKind::Status),
            Err(ErrorKind::Request),
        ]
    );
    let problem = results[5].as_ref().unwrap_err().api::<Problem>();
    assert_eq!(problem, Some(Problem { code: 17 }));
    // One without a retry was made once, one with a mistake not at all.
    assert_eq!(mock.calls(), 6);
}

#[test]
fn mixed_batches() {
    let api = || Api::new("http://api.test/v1/").unwrap();

    let mock = self::mock();
    let client = blocking::Client::with_transport(api(), mock.clone());
    check(client.batch(mixed()).gather(), &mock);

    let mock = self::mock();
    let client = pool::Client::with_transport(api(), mock.clone());
    check(client.batch(mixed()).gather(), &mock);

    let mock = self::mock();
    let client = nonblocking::Client::with_transport(api(), mock.clone());
    check(block_on(client.batch(mixed()).gather()), &mock);

    let mock = self::mock();
    let client = nonblocking::Client::with_transport(api(), mock.clone());
    let stream = client.batch(mixed()).ordered().stream();
    check(block_on(stream.map(|(_, result)| result).collect()), &mock);
}

#[test]
fn borrowed_ones() {
    let own = String::from("names");
    let borrowing = Request::get(&own).map(|response| response.bytes().len() + own.len());
    let client = blocking::Client::with_transport(Api::new("http://api.test/").unwrap(), mock());
    assert_eq!(client.call(&borrowing).unwrap(), 20);
    let client = nonblocking::Client::with_transport(client.api().clone(), mock());
    assert_eq!(block_on(client.call(borrowing.boxed())).unwrap(), 20);
}

/// It compiles only because the futures of a batch are said to be `Send`.
#[test]
fn a_batch_of_borrowed_items_can_be_spawned() {
    async fn both(client: &nonblocking::Client, names: &[String]) -> (usize, usize) {
        let ask = |name| Request::get("{n}").param("n", name).map(|_| ());
        let all = client.batch(names.iter().map(ask)).gather().await;
        let good = client.batch(names.iter().map(ask)).fail_fast().await.expect("all are there");
        (all.len(), good.len())
    }
    let client = nonblocking::Client::with_transport(Api::new("http://api.test/").unwrap(), mock());
    let names = ["names".to_owned(), "names".to_owned()];
    let spawned = smol::spawn(async move { both(&client, &names).await });
    assert_eq!(block_on(spawned), (2, 2));
}
