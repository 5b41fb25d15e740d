//! `@reboot`: once per start of the machine.

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::{clock, daemon::Daemon};
use crate::{
    backend::{Backend as _, Submission, in_process::LiveJob, running::Place},
    ledger::{Decided, LedgerError, NewDecision, RETRY, Skip},
    manifest::name::JobName,
    run::{Cause, RunKey},
};

/// Where Linux names this start of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Time between two looks whether manifests that could not be read, or applied, are live now.
const LOOK: Duration = Duration::from_millis(500);

impl Daemon {
    /// Fires the jobs that fire once per start of the machine. Which they are is settled once, by the
    /// first daemon of that start after its first pass that applied the manifests: a job that is added
    /// later waits for the next, whatever becomes of the daemon. Each is decided when its share of the
    /// jitter is over, as it then is. Returns early when the daemon stops; the next one fires the rest.
    pub async fn fire_at_boot(&self) {
        let boot = match fs::read_to_string(BOOT_ID) {
            Ok(boot) => boot.trim().to_owned(),
            Err(error) => {
                warn!(%error, path = BOOT_ID, "the start of the machine cannot be told; `@reboot` does not fire");
                return;
            }
        };
        if self.manifests_applied().await.is_none() {
            return;
        }
        let Some(waiting) = self.retried(|| self.waiting_at_boot(&boot)).await else { return };
        let now = clock::now();
        let mut delays: Vec<(Duration, JobName)> = waiting
            .into_iter()
            .filter_map(|name| Some((self.at_boot(&name, now)?.schedule.boot_delay(&name, now), name)))
            .collect();
        delays.sort();
        let begin = Instant::now();
        let mut closed = self.running().closed();
        for (delay, name) in delays {
            tokio::select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => return,
                () = sleep_until(begin + delay) => {}
            }
            let Some(job) = self.at_boot(&name, clock::now()) else { continue };
            if self.retried(|| self.boot(&job, &boot)).await.is_none() {
                return;
            }
        }
    }

    /// Waits until a pass has applied the manifests, those that came late too; none when the daemon stops
    /// before.
    async fn manifests_applied(&self) -> Option<()> {
        let mut closed = self.running().closed();
        while !self.tree().is_applied {
            tokio::select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => return None,
                () = sleep(LOOK) => {}
            }
        }
        Some(())
    }

    /// The jobs that have not decided on this start of the machine yet.
    async fn waiting_at_boot(&self, boot: &str) -> Result<Vec<JobName>, LedgerError> {
        if self.ledger().boot().await?.as_deref() != Some(boot) {
            let now = clock::now();
            let jobs = self.in_process().jobs().into_iter().map(|job| job.spec.name.clone());
            let due = jobs.filter(|name| self.at_boot(name, now).is_some()).collect();
            self.ledger().record_boot(boot.to_owned(), due).await?;
        }
        self.ledger().waiting_at_boot(boot.to_owned()).await
    }

    /// The job, if it fires for a start of the machine.
    fn at_boot(&self, name: &JobName, now: Timestamp) -> Option<Arc<LiveJob>> {
        self.in_process().job(name).filter(|job| job.spec.enabled && job.schedule.fires_at_boot(now))
    }

    /// Does something until the ledger takes it; none when the daemon stops before.
    async fn retried<T, F>(&self, work: impl Fn() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        while !self.is_draining() {
            match work().await {
                Ok(done) => return Some(done),
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, "`@reboot` cannot be decided yet");
                }
            }
            sleep(RETRY).await;
        }
        None
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
        let submission = Submission {
            id,
            key,
            spec: Arc::clone(&job.spec),
            params: BTreeMap::new(),
            attempt: 1,
            wait: Duration::ZERO,
        };
        if let Err(error) = self.in_process().submit(submission).await {
            warn!(job = %name, %error, "the run could not be handed over");
            self.running().leave(id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use futures_util::FutureExt as _;

    use crate::{
        config::{FileWanted, Flags, load},
        engine::start::{Started, start},
    };

    /// F20: what is in them may not be live yet, and what is not live has no share in the boot.
    #[tokio::test]
    async fn a_start_of_the_machine_is_not_settled_between_a_scan_and_its_pass() {
        let directory = tempfile::tempdir().unwrap();
        let Started { daemon, .. } = started(directory.path()).await;
        let is_waited_for = || daemon.manifests_applied().now_or_never().is_none();
        assert!(is_waited_for());
        daemon.update_tree(|state| state.digest = Some([1; 32]));
        assert!(is_waited_for());
        daemon.update_tree(|state| state.is_applied = true);
        assert!(!is_waited_for());
    }

    async fn started(root: &Path) -> Started {
        let values = vec![
            ("jobs", "--jobs", root.join("jobs.d").into()),
            ("state", "--state", root.join("state").into()),
            ("ledger", "--ledger", "memory".into()),
        ];
        let flags = Flags { file: FileWanted::Usual, values };
        start(&load(&flags, []).unwrap(), []).await.unwrap()
    }
}
