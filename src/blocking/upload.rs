//! A body that is read while it is sent.

use std::io::{self, Read};

use super::current;

/// The caller's reader, as ureq reads it: no further than anybody wants the body.
pub(super) struct Upload<R> {
    reader: R,
    /// How many bytes ureq still waits for, where it was told.
    left: Option<u64>,
}

impl<R: Read> Upload<R> {
    pub(super) fn new(reader: R, length: Option<u64>) -> Upload<R> {
        Upload { reader, left: length }
    }

    fn part(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if current::is_unwanted() {
            // What ureq writes now goes nowhere, but it counts.
            let left = usize::try_from(self.left.unwrap_or(0)).unwrap_or(usize::MAX);
            return Ok(left.min(buffer.len()));
        }
        self.reader.read(buffer)
    }
}

impl<R: Read> Read for Upload<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.part(buffer)?;
        if let Some(left) = &mut self.left {
            *left -= read as u64;
        }
        Ok(read)
    }
}
