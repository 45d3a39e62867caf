//! A Redis of the test's own: on a free loopback port, without persistence, gone with the test.
//! `REDIS_SERVER` may name the program, so that other versions, and Valkey, can be tried.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Redis {
    port: u16,
    child: Option<Child>,
}

impl Redis {
    /// `None`, with a notice, where there is no redis-server.
    pub fn start() -> Option<Redis> {
        let free = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        let mut redis = Redis { port, child: None };
        if redis.run() {
            return Some(redis);
        }
        println!("SKIPPED: there is no redis-server here");
        None
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    fn run(&mut self) -> bool {
        let program = std::env::var_os("REDIS_SERVER").unwrap_or("redis-server".into());
        let child = Command::new(program)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .args(["--dir", env!("CARGO_TARGET_TMPDIR")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = child else { return false };
        self.child = Some(child);
        let start = Instant::now();
        while self.ask("PING").is_none_or(|pong| !pong.starts_with("+PONG")) {
            assert!(start.elapsed() < Duration::from_secs(10), "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// It is gone from one moment to the next, with all it knew.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("our own child");
            child.wait().expect("our own child");
        }
    }

    /// After `stop`, on the same port.
    pub fn restart(&mut self) {
        assert!(self.run(), "there was one before");
    }

    /// One inline command, and what comes first of the answer.
    pub fn ask(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "{command}\r\n").ok()?;
        let mut buffer = [0; 16 << 10];
        let read = stream.read(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..read]).into_owned())
    }

    /// How many scripts it has run: the round trips of the gates.
    pub fn round_trips(&self) -> u64 {
        let stats = self.ask("INFO commandstats").expect("it runs");
        let count = stats.split("cmdstat_evalsha:calls=").nth(1);
        count.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}
