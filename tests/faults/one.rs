//! One case in one way of running, and everything that is asked of every case.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use duocall::{Auth, Timeouts};
use serde::{Deserialize, Serialize};

use super::case::{Case, TOTAL};
use crate::parity::backends::{Backend, Manner, Work};
use crate::parity::canary::{self, CANARY};
use crate::parity::outcome::{Outcome, Said};
use crate::parity::run::quick;
use crate::parity::scenario::Notes;
use crate::parity::site::{Ground, Site};

/// How much later than its limit a call may end.
const GRACE: Duration = Duration::from_millis(500);

#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Found {
    pub outcome: Outcome,
    /// What no case may do.
    pub faults: Vec<String>,
}

/// Every call carries the canary, unless the case has another credential.
pub fn one(case: &Case, backend: &Backend) -> Found {
    let scenario = &case.scenario;
    let site = Arc::new(Site::new(scenario, Ground::Loopback));
    let notes = Notes::default();
    let builder = site
        .api(scenario.base)
        .auth(Auth::bearer(CANARY))
        .retry(quick())
        .timeouts(Timeouts::default().total(TOTAL));
    let builder = (scenario.setup)(builder, &notes);
    let mut shown = format!("{builder:?}\n");
    let started = Instant::now();
    let said = match builder.build() {
        Ok(api) => {
            let _ = writeln!(shown, "{api:?}");
            let (op, site) = (scenario.op.clone(), site.clone());
            backend.run(Work { api, op, site, manner: Manner::of(scenario, &notes) })
        }
        Err(error) => vec![Said::response(Err(error))],
    };
    let took = started.elapsed();
    said.iter().for_each(|said| canary::print(said, &mut shown));
    let mut faults = canary::hits(&shown, "shown");
    if took > case.within + GRACE {
        faults.push(format!("  took {took:.1?}, with a limit of {:?}", case.within));
    }
    let expected = &scenario.expected.saw;
    site.wait_requests(if expected.is_empty() { 0 } else { expected.split(" | ").count() });
    Found { outcome: Outcome::new(scenario, &said, &site, &notes), faults }
}

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Words in the message of a panic that a case wants.
pub const ON_PURPOSE: &str = "on purpose";

/// From now on, keeps what panics say, on whatever thread.
pub fn hear_panics() {
    std::panic::set_hook(Box::new(|info| PANICS.lock().unwrap().push(info.to_string())));
}

/// The panics that nobody wanted, and those that tell a secret.
pub fn panics() -> Vec<String> {
    let panics = std::mem::take(&mut *PANICS.lock().unwrap());
    let hits = panics.iter().flat_map(|text| canary::hits(text, "panic"));
    let wild = panics.iter().filter(|text| !text.contains(ON_PURPOSE));
    wild.map(|text| format!("  {text}")).chain(hits).collect()
}
