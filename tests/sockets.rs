//! The sockets of the async client share one epoll, and what comes to one of them all look at.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use duocall::nonblocking::Client;
use duocall::{Api, Request};
use futures_lite::future::block_on;

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
