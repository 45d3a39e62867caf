//! The scenarios.

mod auth;
mod batches;
mod bodies;
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
        batches::rows(),
        pages::rows(),
    ]
    .concat()
}
