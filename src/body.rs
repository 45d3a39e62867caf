//! The body of a request.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
#[cfg(feature = "async")]
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::error::ErrorKind;
use crate::sync::lock;
use crate::transport::Failure;

/// What a request carries: bytes, or something that is read as it is sent.
///
/// Clones of bytes share them, so a retry copies nothing. A reader can be sent
/// once: its clones are the same reader, and an attempt that failed after reading
/// from it is the last one; the error says so.
///
/// ```no_run
/// use duocall::{Body, Request};
///
/// # fn main() -> std::io::Result<()> {
/// let small = Request::post("notes").body("a text");
/// let large = Request::put("backups/today").body(Body::file("backup.tar")?);
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct Body {
    content: Content,
    watch: Option<Watcher>,
}

type Watcher = Arc<dyn Fn(u64) + Send + Sync>;
/// Something to read, until somebody takes it.
type Slot<R> = Arc<Mutex<Option<R>>>;
type Reader = Box<dyn Read + Send>;
#[cfg(feature = "async")]
type AsyncReader = Pin<Box<dyn smol::io::AsyncRead + Send>>;

#[derive(Clone)]
enum Content {
    Bytes(Bytes),
    Reader(Slot<Reader>, Option<u64>),
    #[cfg(feature = "async")]
    AsyncReader(Slot<AsyncReader>, Option<u64>),
}

impl Default for Content {
    fn default() -> Self {
        Content::Bytes(Bytes::new())
    }
}

impl Body {
    /// No body.
    pub fn empty() -> Body {
        Body::default()
    }

    /// What `reader` gives, in chunks. The async client reads it on a thread of
    /// the `blocking` crate.
    pub fn reader(reader: impl Read + Send + 'static) -> Body {
        Content::Reader(slot(Box::new(Calm(reader))), None).into()
    }

    /// What `reader` gives, which must be exactly `length` bytes: fewer,
    /// or more in the last piece read, are an error of kind [`Body`](ErrorKind::Body),
    /// and the connection is closed.
    pub fn sized_reader(reader: impl Read + Send + 'static, length: u64) -> Body {
        Content::Reader(slot(Box::new(Calm(reader))), Some(length)).into()
    }

