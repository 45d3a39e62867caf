//! Takes the body of a response in: undoes codings, keeps the limits.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http::response::Parts;
use http::{Method, StatusCode, Version};

use super::coding::{Coding, Decoder};
use crate::error::ErrorKind;
use crate::transport::{Failure, MAX_FIELDS, MAX_HEAD};

/// Bytes of a body nobody will read that are worth reading to keep the connection.
const DRAINED: usize = 64 << 10;

/// Codings one upon another that are undone; more is an attack.
const STACKED: usize = 4;

/// What the engine wants of a body, known once the head is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it, or an error.
    Whole(usize),
    /// All of it, piece by piece, or an error.
    Pieces(usize),
    /// The beginning, as evidence; the rest is let go.
    Some(usize),
    /// Nothing: a redirect's.
    None,
}

#[derive(Debug)]
pub(crate) struct Inbox {
    wanted: Wanted,
    decoder: Option<Decoder>,
    /// What is there of the body: one piece as it came, or else copied together.
    piece: Bytes,
    kept: Vec<u8>,
    /// Decoded bytes that were handed over.
    handed: usize,
    /// Raw bytes seen after enough was kept.
    drained: usize,
}

impl Inbox {
    /// `asked` is the `Accept-Encoding` that went out: what was asked for is undone, and the head
    /// says so.
    pub(crate) fn new<'a>(
        head: &mut Parts,
        method: &Method,
        wanted: Wanted,
        asked: impl FnOnce() -> Option<&'a HeaderValue>,
    ) -> Result<Inbox, Failure> {
        let seen = Seen::of(&head.headers);
        // A transport may stop reading a head at the limit, or a little above it.
        if head.headers.len() > MAX_FIELDS || seen.size > MAX_HEAD {
            return Err(Failure::new(ErrorKind::HeadTooLarge, ""));
        }
        if seen.transfer_coding || head.status.is_informational() {
            check_framing(head)?;
        }
        // What it says of a body then is what another answer would have (RFC 9110 section 8.6).
        let bodiless = method == Method::HEAD
            || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let mut decoder = None;
        if seen.unclear {
            return Err(Failure::new(ErrorKind::Protocol, "not valid HTTP/1.1"));
        }
        if !bodiless && wanted != Wanted::None && seen.content_coding {
            let codings = match codings(&head.headers, asked()) {
                // Evidence of a failure is good as it came, too.
                Err(_) if !wanted.is_strict() => None,
                codings => codings?,
            };
            if let Some(codings) = codings {
                decoder = Some(Decoder::new(&codings)?);
                head.headers.remove(CONTENT_ENCODING);
                head.headers.remove(CONTENT_LENGTH);
            }
        }
        if let Wanted::Whole(most) | Wanted::Pieces(most) = wanted {
            let length = seen.length.filter(|_| !bodiless && decoder.is_none());
            if length.is_some_and(|length| length > most as u64) {
                return Err(too_large(most));
            }
        }
        let (piece, kept) = (Bytes::new(), Vec::new());
        Ok(Inbox { wanted, decoder, piece, kept, handed: 0, drained: 0 })
    }

    /// Takes a piece in that is already shared; a body of one piece is not copied.
    pub(crate) fn push_bytes(&mut self, piece: Bytes) -> Result<bool, Failure> {
        let fits = piece.len() <= self.room();
        if self.decoder.is_none() && self.is_empty() && fits && !piece.is_empty() {
            self.piece = piece;
            return Ok(true);
        }
        self.push(&piece)
    }

    fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.piece.is_empty()
    }

    /// Takes a piece in. `Ok(false)` says that no more is wanted, and the
    /// connection is not worth the rest.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<bool, Failure> {
        if !self.piece.is_empty() {
            self.kept.extend_from_slice(&std::mem::take(&mut self.piece));
        }
        let most = self.room();
        if self.kept.len() >= most && !self.wanted.is_strict() {
            self.drained += piece.len();
            return Ok(self.drained <= DRAINED);
        }
        match &mut self.decoder {
            // One byte above the limit tells a body that is too large from one that just fits.
            Some(decoder) => {
                match decoder.push(piece, &mut self.kept, most.saturating_add(1)) {
                    Ok(()) => {}
                    // The status tells more than a broken coding. What is there is all there will be.
                    Err(_) if !self.wanted.is_strict() => {
                        self.decoder = None;
                        self.wanted = Wanted::Some(self.kept.len().min(most));
                    }
                    // Between two codings; which limit it was is a matter of pieces.
                    Err(failure) if failure.kind == ErrorKind::BodyTooLarge => {
                        return Err(too_large(self.wanted.limit()));
                    }
                    Err(failure) => return Err(failure),
                }
            }
            None => {
                let room = most.saturating_add(1) - self.kept.len();
                self.kept.extend_from_slice(&piece[..piece.len().min(room)]);
            }
        }
        if self.kept.len() > most && self.wanted.is_strict() {
            return Err(too_large(self.wanted.limit()));
        }
        Ok(true)
    }

    /// How much may be kept.
    fn room(&self) -> usize {
        self.wanted.limit() - self.handed
    }

    /// Whether the body is to be handed over as it comes.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.wanted, Wanted::Pieces(_))
    }

    /// What was decoded and not yet handed over.
    pub(crate) fn hand_over(&mut self) -> Bytes {
        let piece = self.take();
        self.handed += piece.len();
        piece
    }

    fn take(&mut self) -> Bytes {
        if self.piece.is_empty() {
            std::mem::take(&mut self.kept).into()
        } else {
            std::mem::take(&mut self.piece)
        }
    }

    /// The body is complete.
    pub(crate) fn finish(&mut self) -> Result<Bytes, Failure> {
        let most = self.room();
        if let Some(decoder) = self.decoder.take() {
            // The end of a body of which only the beginning was wanted may never have been decoded.
            if self.kept.len() <= most {
                let done = decoder.finish(&mut self.kept, most.saturating_add(1));
                if self.wanted.is_strict() {
                    done?;
                }
            }
        }
        if self.kept.len() > most {
            if self.wanted.is_strict() {
                return Err(too_large(self.wanted.limit()));
            }
            self.kept.truncate(most);
        }
        Ok(self.take())
    }

    /// The body was not read to its end, for what is there is enough.
    pub(crate) fn cut(&mut self) -> Bytes {
        self.kept.truncate(self.wanted.limit());
        self.take()
    }
}

