//! The scenarios.

mod auth;
mod batches;
mod bodies;
mod cookies;
mod faults;
mod pages;
mod redirects;
mod requests;
mod retries;

use super::scenario::Scenario;

pub fn all() -> Vec<Scenario> {
    [
        requests::rows(),
        bodies::rows(),
        faults::rows(),
        retries::rows(),
        redirects::rows(),
        auth::rows(),
        cookies::rows(),
        batches::rows(),
        pages::rows(),
    ]
    .concat()
}