    /// A file, with its length as it is now.
    ///
    /// # Errors
    /// When it cannot be opened.
    ///
    /// # Blocking
    /// Opens the file on the calling thread.
    pub fn file(path: impl AsRef<Path>) -> io::Result<Body> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Body::sized_reader(file, length))
    }

    /// As [`reader`](Body::reader), for the async client; the others refuse it.
    #[cfg(feature = "async")]
    #[cfg_attr(docsrs, doc(cfg(feature = "async")))]
    pub fn async_reader(reader: impl smol::io::AsyncRead + Send + 'static) -> Body {
        Content::AsyncReader(slot(Box::pin(Calm(Box::pin(reader)))), None).into()
    }

    /// As [`sized_reader`](Body::sized_reader), for the async client; the others refuse it.
    #[cfg(feature = "async")]
    #[cfg_attr(docsrs, doc(cfg(feature = "async")))]
    pub fn sized_async_reader(
        reader: impl smol::io::AsyncRead + Send + 'static,
        length: u64,
    ) -> Body {
        Content::AsyncReader(slot(Box::pin(Calm(Box::pin(reader)))), Some(length)).into()
    }

    /// Tells `tell` how many bytes of a reader have been handed over so far.
    #[must_use]
    pub fn on_progress(mut self, tell: impl Fn(u64) + Send + Sync + 'static) -> Body {
        self.watch = Some(Arc::new(tell));
        self
    }

    /// The bytes, unless it is a reader.
    pub fn bytes(&self) -> Option<&Bytes> {
        match &self.content {
            Content::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Length in bytes, where it is known.
    pub fn length(&self) -> Option<u64> {
        match &self.content {
            Content::Bytes(bytes) => Some(bytes.len() as u64),
            Content::Reader(_, length) => *length,
            #[cfg(feature = "async")]
            Content::AsyncReader(_, length) => *length,
        }
    }

    /// Whether there is surely nothing to send.
    pub fn is_empty(&self) -> bool {
        self.bytes().is_some_and(Bytes::is_empty)
    }

    /// Whether it is a reader that somebody has begun to send.
    pub(crate) fn is_spent(&self) -> bool {
        match &self.content {
            Content::Bytes(_) => false,
            Content::Reader(slot, _) => lock(slot).is_none(),
            #[cfg(feature = "async")]
            Content::AsyncReader(slot, _) => lock(slot).is_none(),
        }
    }

    /// The body to read from, for a blocking transport. A reader is taken when it
    /// is read for the first time, and only once.
    ///
    /// # Errors
    /// Kind [`Body`](ErrorKind::Body), here for an async reader, and from `read`
    /// as [`Failure`] when it was taken before.
    pub fn into_reader(self) -> Result<impl Read + Send + 'static, Failure> {
        let watch = self.watch;
        match self.content {
            Content::Bytes(bytes) => {
                let open =
                    move || -> Result<Reader, Failure> { Ok(Box::new(io::Cursor::new(bytes))) };
                Ok(Source::new(open, None, watch))
            }
            Content::Reader(slot, length) => Ok(Source::new(move || taken(&slot), length, watch)),
            #[cfg(feature = "async")]
            Content::AsyncReader(..) => {
                Err(broken("an async reader needs the async client").lasting())
            }
        }
    }

    /// The body to read from, for an async transport. A reader is taken when it
    /// is read for the first time, and only once; that it was taken before is a
    /// [`Failure`] of kind [`Body`](ErrorKind::Body) from the read.
    #[cfg(feature = "async")]
    #[cfg_attr(docsrs, doc(cfg(feature = "async")))]
    pub fn into_async_reader(self) -> impl smol::io::AsyncRead + Send + Unpin + 'static {
        let length = self.length();
        let open = move || -> Result<AsyncReader, Failure> {
            Ok(match &self.content {
                Content::Bytes(bytes) => Box::pin(smol::io::Cursor::new(bytes.clone())),
                Content::Reader(slot, _) => {
                    Box::pin(smol::Unblock::with_capacity(PIECE, taken(slot)?))
                }
                Content::AsyncReader(slot, _) => taken(slot)?,
            })
        };
        Source::new(open, length, self.watch)
    }
}

/// How much is read from a body at a time.
pub(crate) const PIECE: usize = 64 << 10;

fn slot<R>(reader: R) -> Slot<R> {
    Arc::new(Mutex::new(Some(reader)))
}

fn taken<R>(slot: &Slot<R>) -> Result<R, Failure> {
    lock(slot).take().ok_or_else(|| broken("a reader can be sent once").lasting())
}

fn broken(detail: &'static str) -> Failure {
    Failure::new(ErrorKind::Body, detail)
}

/// A reader of the caller's, whose panic is an error: it may run on any thread of ours.
struct Calm<R>(R);

fn calmly<T>(read: impl FnOnce() -> T) -> io::Result<T> {
    let panicked = |_| Failure::new(ErrorKind::Panicked, "the reader of the body").lasting();
    catch_unwind(AssertUnwindSafe(read)).map_err(|panic| panicked(panic).into())
}

impl<R: Read> Read for Calm<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match calmly(|| self.0.read(buffer))? {
                // Neither transport would try again.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

#[cfg(feature = "async")]
impl<R: smol::io::AsyncRead + ?Sized> smol::io::AsyncRead for Calm<Pin<Box<R>>> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buffer: &mut [u8],
    ) -> std::task::Poll<io::Result<usize>> {
        match calmly(|| self.0.as_mut().poll_read(cx, buffer)) {
            Ok(polled) => polled,
            Err(panicked) => std::task::Poll::Ready(Err(panicked)),
        }
    }
}

/// A reader that keeps its word about its length.
struct Source<R> {
    open: Option<Box<dyn FnOnce() -> Result<R, Failure> + Send>>,
    reader: Option<R>,
    /// How many bytes are still to come, where that was said.
    left: Option<u64>,
    read: u64,
    watch: Option<Watcher>,
}

