//! Drives one run of the in-process tier through its attempts.
//!
//! What to do after an attempt is decided in `run::next`; this file waits, records and asks.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{sync::watch, time::sleep};
use tracing::{Instrument as _, Span, info, info_span, warn};

use super::{
    Submission,
    running::{Running, Wait},
};
use crate::{
    execute::{self, Executor, OutputSize, Report},
    ledger::{AttemptEnd, AttemptStart, Ledger, LedgerError, Passed, RETRY, Then},
    manifest::spec::{Action, BuiltinTask},
    run::{self, Cause, Next, Outcome, RunId},
    schedule::told::{self, Answers},
};

/// Starts runs and sees them through.
#[derive(Debug, Clone)]
pub struct Driver {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    executor: Executor,
    ledger: Ledger,
    running: Arc<Running>,
    output: PathBuf,
    now: fn() -> Timestamp,
    /// Runs that are over, and whose records are not written yet.
    gathered: Mutex<Vec<Brief>>,
}

/// How long the ends of runs that are over at once are gathered: one write for a herd, and its
/// records do not make its last runs late.
const GATHER: Duration = Duration::from_millis(20);

impl Driver {
    /// A driver that writes the output of attempts under the directory `output`.
    #[must_use]
    pub fn new(
        executor: Executor,
        ledger: Ledger,
        running: Arc<Running>,
        output: PathBuf,
        now: fn() -> Timestamp,
    ) -> Self {
        let gathered = Mutex::default();
        Self { shared: Arc::new(Shared { executor, ledger, running, output, now, gathered }) }
    }

    /// Starts a run that has its place in [`Running`]; one without, or that was begun before, is
    /// not started again.
    pub fn start(&self, submission: Submission) {
        let id = submission.id;
        let kill_grace = submission.spec.policy.kill_grace;
        let Some(stop) = self.shared.running.begin(id, kill_grace) else { return };
        let place = Leave { running: Arc::clone(&self.shared.running), runs: vec![id] };
        let shared = Arc::clone(&self.shared);
        let span = span(&submission);
        tokio::spawn(
            async move {
                shared.drive(id, submission, stop).await;
                drop(place);
            }
            .instrument(span),
        );
    }

    /// Starts runs that were decided together. Those that are over at once need no task: with ten
    /// thousand of them, a task each would make the last ones late.
    pub fn start_all(&self, submissions: Vec<Submission>) {
        let brief = submissions.iter().filter(|run| is_brief(run));
        let mut begun = self.shared.running.begin_brief(brief.map(|run| run.id)).into_iter();
        let mut passed = Vec::with_capacity(begun.len());
        for run in submissions {
            if is_brief(&run) && begun.next() == Some(true) {
                passed.push(Brief { at: (self.shared.now)(), run });
            } else {
                self.start(run);
            }
        }
        self.gather(passed);
    }

    /// Has it recorded, soon, that runs began and were over.
    fn gather(&self, passed: Vec<Brief>) {
        if passed.is_empty() {
            return;
        }
        let mut gathered = self.shared.gathered();
        let is_first = gathered.is_empty();
        gathered.extend(passed);
        if is_first {
            let shared = Arc::clone(&self.shared);
            tokio::spawn(async move {
                sleep(GATHER).await;
                shared.record_gathered().await;
            });
        }
    }
}

/// A run that is over as soon as it begins.
#[derive(Debug)]
struct Brief {
    /// When it began, and ended.
    at: Timestamp,
    run: Submission,
}

/// Gives the places of runs back, also when what drives them panics.
struct Leave {
    running: Arc<Running>,
    runs: Vec<RunId>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.running.leave_all(self.runs.drain(..));
    }
}

fn span(submission: &Submission) -> Span {
    info_span!("run", job = %submission.key.job, run_id = %submission.id)
}

/// Whether a run is over as soon as it begins.
fn is_brief(submission: &Submission) -> bool {
    submission.wait.is_zero() && !has_effect(&submission.spec.run.action)
}

/// The run that a file of output belongs to, by the name that [`output_file`] gave it.
#[must_use]
pub fn run_of_output(file_name: &str) -> Option<RunId> {
    let (run, attempt) = file_name.strip_suffix(".log")?.split_once('.')?;
    attempt.parse::<u32>().ok()?;
    run.parse().ok().map(RunId)
}

/// Path of an attempt's output, relative to the output directory.
#[must_use]
pub fn output_file(id: RunId, attempt: u32) -> String {
    let id = id.to_string();
    // Two levels, so that no directory holds hundreds of thousands of files.
    format!("{}/{id}.{attempt}.log", &id[..2])
}

/// How the time until an attempt went by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waited {
    /// It is over.
    Over,
    /// The run was told to stop.
    Stopped,
    /// The daemon stops. The run stays open, and the next daemon goes on with it.
    Closed,
}

