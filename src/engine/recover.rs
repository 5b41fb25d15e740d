//! Sees to the runs that a daemon before this one did not see to their end.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::{clock, daemon::Daemon, resume::too_many};
use crate::{
    backend::{Submission, live::LiveJob},
    execute::leftover::end_leftovers_of,
    ledger::{AttemptEnd, LedgerError, OpenRun, RETRY, Then},
    run::{self, Cause, Outcome, Reached, Resume, RunId, RunKey},
};

/// A run that was decided and not begun is begun by the next daemon when that comes this soon, as
/// with fire times that were missed.
const LATE_MAX: Duration = Duration::from_secs(3600);

/// Runs that are seen to at once: enough to fill a group commit of the ledger.
const AT_ONCE: usize = 512;

impl Daemon {
    /// Sees to the runs that are open: what is left of them is killed, what became of them is
    /// recorded, and the retry policy goes on. A run that nothing was started of is begun. Returns
    /// early when the daemon stops; the next one sees to the rest.
    pub async fn recover(&self) {
        let mut open = self.open_runs().await;
        let begun = |open: &&OpenRun| !matches!(open.reached, Reached::Decided { .. });
        let ids: BTreeSet<RunId> = open.iter().filter(begun).map(|open| open.id).collect();
        let killed = if ids.is_empty() {
            BTreeMap::new()
        } else {
            tokio::task::block_in_place(|| end_leftovers_of(&ids))
        };
        while !open.is_empty() {
            // All at once, as far as they fill a group commit of the ledger.
            let max_of = |job: &_| self.jobs().job(job).map_or(1, |job| job.spec.policy.max_running);
            let over = too_many(&open, max_of);
            let failed: Vec<Option<OpenRun>> = stream::iter(open.into_iter().zip(over))
                .map(async |(run, is_over)| {
                    if self.is_draining() {
                        return None;
                    }
                    let killed = killed.get(&run.id).copied().unwrap_or(0);
                    let done = match run.route {
                        Some(_) => self.resume_remote(&run, is_over).await,
                        None => self.take_over(&run, killed).await,
                    };
                    let error = done.err()?;
                    warn!(job = %run.job, error = &error as &dyn std::error::Error, "what became of a run cannot be recorded yet");
                    Some(run)
                })
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
            if self.is_draining() {
                return;
            }
            open = failed.into_iter().flatten().collect();
            if !open.is_empty() {
                sleep(RETRY).await;
            }
        }
    }

    async fn open_runs(&self) -> Vec<OpenRun> {
        loop {
            match self.ledger().unfinished().await {
                Ok(open) => return open,
                Err(error) => {
                    error!(error = &error as &dyn std::error::Error, "open runs cannot be read yet");
                }
            }
            if self.is_draining() {
                return Vec::new();
            }
            sleep(RETRY).await;
        }
    }

    async fn take_over(&self, open: &OpenRun, killed: usize) -> Result<(), LedgerError> {
        let OpenRun { id, job, .. } = open;
        let now = clock::now();
        let held = self.jobs().job(job);
        let reached = &reached(open, held.as_deref());
        let retry = held.as_ref().map(|held| &held.spec.policy.retry);
        let next = run::resume(reached, retry, now, LATE_MAX);
        if let Reached::Begun { attempt } = reached {
            warn!(%job, run_id = %id, attempt, killed, "the run was abandoned when the daemon ended");
            let then = if let Resume::End(_) = next { Then::RunEnds } else { Then::Again };
            let (outcome, ended_at) = (Outcome::Abandoned, now);
            let end = AttemptEnd {
                run_id: *id,
                n: *attempt,
                ended_at,
                outcome,
                bytes_seen: 0,
                bytes_kept: 0,
                then,
                worker: None,
            };
            self.ledger().attempt_ended(end).await?;
        }
        let (held, attempt, wait) = match (held, next) {
            (Some(held), Resume::Attempt(attempt, wait)) => (held, attempt, wait),
            (_, Resume::Attempt(..)) => unreachable!("a job that is gone is not tried again"),
            (_, Resume::End(outcome)) => {
                if !matches!(reached, Reached::Begun { .. }) {
                    let at = if let Reached::Ended { at, .. } = reached { *at } else { now };
                    self.ledger().run_ended(*id, outcome, at).await?;
                }
                self.running().leave(*id);
                return Ok(());
            }
        };
        info!(%job, run_id = %id, attempt, wait_ms = wait.as_millis(), "the run goes on");
        self.running().hold(*id, job);
        self.jobs().take(Submission {
            id: *id,
            key: RunKey { job: job.clone(), fire_time: open.fire_time, cause: open.cause },
            route: None,
            spec: Arc::clone(&held.spec),
            digest: held.digest,
            params: open.params.clone(),
            attempt,
            wait,
        });
        Ok(())
    }
}

/// How far a run had come; one that was decided was to start at its fire time and its share of the
/// jitter.
fn reached(open: &OpenRun, held: Option<&LiveJob>) -> Reached {
    match (&open.reached, held) {
        (Reached::Decided { at }, Some(held)) if open.cause == Cause::Schedule => {
            let delay = held.schedule.start_delay(&open.job, open.fire_time);
            Reached::Decided { at: open.fire_time.checked_add(delay).map_or(*at, |start| start.max(*at)) }
        }
        (reached, _) => reached.clone(),
    }
}
