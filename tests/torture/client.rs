//! A client, blocking or async, that asks its questions and notes what came of each.

use std::net::SocketAddr;
use std::time::Duration;

use duocall::{
    Api, Body, Error, Proxy, Request, Response, Retry, Timeouts, Tls, blocking, nonblocking,
};
use smol::block_on;

use super::scene::{Call, Lines, Scene, Way, answer, uploaded};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Blocking,
    Async,
}

pub const TRANSPORTS: [Transport; 2] = [Transport::Blocking, Transport::Async];

/// The limit of every phase.
pub fn api(way: &Way, near: SocketAddr, patience: Duration) -> Api {
    let limits = Timeouts::default().connect(patience).head(patience).idle(patience);
    // A busy machine may cost one more; what is counted is faults, not load.
    let retry = Retry::default()
        .backoff(Duration::from_millis(1), Duration::from_millis(2))
        .attempts(5)
        .budget(100.0)
        .seed(1);
    let api = Api::builder(&way.base)
        .timeouts(limits.attempt(patience * 3).total(patience * 20))
        .retry(retry);
    let api = match way.roots {
        Some(roots) => api.tls(Tls::default().roots_pem(roots.as_bytes())),
        None => api,
    };
    let api = match way.proxied {
        true => api.proxy(Proxy::new(format!("http://{near}"))),
        false => api.resolve("localhost", near),
    };
    api.build().expect("a good API")
}

/// Asks the questions of the scene, and maybe those after it.
pub fn run(
    scene: &Scene,
    after: bool,
    transport: Transport,
    api: Api,
    mut tell: impl FnMut(String),
) {
    let client = match transport {
        Transport::Blocking => Client::Blocking(blocking::Client::new(api)),
        Transport::Async => Client::Async(nonblocking::Client::new(api)),
    };
    let most = if after { usize::MAX } else { scene.calls.len() };
    for (id, call) in scene.calls().take(most) {
        match call {
            Call::Batch => client.batch(id).into_iter().for_each(&mut tell),
            Call::Down => tell(line(call, &id.to_string(), client.down(id))),
            _ => {
                let sent = client.send(request(call, &id.to_string()));
                tell(line(call, &id.to_string(), sent.map(|response| response.bytes().to_vec())));
            }
        }
    }
}

pub fn lines(scene: &Scene, transport: Transport, api: Api) -> Lines {
    let mut lines = Lines::new();
    run(scene, true, transport, api, |line| lines.push(line));
    lines
}

enum Client {
    Blocking(blocking::Client),
    Async(nonblocking::Client),
}

impl Client {
    fn send(&self, request: Request) -> Result<Response, Error> {
        match self {
            Client::Blocking(client) => client.send(request),
            Client::Async(client) => block_on(client.send(request)),
        }
    }

    fn down(&self, id: usize) -> Result<Vec<u8>, Error> {
        let request = request(Call::Down, &id.to_string());
        let mut whole = Vec::new();
        match self {
            Client::Blocking(client) => {
                let mut body = client.open(request)?;
                while let Some(piece) = body.piece()? {
                    whole.extend(piece);
                }
            }
            Client::Async(client) => block_on(async {
                let mut body = client.open(request).await?;
                while let Some(piece) = body.piece().await? {
                    whole.extend(piece);
                }
                Ok::<_, Error>(())
            })?,
        }
        Ok(whole)
    }

    fn batch(&self, id: usize) -> Vec<String> {
        let ids: Vec<String> = (0..4).map(|n| format!("{id}.{n}")).collect();
        let items: Vec<Request> = ids.iter().map(|id| request(Call::Get, id)).collect();
        let results = match self {
            Client::Blocking(client) => client.batch(items).concurrency(2).gather(),
            Client::Async(client) => block_on(client.batch(items).concurrency(2).gather()),
        };
        let lines = ids.iter().zip(results).map(|(id, result)| {
            line(Call::Get, id, result.map(|response| response.bytes().to_vec()))
        });
        lines.collect()
    }
}

fn request(call: Call, id: &str) -> Request {
    let target = format!("{call:?}");
    let request = match call {
        Call::Post => Request::post(target).body(id.to_owned()),
        Call::Up => {
            let body = uploaded(id);
            let length = body.len() as u64;
            Request::post(target).body(Body::sized_reader(std::io::Cursor::new(body), length))
        }
        _ => Request::get(target),
    };
    request.query("id", id)
}

fn line(call: Call, id: &str, result: Result<Vec<u8>, Error>) -> String {
    let outcome = match result {
        Ok(bytes) if bytes == answer(call, id).as_bytes() => "right".to_owned(),
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            format!("wrong {} bytes: {}", bytes.len(), text.chars().take(60).collect::<String>())
        }
        Err(error) => format!("error {:?} {:?}: {error}", error.kind(), error.sent()),
    };
    format!("{call:?} {id}: {outcome}")
}
