//! G7 to G9: child processes. The rate is that of the executor, in this process; the herd and its
//! cost are those of a daemon.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tempfile::TempDir;
use tintal::{
    execute::{Attempt, Executor, attempt},
    load::{Input, Loader},
    manifest::{
        characteristics::Tier,
        file::{Content, ManifestFile},
        spec::Spec,
    },
    run::{Cause, RunKey},
    tier::{LedgerKind, Queues, Tiers},
};
use tokio::sync::watch;

use crate::{
    corpus::{self, Kind},
    cpu, daemon, fire,
    line::Lines,
    peer, probe,
};

/// Programs of one measure.
const COUNT: usize = 4_000;

/// Programs at once.
const AT_ONCE: usize = 16;

/// Memory that the process holds while it spawns, for the second measure.
const BALLAST_BYTES: usize = 1 << 30;

/// Jobs of the herd.
const HERD: usize = 500;

pub fn run(lines: &Lines, rounds: usize) {
    let (count, at_once) = (COUNT.to_string(), AT_ONCE.to_string());
    for round in 1..=rounds {
        lines.round(round);
        for (what, ballast) in [("spawns", false), ("spawns, 1 GiB resident", true)] {
            #[expect(clippy::cast_precision_loss)]
            let rate = |seconds: f64| COUNT as f64 / seconds;
            let held = ballast.then(self::ballast);
            lines.figure("G7", what, "ours", rate(ours()), "1/s");
            drop(held);
            let mut arguments = vec!["spawn", &count, &at_once];
            arguments.extend(ballast.then_some("with-ballast"));
            let answer = peer::json(&mut peer::probe(&arguments));
            lines.figure("G7", what, "probe", rate(answer["seconds"].as_f64().unwrap()), "1/s");
        }
        match peer::python("subprocess_rate.py", &[&count, &at_once]) {
            None => lines.skipped("G7", "spawns", "Python subprocess", "not installed"),
            Some(mut command) => {
                let rate = peer::json(&mut command)["rate"].as_f64().unwrap();
                lines.figure("G7", "spawns", "Python subprocess", rate, "1/s");
            }
        }
        match peer::program("BENCH_STAMP") {
            None => {
                lines.skipped("G8", "last start", "ours", "the program that writes its start is not built");
            }
            Some(stamp) => {
                herd(lines, &stamp);
                bare_herd(lines, &stamp);
            }
        }
    }
}

/// Memory that is touched, so that it is resident.
pub fn ballast() -> Vec<u8> {
    let mut bytes = vec![0; BALLAST_BYTES];
    bytes.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    bytes
}

/// Seconds for all programs, through the executor.
fn ours() -> f64 {
    let output = TempDir::new().unwrap();
    let spec = spec("name: bin-true\nrun: {command: [/bin/true]}\n");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let begun = Instant::now();
    runtime.block_on(async {
        let executor = Executor::new([("PATH".to_owned(), "/usr/bin:/bin".to_owned())], 1 << 20);
        let next = Arc::new(Mutex::new(0..COUNT));
        let workers = (0..AT_ONCE).map(|_| {
            let (executor, spec, next) = (executor.clone(), Arc::clone(&spec), Arc::clone(&next));
            let directory = output.path().to_owned();
            tokio::spawn(async move {
                while let Some(index) = { next.lock().unwrap().next() } {
                    let report = one(&executor, &spec, &directory, index).await;
                    assert!(report.outcome.is_success(), "{:?}", report.outcome);
                }
            })
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.await.unwrap();
        }
    });
    begun.elapsed().as_secs_f64()
}

async fn one(
    executor: &Executor,
    spec: &Arc<Spec>,
    directory: &Path,
    index: usize,
) -> tintal::execute::Report {
    let fire_time = jiff::Timestamp::from_second(i64::try_from(index).unwrap()).unwrap();
    let key = RunKey { job: spec.name.clone(), fire_time, cause: Cause::Schedule };
    let (_stop, stopped) = watch::channel(false);
    let request = Attempt {
        spec: Arc::clone(spec),
        run_id: key.id(),
        fire_time,
        timezone: "UTC".to_owned(),
        attempt: 1,
        params: std::collections::BTreeMap::new(),
        output: directory.join(index.to_string()),
        echo: None,
    };
    attempt(executor, request, stopped).await
}

/// The spec of a manifest.
pub fn spec(text: &str) -> Arc<Spec> {
    let tiers =
        Tiers { configured: vec![Tier::InProcess], ledger: LedgerKind::File, queues: Queues::default() };
    let file = ManifestFile {
        path: "job.yaml".into(),
        content_hash: *blake3::hash(text.as_bytes()).as_bytes(),
        content: Content::Text(text.into()),
    };
    let files = [Arc::new(file)];
    let input =
        Input { files: &files, above: &[], unreadable: &[], prefix: "", now: jiff::Timestamp::UNIX_EPOCH };
    let tree = Loader::new(tiers, 1).load(&input);
    assert!(tree.problems.is_empty(), "{:?}", tree.problems);
    Arc::clone(&tree.jobs.values().next().unwrap().spec)
}

/// A daemon's jobs that are all due at one instant, each a program that writes when it was started.
fn herd(lines: &Lines, stamp: &Path) {
    let tree = TempDir::new().unwrap();
    corpus::write(tree.path(), HERD, Kind::Stamp);
    fs::copy(stamp, tree.path().join("stamp")).unwrap();
    let daemon = daemon::serve(tree.path(), &[]);
    let before = cpu::usage(daemon.pid());
    let mut fires = 0.0;
    for fire_time in fire::coming() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        thread::sleep((Duration::from_secs(fire_time) + Duration::from_secs(5)).saturating_sub(now));
        fires += 1.0;
        last_start(lines, "ours", &tree.path().join("stamps"), fire_time);
    }
    let after = cpu::usage(daemon.pid());
    #[expect(clippy::cast_precision_loss)]
    let runs = fires * HERD as f64;
    lines.figure("G9", "CPU of one run", "ours", (after.seconds - before.seconds) / runs * 1e3, "ms");
}

fn bare_herd(lines: &Lines, stamp: &Path) {
    let directory = TempDir::new().unwrap();
    let stamps = directory.path().join("stamps");
    let arguments = [stamp.to_str().unwrap(), stamps.to_str().unwrap()];
    let fire_time = fire::coming().next().unwrap();
    let before = cpu::children();
    probe::herd(arguments[0], arguments[1], HERD, AT_ONCE, fire_time);
    let spent = cpu::children().saturating_sub(before).as_secs_f64();
    last_start(lines, "probe", &stamps, fire_time);
    #[expect(clippy::cast_precision_loss)]
    lines.figure("G9", "CPU of one run", "probe", spent / HERD as f64 * 1e3, "ms");
}

#[expect(clippy::cast_precision_loss)]
fn last_start(lines: &Lines, who: &str, stamps: &Path, fire_time: u64) {
    let text = fs::read_to_string(stamps).unwrap_or_default();
    let due = i64::try_from(fire_time).unwrap() * 1_000_000;
    let within = |stamp: &i64| (due..due + i64::try_from(fire::EVERY).unwrap() * 1_000_000).contains(stamp);
    let late: Vec<i64> = text.lines().filter_map(|line| line.parse().ok()).filter(within).collect();
    lines.figure("G8", "lost", who, HERD as f64 - late.len() as f64, "runs");
    if let (Some(first), Some(last)) = (late.iter().min(), late.iter().max()) {
        lines.figure("G8", "first start", who, (first - due) as f64 / 1e3, "ms");
        lines.figure("G8", "last start", who, (last - due) as f64 / 1e3, "ms");
    }
}
