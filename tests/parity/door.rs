//! What stands before the server of a scenario: TLS, a proxy, or both.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use duocall::{ApiBuilder, Proxy};

use crate::support::proxy::{Relay, Rules};
use crate::support::tls::{Ca, Front, Setup};

/// Who issued the servers' certificates, somebody else, and who issued the clients'.
pub static OURS: LazyLock<Ca> = LazyLock::new(|| Ca::new("ours"));
pub static ALIEN: LazyLock<Ca> = LazyLock::new(|| Ca::new("alien"));
pub static CLIENTS: LazyLock<Arc<Ca>> = LazyLock::new(|| Arc::new(Ca::new("clients")));

/// How a proxy at this address is called.
pub type Called = fn(SocketAddr) -> Proxy;

/// As a row of the table wants it.
#[derive(Clone, Default)]
pub struct Plan {
    /// TLS for the name `localhost`.
    pub tls: Option<fn() -> Setup>,
    /// TLS is an entrance of its own, and the scenario begins at the other.
    pub beside: bool,
    pub proxy: Option<(Rules, Called)>,
}

/// As it stands in one run.
#[derive(Default)]
pub struct Door {
    front: Option<Front>,
    beside: bool,
    relay: Option<(Relay, Proxy)>,
}

impl Door {
    pub fn new(plan: &Plan, server: SocketAddr) -> Door {
        let front = plan.tls.map(|setup| Front::new(&setup(), server));
        let leads_to = Some(front.as_ref().map_or(server, Front::addr));
        let relay = plan.proxy.as_ref().map(|(rules, proxy)| {
            let relay = Relay::new(Rules { leads_to, ..rules.clone() });
            let proxy = proxy(relay.addr());
            (relay, proxy)
        });
        Door { front, beside: plan.beside, relay }
    }

    /// The address of the server, seen through the door.
    pub fn url(&self, host: &str) -> Option<String> {
        self.front.as_ref().filter(|_| !self.beside).map(|front| front.url(host))
    }

    /// That of the entrance with TLS.
    pub fn secure(&self, host: &str) -> Option<String> {
        self.front.as_ref().map(|front| front.url(host))
    }

    pub fn set(&self, api: ApiBuilder) -> ApiBuilder {
        match &self.relay {
            Some((_, proxy)) => api.proxy(proxy.clone()),
            None => api,
        }
    }

    /// Without what tells one run from another: the server behind TLS is `H`, too, and `F` beside it.
    pub fn masked(&self, text: &str) -> String {
        let text = match &self.front {
            Some(front) => {
                let port = front.addr().port();
                let name = if self.beside { "F" } else { "H" };
                let text = text.replace(&format!("localhost:{port}"), name);
                text.replace(&format!("127.0.0.1:{port}"), name)
            }
            None => text.to_owned(),
        };
        match &self.relay {
            Some((relay, _)) => text.replace(&relay.addr().to_string(), "P"),
            None => text,
        }
    }

    /// What the proxy was asked for, and whether with a credential.
    pub fn asked(&self) -> Vec<String> {
        let seen = self.relay.as_ref().map_or_else(Vec::new, |(relay, _)| relay.seen());
        let line = |head: &String| {
            let signed = head.to_ascii_lowercase().contains("\nproxy-authorization: basic ");
            let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1");
            format!("{line}{}", if signed { " signed" } else { "" })
        };
        seen.iter().map(line).collect()
    }
}
