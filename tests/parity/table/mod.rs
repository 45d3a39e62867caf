//! The scenarios.

mod requests;

use super::scenario::Scenario;

pub fn all() -> Vec<Scenario> {
    [requests::rows()].concat()
}
