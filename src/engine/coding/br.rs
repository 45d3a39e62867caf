//! Brotli (RFC 7932).

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::{Coding, Did, Stage, broken, pump};
use crate::transport::Failure;

pub(super) const BROTLI: Coding =
    Coding { name: "br", alias: "br", begin: || Ok(Box::new(Brotli::new())) };

struct Brotli {
    state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
    fed: bool,
    ended: bool,
    full: bool,
}

impl Brotli {
    /// Strict: a window above the 16 MiB of RFC 7932 is refused. It grows with what is decoded, up to
    /// the size that the server says.
    fn new() -> Brotli {
        let [a, b, c] = [(); 3].map(|()| StandardAlloc::default());
        let state = Box::new(BrotliState::new_strict(a, b, c));
        Brotli { state, fed: false, ended: false, full: false }
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Did, Failure> {
        let (mut eaten, mut made, mut total) = (0, 0, 0);
        let result = BrotliDecompressStream(
            &mut input.len(),
            &mut eaten,
            input,
            &mut output.len(),
            &mut made,
            output,
            &mut total,
            &mut self.state,
        );
        match result {
            BrotliResult::ResultFailure => Err(broken("not brotli")),
            BrotliResult::ResultSuccess => Ok(Did { eaten, made, ended: true }),
            _ => Ok(Did { eaten, made, ended: false }),
        }
    }
}

impl Stage for Brotli {
    fn push(&mut self, piece: &[u8], out: &mut Vec<u8>, most: usize) -> Result<(), Failure> {
        self.fed |= !piece.is_empty();
        let mut rest = piece;
        if !self.ended {
            (rest, self.ended) = pump(piece, out, most, |input, output| self.step(input, output))?;
        }
        self.full = out.len() >= most;
        if self.ended && !rest.is_empty() {
            return Err(broken("bytes after the end of brotli"));
        }
        Ok(())
    }

    fn finish(self: Box<Self>, _: &mut Vec<u8>, _: usize) -> Result<(), Failure> {
        let whole = self.ended || self.full || !self.fed;
        if whole { Ok(()) } else { Err(broken("brotli cut short")) }
    }
}
