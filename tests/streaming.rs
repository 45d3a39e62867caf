//! Bodies that are read as they come and sent as they are read, in every way of running.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use duocall::http::Method;
use duocall::{Api, Body, Cause, Error, ErrorKind, Phase, Request, Retry, Timeouts};
use duocall::{blocking, nonblocking, pool};
use futures_lite::AsyncReadExt;
use futures_lite::future::block_on;
use support::{Act, Server, chunked, ok, reply};

/// Opens and reads to the end: with `Read` or `AsyncRead`, and piece by piece.
fn download(api: &Api, request: &Request) -> Vec<Result<Vec<u8>, Error>> {
    let inner = |error: std::io::Error| *error.into_inner().unwrap().downcast::<Error>().unwrap();
    let read = |opened: Result<blocking::Streamed, Error>| {
        let mut body = Vec::new();
        opened?.read_to_end(&mut body).map_err(inner)?;
        Ok(body)
    };
    let blocking = blocking::Client::new(api.clone());
    let pool = pool::Client::new(api.clone());
    let client = nonblocking::Client::new(api.clone());
    let pieces = || {
        let mut opened = blocking.open(request.clone())?;
        let mut body = Vec::new();
        while let Some(piece) = opened.piece()? {
            body.extend_from_slice(&piece);
        }
        Ok(body)
    };
    vec![
        read(blocking.open(request.clone())),
        pieces(),
        read(pool.open(request.clone()).wait()),
        block_on(async {
            let mut body = Vec::new();
            client.open(request.clone()).await?.read_to_end(&mut body).await.map_err(inner)?;
            Ok(body)
        }),
        block_on(async {
            let mut opened = client.open(request.clone()).await?;
            let mut body = Vec::new();
            while let Some(piece) = opened.piece().await? {
                body.extend_from_slice(&piece);
            }
            Ok(body)
        }),
    ]
}

fn kinds(results: Vec<Result<Vec<u8>, Error>>) -> Vec<Option<ErrorKind>> {
    results.into_iter().map(|result| result.err().map(|error| error.kind())).collect()
}

fn api(server: &Server) -> Api {
    Api::builder(server.url()).retry(Retry::none()).max_body(1 << 30).build().unwrap()
}

fn large() -> Vec<u8> {
    (0..1_000_000u32).flat_map(u32::to_le_bytes).collect()
}

#[test]
fn a_large_body_comes_whole_and_the_connection_is_used_again() {
    let server = Server::new(|_| reply(200, &[], large()));
    for body in download(&api(&server), &Request::get("x")) {
        assert!(body.unwrap() == large());
    }
    // Two of the reads share a client, twice.
    assert_eq!(server.connections(), 3);
}

#[test]
fn codings_are_undone_and_limits_hold() {
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, &large()).unwrap();
        encoder.finish().unwrap()
    };
    let server = Server::new(move |_| reply(200, &[("content-encoding", "gzip")], &gzip));
    for body in download(&api(&server), &Request::get("x")) {
        assert!(body.unwrap() == large());
    }
    let limited = download(&api(&server), &Request::get("x").max_body(1000));
    assert_eq!(kinds(limited), [Some(ErrorKind::BodyTooLarge); 5]);
}

