//! Zstandard (RFC 8878): one frame, or several one after another.

use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

use super::{Coding, Did, Stage, broken, pump};
use crate::error::ErrorKind;
use crate::transport::Failure;

pub(super) const ZSTD: Coding =
    Coding { name: "zstd", alias: "zstd", begin: || Ok(Box::new(Zstd::new()?)) };

/// 8 MiB, as a power of two: what everybody's decoder must be able to hold, and no server may ask
/// more of it (RFC 9659).
const WINDOW: u32 = 23;

struct Zstd {
    decoder: DCtx<'static>,
    /// Nothing is missing: it has eaten whole frames.
    whole: bool,
    full: bool,
}

impl Zstd {
    /// The window is set aside when the head of a frame is there, with the size that it says.
    fn new() -> Result<Zstd, Failure> {
        let none_left = || Failure::new(ErrorKind::Resource, "no memory for zstd");
        let mut decoder = DCtx::try_create().ok_or_else(none_left)?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW)).map_err(failed)?;
        Ok(Zstd { decoder, whole: true, full: false })
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Did, Failure> {
        let mut input = InBuffer::around(input);
        let mut output = OutBuffer::around(output);
        let more = self.decoder.decompress_stream(&mut output, &mut input).map_err(failed)?;
        let (eaten, made) = (input.pos(), output.pos());
        // Asked for nothing, it speaks of a next frame, which need not come.
        if eaten > 0 || made > 0 {
            self.whole = more == 0;
        }
        Ok(Did { eaten, made, ended: false })
    }
}

impl Stage for Zstd {
    fn push(&mut self, piece: &[u8], out: &mut Vec<u8>, most: usize) -> Result<(), Failure> {
        pump(piece, out, most, |input, output| self.step(input, output))?;
        self.full = out.len() >= most;
        Ok(())
    }

    fn finish(self: Box<Self>, _: &mut Vec<u8>, _: usize) -> Result<(), Failure> {
        if self.whole || self.full { Ok(()) } else { Err(broken("zstd cut short")) }
    }
}

fn failed(code: usize) -> Failure {
    broken("not zstd, or with too large a window").caused_by(get_error_name(code))
}
