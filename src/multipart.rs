//! Forms with files: `multipart/form-data` (RFC 7578).

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use crate::body::Body;

/// A form of texts and files, for [`Request::multipart`](crate::Request::multipart).
///
/// ```no_run
/// use duocall::{Multipart, Request};
///
/// # fn main() -> std::io::Result<()> {
/// let form = Multipart::new()
///     .text("title", "Autumn")
///     .bytes("note", "note.txt", "text/plain", "a few words")
///     .file("photo", "image/jpeg", "photos/autumn.jpg")?;
/// let request = Request::post("albums").multipart(form);
/// # Ok(()) }
/// ```
///
/// Without a file the whole form is in memory and can be sent again; with one it
/// is read as it is sent, with its length known, and can be sent once.
#[must_use = "a form does nothing until a request takes it"]
pub struct Multipart {
    boundary: String,
    parts: Vec<(String, Content)>,
}

enum Content {
    Bytes(Vec<u8>),
    File(File, u64),
}

impl Multipart {
    /// An empty form, with a boundary that no content will hold by chance.
    pub fn new() -> Multipart {
        let boundary = format!("duocall-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        Multipart { boundary, parts: Vec::new() }
    }

    /// Adds a field with a text.
    pub fn text(self, name: &str, value: impl Into<String>) -> Multipart {
        let head = format!("form-data; name=\"{}\"\r\n", quoted(name));
        self.part(head, Content::Bytes(value.into().into_bytes()))
    }

    /// Adds a file whose content is at hand.
    pub fn bytes(
        self,
        name: &str,
        filename: &str,
        content_type: &str,
        content: impl Into<Vec<u8>>,
    ) -> Multipart {
        let head = file_head(name, filename, content_type);
        self.part(head, Content::Bytes(content.into()))
    }

    /// Adds a file, under the last part of its path, with its length as it is now.
    ///
    /// # Errors
    /// When it cannot be opened.
    ///
    /// # Blocking
    /// Opens the file on the calling thread.
    pub fn file(
        self,
        name: &str,
        content_type: &str,
        path: impl AsRef<Path>,
    ) -> io::Result<Multipart> {
        let path = path.as_ref();
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let filename = path.file_name().unwrap_or_default().to_string_lossy();
        let head = file_head(name, &filename, content_type);
        Ok(self.part(head, Content::File(file, length)))
    }

    fn part(mut self, disposition: String, content: Content) -> Multipart {
        let boundary = &self.boundary;
        let head = format!("--{boundary}\r\nContent-Disposition: {disposition}\r\n");
        self.parts.push((head, content));
        self
    }

    pub(crate) fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    pub(crate) fn into_body(self) -> Body {
        let end = format!("--{}--\r\n", self.boundary);
        let on_disk = self.parts.iter().any(|(_, part)| matches!(part, Content::File(..)));
        let mut length = end.len() as u64;
        let mut pieces = Pieces::default();
        for (head, content) in self.parts {
            length += head.len() as u64 + 2;
            pieces.push(Cursor::new(head));
            match content {
                Content::Bytes(bytes) => {
                    length += bytes.len() as u64;
                    pieces.push(Cursor::new(bytes));
                }
                Content::File(file, size) => {
                    length += size;
                    pieces.push(file);
                }
            }
            pieces.push(&b"\r\n"[..]);
        }
        pieces.push(Cursor::new(end));
        if on_disk {
            return Body::sized_reader(pieces, length);
        }
        let mut bytes = Vec::new();
        pieces.read_to_end(&mut bytes).expect("memory can be read");
        bytes.into()
    }
}

/// Read one after another. A `Chain` of so many would be a stack as deep.
#[derive(Default)]
struct Pieces(VecDeque<Box<dyn Read + Send>>);

impl Pieces {
    fn push(&mut self, piece: impl Read + Send + 'static) {
        self.0.push_back(Box::new(piece));
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(first) = self.0.front_mut() {
            let read = first.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.0.pop_front();
        }
        Ok(0)
    }
}

fn file_head(name: &str, filename: &str, content_type: &str) -> String {
    let (name, filename) = (quoted(name), quoted(filename));
    // Whatever could end the line early would begin a field of its own.
    let content_type = content_type.replace(|c: char| c.is_control(), "");
    format!(
        "form-data; name=\"{name}\"; filename=\"{filename}\"\r\nContent-Type: {content_type}\r\n"
    )
}

/// As browsers write it (the HTML standard, multipart/form-data encoding).
fn quoted(text: &str) -> String {
    text.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

impl Default for Multipart {
    fn default() -> Self {
        Multipart::new()
    }
}

impl fmt::Debug for Multipart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Multipart({} parts)", self.parts.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(form: Multipart) -> (String, String) {
        let boundary = form.boundary.clone();
        let mut text = String::new();
        form.into_body().into_reader().unwrap().read_to_string(&mut text).unwrap();
        (text.replace(&boundary, "B"), boundary)
    }

    #[test]
    fn parts_stand_as_the_rfc_has_them() {
        let form = Multipart::new().text("a", "1").bytes("f", "x.txt", "text/plain", "two");
        let (text, boundary) = whole(form);
        assert_eq!(
            text,
            "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
             --B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\n\
             Content-Type: text/plain\r\n\r\ntwo\r\n--B--\r\n"
        );
        assert_ne!(boundary, Multipart::new().boundary);
    }

    #[test]
    fn a_form_of_many_parts_needs_no_deep_stack() {
        let many = |form: Multipart| (0..50_000).fold(form, |form, _| form.text("a", "1"));
        let (text, _) = whole(many(Multipart::new()));
        assert_eq!(text.matches("name=\"a\"").count(), 50_000);
        let path = std::env::temp_dir().join(format!("duocall-many-{}", std::process::id()));
        std::fs::write(&path, "12345").unwrap();
        let form = Multipart::new().file("f", "text/plain", &path).unwrap();
        let body = many(form).into_body();
        let (length, mut read) = (body.length().unwrap(), Vec::new());
        body.into_reader().unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read.len() as u64, length);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn names_cannot_leave_their_quotes() {
        let evil = "x\"\r\nX-Evil: 1";
        let (text, _) = whole(Multipart::new().text(evil, "").bytes(evil, evil, evil, ""));
        assert!(!text.contains("\r\nX-Evil"), "{text}");
        assert!(text.contains("name=\"x%22%0D%0AX-Evil: 1\""), "{text}");
    }

    #[test]
    fn a_file_makes_a_body_of_known_length_that_goes_once() {
        let path = std::env::temp_dir().join(format!("duocall-form-{}", std::process::id()));
        std::fs::write(&path, "12345").unwrap();
        let form = Multipart::new().text("a", "1").file("f", "text/plain", &path).unwrap();
        let body = form.into_body();
        assert!(body.bytes().is_none());
        let length = body.length().unwrap();
        let mut text = Vec::new();
        body.into_reader().unwrap().read_to_end(&mut text).unwrap();
        assert_eq!(text.len() as u64, length);
        std::fs::remove_file(&path).unwrap();
        assert!(Multipart::new().text("a", "1").into_body().bytes().is_some());
    }
}