impl Shared {
    async fn drive(&self, id: RunId, submission: Submission, mut stop: watch::Receiver<bool>) {
        let mut attempt = submission.attempt;
        // What is to begin at once begins, though the daemon stops: it was decided before.
        let mut pause = Some(submission.wait).filter(|wait| !wait.is_zero());
        loop {
            if let Some(wait) = pause {
                self.running.set_wait(id, Some(self.awaited(attempt, wait, &submission)));
            }
            match self.pause(pause, &mut stop).await {
                Waited::Over if pause.is_some() => self.running.set_wait(id, None),
                Waited::Over => {}
                Waited::Stopped => return self.cancelled(id).await,
                Waited::Closed => return,
            }
            let outcome = self.attempt(id, attempt, &submission, &stop).await;
            let next = run::next(attempt, &outcome.outcome, &submission.spec.policy.retry, rand::random());
            report(attempt, &outcome.outcome, next);
            let then = if let Next::RetryAfter(_) = next { Then::Again } else { Then::RunEnds };
            let end = AttemptEnd { then, ..outcome };
            self.record("the end of the attempt", || self.ledger.attempt_ended(end.clone())).await;
            let Next::RetryAfter(wait) = next else { return };
            attempt += 1;
            pause = Some(wait);
        }
    }

    /// The attempt that begins after a wait.
    fn awaited(&self, attempt: u32, wait: Duration, submission: &Submission) -> Wait {
        let now = (self.now)();
        let max_attempts = submission.spec.policy.retry.max_attempts;
        Wait { attempt, max_attempts, at: now.checked_add(wait).unwrap_or(now) }
    }

    fn gathered(&self) -> MutexGuard<'_, Vec<Brief>> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records what was gathered; the runs keep their places until it is written.
    async fn record_gathered(&self) {
        let gathered = std::mem::take(&mut *self.gathered());
        let runs = gathered.iter().map(|brief| brief.run.id).collect();
        let _places = Leave { running: Arc::clone(&self.running), runs };
        let passed = |Brief { at, run }: &Brief| Passed { run_id: run.id, n: run.attempt, at: *at };
        let passed: Vec<Passed> = gathered.iter().map(passed).collect();
        self.record("the end of the attempt", || self.ledger.passed(passed.clone())).await;
        for Brief { run, .. } in &gathered {
            span(run).in_scope(|| report(run.attempt, &Outcome::Success, Next::Done));
        }
    }

    async fn pause(&self, wait: Option<Duration>, stop: &mut watch::Receiver<bool>) -> Waited {
        let Some(wait) = wait else {
            return if *stop.borrow() { Waited::Stopped } else { Waited::Over };
        };
        let mut closed = self.running.closed();
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => Waited::Stopped,
            _ = closed.wait_for(|closed| *closed) => Waited::Closed,
            () = sleep(wait) => Waited::Over,
        }
    }

    /// Makes one attempt; gives its end. It is recorded before anything starts: what has no record
    /// after a crash was not started.
    async fn attempt(
        &self,
        id: RunId,
        attempt: u32,
        submission: &Submission,
        stop: &watch::Receiver<bool>,
    ) -> AttemptEnd {
        let file = has_effect(&submission.spec.run.action).then(|| output_file(id, attempt));
        let output = file.as_ref().map(|file| self.output.join(file)).unwrap_or_default();
        let start =
            AttemptStart { run_id: id, n: attempt, started_at: (self.now)(), output: file, worker: None };
        let report = if self.begin(start, &submission.spec.run.action, stop.clone()).await {
            let request = execute::Attempt {
                spec: Arc::clone(&submission.spec),
                run_id: id,
                fire_time: submission.key.fire_time,
                timezone: timezone(submission),
                attempt,
                params: submission.params.clone(),
                output,
                echo: None,
            };
            execute::attempt(&self.executor, request, stop.clone()).await
        } else {
            Report { outcome: Outcome::Cancelled, output: OutputSize::default() }
        };
        AttemptEnd {
            run_id: id,
            n: attempt,
            ended_at: (self.now)(),
            outcome: report.outcome,
            bytes_seen: report.output.seen,
            bytes_kept: report.output.kept,
            then: Then::RunEnds,
            worker: None,
        }
    }

    /// Records that an attempt begins; `false` when the run was told to stop before that was done.
    async fn begin(&self, start: AttemptStart, action: &Action, mut stop: watch::Receiver<bool>) -> bool {
        let recorded = self.ledger.attempt_started(start.clone());
        if !has_effect(action) {
            // What has no effect may begin a second time after a crash: it need not wait. The writer
            // keeps the order.
            drop(recorded);
            return true;
        }
        // In a box, as what it waits for is large, and a herd of runs that need not wait is frequent.
        let record = Box::pin(async {
            if recorded.await.is_err() {
                self.record("the start of the attempt", || self.ledger.attempt_started(start.clone())).await;
            }
        });
        tokio::select! {
            biased;
            () = record => true,
            () = async { drop(stop.wait_for(|stop| *stop).await) } => false,
        }
    }

    async fn cancelled(&self, id: RunId) {
        let at = (self.now)();
        self.record("the end of the run", || self.ledger.run_ended(id, Outcome::Cancelled, at)).await;
    }

    /// Writes a record, and tries again until it is written: a run that has ended must not look,
    /// after a restart, as if it had been abandoned.
    async fn record<F>(&self, what: &str, write: impl Fn() -> F)
    where
        F: Future<Output = Result<(), LedgerError>> + Send,
    {
        let mut told = false;
        while let Err(error) = write().await {
            if matches!(error, LedgerError::Closed) {
                return;
            }
            if !std::mem::replace(&mut told, true) {
                warn!(error = &error as &dyn std::error::Error, "{what} cannot be recorded yet");
            }
            sleep(RETRY).await;
        }
    }
}

