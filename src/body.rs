//! The body of a request.

use std::fmt;

use bytes::Bytes;

/// What a request carries. Clones share the bytes, so a retry copies nothing.
#[derive(Clone, Default)]
pub struct Body(Bytes);

impl Body {
    /// No body.
    pub fn empty() -> Body {
        Body::default()
    }

    /// The bytes to send.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        Body(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Body(bytes.into())
    }
}

impl From<String> for Body {
    fn from(text: String) -> Body {
        Body(text.into())
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Body {
        Body(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<&[u8]> for Body {
    fn from(bytes: &[u8]) -> Body {
        Body(Bytes::copy_from_slice(bytes))
    }
}

impl<const N: usize> From<&[u8; N]> for Body {
    fn from(bytes: &[u8; N]) -> Body {
        Body(Bytes::copy_from_slice(bytes))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.len())
    }
}
