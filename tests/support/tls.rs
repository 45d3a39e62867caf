//! Certificates made on the spot, and TLS in front of a scripted server.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_rustls::TlsAcceptor;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use smol::Async;
use smol::io::{AsyncReadExt, AsyncWriteExt, copy, split};
use socket2::SockRef;

/// An authority.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
    pub der: Vec<u8>,
}

/// A certificate with its chain, and its key; both in PEM.
#[derive(Clone)]
pub struct Leaf {
    pub chain: String,
    pub key: String,
}

impl Ca {
    pub fn new(name: &str) -> Ca {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().to_vec());
        Ca { issuer: Issuer::new(params, key), pem, der }
    }

    /// A certificate for this name or address, with what `change` does to it.
    pub fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Leaf { chain: certificate.pem(), key: key.serialize_pem() }
    }

    /// An authority that this one vouches for.
    pub fn below(&self) -> Ca {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "below");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().to_vec());
        Ca { issuer: Issuer::new(params, key), pem, der }
    }

    fn store(&self) -> RootCertStore {
        let mut store = RootCertStore::empty();
        store.add(CertificateDer::from(self.der.clone())).unwrap();
        store
    }
}

/// A certificate that it has signed itself; an authority's, if `is_ca`.
pub fn self_signed(name: &str, is_ca: bool) -> Leaf {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let certificate = params.self_signed(&key).unwrap();
    Leaf { chain: certificate.pem(), key: key.serialize_pem() }
}

/// How the front ends a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With close_notify, and then FIN.
    Notify,
    Fin,
    Reset,
}

/// How the front does TLS.
#[derive(Clone)]
pub struct Setup {
    pub leaf: Leaf,
    pub versions: Vec<&'static SupportedProtocolVersion>,
    /// Who must have issued the client's certificate.
    pub clients: Option<Arc<Ca>>,
    pub alpn: Vec<Vec<u8>>,
    pub end: End,
    /// Changes its keys before the first response.
    pub rekeys: bool,
    /// Takes early data; if there is any, it panics.
    pub early_data: bool,
    /// Ends a connection with a failed handshake without reading on, which resets it.
    pub abrupt: bool,
}

impl Setup {
    pub fn new(leaf: Leaf) -> Setup {
        let versions = rustls::ALL_VERSIONS.to_vec();
        let (end, alpn) = (End::Notify, Vec::new());
        let (rekeys, early_data, abrupt) = (false, false, false);
        Setup { leaf, versions, clients: None, alpn, end, rekeys, early_data, abrupt }
    }

    fn config(&self) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&self.versions)
            .unwrap();
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let store = Arc::new(ca.store());
                let verifier = WebPkiClientVerifier::builder_with_provider(store, provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let chain = CertificateDer::pem_slice_iter(self.leaf.chain.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.leaf.key.as_bytes()).unwrap();
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = self.alpn.clone();
        config.max_early_data_size = if self.early_data { 16 << 10 } else { 0 };
        config
    }
}

/// TLS in front of a plain server: what one side sends the other gets.
pub struct Front {
    addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    connections: AtomicUsize,
    alpn: Mutex<Vec<Option<Vec<u8>>>>,
}

impl Front {
    pub fn new(setup: &Setup, behind: SocketAddr) -> Front {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let (ours, setup) = (shared.clone(), setup.clone());
        let tls = TlsAcceptor::from(Arc::new(setup.config()));
        let acceptor = thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if ours.stopping.load(SeqCst) {
                    return;
                }
                ours.connections.fetch_add(1, SeqCst);
                let (tls, setup, shared) = (tls.clone(), setup.clone(), ours.clone());
                thread::spawn(move || {
                    // Whoever leaves early is the client's business.
                    let _ = smol::block_on(relay(stream, behind, &tls, &setup, &shared));
                });
            }
        });
        Front { addr, shared, acceptor: Some(acceptor) }
    }

    /// The base URL under this name.
    pub fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/", self.addr.port())
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }

    /// The protocols agreed on, one for each handshake.
    pub fn alpn(&self) -> Vec<Option<Vec<u8>>> {
        self.shared.alpn.lock().unwrap().clone()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.shared.stopping.store(true, SeqCst);
        let _ = TcpStream::connect(self.addr);
        let _ = self.acceptor.take().map(JoinHandle::join);
    }
}

async fn relay(
    stream: TcpStream,
    behind: SocketAddr,
    tls: &TlsAcceptor,
    setup: &Setup,
    shared: &Shared,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let raw = stream.try_clone()?;
    let mut client = match tls.accept(Async::new(stream)?).await {
        Ok(client) => client,
        Err(error) => {
            if !setup.abrupt {
                raw.shutdown(Shutdown::Write)?;
                raw.set_nonblocking(false)?;
                std::io::copy(&mut &raw, &mut std::io::sink())?;
            }
            return Err(error);
        }
    };
    if setup.early_data {
        assert!(client.get_mut().1.early_data().is_none(), "early data");
    }
    let agreed = client.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    shared.alpn.lock().unwrap().push(agreed);
    let server = Async::<TcpStream>::connect(behind).await?;
    server.get_ref().set_nodelay(true)?;
    if setup.rekeys {
        client.get_mut().1.refresh_traffic_keys().expect("TLS 1.3");
    }
    let (mut from_client, mut to_client) = split(client);
    let (mut from_server, mut to_server) = split(server);
    let up = async {
        let _ = copy(&mut from_client, &mut to_server).await;
        let _ = to_server.close().await;
    };
    let down = async {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            if to_client.write_all(&buffer[..read]).await.is_err() {
                break;
            }
            let _ = to_client.flush().await;
        }
        if setup.end == End::Notify {
            let _ = to_client.close().await;
        }
        if setup.end != End::Reset {
            let _ = raw.shutdown(Shutdown::Write);
        }
    };
    if setup.end == End::Reset {
        let up = async {
            up.await;
            smol::future::pending::<()>().await
        };
        smol::future::or(down, up).await;
        // What was written before shall not be lost to the reset.
        thread::sleep(Duration::from_millis(20));
        return SockRef::from(&raw).set_linger(Some(Duration::ZERO));
    }
    smol::future::zip(up, down).await;
    Ok(())
}

/// A server that answers whatever comes with these bytes, and keeps what came.
pub struct Blunt {
    addr: SocketAddr,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Blunt {
    pub fn new(answer: &'static [u8]) -> Blunt {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let ours = seen.clone();
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut bytes = vec![0; 4096];
                let read = stream.read(&mut bytes).unwrap_or(0);
                bytes.truncate(read);
                let _ = stream.write_all(answer);
                let _ = stream.shutdown(Shutdown::Write);
                let _ = stream.read_to_end(&mut bytes);
                ours.lock().unwrap().push(bytes);
            }
        });
        Blunt { addr, seen }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What came, connection by connection, of those that are over.
    pub fn seen(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap().clone()
    }
}
