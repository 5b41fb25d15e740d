//! `@reboot`: once per start of the machine.

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use tokio::time::sleep;
use tracing::{error, info, warn};

use super::{clock, daemon::Daemon};
use crate::{
    backend::{Backend as _, Submission, in_process::LiveJob, running::Place},
    ledger::{Decided, LedgerError, NewDecision, Skip},
    run::{Cause, RunKey},
};

/// Where Linux names this start of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Time between two tries to write a decision.
const RETRY: Duration = Duration::from_secs(1);

impl Daemon {
    /// Fires the jobs that fire once per start of the machine, by the first daemon of that start;
    /// each waits for its share of the jitter once it is decided.
    /// Called once, after the first pass: a job that is added later waits for the next start of the
    /// machine, whatever becomes of the daemon. Returns early when the daemon stops; the next one
    /// fires the rest.
    pub async fn fire_at_boot(&self) {
        let boot = match fs::read_to_string(BOOT_ID) {
            Ok(boot) => boot.trim().to_owned(),
            Err(error) => {
                warn!(%error, path = BOOT_ID, "the start of the machine cannot be told; `@reboot` does not fire");
                return;
            }
        };
        if self.ledger().boot_decided().await.is_ok_and(|decided| decided.as_ref() == Some(&boot)) {
            return;
        }
        let now = clock::now();
        let mut due: Vec<Arc<LiveJob>> = self.in_process().jobs();
        due.retain(|job| job.spec.enabled && job.schedule.fires_at_boot(now));
        while !self.is_draining() {
            let mut failed = Vec::new();
            for job in due {
                if let Err(error) = self.boot(&job, &boot).await {
                    error!(job = %job.spec.name, error = &error as &dyn std::error::Error, "`@reboot` cannot be decided yet");
                    failed.push(job);
                }
            }
            due = failed;
            if self.is_draining() {
                return;
            }
            if due.is_empty() && self.ledger().record_boot_decided(boot.clone()).await.is_ok() {
                return;
            }
            sleep(RETRY).await;
        }
    }

    async fn boot(&self, job: &Arc<LiveJob>, boot: &str) -> Result<(), LedgerError> {
        let name = job.spec.name.clone();
        let now = clock::now();
        let key = RunKey { job: name.clone(), fire_time: now, cause: Cause::Reboot };
        let id = key.id();
        let run = NewDecision::run(id, name.clone(), now, Cause::Reboot, now);
        let skip = if self.pauses().holds(&name) {
            Some(Skip::Paused)
        } else {
            match self.running().enter(id, &name, job.spec.policy.max_running) {
                Place::Closed => return Ok(()),
                Place::Full => Some(Skip::Overlap),
                Place::Taken | Place::Present => None,
            }
        };
        let decision = skip.map_or(run.clone(), |skip| run.skipped(skip));
        let decided = self.ledger().decide_at_boot(decision, boot.to_owned()).await;
        if skip.is_some() {
            return decided.map(drop);
        }
        if !matches!(decided, Ok(Decided::New)) {
            self.running().leave(id);
            return decided.map(drop);
        }
        info!(job = %name, "fires for this start of the machine");
        let wait = job.schedule.boot_delay(&name, now);
        let submission = Submission {
            key,
            spec: Arc::clone(&job.spec),
            params: BTreeMap::new(),
            attempt: 1,
            // Its share of the jitter: a run that waits is seen, and survives a restart.
            wait,
        };
        if let Err(error) = self.in_process().submit(submission).await {
            warn!(job = %name, %error, "the run could not be handed over");
            self.running().leave(id);
        }
        Ok(())
    }
}
