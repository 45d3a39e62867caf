//! Bodies that are streamed, both ways, and forms.

use std::io::Cursor;
use std::time::Duration;

use duocall::{Body, Multipart, Request, Retry, Timeouts};

use super::bodies::{TEXT, gzip};
use crate::parity::scenario::{Fault, Scenario, case, http, ok, raw};

const FRAMING: &[&str] = &["content-length", "transfer-encoding"];

pub fn rows() -> Vec<Scenario> {
    let mut rows = down();
    rows.extend(up());
    rows.extend(forms());
    rows
}

fn get() -> Request {
    Request::get("x")
}

fn down() -> Vec<Scenario> {
    let row = |name| case(name).open(get());
    let once = |name| row(name).api(|api| api.retry(Retry::none()));
    vec![
        row("a streamed body that was read leaves its connection")
            .send(get())
            .reply(ok("streamed"))
            .reply(ok("a"))
            .expect("200 streamed | 200 a", "First 200~", "GET /x | GET /x~"),
        row("a streamed body in chunks")
            .reply(raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                 1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"))
            .expect("200 abc", "", "GET /x"),
        row("a streamed body is decoded")
            .reply(ok(gzip(TEXT)).header("content-encoding", "gzip"))
            .expect("200 the same, the same, the same", "", "GET /x"),
        row("a streamed body is retried until it begins").reply(http(503)).reply(ok("a")).expect(
            "200 a",
            "",
            "GET /x | GET /x~",
        ),
        row("a redirect comes before a streamed body")
            .on("/x", http(302).header("location", "/y"))
            .on("/y", ok("a"))
            .expect("200 a", "", "GET /x | GET /y~"),
        row("a streamed body that is refused").reply(http(404).body("no")).expect(
            "Status/Yes: GET http://H/x: 404 Not Found: there is no such resource [no]",
            "First 404",
            "GET /x",
        ),
        case("a streamed body above the limit").open(get().max_body(5)).reply(ok("123456")).expect(
            "BodyTooLarge/Yes: GET http://H/x: body too large: more than 5 bytes",
            "First BodyTooLarge",
            "GET /x",
        ),
        case("a streamed body above the limit when decoded")
            .open(get().max_body(20))
            .reply(ok(gzip(TEXT)).header("content-encoding", "gzip"))
            .expect(
                "BodyTooLarge/Yes: GET http://H/x: body too large: more than 20 bytes",
                "First 200",
                "GET /x",
            ),
        once("a streamed body cut short").reply(ok("12345").cut(3, Fault::Close)).expect(
            "Truncated/Yes: GET http://H/x: body truncated: the connection was closed",
            "First 200",
            "GET /x",
        ),
        once("a streamed coding cut short")
            .reply(ok(&gzip(TEXT)[..20]).header("content-encoding", "gzip"))
            .expect(
                "Decode/Yes: GET http://H/x: body not readable: not gzip, or cut short",
                "First 200",
                "GET /x",
            ),
        once("a streamed body that stalls")
            .api(|api| api.timeouts(Timeouts::default().idle(Duration::from_millis(100))))
            .reply(ok("12345").cut(3, Fault::Silence))
            .expect(
                "Timeout(Body)/Yes: GET http://H/x: timed out: reading the body",
                "First 200",
                "GET /x",
            ),
    ]
}

fn reader() -> Request {
    Request::put("x").body(Body::reader(Cursor::new("from a reader")))
}

fn up() -> Vec<Scenario> {
    let chunked = |name| case(name).send_made(|_| reader()).show(FRAMING).only_bytes();
    vec![
        chunked("a reader goes up in chunks").reply(ok("a")).expect(
            "200 a",
            "First 200",
            "PUT /x {transfer-encoding: chunked} from a reader",
        ),
        case("a reader of known length goes up with it")
            .send_made(|_| Request::put("x").body(Body::sized_reader(Cursor::new("12345"), 5)))
            .show(FRAMING)
            .only_bytes()
            .reply(ok("a"))
            .expect("200 a", "First 200", "PUT /x {content-length: 5} 12345"),
        chunked("a reader is not sent again").reply(http(503)).expect(
            "Status/Yes: PUT http://H/x: 503 Service Unavailable: the server is \
                 not ready (not tried again: the body can be sent once)",
            "First 503",
            "PUT /x {transfer-encoding: chunked} from a reader",
        ),
        chunked("a redirect cannot keep a reader's body")
            .reply(http(307).header("location", "/y"))
            .expect(
                "Redirect/Yes: PUT http://H/x: redirect not followed: the body can be \
                 sent once",
                "First 307",
                "PUT /x {transfer-encoding: chunked} from a reader",
            ),
        chunked("a reader that was never begun is tried again").nobody_listens().expect(
            "Connect/No: PUT http://H/x: could not connect after 3 attempts in T \
                 s: connection refused",
            "First Connect, Retry Connect, Retry Connect",
            "",
        ),
    ]
}

fn form() -> Request {
    let form = Multipart::new().text("a \"b\"", "ü");
    Request::post("x").multipart(form.bytes("f", "f.txt", "text/plain", "in the file"))
}

fn forms() -> Vec<Scenario> {
    vec![
        case("a form with a file").send(form()).reply(ok("a")).show(&["content-length"]).expect(
            "200 a",
            "First 200",
            "POST /x {content-length: 291} (291 bytes)",
        ),
        case("a form with a file is sent again")
            .send(form().idempotency_key("k"))
            .reply(http(503))
            .reply(ok("a"))
            .expect("200 a", "First 503, Retry 200~", "POST /x (291 bytes) | POST /x~ (291 bytes)"),
        case("a form of pairs")
            .send(Request::post("x").form(&[("a", "ü&="), ("b", "")]))
            .reply(ok("a"))
            .show(&["content-type"])
            .expect(
                "200 a",
                "First 200",
                "POST /x {content-type: application/x-www-form-urlencoded} \
                 a=%C3%BC%26%3D&b=",
            ),
    ]
}