impl Wanted {
    fn limit(self) -> usize {
        match self {
            Wanted::Whole(most) | Wanted::Pieces(most) | Wanted::Some(most) => most,
            Wanted::None => 0,
        }
    }

    /// More than the limit is an error, and not just more than wanted.
    fn is_strict(self) -> bool {
        matches!(self, Wanted::Whole(_) | Wanted::Pieces(_))
    }
}

fn too_large(most: usize) -> Failure {
    Failure::new(ErrorKind::BodyTooLarge, format!("more than {most} bytes"))
}

/// What a head says of the body: one look at all fields is less than a search for each.
#[derive(Default)]
struct Seen {
    size: usize,
    transfer_coding: bool,
    content_coding: bool,
    length: Option<u64>,
    /// Nobody knows what it says of the length.
    unclear: bool,
}

impl Seen {
    fn of(headers: &HeaderMap) -> Seen {
        let mut seen = Seen::default();
        for (name, value) in headers {
            seen.size += name.as_str().len() + value.len() + 4;
            if *name == CONTENT_LENGTH {
                seen.length = told(seen.length, value);
                seen.unclear |= seen.length.is_none();
            }
            seen.transfer_coding |= *name == TRANSFER_ENCODING;
            seen.content_coding |= *name == CONTENT_ENCODING;
        }
        seen
    }
}

/// Where it is in doubt where a body ends, so is whose the next response is. What transports
/// make of it differs, and RFC 9112 section 6.3 allows to call it an error.
fn check_framing(head: &Parts) -> Result<(), Failure> {
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    let doubt = match (codings.next(), codings.next()) {
        _ if head.status.is_informational() => "an interim response in place of the final one",
        (None, _) => return Ok(()),
        _ if head.version == Version::HTTP_10 => "not valid HTTP/1.1",
        _ if head.headers.contains_key(CONTENT_LENGTH) => "a length and a transfer coding",
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"chunked") => return Ok(()),
        _ => "a transfer coding other than chunked",
    };
    Err(Failure::new(ErrorKind::Protocol, doubt))
}

/// The length that the head tells, `length` before this value. The same number told again counts
/// once; of anything else nobody knows what it means, also where no body follows (RFC 9112 section 6.3).
fn told(mut length: Option<u64>, value: &HeaderValue) -> Option<u64> {
    for number in value.as_bytes().split(|byte| *byte == b',') {
        let number = decimal(number.trim_ascii())?;
        if *length.get_or_insert(number) != number {
            return None;
        }
    }
    length
}

/// Digits alone; `parse` would take a sign.
fn decimal(digits: &[u8]) -> Option<u64> {
    let more = |number: u64, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    digits.iter().try_fold(0, more).filter(|_| !digits.is_empty())
}

