//! From a host's name to addresses.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use crate::error::{ErrorKind, Sent};
use crate::transport::Failure;

/// The addresses of a host that is its own address.
pub(crate) fn literal(host: &str, port: u16) -> Option<SocketAddr> {
    let ip: IpAddr = host.parse().ok()?;
    Some(SocketAddr::new(ip, port))
}

/// Asks the system. Blocks, for as long as the system likes.
pub(crate) fn system(host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    match (host, port).to_socket_addrs() {
        Ok(found) => {
            let found: Vec<SocketAddr> = found.collect();
            if found.is_empty() {
                return Err(failed("the name has no address").lasting());
            }
            Ok(found)
        }
        Err(error) => Err(unresolved(error)),
    }
}

fn failed(detail: &'static str) -> Failure {
    Failure::new(ErrorKind::Dns, detail).sent(Sent::No)
}

/// std has no code for what a resolver says; its words are those of the C library.
fn unresolved(error: io::Error) -> Failure {
    let text = error.to_string();
    let passing = ["Temporary failure", "Try again", "System error"];
    if passing.iter().any(|words| text.contains(words)) {
        failed("the resolver failed for now").caused_by(error)
    } else {
        failed("the name is not known").lasting().caused_by(error)
    }
}
