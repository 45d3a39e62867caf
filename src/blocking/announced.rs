//! What a server says to a request whose body waits for its word (RFC 9110 section 10.1.1), or is
//! still under way (RFC 9112 section 9.5).

/// Says "go on" to ureq where the server did not.
pub(super) const GO_ON: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// No whole head is there.
    None,
    /// The body is wanted.
    Wanted,
    /// So many bytes that say nothing about the body.
    Nothing(usize),
    /// The response itself has come.
    Response,
}

/// What the bytes received so far say.
pub(super) fn word(input: &[u8]) -> Word {
    let http = input.iter().zip(b"HTTP/1.").all(|(a, b)| a == b);
    match (http, end_of_head(input)) {
        (false, _) => Word::Response,
        (true, None) => Word::None,
        (true, Some(end)) => match input.get(8..12) {
            Some(b" 100") => Word::Wanted,
            Some([b' ', b'1', digits @ ..]) if is_hint(digits) => Word::Nothing(end),
            _ => Word::Response,
        },
    }
}

/// Behind the 1 of a status. 101 is the last that a connection says in HTTP.
fn is_hint(digits: &[u8]) -> bool {
    digits.iter().all(u8::is_ascii_digit) && digits != b"01"
}

/// Whether the response that has begun needs no more of the request. A good one may tell piece by
/// piece what comes of the body, until it is whole.
pub(super) fn is_settled(input: &[u8]) -> bool {
    match input.get(9) {
        None => false,
        Some(_) if !input.starts_with(b"HTTP/1.") => true,
        Some(b'1') => false,
        Some(b'2') => is_whole(input),
        Some(_) => true,
    }
}

/// Whether all of a response is there, as far as its head tells.
fn is_whole(input: &[u8]) -> bool {
    let Some(end) = end_of_head(input) else { return false };
    let (head, body) = input.split_at(end);
    let bodiless = head.get(9..12) == Some(b"204");
    let framed = head.split(|&byte| byte == b'\n').any(|line| {
        let line = String::from_utf8_lossy(line).to_ascii_lowercase();
        match line.split_once(':').map(|(name, value)| (name, value.trim())) {
            Some(("content-length", length)) => {
                length.parse().is_ok_and(|length: usize| body.len() >= length)
            }
            Some(("transfer-encoding", _)) => {
                body == b"0\r\n\r\n" || body.ends_with(b"\r\n0\r\n\r\n")
            }
            _ => false,
        }
    });
    bodiless || framed
}

/// Behind the first empty line.
fn end_of_head(input: &[u8]) -> Option<usize> {
    let mut end = 0;
    for line in input.split_inclusive(|&byte| byte == b'\n') {
        end += line.len();
        if matches!(line, b"\r\n" | b"\n") {
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_understood_when_it_is_whole() {
        for (text, wanted) in [
            ("HTTP/1.1 100 Continue\r\n\r\n", Word::Wanted),
            ("HTTP/1.1 100 Continue\r\nX-A: b\r\n\r\nHTTP", Word::Wanted),
            ("HTTP/1.1 100\n\n", Word::Wanted),
            ("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", Word::Nothing(40)),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", Word::Response),
            ("HTTP/1.1 413 Content Too Large\r\n\r\n", Word::Response),
            ("HTTP/1.0 200 OK\r\nA: b\r\n\r\nbody", Word::Response),
            ("HTTP/1.1 1\r\n\r\n", Word::Response),
            ("SSH-2.0-x", Word::Response),
        ] {
            assert_eq!(word(text.as_bytes()), wanted, "{text:?}");
        }
    }

    #[test]
    fn a_good_answer_is_settled_when_it_is_whole() {
        for (text, settled) in [
            ("HTTP/1.1 413 Content Too Large\r\n", true),
            ("HTTP/1.1 302 ", true),
            ("SSH-2.0-xyz", true),
            ("HTTP/1.1 ", false),
            ("HTTP/1.1 100 Continue\r\n\r\n", false),
            ("HTTP/1.1 204 No Content\r\n", false),
            ("HTTP/1.1 204 No Content\r\n\r\n", true),
            ("HTTP/1.0 200 OK\r\nCONTENT-LENGTH: 2\r\n\r\no", false),
            ("HTTP/1.0 200 OK\r\nCONTENT-LENGTH: 2\r\n\r\nok", true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nup to the end", false),
        ] {
            assert_eq!(is_settled(text.as_bytes()), settled, "{text:?}");
        }
    }

    #[test]
    fn half_a_head_is_no_word() {
        let head = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(word(&head[..end]), Word::None, "{end}");
        }
    }
}
