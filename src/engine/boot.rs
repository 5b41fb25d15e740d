//! `@reboot`: once per start of the machine.

use std::{collections::BTreeMap, fs, sync::Arc};

use tracing::{info, warn};

use super::{clock, daemon::Daemon};
use crate::{
    backend::{Backend as _, Submission, in_process::LiveJob, running::Place},
    ledger::{Decided, LedgerError, NewDecision},
    run::{Cause, RunKey},
};

/// Where Linux names this start of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl Daemon {
    /// Fires the jobs that fire once per start of the machine and have not done so. Called once,
    /// after the first pass: a job that is added later waits for the next start.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be used.
    pub async fn fire_at_boot(&self) -> Result<(), LedgerError> {
        let now = clock::now();
        let jobs: Vec<Arc<LiveJob>> = self.in_process().jobs();
        let due: Vec<_> =
            jobs.into_iter().filter(|job| job.spec.enabled && job.schedule.fires_at_boot(now)).collect();
        if due.is_empty() {
            return Ok(());
        }
        let boot = match fs::read_to_string(BOOT_ID) {
            Ok(boot) => boot.trim().to_owned(),
            Err(error) => {
                warn!(%error, path = BOOT_ID, "the start of the machine cannot be told; `@reboot` does not fire");
                return Ok(());
            }
        };
        for job in due {
            self.boot(&job, &boot).await?;
        }
        Ok(())
    }

    async fn boot(&self, job: &Arc<LiveJob>, boot: &str) -> Result<(), LedgerError> {
        let name = job.spec.name.clone();
        if self.pauses().holds(&name) {
            return Ok(());
        }
        if self.ledger().boot_seen(name.clone(), boot.to_owned()).await? == Decided::Already {
            return Ok(());
        }
        let now = clock::now();
        let key = RunKey { job: name.clone(), fire_time: now, cause: Cause::Reboot };
        let id = key.id();
        if self.running().enter(id, &name, job.spec.policy.max_running) != Place::Taken {
            return Ok(());
        }
        info!(job = %name, "fires for this start of the machine");
        self.ledger().decide(vec![NewDecision::run(id, name.clone(), now, Cause::Reboot, now)]).await?;
        let submission = Submission { key, spec: Arc::clone(&job.spec), params: BTreeMap::new(), attempt: 1 };
        if let Err(error) = self.in_process().submit(submission).await {
            warn!(job = %name, %error, "the run could not be handed over");
            self.running().leave(id);
        }
        Ok(())
    }
}