impl<R> Source<R> {
    fn new(
        open: impl FnOnce() -> Result<R, Failure> + Send + 'static,
        left: Option<u64>,
        watch: Option<Watcher>,
    ) -> Source<R> {
        Source { open: Some(Box::new(open)), reader: None, left, read: 0, watch }
    }

    /// The reader; the first time, it is taken.
    fn reader(&mut self) -> Result<&mut R, Failure> {
        if let Some(open) = self.open.take() {
            self.reader = Some(open()?);
        }
        self.reader.as_mut().ok_or_else(|| broken("it failed before").lasting())
    }

    /// Judges what one read gave.
    fn judge(&mut self, read: io::Result<usize>) -> io::Result<usize> {
        let bytes = match read {
            Ok(bytes) => bytes,
            // Of a reader around one of ours.
            Err(error) if error.get_ref().is_some_and(|inner| inner.is::<Failure>()) => {
                return Err(error);
            }
            Err(error) => return Err(broken("it could not be read").caused_by(error).into()),
        };
        match &mut self.left {
            Some(left) if bytes == 0 && *left > 0 => {
                return Err(broken("it is shorter than its length").into());
            }
            Some(left) if bytes as u64 > *left => {
                return Err(broken("it is longer than its length").into());
            }
            Some(left) => *left -= bytes as u64,
            None => {}
        }
        self.read += bytes as u64;
        if let (Some(tell), true) = (&self.watch, bytes > 0) {
            tell(self.read);
        }
        Ok(bytes)
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader()?.read(buffer);
        self.judge(read)
    }
}

#[cfg(feature = "async")]
impl<R: smol::io::AsyncRead + Unpin> smol::io::AsyncRead for Source<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buffer: &mut [u8],
    ) -> std::task::Poll<io::Result<usize>> {
        let read = std::task::ready!(Pin::new(self.reader()?).poll_read(cx, buffer));
        std::task::Poll::Ready(self.judge(read))
    }
}

impl From<Content> for Body {
    fn from(content: Content) -> Body {
        Body { content, watch: None }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        Content::Bytes(bytes).into()
    }
}

macro_rules! from_bytes {
    ($($owned:ty),*; $($borrowed:ty),*) => {
        $(impl From<$owned> for Body {
            fn from(bytes: $owned) -> Body {
                Bytes::from(bytes).into()
            }
        })*
        $(impl From<$borrowed> for Body {
            fn from(bytes: $borrowed) -> Body {
                Bytes::copy_from_slice(bytes.as_ref()).into()
            }
        })*
    };
}

from_bytes!(Vec<u8>, String; &str, &[u8]);

impl<const N: usize> From<&[u8; N]> for Body {
    fn from(bytes: &[u8; N]) -> Body {
        Body::from(&bytes[..])
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.length() {
            Some(length) => write!(f, "Body({length} bytes)"),
            None => f.write_str("Body(reader)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: Body) -> Result<Vec<u8>, ErrorKind> {
        let mut out = Vec::new();
        let mut reader = body.into_reader().map_err(|failure| failure.kind)?;
        match reader.read_to_end(&mut out) {
            Ok(_) => Ok(out),
            Err(error) => Err(Failure::from_io(error, crate::Phase::Send).kind),
        }
    }

    #[test]
    fn a_reader_keeps_its_word() {
        let text = || &b"12345"[..];
        assert_eq!(read(Body::from("12345")).unwrap(), text());
        assert_eq!(read(Body::reader(text())).unwrap(), text());
        assert_eq!(read(Body::sized_reader(text(), 5)).unwrap(), text());
        assert_eq!(read(Body::sized_reader(text(), 4)), Err(ErrorKind::Body));
        assert_eq!(read(Body::sized_reader(text(), 6)), Err(ErrorKind::Body));
    }

    #[test]
    fn a_reader_is_read_once_and_bytes_as_often_as_wanted() {
        let once = Body::reader(&b"x"[..]);
        assert!(!once.is_spent());
        assert!(read(once.clone()).is_ok());
        assert!(once.is_spent());
        assert_eq!(read(once), Err(ErrorKind::Body));
        let bytes = Body::from("x");
        assert!(read(bytes.clone()).is_ok() && !bytes.is_spent() && read(bytes).is_ok());
    }
}
