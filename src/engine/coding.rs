//! Content codings (RFC 9110 section 8.4.1).

#[cfg(feature = "brotli")]
mod br;
#[cfg(feature = "gzip")]
mod flate;
#[cfg(test)]
mod tests;
#[cfg(feature = "zstd")]
mod zstd;

use std::fmt;
use std::sync::LazyLock;

use http::HeaderValue;

use crate::error::ErrorKind;
use crate::transport::Failure;

/// A coding that this build can undo, and so asks for.
pub(crate) struct Coding {
    name: &'static str,
    /// An older name, which is understood and not asked for.
    alias: &'static str,
    begin: fn() -> Result<Box<dyn Stage>, Failure>,
}

/// In the order they are asked for.
const OFFERED: &[Coding] = &[
    #[cfg(feature = "gzip")]
    flate::GZIP,
    #[cfg(feature = "gzip")]
    flate::DEFLATE,
    #[cfg(feature = "brotli")]
    br::BROTLI,
    #[cfg(feature = "zstd")]
    zstd::ZSTD,
];

/// The `Accept-Encoding` of a caller who has no wish of their own; `None` where nothing can be undone.
pub(crate) fn offer() -> Option<HeaderValue> {
    static OFFER: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
        let names: Vec<&str> = OFFERED.iter().map(|coding| coding.name).collect();
        let names = Some(names.join(", ")).filter(|names| !names.is_empty());
        // Every call has a copy, and one of a text that stays is not counted.
        names.map(|names| HeaderValue::from_static(names.leak()))
    });
    OFFER.clone()
}

impl Coding {
    pub(crate) fn named(name: &str) -> Option<&'static Coding> {
        let is = |other| name.eq_ignore_ascii_case(other);
        OFFERED.iter().find(|coding| is(coding.name) || is(coding.alias))
    }

    /// The codings named in an `Accept-Encoding` that this build can undo.
    pub(crate) fn listed(value: &str) -> Vec<&'static Coding> {
        let names = value.split(',').map(|item| item.split(';').next().unwrap_or_default().trim());
        names.filter_map(Coding::named).collect()
    }
}

impl PartialEq for Coding {
    fn eq(&self, other: &Coding) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Undoes one coding, piece by piece.
trait Stage: Send + Sync {
    /// Decodes `piece` onto `out` until `out` is `most` long; what is above is lost.
    fn push(&mut self, piece: &[u8], out: &mut Vec<u8>, most: usize) -> Result<(), Failure>;

    /// Checks that the coding came to its end. No byte at all is an empty body, whatever its coding.
    fn finish(self: Box<Self>, out: &mut Vec<u8>, most: usize) -> Result<(), Failure>;
}

/// Undoes a stack of codings, piece by piece.
pub(crate) struct Decoder {
    /// In the order they are undone.
    stages: Vec<Box<dyn Stage>>,
}

impl Decoder {
    /// `applied` is in the order in which they were applied.
    pub(crate) fn new(applied: &[&Coding]) -> Result<Decoder, Failure> {
        let stages = applied.iter().rev().map(|coding| (coding.begin)());
        Ok(Decoder { stages: stages.collect::<Result<_, _>>()? })
    }

    /// Decodes `piece` onto `out` until `out` is `most` long; what is above is lost.
    pub(crate) fn push(
        &mut self,
        piece: &[u8],
        out: &mut Vec<u8>,
        most: usize,
    ) -> Result<(), Failure> {
        let (last, before) = self.stages.split_last_mut().expect("a decoder has a stage");
        let mut input = Vec::new();
        for (n, stage) in before.iter_mut().enumerate() {
            let mut output = Vec::new();
            let given = if n == 0 { piece } else { &input };
            // What lies between two codings is held to the same limit.
            stage.push(given, &mut output, most)?;
            if output.len() >= most {
                return Err(Failure::new(ErrorKind::BodyTooLarge, ""));
            }
            input = output;
        }
        let given = if before.is_empty() { piece } else { &input };
        last.push(given, out, most)
    }

    /// Checks that every coding came to its end.
    pub(crate) fn finish(self, out: &mut Vec<u8>, most: usize) -> Result<(), Failure> {
        self.stages.into_iter().try_for_each(|stage| stage.finish(out, most))
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decoder({} codings)", self.stages.len())
    }
}

/// What one step of a library's decoder did.
struct Did {
    eaten: usize,
    made: usize,
    /// The coded stream is at its end.
    ended: bool,
}

/// Does `step`, from the first slice into the second, until all of `piece` is eaten, the stream has
/// ended, or `out` is `most` long. Gives what is left of the piece, and whether the stream has ended.
fn pump<'a>(
    mut piece: &'a [u8],
    out: &mut Vec<u8>,
    most: usize,
    mut step: impl FnMut(&[u8], &mut [u8]) -> Result<Did, Failure>,
) -> Result<(&'a [u8], bool), Failure> {
    let mut buffer = [0; 8 << 10];
    while out.len() < most {
        let Did { eaten, made, ended } = step(piece, &mut buffer)?;
        out.extend_from_slice(&buffer[..made.min(most - out.len())]);
        piece = &piece[eaten..];
        if ended {
            return Ok((piece, true));
        }
        if eaten == 0 && made == 0 {
            break;
        }
    }
    Ok((piece, false))
}

fn broken(detail: &'static str) -> Failure {
    Failure::new(ErrorKind::Decode, detail)
}
