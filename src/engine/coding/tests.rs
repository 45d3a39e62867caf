//! Every coding that is compiled in, against bodies whole, cut, damaged and swollen.

use super::*;

const TEXT: &[u8] = b"the same thing, the same thing, the same thing again";

/// A coding, and ways to say `TEXT` in it.
struct Sample {
    name: &'static str,
    texts: Vec<Vec<u8>>,
    /// Megabytes of zeros.
    bomb: fn() -> Vec<u8>,
    /// Two may follow one another.
    joins: bool,
}

fn samples() -> Vec<Sample> {
    vec![
        #[cfg(feature = "gzip")]
        deflated::gzip(),
        #[cfg(feature = "gzip")]
        deflated::deflate(),
        #[cfg(feature = "brotli")]
        brotli(),
        #[cfg(feature = "zstd")]
        zstd(),
    ]
}

#[cfg(feature = "gzip")]
mod deflated {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::{Sample, TEXT};

    macro_rules! coded {
        ($encoder:ident, $data:expr) => {{
            let mut encoder = $encoder::new(Vec::new(), Compression::best());
            encoder.write_all($data).unwrap();
            encoder.finish().unwrap()
        }};
    }

    pub(super) fn gzip() -> Sample {
        let bomb = || coded!(GzEncoder, &vec![0; 4 << 20]);
        Sample { name: "gzip", texts: vec![coded!(GzEncoder, TEXT)], bomb, joins: true }
    }

    pub(super) fn deflate() -> Sample {
        let texts = vec![coded!(ZlibEncoder, TEXT), coded!(DeflateEncoder, TEXT)];
        let bomb = || coded!(ZlibEncoder, &vec![0; 4 << 20]);
        Sample { name: "deflate", texts, bomb, joins: false }
    }
}

#[cfg(feature = "brotli")]
fn brotli() -> Sample {
    let text =
        b"\x1b\x33\x00\xf8\x25\x40\x7a\x90\x43\x16\x29\x46\x0f\x60\x07\x32\x11\x31\xc3\x1e\x07\x09";
    const BOMB: [u8; 93] = [
        0xcb, 0xff, 0xff, 0x3f, 0xf8, 0x27, 0x00, 0xe2, 0xb1, 0x40, 0x20, 0xf7, 0xfe, 0x8f, 0xff,
        0xff, 0x7f, 0xf0, 0x4f, 0x00, 0xc4, 0x61, 0x11, 0x80, 0xee, 0xfd, 0x1f, 0xff, 0xff, 0xff,
        0xe0, 0x9f, 0x00, 0x88, 0xc3, 0x02, 0x00, 0xdd, 0xfb, 0x3f, 0xfe, 0xff, 0xff, 0xc1, 0x3f,
        0x01, 0x10, 0x87, 0x05, 0x00, 0xba, 0xf7, 0x7f, 0xfc, 0xff, 0xff, 0x83, 0x7f, 0x02, 0x20,
        0x0e, 0x0b, 0x00, 0x74, 0xef, 0xff, 0xf8, 0xff, 0xff, 0x07, 0xff, 0x04, 0x40, 0x1c, 0x16,
        0x00, 0xe8, 0xde, 0xff, 0xe5, 0xff, 0xff, 0x07, 0xfe, 0x09, 0x80, 0x38, 0x2c, 0x00, 0xd0,
        0xbd, 0xff, 0x00,
    ];
    Sample { name: "br", texts: vec![text.to_vec()], bomb: || BOMB.to_vec(), joins: false }
}

#[cfg(feature = "zstd")]
fn zstd() -> Sample {
    fn coded(data: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(zstd_safe::compress_bound(data.len()));
        zstd_safe::compress(&mut out, data, 3).unwrap();
        out
    }
    // Of another encoder, and with a checksum, which the first has not.
    let checked = b"\x28\xb5\x2f\xfd\x24\x34\xe5\x00\x00\xb0the same thing,  again\x01\x00\x46\x9c\x4b\xb6\x45\x58\x8c";
    let texts = vec![coded(TEXT), checked.to_vec()];
    Sample { name: "zstd", texts, bomb: || coded(&vec![0; 4 << 20]), joins: true }
}

fn decode(applied: &[&str], data: &[u8], chunk: usize, most: usize) -> Result<Vec<u8>, Failure> {
    let applied: Vec<_> = applied.iter().map(|name| Coding::named(name).unwrap()).collect();
    let mut decoder = Decoder::new(&applied)?;
    let mut out = Vec::new();
    for piece in data.chunks(chunk) {
        decoder.push(piece, &mut out, most)?;
    }
    decoder.finish(&mut out, most)?;
    Ok(out)
}

/// For each way to say `TEXT` in a coding.
fn each(test: impl Fn(&Sample, &[u8])) {
    for sample in samples() {
        sample.texts.iter().for_each(|text| test(&sample, text));
    }
}

#[test]
fn whole_bodies_in_any_pieces() {
    each(|Sample { name, .. }, data| {
        for chunk in [1, 2, 7, 1000] {
            assert_eq!(decode(&[name], data, chunk, 1 << 20).unwrap(), TEXT, "{name} {chunk}");
        }
        assert_eq!(decode(&[name], data, 5, TEXT.len()).unwrap(), TEXT, "{name}, just so");
        assert_eq!(decode(&[name], &[], 1, 10).unwrap(), b"", "{name}");
    });
}

