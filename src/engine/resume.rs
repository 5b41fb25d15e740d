//! The runs that were messages, or were about to be, when the daemon before this one ended.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use tracing::{info, warn};

use super::{clock, daemon::Daemon, returns::enqueued};
use crate::{
    backend::{
        Submission,
        queue::{
            broker::QueueName,
            remote::{Tracked, expires_at},
            report::AttemptId,
        },
    },
    ledger::{LedgerError, OpenRun, Skip, Stage},
    manifest::name::JobName,
    run::{self, Cause, Outcome, Reached, Resume, RunKey},
};

/// A fire that was decided and not sent is sent by the next daemon when that comes this soon.
const LATE_MAX: Duration = Duration::from_secs(3600);

/// Says of runs that were decided and not sent which are the newest of their jobs, as many as may go on at
/// once; the others are too many: newer ones have taken their places.
pub(super) fn too_many(open: &[OpenRun], max_of: impl Fn(&JobName) -> u32) -> Vec<bool> {
    let mut newest: Vec<usize> = (0..open.len()).collect();
    newest.sort_by_key(|index| std::cmp::Reverse(open[*index].fire_time));
    let mut counts: HashMap<&JobName, u32> = HashMap::new();
    let mut over = vec![false; open.len()];
    for index in newest {
        let run = &open[index];
        let count = counts.entry(&run.job).or_default();
        *count += 1;
        over[index] = *count > max_of(&run.job) && is_fresh_fire(run);
    }
    over
}

/// Whether a run is a fire of a schedule of which nothing left the daemon, as far as is known.
fn is_fresh_fire(run: &OpenRun) -> bool {
    if run.route.is_none() {
        return false;
    }
    let is_unsent =
        run.stage.as_ref().is_none_or(|stage| stage.attempt == 1 && stage.stage == Stage::Enqueued);
    run.cause == Cause::Schedule && is_unsent
}

impl Daemon {
    /// Goes on with a run of the queue tier. `is_over` says that a newer one has taken its place.
    pub(super) async fn resume_remote(&self, open: &OpenRun, is_over: bool) -> Result<(), LedgerError> {
        let now = clock::now();
        let (id, job) = (open.id, &open.job);
        let is_late = is_fresh_fire(open) && now.duration_since(open.fire_time).unsigned_abs() > LATE_MAX;
        if is_over || is_late {
            let skip = if is_over { Skip::Superseded } else { Skip::Expired };
            warn!(%job, run_id = %id, reason = skip.as_str(), "skipped: it could not be delivered in time");
            self.ledger().dropped(id, skip, now).await?;
            self.running().leave(id);
            return Ok(());
        }
        let Some(held) = self.jobs().job(job) else {
            let reason = "the daemon ended while it was a message, and its job is gone".to_owned();
            self.ledger().run_ended(id, Outcome::NotStarted { reason, errno: None }, now).await?;
            self.running().leave(id);
            return Ok(());
        };
        let stage = open.stage.as_ref();
        let mut submission = Submission {
            id,
            key: RunKey { job: job.clone(), fire_time: open.fire_time, cause: open.cause },
            route: open.route.clone().map(Arc::new),
            spec: Arc::clone(&held.spec),
            digest: held.digest,
            params: open.params.clone(),
            attempt: stage.map_or(1, |stage| stage.attempt),
            wait: Duration::ZERO,
        };
        if let Reached::Ended { attempt, .. } = &open.reached
            && *attempt >= submission.attempt
        {
            return self.after_attempt(open, submission, now).await;
        }
        self.announce(&submission);
        match stage.map(|stage| (stage.stage, stage.worker.clone())) {
            None | Some((Stage::Enqueued, _)) => {
                info!(%job, run_id = %id, "goes to its queue, as far as it is not there");
                submission.wait = self.rest_of_wait(open, now);
                self.running().hold(id, job);
                self.outbox().take_again(submission);
            }
            Some((stage, worker)) => {
                // From now on it has the time again that it may be silent.
                let expires_at = expires_at(&submission.spec, open.fire_time);
                let _ = self.running().begin_remote(id);
                self.remote().track(Tracked { submission, stage, heard_at: now, expires_at, worker });
            }
        }
        Ok(())
    }

    /// What the jitter leaves of the time until the run is to begin.
    fn rest_of_wait(&self, open: &OpenRun, now: Timestamp) -> Duration {
        let Some(held) = self.jobs().job(&open.job) else { return Duration::ZERO };
        let delay = held.schedule.start_delay(&open.job, open.fire_time);
        let start = open.fire_time.checked_add(delay).unwrap_or(now);
        Duration::try_from(start.duration_since(now)).unwrap_or_default()
    }

    /// An attempt had ended, and what comes after it was not begun.
    async fn after_attempt(
        &self,
        open: &OpenRun,
        submission: Submission,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let retry = Some(&submission.spec.policy.retry);
        match run::resume(&open.reached, retry, now, LATE_MAX) {
            Resume::Attempt(attempt, wait) => {
                let at = AttemptId { run_id: open.id, n: attempt };
                self.ledger().staged(vec![enqueued(at)]).await?;
                self.running().hold(open.id, &open.job);
                self.jobs().take(Submission { attempt, wait, ..submission });
            }
            Resume::End(outcome) => {
                self.ledger().run_ended(open.id, outcome, now).await?;
                self.running().leave(open.id);
            }
        }
        Ok(())
    }

    /// The embedded worker is to look at the queue of a run that is a message already.
    fn announce(&self, submission: &Submission) {
        let Some(route) = &submission.route else { return };
        if let (Some((_, lane)), Some(queue)) =
            (self.outbox().lane(&route.backend), QueueName::parse(&route.queue))
        {
            lane.add_queue(&queue);
        }
    }
}