#[test]
fn a_body_cut_short_is_an_error_and_never_an_end() {
    let server = Server::new(|_| {
        vec![Act::Write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345".to_vec()), Act::Close]
    });
    assert_eq!(kinds(download(&api(&server), &Request::get("x"))), [Some(ErrorKind::Truncated); 5]);
}

#[test]
fn a_body_that_stalls_ends_with_the_idle_limit() {
    let server = Server::new(|_| {
        vec![Act::Write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345".to_vec()), Act::Stall]
    });
    let timeouts = Timeouts::default().idle(Duration::from_millis(100));
    let api = Api::builder(server.url()).timeouts(timeouts).build().unwrap();
    let timed_out = Some(ErrorKind::Timeout(Phase::Body));
    assert_eq!(kinds(download(&api, &Request::get("x"))), [timed_out; 5]);
}

#[test]
fn the_limit_of_the_attempt_ends_with_the_head() {
    let server = Server::new(|_| {
        let mut acts = reply(200, &[("content-length", "2")], "");
        acts.push(Act::Drip { bytes: b"ab".to_vec(), every: Duration::from_millis(200) });
        acts
    });
    let timeouts = Timeouts::default().attempt(Duration::from_millis(150));
    let api = Api::builder(server.url()).timeouts(timeouts).build().unwrap();
    assert_eq!(kinds(download(&api, &Request::get("x"))), [None; 5]);
}

#[test]
fn a_status_outside_2xx_is_an_error_with_its_body() {
    let server = Server::new(|_| reply(404, &[], "no such thing"));
    let client = blocking::Client::new(api(&server));
    let error = client.open(Request::get("x")).unwrap_err();
    assert_eq!(error.response().unwrap().text().unwrap(), "no such thing");
}

#[test]
fn dropped_half_way_it_closes_its_connection() {
    let server =
        Server::new(|seen| if seen.target == "/a" { reply(200, &[], large()) } else { ok("b") });
    let client = blocking::Client::new(api(&server));
    drop(client.open(Request::get("a")).unwrap());
    assert_eq!(client.send(Request::get("b")).unwrap().text().unwrap(), "b");
    let client = nonblocking::Client::new(api(&server));
    block_on(async {
        drop(client.open(Request::get("a")).await.unwrap());
        assert_eq!(client.send(Request::get("b")).await.unwrap().text().unwrap(), "b");
    });
    assert_eq!(server.connections(), 4);
}

/// Sends in each way; a body is made anew for each.
fn upload(api: &Api, request: impl Fn() -> Request) -> Vec<Result<u16, Error>> {
    let status = |result: Result<duocall::Response, Error>| result.map(|r| r.status().as_u16());
    vec![
        status(blocking::Client::new(api.clone()).send(request())),
        status(pool::Client::new(api.clone()).send(request()).wait()),
        status(block_on(nonblocking::Client::new(api.clone()).send(request()))),
    ]
}

#[test]
fn readers_go_up_in_chunks_or_with_their_length() {
    let server = Server::new(|_| ok(""));
    let whole = large();
    let len = whole.len() as u64;
    let bytes = whole.clone();
    let chunks = move || Request::put("x").body(Body::reader(std::io::Cursor::new(bytes.clone())));
    let bytes = whole.clone();
    let sized = move || {
        Request::put("x").body(Body::sized_reader(std::io::Cursor::new(bytes.clone()), len))
    };
    upload(&api(&server), chunks).into_iter().for_each(|result| assert_eq!(result.unwrap(), 200));
    upload(&api(&server), sized).into_iter().for_each(|result| assert_eq!(result.unwrap(), 200));
    for (n, seen) in server.requests().iter().enumerate() {
        assert!(seen.body == whole, "{n}: {} bytes", seen.body.len());
        let length = seen.header("content-length").map(|text| text.parse().unwrap());
        assert_eq!(length, (n >= 3).then_some(len));
        assert_eq!(seen.header("transfer-encoding"), (n < 3).then_some("chunked"));
    }
}

#[test]
fn a_reader_goes_up_with_every_method() {
    let server = Server::new(|_| ok(""));
    for method in [Method::GET, Method::HEAD, Method::DELETE, Method::OPTIONS] {
        let body = || Body::reader(&b"12345"[..]);
        for result in upload(&api(&server), || Request::new(method.clone(), "x").body(body())) {
            assert_eq!(result.unwrap(), 200);
        }
    }
    for seen in server.requests() {
        assert_eq!(seen.body, b"12345", "{}", seen.method);
    }
}

/// A byte, and a pause, eight times over.
struct Slow(u32);

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        std::thread::sleep(Duration::from_millis(100));
        self.0 += 1;
        buffer[0] = b'a';
        Ok(usize::from(self.0 <= 8))
    }
}

#[test]
fn an_upload_may_take_longer_than_its_longest_pause() {
    let server = Server::new(|_| ok(""));
    let timeouts = Timeouts::default().head(Duration::from_millis(500));
    let api = Api::builder(server.url()).timeouts(timeouts).retry(Retry::none()).build().unwrap();
    for result in upload(&api, || Request::put("x").body(Body::reader(Slow(0)))) {
        assert_eq!(result.unwrap(), 200);
    }
}

/// So many bytes at a time, with a pause, and no end; but it fails where it is read on and on.
struct Endless(usize, Duration, usize);

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        std::thread::sleep(self.1);
        let piece = self.0.min(buffer.len());
        self.2 += piece;
        if self.2 > 64 << 20 {
            return Err(std::io::Error::other("it was not stopped"));
        }
        buffer[..piece].fill(b'a');
        Ok(piece)
    }
}

