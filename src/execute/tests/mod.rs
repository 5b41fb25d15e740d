//! Attempts with real processes and a real server, by subject.

use std::{
    collections::BTreeMap,
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::sync::watch;

use super::{Attempt, Executor, OutputSize, attempt};
use crate::{
    manifest::{file::Content, file::ManifestFile, spec::Spec},
    run::{Cause, Outcome, RunKey},
};

mod family;
mod output;
mod requests;
mod starts;
mod steps;

/// The spec that a manifest makes.
fn spec(yaml: &str) -> Arc<Spec> {
    use crate::{
        load::{Input, Loader},
        manifest::characteristics::Tier,
        tier::{LedgerKind, Queues, Tiers},
    };
    let file =
        ManifestFile { path: "job.yaml".into(), content_hash: [0; 32], content: Content::Text(yaml.into()) };
    let tiers =
        Tiers { configured: vec![Tier::InProcess], ledger: LedgerKind::File, queues: Queues::default() };
    let now = "2026-11-24T00:00:00Z".parse().unwrap();
    let tree = Loader::new(tiers, 1).load(&Input {
        files: &[Arc::new(file)],
        above: &[],
        unreadable: &[],
        prefix: "",
        now,
    });
    let job = tree.jobs.values().next().cloned().unwrap_or_else(|| panic!("{:?}", tree.problems));
    Arc::clone(&job.spec)
}

struct Ran {
    outcome: Outcome,
    output: String,
    size: OutputSize,
}

struct Bench {
    directory: TempDir,
    stop: watch::Sender<bool>,
    output_bytes_max: u64,
}

impl Bench {
    fn new() -> Self {
        Self {
            directory: TempDir::new().unwrap(),
            stop: watch::Sender::new(false),
            output_bytes_max: 1 << 20,
        }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    async fn run(&self, yaml: &str) -> Ran {
        let environment = std::env::vars();
        let executor = Executor::new(environment, self.output_bytes_max);
        let spec = spec(yaml);
        let fire_time = "2026-11-24T03:00:00Z".parse().unwrap();
        // Each directory is another, so that leftovers of one test are not those of another.
        let job = crate::manifest::name::JobName::parse("job").unwrap();
        let seed = u64::from(std::process::id()) << 20 | u64::from(rand::random::<u16>());
        let seeded = jiff::Timestamp::from_microsecond(i64::try_from(seed).unwrap()).unwrap();
        let run_id = RunKey { job, fire_time: seeded, cause: Cause::Manual }.id();
        let output = self.directory.path().join("out.log");
        let one = Attempt {
            spec,
            run_id,
            fire_time,
            timezone: "UTC".to_owned(),
            attempt: 1,
            params: BTreeMap::new(),
            output: output.clone(),
            echo: None,
        };
        let report = attempt(&executor, one, self.stop.subscribe()).await;
        let output = fs::read_to_string(output).unwrap_or_default();
        Ran { outcome: report.outcome, output, size: report.output }
    }
}

async fn run(yaml: &str) -> Ran {
    Bench::new().run(yaml).await
}

/// Whether a process is gone, or waits only for whoever inherits it to look.
fn is_gone(pid: &str) -> bool {
    until(|| {
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        state.is_empty() || state.contains(") Z ")
    })
}

/// Looks until something is so; `false` when that does not come.
fn until(mut look: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(20);
    while !look() {
        if Instant::now() > end {
            return false;
        }
        std::thread::yield_now();
    }
    true
}
