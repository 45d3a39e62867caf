//! gzip (RFC 1952) and deflate (RFC 1950, and the bare RFC 1951 that some servers mean by it).

use std::fmt;
use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};

use super::Coding;
use crate::error::ErrorKind;
use crate::transport::Failure;

pub(super) enum Stage {
    Gzip { decoder: Box<MultiGzDecoder<Sink>>, fed: bool },
    Deflate(Deflate),
}

impl Stage {
    pub(super) fn new(coding: Coding) -> Stage {
        match coding {
            Coding::Gzip => {
                let decoder = Box::new(MultiGzDecoder::new(Sink::default()));
                Stage::Gzip { decoder, fed: false }
            }
            Coding::Deflate => Stage::Deflate(Deflate::default()),
        }
    }

    pub(super) fn push(
        &mut self,
        piece: &[u8],
        out: &mut Vec<u8>,
        most: usize,
    ) -> Result<(), Failure> {
        match self {
            Stage::Gzip { decoder, fed } => {
                *fed |= !piece.is_empty();
                decoder.get_mut().room = most.saturating_sub(out.len());
                let result = decoder.write_all(piece).and_then(|()| decoder.flush());
                decoder.get_mut().empty_into(out, result)
            }
            Stage::Deflate(deflate) => deflate.push(piece, out, most),
        }
    }

    pub(super) fn finish(self, out: &mut Vec<u8>, most: usize) -> Result<(), Failure> {
        match self {
            // No byte at all is an empty body, whatever its coding.
            Stage::Gzip { fed: false, .. } => Ok(()),
            Stage::Gzip { mut decoder, .. } => {
                decoder.get_mut().room = most.saturating_sub(out.len());
                let result = decoder.try_finish();
                decoder.get_mut().empty_into(out, result)
            }
            Stage::Deflate(deflate) => deflate.finish(),
        }
    }
}

/// Where the gzip decoder writes: as much as there is room for.
#[derive(Default)]
pub(super) struct Sink {
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
pub(super) struct Deflate {
    /// The first two bytes, which tell zlib from bare deflate.
    head: Vec<u8>,
    decoder: Option<Decompress>,
    ended: bool,
    full: bool,
}

impl Deflate {
    fn push(&mut self, piece: &[u8], out: &mut Vec<u8>, most: usize) -> Result<(), Failure> {
        if self.decoder.is_some() {
            return self.decode(piece, out, most);
        }
        self.head.extend_from_slice(piece);
        if self.head.len() < 2 {
            return Ok(());
        }
        let head = std::mem::take(&mut self.head);
        // RFC 1950 section 2.2: method 8, and a checksum over the two bytes.
        let zlib = head[0] & 0x0f == 8 && u16::from_be_bytes([head[0], head[1]]) % 31 == 0;
        self.decoder = Some(Decompress::new(zlib));
        self.decode(&head, out, most)
    }

    fn decode(&mut self, mut piece: &[u8], out: &mut Vec<u8>, most: usize) -> Result<(), Failure> {
        let decoder = self.decoder.as_mut().expect("made by the first two bytes");
        let mut buffer = [0; 8 << 10];
        while !self.ended && out.len() < most {
            let (input, output) = (decoder.total_in(), decoder.total_out());
            let status = decoder
                .decompress(piece, &mut buffer, FlushDecompress::None)
                .map_err(|error| broken("not deflate").caused_by(error))?;
            let eaten = (decoder.total_in() - input) as usize;
            let made = (decoder.total_out() - output) as usize;
            out.extend_from_slice(&buffer[..made.min(most - out.len())]);
            piece = &piece[eaten..];
            self.ended = status == Status::StreamEnd;
            if eaten == 0 && made == 0 {
                break;
            }
        }
        self.full = out.len() >= most;
        if self.ended && !piece.is_empty() {
            return Err(broken("bytes after the end of deflate"));
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Failure> {
        let empty = self.decoder.is_none() && self.head.is_empty();
        if empty || self.ended || self.full { Ok(()) } else { Err(broken("deflate cut short")) }
    }
}

fn broken(detail: &'static str) -> Failure {
    Failure::new(ErrorKind::Decode, detail)
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Gzip { .. } => "Gzip",
            Stage::Deflate(_) => "Deflate",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Decoder;
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    const TEXT: &[u8] = b"the same thing, the same thing, the same thing again";

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn bare(data: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(
        applied: &[Coding],
        data: &[u8],
        chunk: usize,
        most: usize,
    ) -> Result<Vec<u8>, Failure> {
        let mut decoder = Decoder::new(applied);
        let mut out = Vec::new();
        for piece in data.chunks(chunk) {
            decoder.push(piece, &mut out, most)?;
        }
        decoder.finish(&mut out, most)?;
        Ok(out)
    }

    #[test]
    fn whole_bodies_in_any_pieces() {
        use Coding::{Deflate, Gzip};
        let twice = [gzip(&TEXT[..20]), gzip(&TEXT[20..])].concat();
        for chunk in [1, 2, 7, 1000] {
            for (applied, data) in [
                (&[Gzip][..], gzip(TEXT)),
                (&[Gzip], twice.clone()),
                (&[Deflate], zlib(TEXT)),
                (&[Deflate], bare(TEXT)),
                (&[Deflate, Gzip], gzip(&zlib(TEXT))),
            ] {
                assert_eq!(
                    decode(applied, &data, chunk, 1 << 20).unwrap(),
                    TEXT,
                    "{applied:?} {chunk}"
                );
            }
        }
        assert_eq!(decode(&[Gzip], &[], 1, 10).unwrap(), b"");
        assert_eq!(decode(&[Deflate], &[], 1, 10).unwrap(), b"");
    }

    #[test]
    fn every_cut_is_seen() {
        for (coding, data) in [
            (Coding::Gzip, gzip(TEXT)),
            (Coding::Deflate, zlib(TEXT)),
            (Coding::Deflate, bare(TEXT)),
        ] {
            for end in 1..data.len() {
                assert!(
                    decode(&[coding], &data[..end], 3, 1 << 20).is_err(),
                    "{coding:?} cut at {end}"
                );
            }
        }
    }

    #[test]
    fn damage_is_seen() {
        let mut crc = gzip(TEXT);
        let at = crc.len() - 6;
        crc[at] ^= 1;
        assert!(decode(&[Coding::Gzip], &crc, 9, 1 << 20).is_err());
        for trailing in [gzip(TEXT), zlib(TEXT)] {
            let coding = if trailing[0] == 0x1f { Coding::Gzip } else { Coding::Deflate };
            let data = [trailing, b"garbage".to_vec()].concat();
            assert!(decode(&[coding], &data, 9, 1 << 20).is_err());
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![0; 50 << 20]);
        assert_eq!(decode(&[Coding::Gzip], &bomb, 4096, 1000).unwrap().len(), 1000);
        let bomb = zlib(&vec![0; 50 << 20]);
        assert_eq!(decode(&[Coding::Deflate], &bomb, 4096, 1000).unwrap().len(), 1000);
        let stacked = gzip(&gzip(&vec![0; 50 << 20]));
        assert!(decode(&[Coding::Gzip, Coding::Gzip], &stacked, 4096, 1000).is_err());
    }
}
