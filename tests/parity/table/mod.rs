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

/// Those the command line names; `None` where it wants a list, which is printed.
pub fn asked_for() -> Option<Vec<Scenario>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let filter = args.iter().find(|arg| !arg.starts_with('-')).cloned().unwrap_or_default();
    let mut scenarios = all();
    scenarios.retain(|scenario| scenario.name.contains(&filter));
    if args.iter().any(|arg| arg == "--list") {
        scenarios.iter().for_each(|scenario| println!("{}: test", scenario.name));
        return None;
    }
    Some(scenarios)
}

fn all() -> Vec<Scenario> {
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
