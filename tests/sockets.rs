//! The sockets of the async client share one epoll, and a descriptor serves one after another. So one test runs
//! after the other: what they look for, others could come by and hide.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use duocall::nonblocking::Client;
use duocall::{Api, Proxy, Request, Retry, Timeouts};
use futures_lite::future::{block_on, or, yield_now, zip};

fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection on which a request has come.
fn accepted(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().unwrap();
    assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
    stream
}

fn write(mut stream: &TcpStream, fields: &str, body: &str) {
    let length = body.len();
    let answer = format!("HTTP/1.1 200 OK\r\n{fields}content-length: {length}\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).unwrap();
}

/// More than the system tells at once.
#[test]
fn an_idle_connection_is_looked_at_also_where_many_have_news() {
    let _turn = alone();
    const MANY: usize = 40;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = Api::builder(format!("http://{}/", listener.local_addr().unwrap()));
    let client = Client::new(api.concurrency(MANY).build().unwrap());
    let (rested, all) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let server = thread::spawn(move || {
        let serve = |stream: TcpStream| {
            write(&stream, "", "asked for");
            stream
        };
        let crowd: Vec<_> = (0..MANY).map(|_| serve(accepted(&listener))).collect();
        all.recv().unwrap();
        crowd.iter().for_each(|stream| write(stream, "", "nobody asked for"));
        tell.send(()).unwrap();
        let _last = serve(accepted(&listener));
        crowd
    });
    block_on(async {
        let mut opened = Vec::new();
        for _ in 0..MANY {
            opened.push(client.open(Request::get("x")).await.unwrap());
        }
        for mut one in opened {
            while one.piece().await.unwrap().is_some() {}
        }
        rested.send(()).unwrap();
        told.recv().unwrap();
        // It takes the connection used last, whose news is the last.
        let response = client.send(Request::get("x")).await;
        assert_eq!(response.unwrap().text().unwrap(), "asked for");
    });
    server.join().unwrap();
}

/// A socket that is closed before its body is read leaves its descriptor to the next one.
#[test]
fn the_end_of_a_body_disturbs_no_later_connection() {
    let _turn = alone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap());
    let client = Client::new(Api::new(base).unwrap());
    let (asked, read) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (tell, wait) = (asked.clone(), read.clone());
    let server = thread::spawn(move || {
        let first = accepted(&listener);
        write(&first, "connection: close\r\n", "first");
        let second = accepted(&listener);
        tell.store(true, SeqCst);
        while !wait.load(SeqCst) {
            thread::yield_now();
        }
        // Then the client sleeps.
        thread::sleep(Duration::from_millis(50));
        write(&second, "", "second");
        // Closed last, so that no descriptor of ours is free before.
        first
    });
    let took = block_on(async {
        let mut first = client.open(Request::get("1")).await.unwrap();
        assert_eq!(first.piece().await.unwrap().unwrap(), "first");
        let end = async {
            while !asked.load(SeqCst) {
                yield_now().await;
            }
            assert!(first.piece().await.unwrap().is_none());
            read.store(true, SeqCst);
            Instant::now()
        };
        let (second, start) = zip(client.send(Request::get("2")), end).await;
        assert_eq!(second.unwrap().text().unwrap(), "second");
        start.elapsed()
    });
    assert!(took < Duration::from_secs(3), "{took:?}");
    server.join().unwrap();
}

/// The patience with a server that is to say 100 ends with its connection.
#[test]
fn a_call_that_connects_anew_leaves_its_thread_to_others() {
    let _turn = alone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::new(format!("socks5h://{}", listener.local_addr().unwrap()));
    let (close, asked) = mpsc::channel();
    let (tell, closed) = mpsc::channel();
    let server = thread::spawn(move || {
        let mut first = accepted(&listener);
        for word in [&[5, 0][..], &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]] {
            first.write_all(word).unwrap();
            assert!(first.read(&mut [0; 4096]).unwrap() > 0);
        }
        write(&first, "", "here");
        asked.recv().unwrap();
        drop(first);
        tell.send(()).unwrap();
        // The second is never let through, until it is gone.
        assert_eq!(accepted(&listener).read(&mut [0; 4096]).unwrap(), 0);
    });
    let timeouts = Timeouts::default().head(Duration::from_millis(100));
    let api = Api::builder("http://api.example.com/").proxy(proxy).timeouts(timeouts);
    let client = Client::new(api.retry(Retry::none()).build().unwrap());
    block_on(client.send(Request::get("x"))).unwrap();
    close.send(()).unwrap();
    closed.recv().unwrap();
    let upload = client.send(Request::put("x").body("body").expect_above(0));
    let start = Instant::now();
    let other = async {
        smol::Timer::after(Duration::from_millis(300)).await;
        start.elapsed()
    };
    let took = block_on(or(other, async { panic!("{:?}", upload.await) }));
    assert!(took < Duration::from_secs(3), "{took:?}");
    server.join().unwrap();
}
