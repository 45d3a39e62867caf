//! Bodies that are announced before they are sent (RFC 9110 section 10.1.1).

use duocall::{Api, Body, Request, Retry};

use crate::parity::scenario::{Scenario, case, http, ok};
use crate::support::{Act, Word};

use std::time::Duration;

pub fn rows() -> Vec<Scenario> {
    let mut rows = asked();
    rows.extend(refused());
    rows
}

/// Bodies of four bytes and more are announced.
fn announcing(name: &'static str) -> Scenario {
    case(name).api(|api| api.expect_above(3)).show(&["expect"])
}

fn put() -> Request {
    Request::put("x").body("1234")
}

/// A reader serves once, so each way of running makes its own.
fn reader(_: &Api) -> Request {
    Request::put("x").body(Body::reader(&b"1234"[..]))
}

fn sized_reader(_: &Api) -> Request {
    Request::put("x").body(Body::sized_reader(&b"1234"[..], 4))
}

fn go(pieces: &[&str]) -> Word {
    Word::Go(acts(pieces))
}

/// Written apart from one another.
fn acts(pieces: &[&str]) -> Vec<Act> {
    let act = |piece: &&str| [Act::Write(piece.as_bytes().to_vec()), Act::Pause(PAUSE)];
    pieces.iter().flat_map(act).collect()
}

const PAUSE: Duration = Duration::from_millis(20);
const SAW: &str = "PUT /x {expect: 100-continue} 1234";

fn asked() -> Vec<Scenario> {
    vec![
        announcing("a large body is announced, a small one is not")
            .send(put())
            .send(Request::put("x").body("123"))
            .send(Request::put("x"))
            .send(put().expect_above(4))
            .send(put().expect_above(3))
            .reply(ok("a"))
            .expect(
                "5 x 200 a",
                "First 200 | 4 x First 200~",
                "PUT /x {expect: 100-continue} 1234 | PUT /x~ 123 | PUT /x~ | PUT /x~ 1234 | \
                 PUT /x~ {expect: 100-continue} 1234",
            ),
        case("by default, a body of more than 1 MiB is announced")
            .send(Request::put("x").body(vec![0; 1 << 20]))
            .send(Request::put("x").body(vec![0; (1 << 20) + 1]))
            .show(&["expect"])
            .reply(ok("a"))
            .expect(
                "200 a | 200 a",
                "First 200 | First 200~",
                "PUT /x (1048576 bytes) | PUT /x~ {expect: 100-continue} (1048577 bytes)",
            ),
        case("a body of unknown length is announced")
            .send_made(reader)
            .send_made(|_| reader(&Api::new("http://h/").unwrap()).expect_above(u64::MAX))
            .show(&["expect"])
            .reply(ok("a"))
            .only_bytes()
            .expect(
                "200 a | 200 a",
                "First 200 | First 200~",
                "PUT /x {expect: 100-continue} 1234 | PUT /x~ 1234",
            ),
        announcing("hints before the word, and a word with fields")
            .send_made(sized_reader)
            .send(put())
            .says(go(&[
                "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
                "HTTP/1.1 100 Con",
                "tinue\r\nX-A: b\r\n",
                "\r\n",
            ]))
            .reply(ok("a"))
            .expect(
                "200 a | 200 a",
                "First 200 | First 200~",
                "PUT /x {expect: 100-continue} 1234 | PUT /x~ {expect: 100-continue} 1234",
            ),
        announcing("a server that says nothing gets the body all the same")
            .send_made(sized_reader)
            .says(go(&[]))
            .reply(ok("a"))
            .expect("200 a", "First 200", SAW),
        announcing("a server that only hints, and a word that comes late")
            .send(put())
            .says(go(&["HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"]))
            .reply(crate::parity::scenario::raw(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
            ))
            .expect("200 a", "First 200", SAW),
        announcing("a word that is not HTTP")
            .send(put())
            .says(Word::Refuse(vec![Act::Write(b"SSH-2.0-x\r\n".to_vec())]))
            .reply(ok("a"))
            .expect(
                "Protocol/Maybe: PUT http://H/x: broken response: not valid HTTP/1.1",
                "First Protocol",
                "PUT /x {expect: 100-continue}",
            ),
        announcing("a word without an end")
            .send(put())
            .says(Word::Refuse(vec![
                Act::Write(b"HTTP/1.1 100 ".to_vec()),
                Act::Write(vec![b'a'; 70_000]),
            ]))
            .reply(ok("a"))
            .expect(
                "HeadTooLarge/Maybe: PUT http://H/x: response head above 64 KiB or 100 fields",
                "First HeadTooLarge",
                "PUT /x {expect: 100-continue}",
            ),
        announcing("the connection dies before the word")
            .api(|api| api.expect_above(3).retry(Retry::none()))
            .send(put())
            .says(Word::Refuse(vec![Act::Close]))
            .reply(ok("a"))
            .expect(
                "Closed/Maybe: PUT http://H/x: no response: the connection was closed",
                "First Closed",
                "PUT /x {expect: 100-continue}",
            ),
        announcing("a connection that died before the word costs a reader nothing")
            .send_made(sized_reader)
            .says(Word::Refuse(vec![Act::Close]))
            .reply(ok("a"))
            .expect(
                "200 a",
                "First Closed, Retry 200",
                "PUT /x {expect: 100-continue} | PUT /x {expect: 100-continue} 1234",
            ),
    ]
}

