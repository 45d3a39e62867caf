//! What a call costs with duocall, and with what people would pick instead.
//! Run: cargo run --release -p peers -- [--quick] [--help]
//! Expect: a table, target/peers/peers.csv and peers.svg, and a last line "targets: K of N met".

use std::process::ExitCode;

fn main() -> ExitCode {
    peers::main(None)
}
