//! From a host's name to addresses.

mod desk;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::error::{ErrorKind, Mistake, Phase, Sent};
use crate::transport::Failure;
use crate::url::Url;
pub(crate) use desk::Place;

pub(crate) type Found = Result<Vec<SocketAddr>, Failure>;

/// As many addresses of a host as are tried.
const MOST: usize = 16;

/// Finds the addresses of a host, for every transport of ours.
///
/// It may block: it is called on threads made for it, at most 64 of them in the
/// process; further lookups wait for one of these to end. What it finds is not
/// kept, for connections are: a cache, if wanted, belongs into the resolver. Each
/// host is asked for with the port of the URL, which the addresses must have.
///
/// A closure of this shape is a resolver:
///
/// ```
/// use duocall::transport::Failure;
/// use duocall::{Api, ErrorKind};
///
/// # fn main() -> Result<(), duocall::Error> {
/// let api = Api::builder("http://api.example.com/")
///     .resolver(|host: &str, port| match host {
///         "api.example.com" => Ok(vec![([192, 0, 2, 1], port).into()]),
///         _ => Err(Failure::new(ErrorKind::Dns, "not one of ours").lasting()),
///     })
///     .build()?;
/// # drop(api); Ok(()) }
/// ```
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of `host`, the one liked best first. At most 16 are tried,
    /// those of IPv6 and IPv4 in turn (RFC 8305 section 4).
    ///
    /// # Errors
    /// A [`Failure`] of kind [`Dns`](ErrorKind::Dns). It is tried again like every
    /// failure to connect, unless it is [`lasting`](Failure::lasting), as it should
    /// be where the name does not exist (NXDOMAIN). No address at all counts as that.
    fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure>;
}

impl<F> Resolve for F
where
    F: Fn(&str, u16) -> Result<Vec<SocketAddr>, Failure> + Send + Sync + 'static,
{
    fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
        self(host, port)
    }
}

/// What an API knows of names, and whom it asks for the others.
#[derive(Clone)]
pub(crate) struct Names {
    resolver: Arc<dyn Resolve>,
    fixed: Vec<(String, SocketAddr)>,
}

impl Default for Names {
    fn default() -> Names {
        Names { resolver: Arc::new(system), fixed: Vec::new() }
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("fixed", &self.fixed).finish_non_exhaustive()
    }
}

impl Names {
    pub(crate) fn set_resolver(&mut self, resolver: impl Resolve) {
        self.resolver = Arc::new(resolver);
    }

    /// What is no host would never be asked for, and the real one be called.
    pub(crate) fn fix(&mut self, host: &str, addr: SocketAddr) -> Result<(), Mistake> {
        let host = bare(host);
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let url = Url::parse_base(&format!("http://{host}:1/")).ok();
        let url = url.filter(|url| url.path() == "/");
        let Some(host) = url.as_ref().and_then(|url| url.origin().host_header().strip_suffix(":1"))
        else {
            return Err(Mistake::new("host to resolve", "is not just a host"));
        };
        self.fixed.push((bare(host).to_owned(), addr));
        Ok(())
    }

    /// The addresses of a host that nobody has to be asked for.
    pub(crate) fn known(&self, host: &str, port: u16) -> Option<Vec<SocketAddr>> {
        let host = bare(host);
        let fixed = self.fixed.iter().filter(|(name, _)| name.eq_ignore_ascii_case(host));
        let mut fixed: Vec<SocketAddr> = fixed.map(|(_, addr)| *addr).collect();
        // An address of IPv6 keeps its scope, without which a link-local one leads nowhere.
        fixed.iter_mut().filter(|addr| addr.port() == 0).for_each(|addr| addr.set_port(port));
        if !fixed.is_empty() {
            return Some(in_turn(fixed));
        }
        let ip: IpAddr = host.parse().ok()?;
        Some(vec![SocketAddr::new(ip, port)])
    }

    /// Asks on another thread, where `tell` gets the answer. Dropping the place
    /// takes a lookup back that has not begun.
    pub(crate) fn ask(
        &self,
        host: &str,
        port: u16,
        tell: impl FnOnce(Found) + Send + 'static,
    ) -> Result<Place, Failure> {
        let (resolver, host) = (self.resolver.clone(), bare(host).to_owned());
        desk::submit(move || {
            let asked = AssertUnwindSafe(|| resolver.resolve(&host, port));
            tell(match catch_unwind(asked) {
                Ok(Ok(found)) if found.is_empty() => {
                    Err(failed("the name has no address").lasting())
                }
                Ok(found) => found.map(in_turn),
                Err(_) => Err(Failure::new(ErrorKind::Panicked, "in the resolver").lasting()),
            });
        })
    }
}

