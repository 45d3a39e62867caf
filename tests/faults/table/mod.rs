//! The cases, a file for each section of the list of faults.

mod batches;
mod body;
mod connect;
mod front;
pub mod head;
mod input;
mod lives;
mod pools;
mod redirects;
mod retries;
mod secrets;
mod tls;

use super::case::{Case, Section};

pub fn sections() -> Vec<Section> {
    vec![
        section(
            "C",
            "connections and names",
            &["C1", "C2", "C3", "C4", "C5", "C8"],
            connect::cases(),
        ),
        section("T", "TLS", &["T1", "T2", "T3", "T4", "T5", "T6", "T9"], tls::cases()),
        section(
            "H",
            "the head of a response",
            &["H1", "H2", "H3", "H4", "H6", "H8", "H10", "H11", "H12", "H13"],
            head::cases(),
        ),
        section(
            "B",
            "bodies",
            &[
                "B1", "B2", "B3", "B4", "B5", "B8", "B9", "B10", "B12", "B13", "B15", "B17", "B18",
                "B19", "B20", "B22",
            ],
            body::cases(),
        ),
        section(
            "R",
            "redirects",
            &["R1", "R2", "R3", "R4", "R6", "R7", "R8", "R9"],
            redirects::cases(),
        ),
        section(
            "Y",
            "retries, limits and batches",
            &["Y1", "Y2", "Y3", "Y4", "Y5", "Y6", "Y7", "Y8", "Y9", "Y10", "Y12"],
            [retries::cases(), batches::cases()].into_iter().flatten().collect(),
        ),
        section(
            "P",
            "idle connections, and the life of a client",
            &["P1", "P2", "P4", "P7", "P8", "P9", "P11", "P14", "P15", "P17", "P19", "P20", "P22"],
            [pools::cases(), lives::cases()].into_iter().flatten().collect(),
        ),
        section(
            "X",
            "what a caller may write",
            &["X1", "X2", "X3", "X4", "X5", "X6", "X8", "X9", "X10", "X11", "X12", "X15"],
            input::cases(),
        ),
        section("L", "what must not show", &["L1", "L2", "L4"], secrets::cases()),
        section("N", "what stands in front of the server", &["N3"], front::cases()),
    ]
}

/// A section that has a case for each of its rows, and no case twice.
fn section(letter: &'static str, title: &'static str, rows: &[&str], cases: Vec<Case>) -> Section {
    for row in rows {
        assert!(cases.iter().any(|case| case.row() == *row), "no case of {row}");
    }
    for (n, case) in cases.iter().enumerate() {
        assert!(rows.contains(&case.row()), "{} is of no row", case.id);
        assert!(cases[..n].iter().all(|before| before.id != case.id), "{} is there twice", case.id);
    }
    Section { letter, title, cases }
}
