//! What comes down: formats, images, codings, and bodies that take their time.

use std::time::Duration;

use duocall::{ApiBuilder, Request, Retry, Timeouts};

use serde_json::Value;

use super::{Section, section};
use crate::conformance::case::Look::{Header, Is, Json, Size, Text};
use crate::conformance::case::{Case, get};

pub fn sections() -> Vec<Section> {
    vec![
        section("Formats", "", formats()),
        section("Images", "", images()),
        section(
            "Codings",
            "Brotli is asked for and undone with the feature `brotli`, as here.",
            codings(),
        ),
        section("Streams, ranges and slow bodies", "", streams()),
        section(
            "Caches",
            "Nothing is cached here; the conditions of a program's own cache work.",
            caches(),
        ),
    ]
}

fn holds(text: &'static str, body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains(text)
}

fn utf8(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(|text| text.contains("∮ E⋅da = Q,  n → ∞"))
}

fn uuid(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let uuid = text.split('"').nth(3).unwrap_or_default();
    uuid.len() == 36 && uuid.split('-').count() == 5
}

fn twenty_lines(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let id = |line| serde_json::from_str::<Value>(line).unwrap_or_default()["id"].as_u64();
    text.lines().map(id).eq((0..20).map(Some))
}

fn formats() -> Vec<Case> {
    let kind = || Header("content-type");
    vec![
        get("")
            .see([kind(), Is("the page", |body| holds("httpbin", body))])
            .gives("200; content-type: text/html; charset=utf-8; the page"),
        get("html")
            .see([kind(), Is("Moby Dick", |body| holds("Moby-Dick", body))])
            .gives("200; content-type: text/html; charset=utf-8; Moby Dick"),
        get("json").see([kind(), Json("/slideshow/title")]).gives(
            "200; content-type: application/json; slideshow/title \"Sample Slide \
             Show\"",
        ),
        get("xml")
            .see([kind(), Is("a slide show", |body| holds("<slideshow", body))])
            .gives("200; content-type: application/xml; a slide show"),
        get("robots.txt")
            .see([kind(), Text])
            .gives(r#"200; content-type: text/plain; "User-agent: *\nDisallow: /deny\n""#),
        get("deny")
            .see([kind(), Is("a warning", |body| holds("YOU SHOULDN'T BE HERE", body))])
            .gives("200; content-type: text/plain; a warning"),
        get("encoding/utf8").see([Is("UTF-8", utf8)]).gives("200; UTF-8"),
        get("forms/post")
            .see([Is("a form", |body| holds("<form method=\"post\"", body))])
            .gives("200; a form"),
        get("base64/aMO8bGxv").see([Text]).gives("200; \"hüllo\""),
        get("uuid").see([Is("a UUID", uuid)]).gives("200; a UUID"),
        get("links/3").see([Text]).gives(
            "200; \"<html><head><title>Links</title></head><body>0 <a \
             href='/links/3/1'>1</a> <a href='/links/3/2'>2</a> </body></html>\"",
        ),
        get("links/2/1").see([Text]).gives(
            "200; \"<html><head><title>Links</title></head><body><a \
             href='/links/2/0'>0</a> 1 </body></html>\"",
        ),
        get("static/favicon.ico")
            .see([Header("content-length"), Size])
            .gives("200; content-length: 22382; 22382 bytes"),
    ]
}

fn images() -> Vec<Case> {
    let asking = |accept: &'static str| get("image").with(accept, |r| r.header("accept", accept));
    let kind = || Header("content-type");
    let png = || Is("a PNG", |body| body.starts_with(b"\x89PNG\r\n\x1a\n"));
    let jpeg = || Is("a JPEG", |body| body.starts_with(b"\xff\xd8") && body.ends_with(b"\xff\xd9"));
    let webp = || Is("a WebP", |body| body.starts_with(b"RIFF") && body[8..].starts_with(b"WEBP"));
    let svg = || Is("an SVG", |body| holds("</svg>", body));
    vec![
        get("image/png")
            .see([kind(), png(), Size])
            .gives("200; content-type: image/png; a PNG; 8090 bytes"),
        get("image/jpeg")
            .see([kind(), jpeg(), Size])
            .gives("200; content-type: image/jpeg; a JPEG; 35588 bytes"),
        get("image/webp")
            .see([kind(), webp(), Size])
            .gives("200; content-type: image/webp; a WebP; 10568 bytes"),
        get("image/svg")
            .see([kind(), svg(), Size])
            .gives("200; content-type: image/svg+xml; an SVG; 8984 bytes"),
        asking("image/jpeg").see([jpeg()]).gives("200; a JPEG"),
        asking("image/webp").see([webp()]).gives("200; a WebP"),
        asking("image/svg+xml").see([svg()]).gives("200; an SVG"),
        asking("image/*").see([png()]).gives("200; a PNG"),
        asking("text/plain").gives(
            "Status: 406 Not Acceptable: the resource has no form that the request \
             accepts",
        ),
    ]
}

fn codings() -> Vec<Case> {
    let coding = || Header("content-encoding");
    vec![
        get("gzip")
            .see([Json("/gzipped"), coding()])
            .gives("200; gzipped true; content-encoding: absent"),
        get("gzip").opened().see([Json("/gzipped")]).gives("200; gzipped true"),
        get("deflate")
            .see([Json("/deflated"), coding()])
            .gives("200; deflated true; content-encoding: absent"),
        get("deflate").opened().see([Json("/deflated")]).gives("200; deflated true"),
        get("gzip")
            .with("at most 20 bytes", |r| r.max_body(20))
            .gives("BodyTooLarge: body too large: more than 20 bytes"),
        get("brotli")
            .see([Json("/brotli"), coding()])
            .gives("200; brotli true; content-encoding: absent"),
    ]
}

/// Long before the server is done.
const SOON: Duration = Duration::from_millis(300);

/// Gives up then, and does not try again.
fn limited(api: ApiBuilder, timeouts: Timeouts) -> ApiBuilder {
    api.timeouts(timeouts).retry(Retry::none())
}

fn streams() -> Vec<Case> {
    let lines = || Is("20 lines of JSON", twenty_lines);
    let ranged = |range: &'static str| move |request: Request| request.header("range", range);
    let part = || [Header("content-range"), Text];
    vec![
        get("stream/20").see([lines()]).gives("200; 20 lines of JSON"),
        get("stream/20").opened().see([lines()]).gives("200; 20 lines of JSON"),
        get("bytes/102400").see([Size]).gives("200; 102400 bytes"),
        get("bytes/0").see([Size]).gives("200; 0 bytes"),
        get("bytes/1001")
            .with("at most 1000 bytes", |r| r.max_body(1000))
            .gives("BodyTooLarge: body too large: more than 1000 bytes"),
        get("stream-bytes/102400?chunk_size=1000").see([Size]).gives("200; 102400 bytes"),
        get("stream-bytes/500?chunk_size=1").opened().see([Size]).gives("200; 500 bytes"),
        get("stream-bytes/50000")
            .with("at most 1000 bytes", |r| r.max_body(1000))
            .opened()
            .gives("BodyTooLarge: body too large: more than 1000 bytes"),
        get("range/26").see([Text]).gives("200; \"abcdefghijklmnopqrstuvwxyz\""),
        get("range/26")
            .with("`bytes=10-12`", ranged("bytes=10-12"))
            .see(part())
            .gives("206; content-range: bytes 10-12/26; \"klm\""),
        get("range/26")
            .with("`bytes=23-`", ranged("bytes=23-"))
            .opened()
            .see(part())
            .gives("206; content-range: bytes 23-25/26; \"xyz\""),
        get("range/26")
            .with("`bytes=-2`", ranged("bytes=-2"))
            .see(part())
            .gives("206; content-range: bytes 24-25/26; \"yz\""),
        get("range/26")
            .with("`bytes=26-`", ranged("bytes=26-"))
            .see([Header("content-range")])
            .gives(
                "Status: 416 Range Not Satisfiable: the range is outside the resource; \
             content-range: bytes */26",
            ),
        get("range/1040?chunk_size=52&duration=0.2").opened().see([Size]).gives("200; 1040 bytes"),
        get("drip?duration=0.2&numbytes=5").see([Text]).gives("200; \"*****\""),
        get("drip?duration=0.2&numbytes=5&delay=0.1").opened().see([Text]).gives("200; \"*****\""),
        get("drip?duration=0&numbytes=3&code=404")
            .see([Text])
            .gives("Status: 404 Not Found: there is no such resource; \"***\""),
        get("drip?duration=2&numbytes=2")
            .api("0.3 s between bytes", |api| limited(api, Timeouts::default().idle(SOON)))
            .gives("Timeout(Body): timed out: reading the body"),
        get("delay/0.2").see([Json("/url")]).gives("200; url \"http://httpbin/delay/0.2\""),
        get("delay/2")
            .api("0.3 s for the head", |api| limited(api, Timeouts::default().head(SOON)))
            .gives("Timeout(Head): timed out: waiting for the response"),
        get("delay/2")
            .api("0.3 s in all", |api| limited(api, Timeouts::default().total(SOON)))
            .gives("Timeout(Total): timed out: the call"),
    ]
}

fn caches() -> Vec<Case> {
    let validators = |name: &'static str, value: &'static str| {
        move |request: Request| request.header(name, value)
    };
    let etag = || [Header("etag"), Size];
    vec![
        get("cache").see([Is("a body", |body| !body.is_empty())]).gives("200; a body"),
        get("cache")
            .with("If-None-Match", validators("if-none-match", "x"))
            .accepting(304)
            .see([Size])
            .gives("304; 0 bytes"),
        get("cache")
            .with(
                "If-Modified-Since",
                validators("if-modified-since", "Thu, 01 Jan 2026 00:00:00 GMT"),
            )
            .gives("Status: 304 Not Modified: the resource has not changed"),
        get("cache/60")
            .see([Header("cache-control")])
            .gives("200; cache-control: public, max-age=60"),
        get("etag/x").see([Header("etag")]).gives("200; etag: x"),
        get("etag/x")
            .with("If-None-Match: x", validators("if-none-match", "\"x\""))
            .accepting(304)
            .see(etag())
            .gives("304; etag: x; 0 bytes"),
        get("etag/x").with("If-Match: y", validators("if-match", "\"y\"")).gives(
            "Status: 412 Precondition Failed: a condition of the request does not \
             hold",
        ),
        get("etag/x")
            .with("If-Match: x", validators("if-match", "\"x\""))
            .see([Header("etag")])
            .gives("200; etag: x"),
    ]
}