#[test]
fn a_body_without_an_end_ends_with_the_answer() {
    let fast = || Endless(usize::MAX, Duration::ZERO, 0);
    let slow = || Endless(1, Duration::from_millis(2), 0);
    let answered = |status, then: Act| [reply(status, &[], ""), vec![then]].concat();
    for (after, wanted) in [
        (answered(413, Act::Close), Err(ErrorKind::Status)),
        (answered(413, Act::Stall), Err(ErrorKind::Status)),
        (answered(200, Act::Stall), Ok(200)),
        (vec![Act::Reset], Err(ErrorKind::Closed)),
    ] {
        let acts = [vec![Act::Read(200)], after.clone()].concat();
        let server = Server::on_accept(move |_| Some(acts.clone()), |_| ok(""));
        let timeouts = Timeouts::default().attempt(Duration::from_secs(5));
        let api = Api::builder(server.url()).timeouts(timeouts).retry(Retry::none());
        let api = api.expect_above(u64::MAX).build().unwrap();
        let sized = || Request::post("x").body(Body::sized_reader(fast(), 200 << 20));
        let results = [
            upload(&api, || Request::post("x").body(Body::reader(fast()))),
            upload(&api, || Request::post("x").body(Body::reader(slow()))),
            upload(&api, sized),
        ];
        for result in results.into_iter().flatten() {
            assert_eq!(result.map_err(|error| error.kind()), wanted, "{after:?}");
        }
    }
}

/// Says 200 to each request before it reads the body, after a pause, and ends the answer behind it.
fn answering_early(requests: usize) -> (String, std::thread::JoinHandle<()>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let serve = move || {
        for _ in 0..requests {
            let (mut stream, mut seen, mut piece) =
                (listener.accept().unwrap().0, vec![], [0; 4096]);
            let mut read_until = |stream: &mut TcpStream, is_there: &dyn Fn(&[u8]) -> bool| {
                while !is_there(&seen) {
                    let read = stream.read(&mut piece).unwrap();
                    assert_ne!(read, 0, "the body is cut short");
                    seen.extend_from_slice(&piece[..read]);
                }
            };
            read_until(&mut stream, &|seen| seen.windows(4).any(|end| end == b"\r\n\r\n"));
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").unwrap();
            std::thread::sleep(Duration::from_millis(250));
            read_until(&mut stream, &|seen| seen.ends_with(b"\r\n0\r\n\r\n"));
        }
    };
    (url, std::thread::spawn(serve))
}

#[test]
fn a_good_answer_that_comes_early_ends_no_upload() {
    let (url, server) = answering_early(6);
    let api = Api::builder(url).retry(Retry::none()).expect_above(u64::MAX).build().unwrap();
    let large = || Body::reader(std::io::Cursor::new(vec![b'a'; 20 << 20]));
    let results = [
        upload(&api, || Request::put("x").body(Body::reader(Slow(4)))),
        upload(&api, || Request::put("x").body(large())),
    ];
    for result in results.into_iter().flatten() {
        assert_eq!(result.unwrap(), 200);
    }
    server.join().unwrap();
}

/// Interrupted, a byte, interrupted again, and the end.
struct Interrupted(u32);

impl Read for Interrupted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0 += 1;
        buffer[0] = b'a';
        if self.0 % 2 == 1 {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        Ok(usize::from(self.0 < 3))
    }
}

#[test]
fn a_reader_that_was_interrupted_is_asked_again() {
    let server = Server::new(|_| ok(""));
    let chunked = || Request::put("x").body(Body::reader(Interrupted(0)));
    let sized = || Request::put("x").body(Body::sized_reader(Interrupted(0), 1));
    for result in upload(&api(&server), chunked).into_iter().chain(upload(&api(&server), sized)) {
        assert_eq!(result.unwrap(), 200);
    }
    assert!(server.requests().iter().all(|seen| seen.body == b"a"));
}

#[test]
fn a_reader_that_breaks_its_word_ends_the_connection() {
    let server = Server::on_accept(|_| Some(vec![Act::Read(u64::MAX)]), |_| ok(""));
    let text = || &b"12345"[..];
    for length in [4, 6] {
        let broken =
            upload(&api(&server), || Request::put("x").body(Body::sized_reader(text(), length)));
        for result in broken {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Body);
        }
    }
    assert!(server.wait_closed(Duration::from_secs(5)));
}

