//! What is called, and what must come back.

mod bodies;
mod calls;
mod flow;

use super::case::Case;

pub struct Section {
    pub title: &'static str,
    pub note: &'static str,
    pub cases: Vec<Case>,
}

/// All of it, for a server with these two names.
pub fn all(base: &str, other: &str) -> Vec<Section> {
    [calls::sections(base), bodies::sections(), flow::sections(other)]
        .into_iter()
        .flatten()
        .collect()
}

fn section(title: &'static str, note: &'static str, cases: Vec<Case>) -> Section {
    Section { title, note, cases }
}
