//! Any value of the field Link: the same pages in both ways, none outside the API, and no credential there.

use duocall::mock::{Mock, Reply};
use duocall::{Api, Auth, Paging, Request, blocking, nonblocking};
use futures_lite::StreamExt;
use futures_lite::future::block_on;
use http::HeaderValue;

use super::{Way, both};

const BASE: &str = "http://api.example.com/v1/";
const CANARY: &str = "s3cr3t-CANARY";

/// The value as it is, where a field can hold it.
pub fn check(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    both(|way| {
        let mock = Mock::new();
        let first = Reply::json(&[1]).header("link", value.clone());
        mock.on("*", "*").reply(first).reply(Reply::json(&[2]));
        let api = Api::builder(BASE).auth(Auth::bearer(CANARY)).build().expect("good settings");
        let (request, paging) = (Request::get("list"), Paging::link_header().max_pages(3));
        let items: Vec<Result<u8, String>> = match way {
            Way::Blocking => {
                let client = blocking::Client::with_transport(api, mock.clone());
                client
                    .pages(request, paging)
                    .map(|item| item.map_err(|it| it.to_string()))
                    .collect()
            }
            Way::Async => {
                let client = nonblocking::Client::with_transport(api, mock.clone());
                let pages = client.pages(request, paging);
                block_on(pages.map(|item| item.map_err(|it| it.to_string())).collect())
            }
        };
        let seen: Vec<String> = mock.requests().iter().map(|it| it.uri().to_string()).collect();
        assert!(seen.iter().all(|url| url.starts_with(BASE)), "{seen:?}");
        assert!(seen.len() <= 2, "{seen:?}");
        assert_eq!(items.first(), Some(&Ok(1)));
        assert!(items.iter().flat_map(Result::as_ref).all(|text| *text <= 2));
        assert!(items.iter().flat_map(|item| item.as_ref().err()).all(|it| !it.contains(CANARY)));
        (items, seen)
    });
}
