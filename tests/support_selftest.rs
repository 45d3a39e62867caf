//! The scripted server does what it is told, and tells what went wrong in it.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use support::{Act, Server, chunked, ok, reply};

const SOON: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(3600);
const GET: &str = "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n";

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.addr()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// Sends, then reads until as many bytes came as `expected` has.
fn exchange(stream: &mut TcpStream, request: &str, expected: &str) {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), expected);
}

fn two_hundred(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 Scripted\r\ncontent-length: {length}\r\n\r\n{body}")
}

#[test]
fn a_script_runs_in_order_of_arrival_and_repeats_its_end() {
    let server = Server::script(vec![ok("one"), reply(204, &[("x-a", "b")], ""), ok("three")]);
    let (mut first, mut second) = (connect(&server), connect(&server));
    exchange(&mut first, GET, &two_hundred("one"));
    exchange(&mut second, GET, "HTTP/1.1 204 Scripted\r\nx-a: b\r\n\r\n");
    exchange(&mut first, GET, &two_hundred("three"));
    exchange(&mut first, GET, &two_hundred("three"));
    assert_eq!((server.connections(), server.open()), (2, 2));
    let places: Vec<_> = server.requests().iter().map(|s| (s.index, s.on_connection)).collect();
    assert_eq!(places, [(0, 0), (1, 0), (2, 1), (3, 2)]);
    drop((first, second));
    assert!(server.wait_closed(SOON));
    assert_eq!((server.connections(), server.open()), (2, 0));
}

#[test]
fn requests_are_kept_whole() {
    let server = Server::script(vec![ok("")]);
    let mut stream = connect(&server);
    let sized = "POST /s HTTP/1.1\r\nContent-Length: 5\r\nX-Y:  z \r\n\r\nhello";
    let coded = "PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n";
    // Pipelined: nothing read ahead is lost.
    exchange(&mut stream, &format!("{sized}{coded}{GET}"), &two_hundred("").repeat(3));
    let seen = server.requests();
    assert_eq!((seen[0].method.as_str(), seen[0].target.as_str()), ("POST", "/s"));
    assert_eq!((seen[0].header("x-y"), seen[0].header("y")), (Some("z"), None));
    assert_eq!(seen[0].headers[0].0, "Content-Length");
    assert_eq!(seen[0].body, b"hello");
    assert_eq!(seen[1].body, b"abc0123456789");
    assert_eq!(seen[2].headers, [("Host".to_owned(), "x".to_owned())]);
}

#[test]
fn a_reset_is_seen_as_one_and_a_close_is_not() {
    let server = Server::script(vec![vec![Act::Reset], vec![Act::Close]]);
    let mut stream = connect(&server);
    stream.write_all(GET.as_bytes()).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut stream = connect(&server);
    stream.write_all(GET.as_bytes()).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    assert!(server.wait_closed(SOON));
}

#[test]
fn a_half_closed_connection_still_reads() {
    let server = Server::script(vec![vec![Act::HalfClose]]);
    let mut stream = connect(&server);
    stream.write_all(GET.as_bytes()).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    stream.write_all(GET.as_bytes()).unwrap();
    assert!(server.wait_requests(2, SOON));
}

#[test]
fn it_can_act_before_it_reads() {
    let early = vec![Act::Read(3), Act::Write(b"early".to_vec()), Act::Read(u64::MAX)];
    let server = Server::on_accept(
        move |connection| (connection == 0).then(|| early.clone()),
        |_| chunked(200, &[], &[b"ab"]),
    );
    let mut first = connect(&server);
    exchange(&mut first, "POS", "early");
    first.write_all(&[b'x'; 100_000]).unwrap();
    let answer = "HTTP/1.1 200 Scripted\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    exchange(&mut connect(&server), GET, answer);
    drop(first);
    assert!(server.wait_closed(SOON));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn drip_pause_and_flood_end_with_the_client() {
    let every = Duration::from_millis(1);
    let drip = Act::Drip { bytes: b"drip".to_vec(), every };
    let server = Server::script(vec![vec![drip, Act::Pause(every), Act::Flood(b"ab".to_vec())]]);
    let mut stream = connect(&server);
    exchange(&mut stream, GET, "dripabababab");
    assert!(!server.wait_closed(Duration::ZERO));
    drop(stream);
    assert!(server.wait_closed(SOON));
}

#[test]
fn a_stall_ends_with_the_client() {
    let server = Server::on_accept(|_| Some(vec![Act::Stall]), |_| ok(""));
    let stream = connect(&server);
    assert!(server.wait_connections(1, SOON));
    assert_eq!(server.open(), 1);
    drop(stream);
    assert!(server.wait_closed(SOON));
}

#[test]
fn drop_is_quick_whatever_its_threads_do() {
    let acts = [
        Act::Stall,
        Act::Pause(LONG),
        Act::Read(u64::MAX),
        Act::Flood(vec![0; 1 << 20]),
        Act::Drip { bytes: vec![0; 9], every: LONG },
    ];
    let count = acts.len();
    let server = Server::new(move |seen| vec![acts[seen.index].clone()]);
    let mut streams: Vec<_> = (0..count).map(|_| connect(&server)).collect();
    let _idle = connect(&server);
    for stream in &mut streams {
        // The stall gets bytes that nobody reads.
        stream.write_all(GET.as_bytes()).unwrap();
        stream.write_all(GET.as_bytes()).unwrap();
    }
    assert!(server.wait_requests(count, SOON));
    let start = Instant::now();
    drop(server);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
fn a_panic_of_a_handler_reaches_the_test() {
    for request in [GET, "GET / HTTP/9.9\r\n\r\n"] {
        let server = Server::new(|seen| panic!("no answer to {}", seen.target));
        let mut stream = connect(&server);
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        let panic = catch_unwind(AssertUnwindSafe(|| drop(server))).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(["no answer to /a?b", "not a request line"].iter().any(|m| message.starts_with(m)));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn descriptors_and_threads_are_counted() {
    assert!(support::fds() >= 3);
    assert!(support::threads() >= 2);
}