fn refused() -> Vec<Scenario> {
    vec![
        announcing("a refused body stays here")
            .send(put())
            .send(put())
            .refuses(http(413).body("too much"))
            .reply(ok("a"))
            .expect(
                "Status/Yes: PUT http://H/x: 413 Payload Too Large: the body of the request is \
                 too large [too much] | 200 a",
                "First 413 (withheld) | First 200",
                "PUT /x {expect: 100-continue} | PUT /x {expect: 100-continue} 1234",
            ),
        announcing("a refusal in pieces")
            .send(put().accept(413))
            .says(Word::Refuse(acts(&[
                "HTTP/1.1 4",
                "13 No\r\nContent-Le",
                "ngth: 1\r\n",
                "\r\n",
                "a",
            ])))
            .reply(ok("a"))
            .expect("413 a", "First 413 (withheld)", "PUT /x {expect: 100-continue}"),
        announcing("a success before the body is one")
            .send(put())
            .refuses(ok("known already"))
            .reply(ok("a"))
            .expect("200 known already", "First 200 (withheld)", "PUT /x {expect: 100-continue}"),
        announcing("a reader that was refused is sent in the next attempt")
            .send_made(sized_reader)
            .refuses(http(503))
            .reply(ok("a"))
            .expect(
                "200 a",
                "First 503 (withheld), Retry 200",
                "PUT /x {expect: 100-continue} | PUT /x {expect: 100-continue} 1234",
            ),
        announcing("a reader that was refused follows a redirect")
            .send_made(sized_reader)
            .refuses(http(307).header("location", "/y"))
            .reply(ok("a"))
            .expect(
                "200 a @http://H/y",
                "First 307 (withheld), Redirect 200",
                "PUT /x {expect: 100-continue} | PUT /y {expect: 100-continue} 1234",
            ),
        announcing("without the expectation after a 417, at no charge and whatever the method")
            .api(|api| api.expect_above(3).retry(Retry::none()))
            .send_made(|api| sized_reader(api).method(duocall::http::Method::POST))
            .refuses(http(417))
            .reply(ok("a"))
            .expect(
                "200 a",
                "First 417 (withheld), Unexpected 200",
                "POST /x {expect: 100-continue} | POST /x 1234",
            ),
        announcing("a 417 to what expects nothing is just a status")
            .send(put())
            .refuses(http(417))
            .reply(http(417))
            .expect(
                "Status/Yes: PUT http://H/x: 417 Expectation Failed: the server cannot meet an \
                 expectation",
                "First 417 (withheld), Unexpected 417",
                "PUT /x {expect: 100-continue} | PUT /x 1234",
            ),
    ]
}
