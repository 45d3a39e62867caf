//! What the integration tests share: a scripted server, replies for it, and counters of what a test may leak.
#![allow(dead_code, unused_imports, unreachable_pub)] // each test binary uses its own part

#[cfg(feature = "http2")]
pub mod h2;
pub mod proxy;
mod raw;
#[cfg(all(feature = "async", feature = "tls"))]
pub mod tls;
#[cfg(all(feature = "async", feature = "pool"))]
pub mod ways;

pub use raw::{Act, Seen, Server, Word};

/// A 200 with this body.
pub fn ok(body: &str) -> Vec<Act> {
    reply(200, &[], body)
}

/// One response. Its `Content-Length` is right, unless the headers frame the body or the status has none.
pub fn reply(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<Act> {
    let body = body.as_ref();
    let mut head = format!("HTTP/1.1 {status:03} Scripted\r\n");
    let mut framed = matches!(status, 100..=199 | 204 | 304);
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
        framed |= name.eq_ignore_ascii_case("content-length");
        framed |= name.eq_ignore_ascii_case("transfer-encoding");
    }
    if !framed {
        head += &format!("content-length: {}\r\n", body.len());
    }
    vec![Act::Write([head.as_bytes(), b"\r\n", body].concat())]
}

/// One chunked response; the head, every chunk and the end are written apart.
pub fn chunked(status: u16, headers: &[(&str, &str)], chunks: &[&[u8]]) -> Vec<Act> {
    let mut acts = reply(status, &[headers, &[("transfer-encoding", "chunked")]].concat(), "");
    for chunk in chunks {
        let size = format!("{:x}\r\n", chunk.len());
        acts.push(Act::Write([size.as_bytes(), chunk, b"\r\n"].concat()));
    }
    acts.push(Act::Write(b"0\r\n\r\n".to_vec()));
    acts
}

/// Open file descriptors of this process. Tests of one binary run side by side: compare only where one runs alone.
#[cfg(target_os = "linux")]
pub fn fds() -> usize {
    // The listing holds a descriptor itself.
    entries("/proc/self/fd") - 1
}

/// Threads of this process, the test runner's included; the same caution as for [`fds`].
#[cfg(target_os = "linux")]
pub fn threads() -> usize {
    entries("/proc/self/task")
}

#[cfg(target_os = "linux")]
fn entries(dir: &str) -> usize {
    std::fs::read_dir(dir).expect("procfs").count()
}