/// The codings to undo, in the order they were applied. `None` where there are
/// none, or one that was not asked for: that body is handed over as it is.
fn codings(
    headers: &HeaderMap,
    asked: Option<&HeaderValue>,
) -> Result<Option<Vec<&'static Coding>>, Failure> {
    let asked = asked.and_then(|value| value.to_str().ok());
    let asked_for = asked.map(Coding::listed).unwrap_or_default();
    let mut found = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let Ok(value) = value.to_str() else { return Ok(None) };
        for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if name.eq_ignore_ascii_case("identity") {
                continue;
            }
            match Coding::named(name).filter(|coding| asked_for.contains(coding)) {
                Some(coding) => found.push(coding),
                None => return Ok(None),
            }
        }
    }
    if found.len() > STACKED {
        return Err(Failure::new(ErrorKind::Decode, "too many codings one upon another").lasting());
    }
    Ok(Some(found).filter(|found| !found.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Response;

    fn head(fields: &[(&'static str, &'static str)]) -> Parts {
        let mut head = Response::new(()).into_parts().0;
        for (name, value) in fields {
            head.headers.append(*name, value.parse().unwrap());
        }
        head
    }

    fn inbox(wanted: Wanted, fields: &[(&'static str, &'static str)]) -> Result<Inbox, Failure> {
        Inbox::new(&mut head(fields), &Method::GET, wanted, || None)
    }

    #[test]
    fn a_whole_body_keeps_its_limit_to_the_byte() {
        for (size, fits) in [(9, true), (10, true), (11, false)] {
            for chunk in [1, 4, 100] {
                let mut inbox = inbox(Wanted::Whole(10), &[]).unwrap();
                let body = vec![7u8; size];
                let pushed: Result<Vec<bool>, _> =
                    body.chunks(chunk).map(|c| inbox.push(c)).collect();
                let result = pushed.and_then(|_| inbox.finish());
                assert_eq!(result.is_ok(), fits, "{size} in {chunk}");
            }
        }
        assert!(inbox(Wanted::Whole(10), &[("content-length", "11")]).is_err());
        assert!(inbox(Wanted::Some(10), &[("content-length", "11")]).is_ok());
    }

    #[test]
    fn evidence_is_cut_and_the_rest_drained_up_to_a_point() {
        let mut inbox = inbox(Wanted::Some(10), &[]).unwrap();
        assert!(inbox.push(&[1; 20]).unwrap());
        assert!(inbox.push(&[1; 1000]).unwrap());
        assert!(!inbox.push(&[1; DRAINED]).unwrap());
        assert_eq!(inbox.cut().len(), 10);
    }

    #[test]
    fn one_shared_piece_is_kept_as_it_is_and_two_are_joined() {
        let piece = Bytes::from(vec![1, 2, 3]);
        let mut one = inbox(Wanted::Whole(10), &[]).unwrap();
        one.push_bytes(piece.clone()).unwrap();
        assert_eq!(one.finish().unwrap().as_ptr(), piece.as_ptr());
        let mut two = inbox(Wanted::Whole(10), &[]).unwrap();
        two.push_bytes(piece.clone()).unwrap();
        two.push_bytes(piece).unwrap();
        assert_eq!(two.finish().unwrap(), [1, 2, 3, 1, 2, 3][..]);
    }

    #[test]
    fn a_large_head_is_refused() {
        let value: &'static str = Box::leak("a".repeat(30_000).into());
        assert!(inbox(Wanted::None, &[("x", value), ("x", value)]).is_ok());
        assert!(inbox(Wanted::None, &[("x", value), ("x", value), ("x", value)]).is_err());
        assert!(inbox(Wanted::None, &[("x", "a"); MAX_FIELDS]).is_ok());
        assert!(inbox(Wanted::None, &[("x", "a"); MAX_FIELDS + 1]).is_err());
    }

    #[test]
    fn a_length_is_one_number() {
        let told = |values: &[&'static str]| {
            let fields: Vec<_> = values.iter().map(|value| ("content-length", *value)).collect();
            inbox(Wanted::None, &fields).map(drop).map_err(|failure| failure.kind)
        };
        for good in [&["2"][..], &[" 2 "], &["2, 2"], &["2", "2"], &["18446744073709551615"]] {
            assert_eq!(told(good), Ok(()), "{good:?}");
        }
        for bad in ["", "+2", "-1", "0x2", "2.0", "2 2", "2, 3", "2,", "18446744073709551616"] {
            assert_eq!(told(&[bad]), Err(ErrorKind::Protocol), "{bad:?}");
        }
        assert_eq!(told(&["2", "3"]), Err(ErrorKind::Protocol));
    }

    #[test]
    fn a_framing_in_doubt_is_refused() {
        let (coding, length) = ("transfer-encoding", "content-length");
        assert!(inbox(Wanted::None, &[(coding, "Chunked")]).is_ok());
        assert!(inbox(Wanted::None, &[(coding, "chunked"), (length, "1")]).is_err());
        assert!(inbox(Wanted::None, &[(coding, "chunked"), (coding, "chunked")]).is_err());
        for other in ["", "gzip, chunked", "xchunked", "identity"] {
            assert!(inbox(Wanted::None, &[(coding, other)]).is_err(), "{other}");
        }
    }

    #[test]
    fn what_was_not_asked_for_stays_as_it_is() {
        let mut head = head(&[("content-encoding", "br")]);
        let mut raw = Inbox::new(&mut head, &Method::GET, Wanted::Whole(10), || None).unwrap();
        raw.push(b"raw").unwrap();
        assert_eq!(raw.finish().unwrap(), "raw");
        assert!(head.headers.contains_key("content-encoding"));
    }
}
