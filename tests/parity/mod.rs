//! What runs a scenario in every way; `tests/parity.rs` and `tests/faults.rs` have tables for it.
#![allow(dead_code)] // each uses its own part

pub mod backends;
pub mod canary;
pub mod door;
pub mod http2;
pub mod loopback;
pub mod mocked;
pub mod outcome;
pub mod run;
pub mod scenario;
pub mod site;
