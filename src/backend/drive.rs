//! Drives one run of the in-process tier through its attempts.
//!
//! What to do after an attempt is decided in `run::next`; this file waits, records and asks.

use std::{path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{sync::watch, time::sleep};
use tracing::{Instrument as _, info, info_span, warn};

use super::{Submission, running::Running};
use crate::{
    execute::{self, Executor},
    ledger::{AttemptEnd, AttemptStart, Ledger, LedgerError},
    run::{self, Next, Outcome, RunId},
};

/// Time between two tries to record the end of a run.
const RECORD_RETRY: Duration = Duration::from_secs(1);

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
}

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
        Self { shared: Arc::new(Shared { executor, ledger, running, output, now }) }
    }

    /// Starts a run that has its place in [`Running`]; one without, or that was begun before, is
    /// not started again.
    pub fn start(&self, submission: Submission) {
        let id = submission.key.id();
        let Some(stop) = self.shared.running.begin(id) else { return };
        let shared = Arc::clone(&self.shared);
        let span = info_span!("run", job = %submission.key.job, run_id = %id);
        tokio::spawn(
            async move {
                shared.drive(id, submission, stop).await;
                shared.running.leave(id);
            }
            .instrument(span),
        );
    }
}

/// Path of an attempt's output, relative to the output directory.
#[must_use]
pub fn output_file(id: RunId, attempt: u32) -> String {
    let id = id.to_string();
    // Two levels, so that no directory holds hundreds of thousands of files.
    format!("{}/{id}.{attempt}.log", &id[..2])
}

impl Shared {
    async fn drive(&self, id: RunId, submission: Submission, mut stop: watch::Receiver<bool>) {
        let mut attempt = submission.attempt;
        loop {
            let outcome = self.attempt(id, attempt, &submission, stop.clone()).await;
            let next = run::next(attempt, &outcome, &submission.spec.policy.retry, rand::random());
            report(attempt, &outcome, next);
            match next {
                Next::RetryAfter(wait) if self.wait(wait, &mut stop).await => attempt += 1,
                Next::RetryAfter(_) => return self.end(id, &Outcome::Cancelled).await,
                Next::Done | Next::GiveUp => return self.end(id, &outcome).await,
            }
        }
    }

    /// Waits; `false` when the run was told to stop meanwhile.
    async fn wait(&self, wait: Duration, stop: &mut watch::Receiver<bool>) -> bool {
        tokio::time::timeout(wait, stop.wait_for(|stop| *stop)).await.is_err()
    }

    async fn attempt(
        &self,
        id: RunId,
        attempt: u32,
        submission: &Submission,
        stop: watch::Receiver<bool>,
    ) -> Outcome {
        let file = output_file(id, attempt);
        let start = AttemptStart { run_id: id, n: attempt, started_at: (self.now)(), output: file.clone() };
        record(self.ledger.attempt_started(start));
        let request = execute::Attempt {
            spec: Arc::clone(&submission.spec),
            run_id: id,
            fire_time: submission.key.fire_time,
            attempt,
            params: submission.params.clone(),
            output: self.output.join(&file),
            echo: None,
        };
        let report = execute::attempt(&self.executor, request, stop).await;
        let end = AttemptEnd {
            run_id: id,
            n: attempt,
            ended_at: (self.now)(),
            outcome: report.outcome.clone(),
            bytes_seen: report.output.seen,
            bytes_kept: report.output.kept,
        };
        record(self.ledger.attempt_ended(end));
        report.outcome
    }

    async fn end(&self, id: RunId, outcome: &Outcome) {
        let at = (self.now)();
        // A run that has ended must not look, after a restart, as if it had been abandoned.
        while let Err(error) = self.ledger.run_ended(id, outcome.clone(), at).await {
            warn!(error = &error as &dyn std::error::Error, "the end of the run cannot be recorded yet");
            if matches!(error, LedgerError::Closed) {
                return;
            }
            sleep(RECORD_RETRY).await;
        }
    }
}

/// Lets a record go its way without waiting for it: the writer keeps the order, and the end of the
/// run is waited for.
fn record<F>(write: F)
where
    F: Future<Output = Result<(), LedgerError>> + Send + 'static,
{
    drop(write);
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
