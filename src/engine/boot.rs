//! `@reboot`: once per start of the machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::{
    clock,
    daemon::{Daemon, TreeState},
};
use crate::{
    backend::{Submission, live::LiveJob, running::Place},
    ledger::{Decided, LedgerError, NewDecision, RETRY, Skip},
    manifest::name::JobName,
    run::{Cause, RunKey},
};

/// Where Linux names this start of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Time between two looks whether manifests that could not be read, or a job that could not be applied,
/// are live now.
const LOOK: Duration = Duration::from_millis(500);

impl Daemon {
    /// Fires the jobs that fire once per start of the machine. Which they are is settled once, by the
    /// first daemon of that start after its first pass over a tree at rest: a job that is added later
    /// waits for the next, whatever becomes of the daemon. Each is decided when it is applied and its share
    /// of the jitter is over, as it then is: one that cannot be applied keeps no other waiting. Returns
    /// early when the daemon stops; the next one fires the rest.
    pub async fn fire_at_boot(&self) {
        let boot = match fs::read_to_string(BOOT_ID) {
            Ok(boot) => boot.trim().to_owned(),
            Err(error) => {
                warn!(%error, path = BOOT_ID, "the start of the machine cannot be told; `@reboot` does not fire");
                return;
            }
        };
        if self.passed(|undone| undone.is_some()).await.is_none() {
            return;
        }
        let Some(waiting) = self.retried(|| self.waiting_at_boot(&boot)).await else { return };
        let begun = (clock::now(), Instant::now());
        join_all(waiting.iter().map(|name| self.fire_once_applied(name, &boot, begun))).await;
    }

    /// Fires a job for a start of the machine. Its share of the jitter counts from `begun`, by either clock.
    async fn fire_once_applied(&self, name: &JobName, boot: &str, begun: (Timestamp, Instant)) -> Option<()> {
        self.passed(|undone| undone.is_some_and(|undone| !undone.contains(name))).await?;
        let delay = self.at_boot(name, begun.0)?.schedule.boot_delay(name, begun.0);
        self.unless_closed(sleep_until(begun.1 + delay)).await?;
        let job = self.at_boot(name, clock::now())?;
        self.retried(|| self.boot(&job, boot)).await
    }

    /// Waits until what the passes have left undone is as asked; none when the daemon stops before.
    async fn passed(&self, is_right: impl Fn(Option<&BTreeSet<JobName>>) -> bool) -> Option<()> {
        while !is_right(self.tree().undone.as_deref()) {
            self.unless_closed(sleep(LOOK)).await?;
        }
        Some(())
    }

    /// Waits for something; none when the daemon stops before.
    async fn unless_closed(&self, event: impl Future<Output = ()>) -> Option<()> {
        let mut closed = self.running().closed();
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => None,
            () = event => Some(()),
        }
    }

    /// The jobs that have not decided on this start of the machine yet.
    async fn waiting_at_boot(&self, boot: &str) -> Result<Vec<JobName>, LedgerError> {
        if self.ledger().boot().await?.as_deref() != Some(boot) {
            self.ledger().record_boot(boot.to_owned(), self.all_at_boot(clock::now())).await?;
        }
        self.ledger().waiting_at_boot(boot.to_owned()).await
    }

    /// Every job that fires for a start of the machine, or will once it is applied.
    fn all_at_boot(&self, now: Timestamp) -> Vec<JobName> {
        let held = self.jobs().jobs().into_iter().map(|job| job.spec.name.clone());
        let mut names: BTreeSet<JobName> = held.filter(|name| self.at_boot(name, now).is_some()).collect();
        let TreeState { undone, origins, .. } = self.tree();
        let will = |name: &&JobName| {
            let asked_for = origins.sound.get(name);
            asked_for.is_some_and(|job| job.spec.enabled && job.schedule.fires_at_boot(now))
        };
        names.extend(undone.iter().flat_map(|undone| undone.iter()).filter(will).cloned());
        names.into_iter().collect()
    }

    /// The job, if it fires for a start of the machine.
    fn at_boot(&self, name: &JobName, now: Timestamp) -> Option<Arc<LiveJob>> {
        self.jobs().job(name).filter(|job| job.spec.enabled && job.schedule.fires_at_boot(now))
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
        let run = NewDecision::run(id, name.clone(), now, Cause::Reboot, now).with_route(job.route.clone());
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
            route: job.route.clone(),
            spec: Arc::clone(&job.spec),
            digest: job.digest,
            params: BTreeMap::new(),
            attempt: 1,
            wait: Duration::ZERO,
        };
        self.jobs().take(submission);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

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
        let is_waited_for = || daemon.passed(|undone| undone.is_some()).now_or_never().is_none();
        assert!(is_waited_for());
        daemon.update_tree(|state| state.digest = Some([1; 32]));
        assert!(is_waited_for());
        daemon.update_tree(|state| state.undone = Some(Arc::default()));
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
