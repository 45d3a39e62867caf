//! The scenarios.

mod auth;
mod batches;
mod bodies;
mod cookies;
mod expect;
mod faults;
mod names;
mod pages;
mod proxies;
mod redirects;
mod requests;
mod retries;
mod secure;
mod streams;

use crate::parity::scenario::Scenario;

pub fn all() -> Vec<Scenario> {
    [
        requests::rows(),
        bodies::rows(),
        faults::rows(),
        retries::rows(),
        redirects::rows(),
        auth::rows(),
        cookies::rows(),
        secure::rows(),
        proxies::rows(),
        names::rows(),
        streams::rows(),
        expect::rows(),
        batches::rows(),
        pages::rows(),
    ]
    .concat()
}
