//! gzip (RFC 1952) and deflate (RFC 1950, and the bare RFC 1951 that some servers mean by it).

use std::io::{self, Write};
use std::mem;

use flate2::write::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};

use super::{Coding, Did, Stage, broken, pump};
use crate::transport::Failure;

pub(super) const GZIP: Coding =
    Coding { name: "gzip", alias: "x-gzip", begin: || Ok(Box::new(Gzip::default())) };

pub(super) const DEFLATE: Coding =
    Coding { name: "deflate", alias: "deflate", begin: || Ok(Box::new(Deflate::default())) };

struct Gzip {
    decoder: MultiGzDecoder<Sink>,
    fed: bool,
}

impl Default for Gzip {
    fn default() -> Gzip {
        Gzip { decoder: MultiGzDecoder::new(Sink::default()), fed: false }
    }
}

impl Stage for Gzip {
    fn push(&mut self, piece: &[u8], out: &mut Vec<u8>, most: usize) -> Result<(), Failure> {
        self.fed |= !piece.is_empty();
        self.decoder.get_mut().room = most.saturating_sub(out.len());
        let result = self.decoder.write_all(piece).and_then(|()| self.decoder.flush());
        self.decoder.get_mut().empty_into(out, result)
    }

    fn finish(mut self: Box<Self>, out: &mut Vec<u8>, most: usize) -> Result<(), Failure> {
        if !self.fed {
            return Ok(());
        }
        self.decoder.get_mut().room = most.saturating_sub(out.len());
        let result = self.decoder.try_finish();
        self.decoder.get_mut().empty_into(out, result)
    }
}

/// Where the gzip decoder writes: as much as there is room for.
#[derive(Default)]
struct Sink {
    kept: Vec<u8>,
    room: usize,
    full: bool,
}

impl Sink {
    /// Being full is no error here: whoever set the limit sees that it is reached.
    fn empty_into(&mut self, out: &mut Vec<u8>, result: io::Result<()>) -> Result<(), Failure> {
        out.append(&mut self.kept);
        match result {
            Err(error) if !self.full => Err(broken("not gzip, or cut short").caused_by(error)),
            _ => Ok(()),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room - self.kept.len().min(self.room));
        self.kept.extend_from_slice(&bytes[..taken]);
        if taken == 0 && !bytes.is_empty() {
            self.full = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The low-level decoder, for only it tells the end of a stream from its being cut.
#[derive(Default)]
struct Deflate {
    /// The first two bytes, which tell zlib from bare deflate.
    head: Vec<u8>,
    decoder: Option<Decompress>,
    ended: bool,
    full: bool,
}

impl Deflate {
    fn decode(&mut self, piece: &[u8], out: &mut Vec<u8>, most: usize) -> Result<(), Failure> {
        let decoder = self.decoder.as_mut().expect("made by the first two bytes");
        let mut rest = piece;
        if !self.ended {
            (rest, self.ended) =
                pump(piece, out, most, |input, output| step(decoder, input, output))?;
        }
        self.full = out.len() >= most;
        if self.ended && !rest.is_empty() {
            return Err(broken("bytes after the end of deflate"));
        }
        Ok(())
    }
}

impl Stage for Deflate {
    fn push(&mut self, piece: &[u8], out: &mut Vec<u8>, most: usize) -> Result<(), Failure> {
        if self.decoder.is_some() {
            return self.decode(piece, out, most);
        }
        self.head.extend_from_slice(piece);
        if self.head.len() < 2 {
            return Ok(());
        }
        let head = mem::take(&mut self.head);
        // RFC 1950 section 2.2: method 8, and a checksum over the two bytes.
        let zlib = head[0] & 0x0f == 8 && u16::from_be_bytes([head[0], head[1]]) % 31 == 0;
        self.decoder = Some(Decompress::new(zlib));
        self.decode(&head, out, most)
    }

    fn finish(self: Box<Self>, _: &mut Vec<u8>, _: usize) -> Result<(), Failure> {
        let empty = self.decoder.is_none() && self.head.is_empty();
        if empty || self.ended || self.full { Ok(()) } else { Err(broken("deflate cut short")) }
    }
}

fn step(decoder: &mut Decompress, input: &[u8], output: &mut [u8]) -> Result<Did, Failure> {
    let (read, written) = (decoder.total_in(), decoder.total_out());
    let status = decoder
        .decompress(input, output, FlushDecompress::None)
        .map_err(|error| broken("not deflate").caused_by(error))?;
    let eaten = (decoder.total_in() - read) as usize;
    let made = (decoder.total_out() - written) as usize;
    Ok(Did { eaten, made, ended: status == Status::StreamEnd })
}
