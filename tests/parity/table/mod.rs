//! The scenarios.

mod bodies;
mod faults;
mod auth;
mod redirects;
mod requests;
mod retries;

use super::scenario::Scenario;

pub fn all() -> Vec<Scenario> {
    [requests::rows(), bodies::rows(), faults::rows(), retries::rows(), redirects::rows(), auth::rows()].concat()
}
