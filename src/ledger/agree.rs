//! The ledger in memory answers as the one in a file does, whatever is asked of the two.

mod letters;
mod queues;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::{
    manifest::{characteristics::Tier, digest::Digest, name::JobName, spec::Spec},
    run::{Cause, Outcome, RunId, RunKey, back_id},
};

/// One call. Jobs and seconds are few, so that calls meet.
#[derive(Debug, Clone)]
enum Call {
    Applied(u8, Option<i64>),
    Pruned(u8),
    Run(u8, i64, Cause),
    Skip(u8, i64, i64, Skip, Move),
    GoBack(u8, i64, i64),
    Started(u8, i64, u32),
    Ended(u8, i64, u32, Then),
    Passed(u8, i64),
    RunEnded(u8, i64),
    Pause(u8, u8),
    Resume(u8),
    Boot(u8, Vec<u8>),
    AtBoot(u8, i64, u8),
    Prune(usize, u64),
    RunTo(u8, i64, u8),
    Staged(Vec<(u8, i64, u32, Stage, u8)>),
    Rerouted(u8, i64, u8),
    Dropped(u8, i64, Skip),
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn job(job: u8) -> JobName {
    JobName::parse(&format!("job-{job}")).unwrap()
}

fn id(name: u8, second: i64) -> RunId {
    RunKey { job: job(name), fire_time: at(second), cause: Cause::Schedule }.id()
}

fn spec(name: u8) -> Arc<Spec> {
    let json = serde_json::json!({
        "name": job(name), "enabled": true, "run": {"action": {"command": ["true"]}},
        "characteristics": {"visibility": "internal", "durability": "ephemeral", "infrastructure": "local"},
        "policy": {"overlap": "skip", "max_running": 1, "kill_grace": "10s",
                   "retry": {"max_attempts": 1, "backoff": "fixed", "initial": "1s", "factor": 2.0, "max": "1m", "jitter": 0.0, "on": []}},
    });
    Arc::new(serde_json::from_value(json).unwrap())
}

fn run(name: u8, second: i64, cause: Cause) -> NewDecision {
    NewDecision::run(id(name, second), job(name), at(second), cause, at(second))
}

/// Where a run goes; none for 0.
fn route(to: u8) -> Option<Route> {
    let tier = if to == 1 { Tier::Workflow } else { Tier::Queue };
    (to > 0).then(|| Route { tier, backend: "embedded".into(), queue: format!("queue-{to}").into() })
}

/// The name of a worker; none for 0.
fn worker(name: u8) -> Option<Arc<str>> {
    (name > 0).then(|| format!("worker-{name}").into())
}

/// Makes a call; gives what it answers.
async fn make(ledger: &Ledger, call: Call) -> String {
    let decided = match call {
        Call::Run(name, second, cause) => ledger.decide(vec![run(name, second, cause)]).await.unwrap(),
        Call::RunTo(name, second, to) => {
            let run = run(name, second, Cause::Schedule);
            let route = route(to).map(Arc::new);
            ledger.decide(vec![NewDecision { route, ..run }]).await.unwrap()
        }
        Call::Dropped(name, second, skip) => {
            return format!("{}", ledger.dropped(id(name, second), skip, at(second + 1)).await.unwrap());
        }
        Call::Skip(name, first, length, skip, cursor) => {
            let range = (at(first), at(first + length));
            let count = length.unsigned_abs() + 1;
            let skip = NewDecision::skip(id(name, first), job(name), range, count, skip, at(first));
            ledger.decide(vec![NewDecision { cursor, ..skip }]).await.unwrap()
        }
        Call::AtBoot(name, second, boot) => {
            let decision = NewDecision { cursor: Move::Stay, ..run(name, second, Cause::Reboot) };
            vec![ledger.decide_at_boot(decision, format!("boot-{boot}")).await.unwrap()]
        }
        Call::Prune(keep_last, age) => return prune(ledger, keep_last, age).await,
        call => {
            record(ledger, call).await.unwrap();
            Vec::new()
        }
    };
    format!("{decided:?}")
}

/// Makes a call that answers nothing.
async fn record(ledger: &Ledger, call: Call) -> Result<(), LedgerError> {
    match call {
        Call::Applied(name, from) => {
            let restart = from.map_or(Restart::Keep, |from| Restart::From(at(from)));
            let spec = spec(name);
            let digest = Digest::of(&spec);
            let applied = Applied { tier: Tier::InProcess, digest, spec, at: at(0), restart };
            ledger.record_applied(applied).await
        }
        Call::Pruned(name) => ledger.record_pruned(job(name), Tier::InProcess).await,
        Call::GoBack(name, from, to) => {
            let back = NewDecision::back(back_id(&job(name), at(to)), job(name), at(from), at(to));
            let cut = Cut { id: id(name, from), last: at(to), count: 1, counted: Counted::AtLeast };
            ledger.go_back(back, vec![cut]).await
        }
        Call::Started(name, second, n) => {
            let output = (n > 1).then(|| format!("{n}.log"));
            let start = AttemptStart {
                run_id: id(name, second),
                n,
                started_at: at(second),
                output,
                worker: worker(u8::try_from(n - 1).unwrap()),
            };
            ledger.attempt_started(start).await
        }
        Call::Ended(name, second, n, then) => ledger.attempt_ended(end(id(name, second), n, then)).await,
        Call::Passed(name, second) => {
            ledger.passed(vec![Passed { run_id: id(name, second), n: 1, at: at(second) }]).await
        }
        Call::RunEnded(name, second) => {
            ledger.run_ended(id(name, second), Outcome::Cancelled, at(second)).await
        }
        Call::Staged(staged) => {
            let staged = staged.into_iter().map(|(name, second, attempt, stage, by)| Staged {
                run_id: id(name, second),
                attempt,
                stage,
                at: at(second + 2),
                worker: worker(by),
            });
            ledger.staged(staged.collect()).await
        }
        Call::Rerouted(name, second, to) => ledger.rerouted(id(name, second), route(to)).await,
        Call::Pause(name, reason) => {
            let reason = (reason > 0).then(|| format!("reason {reason}"));
            ledger.pause(job(name), reason, at(1)).await
        }
        Call::Resume(name) => ledger.resume(job(name)).await,
        Call::Boot(boot, jobs) => {
            ledger.record_boot(format!("boot-{boot}"), jobs.into_iter().map(job).collect()).await
        }
        Call::Run(..)
        | Call::RunTo(..)
        | Call::Dropped(..)
        | Call::Skip(..)
        | Call::AtBoot(..)
        | Call::Prune(..) => unreachable!("they answer"),
    }
}

fn end(run_id: RunId, n: u32, then: Then) -> AttemptEnd {
    let outcome = Outcome::ExitNonzero { code: 3 };
    AttemptEnd {
        run_id,
        n,
        ended_at: at(50),
        outcome,
        bytes_seen: 0,
        bytes_kept: 0,
        then,
        worker: worker(u8::try_from(n % 2).unwrap()),
    }
}

/// Drops all that is past limits. Which rows one call drops is not promised, only what is left in the
/// end.
async fn prune(ledger: &Ledger, keep_last: usize, age: u64) -> String {
    let limits = HistoryLimits { keep_last, max_age: Duration::from_secs(age) };
    let mut files = BTreeSet::new();
    loop {
        let pruned = ledger.prune_history(limits, at(40)).await.unwrap();
        files.extend(pruned.files);
        if !pruned.more {
            return format!("{files:?}");
        }
    }
}

/// All that can be read.
async fn look(ledger: &Ledger) -> Vec<String> {
    let mut seen = Vec::new();
    let placements = ledger.placements().await.unwrap();
    seen.extend(placements.iter().map(|row| format!("{} {} {}", row.spec.name, row.cursor, row.applied_at)));
    seen.extend(ledger.unfinished().await.unwrap().iter().map(|open| format!("{open:?}")));
    seen.push(format!("{:?}", ledger.last_runs().await.unwrap()));
    let mut paused: Vec<String> =
        ledger.paused().await.unwrap().iter().map(|row| format!("{row:?}")).collect();
    paused.sort();
    seen.extend(paused);
    seen.push(format!("{:?}", ledger.boot().await.unwrap()));
    for boot in ["boot-0", "boot-1"] {
        let mut waiting = ledger.waiting_at_boot(boot.to_owned()).await.unwrap();
        waiting.sort();
        seen.push(format!("{waiting:?}"));
    }
    for (of, before) in
        [(None, None), (None, Some(at(12))), (Some(job(0)), None), (Some(job(1)), Some(at(20)))]
    {
        let query = RunQuery { job: of, before, limit: 7, ..RunQuery::default() };
        let runs = ledger.runs(query.clone()).await.unwrap();
        seen.extend(runs.iter().map(|run| format!("{run:?}")));
        let of_worker = RunQuery { worker: Some("worker-1".to_owned()), ..query.clone() };
        let of_backend = RunQuery { backend: Some("embedded".to_owned()), ..query };
        for query in [of_worker, of_backend] {
            let runs = ledger.runs(query).await.unwrap();
            seen.push(format!("{:?}", runs.iter().map(|run| run.id).collect::<Vec<_>>()));
        }
    }
    for name in 0..3 {
        seen.push(format!("{:?}", ledger.cursor(job(name)).await.unwrap()));
        seen.push(format!("{:?}", ledger.pruned_to(job(name)).await.unwrap()));
        let mut ranges: Vec<String> = ledger
            .ranges_past(job(name), at(9))
            .await
            .unwrap()
            .iter()
            .map(|range| format!("{range:?}"))
            .collect();
        ranges.sort();
        seen.extend(ranges);
    }
    let ids: BTreeSet<RunId> = (0..3).flat_map(|name| (0..30).map(move |second| id(name, second))).collect();
    seen.push(format!("{:?}", ledger.known(ids).await.unwrap()));
    let name = ledger.instance().await.unwrap();
    assert!(name.len() == 8 && name.bytes().all(|digit| digit.is_ascii_hexdigit()), "{name}");
    assert_eq!(ledger.instance().await.unwrap(), name);
    seen
}

fn call() -> impl Strategy<Value = Call> {
    let name = 0..3_u8;
    let second = 0..30_i64;
    let skip = prop_oneof![
        Just(Skip::Overlap),
        Just(Skip::Misfire),
        Just(Skip::Paused),
        Just(Skip::Dst),
        Just(Skip::ClockJump),
        Just(Skip::Disabled)
    ];
    let moves = prop_oneof![Just(Move::Stay), second.clone().prop_map(|to| Move::To(at(to)))];
    let cause = prop_oneof![4 => Just(Cause::Schedule), 1 => Just(Cause::Manual)];
    let then = prop_oneof![Just(Then::RunEnds), Just(Then::Again)];
    prop_oneof![
        1 => (name.clone(), proptest::option::of(second.clone())).prop_map(|(name, from)| Call::Applied(name, from)),
        1 => name.clone().prop_map(Call::Pruned),
        8 => (name.clone(), second.clone(), cause).prop_map(|(name, at, cause)| Call::Run(name, at, cause)),
        5 => (name.clone(), second.clone(), 0..9_i64, skip, moves)
            .prop_map(|(name, first, length, skip, to)| Call::Skip(name, first, length, skip, to)),
        1 => (name.clone(), second.clone(), second.clone()).prop_map(|(name, from, to)| Call::GoBack(name, from, to)),
        4 => (name.clone(), second.clone(), 1..4_u32).prop_map(|(name, at, n)| Call::Started(name, at, n)),
        4 => (name.clone(), second.clone(), 1..4_u32, then).prop_map(|(name, at, n, then)| Call::Ended(name, at, n, then)),
        3 => (name.clone(), second.clone()).prop_map(|(name, at)| Call::Passed(name, at)),
        3 => (name.clone(), second.clone()).prop_map(|(name, at)| Call::RunEnded(name, at)),
        1 => (name.clone(), 0..3_u8).prop_map(|(name, reason)| Call::Pause(name, reason)),
        1 => name.clone().prop_map(Call::Resume),
        1 => (0..2_u8, proptest::collection::vec(name.clone(), 0..3)).prop_map(|(boot, jobs)| Call::Boot(boot, jobs)),
        2 => (name.clone(), second.clone(), 0..2_u8).prop_map(|(name, at, boot)| Call::AtBoot(name, at, boot)),
        6 => (name.clone(), second.clone(), 0..4_u8).prop_map(|(name, at, to)| Call::RunTo(name, at, to)),
        4 => proptest::collection::vec(
            (name.clone(), second.clone(), 1..4_u32, proptest::sample::select(&Stage::ALL[..]), 0..3_u8), 1..4
        ).prop_map(Call::Staged),
        2 => (name.clone(), second.clone(), 0..4_u8).prop_map(|(name, at, to)| Call::Rerouted(name, at, to)),
        2 => (name.clone(), second, proptest::sample::select(&[Skip::Superseded, Skip::Expired][..]))
            .prop_map(|(name, at, skip)| Call::Dropped(name, at, skip)),
        1 => (1..5_usize, 5..60_u64).prop_map(|(keep, age)| Call::Prune(keep, age)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn both_kinds_of_ledger_answer_alike(calls in proptest::collection::vec(call(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let directory = tempfile::TempDir::new().unwrap();
        let file = Ledger::open(&Location::File(directory.path().join("ledger.db"))).unwrap();
        let memory = Ledger::open(&Location::Memory).unwrap();
        runtime.block_on(async {
            for call in calls {
                let (one, other) = (make(&file, call.clone()).await, make(&memory, call.clone()).await);
                prop_assert_eq!(one, other, "{:?}", call);
            }
            prop_assert_eq!(look(&file).await, look(&memory).await);
            Ok(())
        })?;
    }
}