#[test]
fn a_spent_reader_is_not_sent_again_and_the_error_says_so() {
    let server = Server::new(|_| reply(503, &[], ""));
    let api = Api::builder(server.url()).build().unwrap();
    for result in upload(&api, || Request::put("x").body(Body::reader(&b"12345"[..]))) {
        let error = result.unwrap_err();
        assert_eq!(error.attempts().len(), 1);
        assert!(error.to_string().contains("the body can be sent once"), "{error}");
    }
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_redirect_that_keeps_a_spent_body_is_refused() {
    let server = Server::new(|_| reply(307, &[("location", "/y")], ""));
    for result in upload(&api(&server), || Request::put("x").body(Body::reader(&b"12345"[..]))) {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Redirect);
    }
}

#[test]
fn a_reader_that_was_never_begun_is_sent_by_the_next_attempt() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let api = Api::builder(format!("http://127.0.0.1:{port}/")).build().unwrap();
    for result in upload(&api, || Request::put("x").body(Body::reader(&b"12345"[..]))) {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect);
        assert_eq!(error.attempts().iter().filter(|a| a.cause() == Cause::Retry).count(), 2);
    }
}

#[test]
fn a_reader_goes_another_way_where_the_idle_connection_is_gone() {
    let gone = |then: Vec<Act>| {
        let last = [ok("a"), vec![Act::Pause(Duration::from_millis(20))], then].concat();
        let server = Server::script(vec![last.clone(), ok("b"), last, ok("b")]);
        let api = api(&server);
        let settle = || std::thread::sleep(Duration::from_millis(400));
        let upload = || Request::post("y").body(Body::reader(&b"12345"[..]));
        let client = blocking::Client::new(api.clone());
        client.send(Request::get("x")).unwrap();
        settle();
        assert_eq!(client.send(upload()).unwrap().attempts().len(), 1);
        let client = nonblocking::Client::new(api);
        block_on(client.send(Request::get("x"))).unwrap();
        settle();
        assert_eq!(block_on(client.send(upload())).unwrap().attempts().len(), 1);
        let uploads = server.requests().into_iter().filter(|seen| !seen.body.is_empty());
        assert_eq!(uploads.map(|seen| seen.body).collect::<Vec<_>>(), [b"12345", b"12345"]);
        assert_eq!(server.connections(), 4);
    };
    gone(vec![Act::Close]);
    // An answer that nobody asked for.
    gone(ok("stray"));
}

#[test]
fn progress_is_told_and_async_readers_need_the_async_client() {
    let server = Server::new(|_| ok(""));
    let told = Arc::new(Mutex::new(Vec::new()));
    let results = upload(&api(&server), || {
        let told = told.clone();
        let tell = move |sent| told.lock().unwrap().push(sent);
        Request::new(Method::PUT, "x").body(Body::reader(&b"12345"[..]).on_progress(tell))
    });
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(*told.lock().unwrap(), [5, 5, 5]);
    let body = || Request::put("x").body(Body::async_reader(&b"12345"[..]));
    let results = upload(&api(&server), body);
    let kinds: Vec<_> = results.iter().map(|r| r.as_ref().err().map(Error::kind)).collect();
    assert_eq!(kinds, [Some(ErrorKind::Body), Some(ErrorKind::Body), None]);
}

#[test]
fn chunks_come_as_they_are_sent() {
    let server = Server::new(|_| chunked(200, &[], &[b"one", b"two"]));
    for body in download(&api(&server), &Request::get("x")) {
        assert_eq!(body.unwrap(), b"onetwo");
    }
}

#[test]
fn a_form_with_a_file_goes_up_whole() {
    let server = Server::new(|_| ok(""));
    let path = std::env::temp_dir().join(format!("duocall-upload-{}", std::process::id()));
    std::fs::write(&path, large()).unwrap();
    let form = || {
        let form = duocall::Multipart::new().text("title", "x");
        Request::post("x").multipart(form.file("f", "application/octet-stream", &path).unwrap())
    };
    for result in upload(&api(&server), form) {
        assert_eq!(result.unwrap(), 200);
    }
    std::fs::remove_file(&path).unwrap();
    for seen in server.requests() {
        let content_type = seen.header("content-type").unwrap().to_owned();
        let boundary = content_type.strip_prefix("multipart/form-data; boundary=").unwrap();
        assert!(seen.body.ends_with(format!("\r\n--{boundary}--\r\n").as_bytes()));
        assert_eq!(seen.header("content-length"), Some(&*seen.body.len().to_string()));
        let end = seen.body.len() - format!("\r\n--{boundary}--\r\n").len();
        assert!(seen.body[..end].ends_with(&large()));
    }
}