#[test]
fn one_after_another() {
    each(|Sample { name, joins, .. }, data| {
        let twice = [data, data].concat();
        for chunk in [1, 2, 7, 1000] {
            let decoded = decode(&[name], &twice, chunk, 1 << 20).ok();
            let wanted = joins.then(|| [TEXT, TEXT].concat());
            assert_eq!(decoded, wanted, "{name} {chunk}");
        }
    });
}

#[test]
#[cfg(all(feature = "gzip", feature = "brotli", feature = "zstd"))]
fn one_upon_another() {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&brotli().texts[0]).unwrap();
    let mut outermost = vec![0; 1000];
    let length = zstd_safe::compress(&mut outermost[..], &gzip.finish().unwrap(), 1).unwrap();
    let stacked = decode(&["br", "gzip", "zstd"], &outermost[..length], 3, 1 << 20);
    assert_eq!(stacked.unwrap(), TEXT);
}

#[test]
fn every_cut_is_seen() {
    each(|Sample { name, .. }, data| {
        for end in 1..data.len() {
            assert!(decode(&[name], &data[..end], 3, 1 << 20).is_err(), "{name} cut at {end}");
        }
    });
}

#[test]
fn bytes_after_the_end_are_seen() {
    each(|Sample { name, .. }, data| {
        for chunk in [1, 9, 1000] {
            let trailed = [data, b"garbage"].concat();
            assert!(decode(&[name], &trailed, chunk, 1 << 20).is_err(), "{name} {chunk}");
        }
    });
}

/// Any damage is an error or another text, in time and space that do not grow.
#[test]
fn damage_neither_panics_nor_swells() {
    each(|Sample { name, .. }, data| {
        for at in 0..data.len() {
            for bit in 0..8 {
                let mut damaged = data.to_vec();
                damaged[at] ^= 1 << bit;
                if let Ok(out) = decode(&[name], &damaged, 7, 1000) {
                    assert!(out.len() <= 1000, "{name} {at} {bit}");
                }
            }
        }
    });
}

#[test]
#[cfg(any(feature = "gzip", feature = "zstd"))]
fn a_wrong_checksum_is_seen() {
    each(|Sample { name, texts, .. }, data| {
        // Near the end of the last of each: gzip's CRC, zlib's Adler-32, zstd's XXH64.
        let checked = match *name {
            "gzip" => Some(6),
            "deflate" => (data == texts[0]).then_some(2),
            "zstd" => (data == texts[1]).then_some(2),
            _ => None,
        };
        if let Some(from_end) = checked {
            let mut damaged = data.to_vec();
            damaged[data.len() - from_end] ^= 1;
            assert!(decode(&[name], &damaged, 9, 1 << 20).is_err(), "{name}");
        }
    });
}

#[test]
fn a_bomb_stops_at_the_limit() {
    for Sample { name, bomb, .. } in samples() {
        let bomb = bomb();
        assert!(bomb.len() < 10_000, "{name}");
        assert_eq!(decode(&[name], &bomb, 4096, 1000).unwrap().len(), 1000, "{name}");
        // There was more to come.
        assert_eq!(decode(&[name], &bomb, 4096, 1 << 20).unwrap().len(), 1 << 20, "{name}");
    }
}

#[test]
#[cfg(feature = "gzip")]
fn a_bomb_between_two_codings_is_an_error() {
    let inner = (deflated::gzip().bomb)();
    assert!(decode(&["gzip", "gzip"], &inner, 4096, 1000).is_err());
}

#[test]
#[cfg(feature = "brotli")]
fn brotli_with_a_large_window_is_refused() {
    // The window bits that RFC 7932 leaves free, taken by the large-window extension: 30 bits.
    assert!(decode(&["br"], b"\x11\x1e\x00\x00\x00", 9, 1000).is_err());
}

#[test]
#[cfg(feature = "zstd")]
fn zstd_with_a_window_above_8_mib_is_refused() {
    // A frame without a block but the last, which is empty, and a window of `1 << (10 + exponent)`.
    let frame = |exponent: u8| [0x28, 0xb5, 0x2f, 0xfd, 0x00, exponent << 3, 0x01, 0x00, 0x00];
    assert_eq!(decode(&["zstd"], &frame(13), 9, 1000).unwrap(), b"");
    for exponent in [14, 20, 31] {
        assert!(decode(&["zstd"], &frame(exponent), 9, 1000).is_err(), "{exponent}");
    }
    // The same said by the size of the content: 16 MiB in a single segment.
    let single = [0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 1, 0x01, 0x00, 0x00];
    assert!(decode(&["zstd"], &single, 9, 1000).is_err());
}

#[test]
fn what_can_be_undone_is_asked_for() {
    let names: Vec<&str> = samples().iter().map(|sample| sample.name).collect();
    let asked = offer();
    assert_eq!(asked.is_some(), !names.is_empty());
    if let Some(asked) = asked {
        assert_eq!(asked.to_str().unwrap(), names.join(", "));
    }
}
