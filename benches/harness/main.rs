//! Runs the bare probe, Tintal and its peers in turn, and prints one JSON line a figure.
//!
//! `benches/run` installs the peers and calls this. `docs/performance.md` is made of the lines by
//! `report`; a row that falls short stays in it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    unreachable_pub,
    missing_docs,
    reason = "a harness on the machine of a developer: it stops at the first thing that is not as it should be"
)]

mod corpus;
mod cpu;
mod daemon;
mod fire;
mod idle;
mod line;
mod next;
mod peer;
mod probe;
mod reload;
mod report;
mod spawn;
mod start;
mod validate;

use std::{env, process::ExitCode};

use line::Lines;

const USAGE: &str = "\
usage: harness COMMAND [--rounds N]

  fire      G1 to G3: how late no-op jobs start that are due together
  idle      G4 to G6: processor and memory while nothing is due, 10 000 to 1 000 000 jobs
  spawn     G7 to G9: child processes
  next      G10: next fire times in a zone with clock changes
  validate  G11 to G13: whole processes that validate
  reload    G14 and G15: one file of 10 000 changes; a rescan finds nothing
  start     G21 and G22: from the start to ready; the size of the binary
  report FILE…   the table of docs/performance.md, from raw lines
";

/// Rounds of each measure when `--rounds` does not say: the median of fewer says little.
const ROUNDS: usize = 5;

fn main() -> ExitCode {
    let mut arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let rounds = match arguments.iter().position(|argument| argument == "--rounds") {
        Some(at) => {
            let count = arguments.remove(at + 1).parse().expect("--rounds takes a number");
            arguments.remove(at);
            count
        }
        None => ROUNDS,
    };
    let lines = Lines::default();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["fire"] => fire::run(&lines, rounds),
        ["idle"] => idle::run(&lines, rounds),
        ["spawn"] => spawn::run(&lines, rounds),
        ["next"] => next::run(&lines, rounds),
        ["validate"] => validate::run(&lines, rounds),
        ["reload"] => reload::run(&lines, rounds),
        ["start"] => start::run(&lines, rounds),
        ["report", files @ ..] => print!("{}", report::page(&report::read(files))),
        ["probe", probe @ ..] => probe::run(probe),
        // `cargo test --benches` and a bare call come here.
        _ => print!("{USAGE}"),
    }
    ExitCode::SUCCESS
}
