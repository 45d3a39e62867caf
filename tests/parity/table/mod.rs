//! The scenarios.

mod bodies;
mod faults;
mod requests;

use super::scenario::Scenario;

pub fn all() -> Vec<Scenario> {
    [requests::rows(), bodies::rows(), faults::rows()].concat()
}
