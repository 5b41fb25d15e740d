//! The ledger on real files.

mod decisions;
mod file;
mod history;
mod letters;
mod plans;
mod queues;
mod routes;

use std::{path::Path, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::*;
use crate::{
    manifest::{characteristics::Tier, digest::Digest, name::JobName, spec::Spec},
    run::{Cause, Outcome, Reached, RunId, RunKey},
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn job(name: &str) -> JobName {
    JobName::parse(name).unwrap()
}

fn id(name: &str, second: i64) -> RunId {
    RunKey { job: job(name), fire_time: at(second), cause: Cause::Schedule }.id()
}

fn run(name: &str, second: i64) -> NewDecision {
    NewDecision::run(id(name, second), job(name), at(second), Cause::Schedule, at(second))
}

fn spec(name: &str) -> Arc<Spec> {
    let json = serde_json::json!({
        "name": name, "enabled": true, "run": {"action": {"command": ["true"]}},
        "characteristics": {"visibility": "internal", "durability": "ephemeral", "infrastructure": "local"},
        "policy": {"overlap": "skip", "max_running": 1, "kill_grace": "10s",
                   "retry": {"max_attempts": 1, "backoff": "fixed", "initial": "1s", "factor": 2.0, "max": "1m", "jitter": 0.0, "on": []}},
    });
    Arc::new(serde_json::from_value(json).unwrap())
}

fn applied(name: &str, restart: Restart) -> Applied {
    let spec = spec(name);
    Applied { tier: Tier::InProcess, digest: Digest::of(&spec), spec, at: at(0), restart }
}

fn end(name: &str, second: i64, outcome: Outcome) -> AttemptEnd {
    AttemptEnd {
        run_id: id(name, second),
        n: 1,
        ended_at: at(second + 1),
        outcome,
        bytes_seen: 5,
        bytes_kept: 5,
        then: Then::RunEnds,
        worker: None,
    }
}

fn open(path: &Path) -> Ledger {
    Ledger::open(&Location::File(path.to_owned())).unwrap()
}

struct Files {
    directory: TempDir,
}

impl Files {
    fn new() -> Self {
        Self { directory: TempDir::new().unwrap() }
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("ledger.db")
    }
}

/// An empty ledger of each kind.
fn both() -> [(Ledger, Option<Files>); 2] {
    let files = Files::new();
    let file = open(&files.path());
    [(Ledger::open(&Location::Memory).unwrap(), None), (file, Some(files))]
}

fn paused(second: i64) -> NewDecision {
    let (fire, id) = (at(second), id("a", second));
    NewDecision::skip(id, job("a"), (fire, fire), 1, Skip::Paused, fire)
}

/// Rows of `a`, oldest first: the seconds they stand for, how many, and why.
async fn rows(ledger: &Ledger) -> Vec<String> {
    let runs =
        ledger.runs(RunQuery { job: Some(job("a")), limit: 100, ..RunQuery::default() }).await.unwrap();
    let second = |time: Timestamp| time.duration_since(at(0)).as_secs();
    let show = |row: &RunRow| {
        let (first, last) = (second(row.fire_time), second(row.last_fire_time));
        let more = if row.counted == Counted::AtLeast { "+" } else { "" };
        format!("{first}-{last} {}{more} {}", row.count, row.skipped.as_deref().unwrap_or("run"))
    };
    runs.iter().rev().map(show).collect()
}
