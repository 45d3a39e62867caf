//! `100 Continue` without its header fields: it may have some (RFC 9110 section
//! 15.2), and ureq would take them for a violation of the protocol.

const START: &[u8] = b"HTTP/1.1 100";

/// Where in the bytes of an answer we are.
#[derive(Clone, Copy)]
pub(super) enum Interim {
    /// So many bytes of [`START`] came.
    Start(usize),
    /// In the status line of a 100.
    Status,
    /// At the beginning of a line below it.
    LineStart,
    Field,
    /// In another response, or behind its head: nothing more to do.
    Other,
}

impl Interim {
    /// Before the first byte of an answer.
    pub(super) fn new() -> Interim {
        Interim::Start(0)
    }

    /// Moves what is to be kept to the front; says how much that is.
    pub(super) fn bare(&mut self, bytes: &mut [u8]) -> usize {
        let mut kept = 0;
        for n in 0..bytes.len() {
            if matches!(self, Interim::Other) && kept == n {
                return bytes.len();
            }
            if self.keeps(bytes[n]) {
                bytes[kept] = bytes[n];
                kept += 1;
            }
        }
        kept
    }

    fn keeps(&mut self, byte: u8) -> bool {
        use Interim::*;
        let (next, keeps) = match (*self, byte) {
            (Start(n), byte) if byte == START[n] => {
                (if n + 1 < START.len() { Start(n + 1) } else { Status }, true)
            }
            (Start(_) | Other, _) => (Other, true),
            (Status, b'\n') => (LineStart, true),
            (Status, _) => (Status, true),
            (LineStart, b'\n') => (Start(0), true),
            (LineStart, b'\r') => (LineStart, true),
            (Field, b'\n') => (LineStart, false),
            (LineStart | Field, _) => (Field, false),
        };
        *self = next;
        keeps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_fields_of_a_100_go() {
        let bare = "HTTP/1.1 100 Continue\r\n\r\n";
        let full = "HTTP/1.1 100 Continue\r\nServer: x\r\nDate: y\r\n\r\n";
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: z\r\n\r\n";
        let last = "HTTP/1.1 200 OK\r\nServer: x\r\n\r\nHTTP/1.1 100 Continue\r\na: b\r\n\r\n";
        for (came, wanted) in [
            (format!("{full}{last}"), format!("{bare}{last}")),
            (format!("{full}{full}{hints}{last}"), format!("{bare}{bare}{hints}{last}")),
            (last.to_owned(), last.to_owned()),
        ] {
            for size in 1..=came.len() {
                let (mut interim, mut kept) = (Interim::new(), Vec::new());
                for piece in came.as_bytes().chunks(size) {
                    let mut piece = piece.to_vec();
                    let len = interim.bare(&mut piece);
                    kept.extend_from_slice(&piece[..len]);
                }
                assert_eq!(String::from_utf8(kept).unwrap(), wanted, "in pieces of {size}");
            }
        }
    }
}
