//! Bytes that no coding and no cache makes smaller, hashed as they are read.

use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use ring::digest::{Context, SHA256};

/// A SHA-256 under way, shared with whoever wants to know it in the end.
#[derive(Clone)]
pub struct Hash(Arc<Mutex<Context>>);

impl Hash {
    pub fn new() -> Hash {
        Hash(Arc::new(Mutex::new(Context::new(&SHA256))))
    }

    pub fn update(&self, bytes: &[u8]) {
        self.0.lock().expect("nobody panics with it").update(bytes);
    }

    pub fn hex(&self) -> String {
        let digest = self.0.lock().expect("nobody panics with it").clone().finish();
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// So many bytes.
pub struct Noise {
    random: fastrand::Rng,
    left: u64,
    hash: Hash,
}

impl Noise {
    pub fn new(bytes: u64, hash: &Hash) -> Noise {
        Noise { random: fastrand::Rng::new(), left: bytes, hash: hash.clone() }
    }
}

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.left.min(buffer.len() as u64) as usize;
        self.random.fill(&mut buffer[..bytes]);
        self.hash.update(&buffer[..bytes]);
        self.left -= bytes as u64;
        Ok(bytes)
    }
}
