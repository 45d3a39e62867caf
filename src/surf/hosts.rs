//! So many connections to one host at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use http::Uri;
use smol::lock::{Semaphore, SemaphoreGuardArc};

use crate::sync::lock;

/// Above that, hosts nobody talks to are forgotten.
const REMEMBERED: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Hosts(Mutex<HashMap<String, Arc<Semaphore>>>);

impl Hosts {
    /// A place among the `most` connections to the host; zero stands for no limit.
    pub(super) async fn enter(&self, uri: &Uri, most: usize) -> Option<SemaphoreGuardArc> {
        if most == 0 {
            return None;
        }
        let places = {
            let mut hosts = lock(&self.0);
            if hosts.len() > REMEMBERED {
                hosts.retain(|_, places| Arc::strong_count(places) > 1);
            }
            let host = uri.authority().map_or("", |authority| authority.as_str());
            match hosts.get(host) {
                Some(places) => places.clone(),
                None => {
                    let places = Arc::new(Semaphore::new(most));
                    hosts.insert(host.to_owned(), places.clone());
                    places
                }
            }
        };
        Some(places.acquire_arc().await)
    }
}
