//! Content codings (RFC 9110 section 8.4.1).

#[cfg(feature = "gzip")]
mod flate;
#[cfg(feature = "gzip")]
use flate::Stage;
#[cfg(not(feature = "gzip"))]
use none::Stage;

use std::mem;

use crate::error::ErrorKind;
use crate::transport::Failure;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
}

/// What this build can undo, and so asks for.
pub(crate) const OFFERED: &[Coding] =
    if cfg!(feature = "gzip") { &[Coding::Gzip, Coding::Deflate] } else { &[] };

impl Coding {
    pub(crate) fn named(name: &str) -> Option<Coding> {
        let is = |other| name.eq_ignore_ascii_case(other);
        if is("gzip") || is("x-gzip") {
            Some(Coding::Gzip)
        } else if is("deflate") {
            Some(Coding::Deflate)
        } else {
            None
        }
    }

    /// The codings named in an `Accept-Encoding` that this build can undo.
    pub(crate) fn listed(value: &str) -> Vec<Coding> {
        let names = value.split(',').map(|item| item.split(';').next().unwrap_or_default().trim());
        names.filter_map(Coding::named).filter(|coding| OFFERED.contains(coding)).collect()
    }
}

/// Undoes a stack of codings, piece by piece.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// In the order they are undone.
    stages: Vec<Stage>,
}

impl Decoder {
    /// `applied` is in the order in which they were applied.
    pub(crate) fn new(applied: &[Coding]) -> Decoder {
        let stages = applied.iter().rev().map(|coding| Stage::new(*coding)).collect();
        Decoder { stages }
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
                return Err(Failure::new(ErrorKind::BodyTooLarge, "between two codings").lasting());
            }
            input = output;
        }
        let given = if before.is_empty() { piece } else { &input };
        last.push(given, out, most)
    }

    /// Checks that every coding came to its end.
    pub(crate) fn finish(mut self, out: &mut Vec<u8>, most: usize) -> Result<(), Failure> {
        for stage in mem::take(&mut self.stages) {
            stage.finish(out, most)?;
        }
        Ok(())
    }
}

#[cfg(not(feature = "gzip"))]
mod none {
    use super::{Coding, Failure};

    /// Without a coding to offer there is none to undo.
    #[derive(Debug)]
    pub(super) enum Stage {}

    impl Stage {
        pub(super) fn new(_: Coding) -> Stage {
            unreachable!("only offered codings are undone")
        }

        pub(super) fn push(&mut self, _: &[u8], _: &mut Vec<u8>, _: usize) -> Result<(), Failure> {
            match *self {}
        }

        pub(super) fn finish(self, _: &mut Vec<u8>, _: usize) -> Result<(), Failure> {
            match self {}
        }
    }
}
