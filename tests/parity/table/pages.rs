//! Lists that come page by page.

use duocall::{Auth, Paging, Request};

use crate::parity::scenario::{Scenario, case, http, ok};

fn list() -> Request {
    Request::get("list")
}

pub fn rows() -> Vec<Scenario> {
    vec![
        case("pages by the next url")
            .api(|api| api.auth(Auth::token("t")))
            .pages(list(), || Paging::next_url("/next", "/results"))
            .reply(ok(r#"{"next":"/list?c=2","results":[1,2]}"#))
            .reply(ok(r#"{"next":null,"results":[3]}"#))
            .show(&["authorization"])
            .expect(
                "1 | 2 | 3",
                "",
                "GET /list {authorization: Token t} | GET /list?c=2~ {authorization: Token t}",
            ),
        case("pages by number")
            .pages(list().query("q", "x"), || Paging::page("page", 1))
            .reply(ok("[1,2]"))
            .reply(ok("[3]"))
            .reply(ok("[]"))
            .expect(
                "1 | 2 | 3",
                "",
                "GET /list?q=x&page=1 | GET /list?q=x&page=2~ | GET /list?q=x&page=3~",
            ),
        case("pages by offset")
            .pages(list(), || Paging::offset("offset", "limit", 2))
            .reply(ok("[1,2]"))
            .reply(ok("[3]"))
            .reply(ok("[]"))
            .expect(
                "1 | 2 | 3",
                "",
                "GET /list?offset=0&limit=2 | GET /list?offset=2&limit=2~ | GET /list?offset=3&limit=2~",
            ),
        case("pages by cursor")
            .pages(list(), || Paging::cursor("after", "/cursor").items("/items"))
            .reply(ok(r#"{"cursor":"a b","items":[1]}"#))
            .reply(ok(r#"{"cursor":"","items":[2]}"#))
            .expect("1 | 2", "", "GET /list | GET /list?after=a+b~"),
        case("pages by the link header")
            .pages(list(), Paging::link_header)
            .reply(ok("[1]").header("link", "<{base}/list?p=2>; rel=\"next\""))
            .reply(ok("[2]"))
            .expect("1 | 2", "", "GET /list | GET /list?p=2~"),
        case("no more pages than wanted")
            .pages(list(), || Paging::page("page", 1).max_pages(2))
            .reply(ok("[1]"))
            .expect("1 | 1", "", "GET /list?page=1 | GET /list?page=2~"),
        case("a page is retried")
            .pages(list(), Paging::link_header)
            .reply(ok("[1]").header("link", "<{base}/list?p=2>; rel=\"next\""))
            .reply(http(503))
            .reply(ok("[2]"))
            .expect("1 | 2", "", "GET /list | GET /list?p=2~ | GET /list?p=2~"),
        case("a page that fails ends the list")
            .pages(list(), Paging::link_header)
            .reply(ok("[1]").header("link", "<{base}/list?p=2>; rel=\"next\""))
            .reply(http(404))
            .expect(
                "1 | Status/Yes: GET http://H/list?p=***: 404 Not Found: there is no such resource",
                "First 404~",
                "GET /list | GET /list?p=2~",
            ),
        case("a page that is no list")
            .pages(list(), || Paging::next_url("/next", "/results"))
            .reply(ok(r#"{"results":7}"#))
            .expect(
                "Decode/Yes: GET http://H/list: body not readable: /results is not an array of items \
                 [{\"results\":7}]",
                "First 200",
                "GET /list",
            ),
    ]
}