/// An address of IPv6 without its brackets.
fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

/// The families in turn, beginning with that of the first (RFC 8305 section 4).
fn in_turn(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first = found.first().is_some_and(SocketAddr::is_ipv6);
    let (ours, theirs): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|addr| addr.is_ipv6() == first);
    let (mut ours, mut theirs) = (ours.into_iter(), theirs.into_iter());
    let mut out = Vec::new();
    while out.len() < MOST {
        let before = out.len();
        out.extend(ours.next());
        out.extend(theirs.next());
        if out.len() == before {
            break;
        }
    }
    out
}

/// Asks the system. Blocks, for as long as the system likes.
fn system(host: &str, port: u16) -> Found {
    match (host, port).to_socket_addrs() {
        Ok(found) => Ok(found.collect()),
        Err(error) => Err(unresolved(error)),
    }
}

fn failed(detail: &'static str) -> Failure {
    Failure::new(ErrorKind::Dns, detail).sent(Sent::No)
}

/// `WSATRY_AGAIN`.
const TRY_AGAIN: i32 = 11002;

/// std has no code for what a resolver says; its words are those of the C library.
/// SERVFAIL, a refusal and silence of the server are all *temporary* there.
fn unresolved(error: io::Error) -> Failure {
    let text = error.to_string();
    let passing = ["Temporary failure", "temporary failure", "Try again", "System error"];
    let windows = cfg!(windows) && error.raw_os_error() == Some(TRY_AGAIN);
    if windows || passing.iter().any(|words| text.contains(words)) {
        failed("the resolver failed for now").caused_by(error)
    } else {
        exhausted().unwrap_or_else(|| failed("the name is not known").lasting().caused_by(error))
    }
}

/// Where no descriptor is left, the C library cannot ask, and says that there is no such name.
fn exhausted() -> Option<Failure> {
    let error = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).err()?;
    let failure = Failure::from_io(error, Phase::Resolve).sent(Sent::No);
    (failure.kind == ErrorKind::Resource).then_some(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn families_take_turns() {
        let found = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"].map(addr);
        let wanted = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"].map(addr);
        assert_eq!(in_turn(found.to_vec()), wanted);
        assert_eq!(in_turn(vec![addr("1.1.1.1:1"); 40]).len(), MOST);
    }

    #[test]
    fn fixed_names_come_before_everything() {
        let mut names = Names::default();
        names.fix("Api.Example.com", addr("127.0.0.1:0")).unwrap();
        names.fix("api.example.com", addr("[::1]:81")).unwrap();
        names.fix("192.0.2.1", addr("127.0.0.2:82")).unwrap();
        names.fix("0::2", addr("127.0.0.1:83")).unwrap();
        names.fix("printer.example.com", addr("[fe80::1%3]:0")).unwrap();
        let known = |host| names.known(host, 80);
        let both = vec![addr("127.0.0.1:80"), addr("[::1]:81")];
        assert_eq!(known("api.example.com"), Some(both));
        assert_eq!(known("192.0.2.1"), Some(vec![addr("127.0.0.2:82")]));
        assert_eq!(known("[::1]"), Some(vec![addr("[::1]:80")]));
        assert_eq!(known("[::2]"), Some(vec![addr("127.0.0.1:83")]));
        assert_eq!(known("example.com"), None);
        assert_eq!(known("printer.example.com"), Some(vec![addr("[fe80::1%3]:80")]));
    }

    #[test]
    fn what_is_no_host_has_no_fixed_address() {
        for bad in ["", "a b", "h:80", "h/x", "h?x", "u@h", "https://h", "https://h/", "[::1]:80"] {
            assert!(Names::default().fix(bad, addr("127.0.0.1:0")).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_passes_is_told_from_what_lasts() {
        let of = |words: &'static str| unresolved(io::Error::other(words)).lasting;
        let lookup = "failed to lookup address information: ";
        assert!(!of("failed to lookup address information: Temporary failure in name resolution"));
        assert!(!of("failed to lookup address information: Try again"));
        assert!(of("failed to lookup address information: Name or service not known"));
        assert!(of("failed to lookup address information: No address associated with hostname"));
        assert!(of(lookup));
    }
}