/// Whether an action does anything that takes time or can be seen.
fn has_effect(action: &Action) -> bool {
    !matches!(action, Action::Builtin(BuiltinTask::Noop))
}

/// The zone that a run's fire time is told in.
fn timezone(submission: &Submission) -> String {
    let answers = match submission.key.cause {
        Cause::Reboot => Answers::Boot,
        Cause::Schedule | Cause::Manual => Answers::Instant,
    };
    let spec = &submission.spec;
    if has_effect(&spec.run.action) {
        told::zone(&spec.name, &spec.schedule, submission.key.fire_time, answers).to_owned()
    } else {
        String::new()
    }
}

fn report(attempt: u32, outcome: &Outcome, next: Next) {
    match next {
        Next::Done => info!(attempt, "succeeded"),
        Next::RetryAfter(wait) => {
            warn!(attempt, %outcome, retry_in_ms = wait.as_millis(), "failed, will be tried again");
        }
        Next::GiveUp => warn!(attempt, %outcome, "failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ledger::{Location, NewDecision},
        manifest::{digest::Digest, name::JobName, spec::Spec},
        run::{Cause, RunKey},
    };

    struct Given {
        driver: Driver,
        ledger: Ledger,
        running: Arc<Running>,
    }

    fn given() -> Given {
        let ledger = Ledger::open(&Location::Memory).unwrap();
        let running = Arc::new(Running::default());
        let executor = Executor::new([], 1_000);
        let now = || Timestamp::from_second(7).unwrap();
        let driver = Driver::new(executor, ledger.clone(), Arc::clone(&running), PathBuf::new(), now);
        Given { driver, ledger, running }
    }

    /// A run of a job that does nothing, decided, with its place.
    async fn decided(given: &Given, job: &str) -> Submission {
        let spec: Spec = serde_json::from_value(serde_json::json!({
            "name": job, "enabled": true, "schedule": [], "run": {"action": {"builtin": "noop"}},
            "characteristics": {"visibility": "internal", "durability": "ephemeral", "infrastructure": "local"},
            "policy": {"overlap": "skip", "max_running": 1, "kill_grace": "10s",
                       "retry": {"max_attempts": 1, "backoff": "fixed", "initial": "1s", "factor": 2.0, "max": "1m", "jitter": 0.0, "on": []}},
        }))
        .unwrap();
        let job: JobName = spec.name.clone();
        let key = RunKey { job, fire_time: Timestamp::from_second(5).unwrap(), cause: Cause::Schedule };
        let id = key.id();
        let decision = NewDecision::run(id, key.job.clone(), key.fire_time, key.cause, key.fire_time);
        given.ledger.decide(vec![decision]).await.unwrap();
        let _ = given.running.enter(id, &key.job, 1);
        let (params, wait) = (std::collections::BTreeMap::new(), Duration::ZERO);
        let digest = Digest::of(&spec);
        Submission { id, key, route: None, spec: Arc::new(spec), digest, params, attempt: 1, wait }
    }

    #[tokio::test]
    async fn runs_that_are_over_at_once_keep_their_places_until_all_are_recorded() {
        let given = given();
        let (a, b) = (decided(&given, "a").await, decided(&given, "b").await);
        let ids = [a.id, b.id];
        given.driver.start_all(vec![a]);
        given.driver.start_all(vec![b]);
        assert_eq!(given.running.len(), 2, "nothing is recorded yet");
        given.running.drained().await;
        for id in ids {
            let row = given.ledger.run(id).await.unwrap().unwrap();
            assert_eq!((row.outcome, row.attempts.len()), (Some(Outcome::Success), 1));
            assert_eq!(row.attempts[0].started_at, Timestamp::from_second(7).unwrap());
        }
    }

    #[tokio::test]
    async fn what_was_cancelled_before_it_began_does_not_begin_among_others() {
        let given = given();
        let (a, b) = (decided(&given, "a").await, decided(&given, "b").await);
        let ids = [a.id, b.id];
        assert!(given.running.cancel(a.id));
        given.driver.start_all(vec![a, b]);
        given.running.drained().await;
        let mut outcomes = Vec::new();
        for id in ids {
            outcomes.push(given.ledger.run(id).await.unwrap().unwrap().outcome);
        }
        assert_eq!(outcomes, [Some(Outcome::Cancelled), Some(Outcome::Success)]);
    }
}
