//! `@reboot`: once per start of the machine.

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tracing::{error, info, warn};

use super::{clock, daemon::Daemon};
use crate::{
    backend::{Backend as _, Submission, in_process::LiveJob, running::Place},
    ledger::{Decided, LedgerError, NewDecision},
    manifest::name::JobName,
    run::{Cause, RunKey},
};

/// Where Linux names this start of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl Daemon {
    /// Fires the jobs that fire once per start of the machine and have not done so. Called once,
    /// after the first pass: a job that is added later waits for the next start. Those that are
    /// spread by `jitter` fire later, until the signal comes.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be used.
    pub async fn fire_at_boot(self: &Arc<Self>, stopped: watch::Receiver<bool>) -> Result<(), LedgerError> {
        let now = clock::now();
        let mut due: Vec<(Duration, Arc<LiveJob>)> = self
            .in_process()
            .jobs()
            .into_iter()
            .filter(|job| fires_at_boot(job, now))
            .map(|job| (job.schedule.boot_delay(&job.spec.name, now), job))
            .collect();
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
        due.sort_by_key(|(delay, _)| *delay);
        let later = due.split_off(due.partition_point(|(delay, _)| delay.is_zero()));
        for (_, job) in due {
            self.boot(&job, &boot).await?;
        }
        if !later.is_empty() {
            let later = later.into_iter().map(|(delay, job)| (delay, job.spec.name.clone())).collect();
            tokio::spawn(Arc::clone(self).boot_later(later, boot, stopped));
        }
        Ok(())
    }

    /// Fires each job when its delay is over, as it then is.
    async fn boot_later(
        self: Arc<Self>,
        later: Vec<(Duration, JobName)>,
        boot: String,
        mut stopped: watch::Receiver<bool>,
    ) {
        let start = Instant::now();
        for (delay, name) in later {
            tokio::select! {
                () = sleep_until(start + delay) => {}
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
            let Some(job) = self.in_process().job(&name).filter(|job| fires_at_boot(job, clock::now()))
            else {
                continue;
            };
            if let Err(error) = self.boot(&job, &boot).await {
                error!(job = %name, error = &error as &dyn std::error::Error, "the job could not be fired");
            }
        }
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

fn fires_at_boot(job: &LiveJob, now: Timestamp) -> bool {
    job.spec.enabled && job.schedule.fires_at_boot(now)
}
