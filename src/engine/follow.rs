//! The reconcile loop: from a nudge to a pass.
//!
//! Whatever wakes it – a file event, the timer, SIGHUP, a person – the same happens: scan, settle,
//! load, plan, apply. Which file changed only decides what is looked at first (`look`). A scan that
//! finds the tree as it was ends there, unless there is something left to do.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, sleep_until},
};
use tracing::{error, info, warn};

use super::{
    clock,
    commit_query::CommitQuery,
    daemon::{Daemon, PassReport, PassRequest},
    look::{Blind, Extent, Look, Seen},
    reconcile::{Order, Pass, pass, planned},
    tell::{self, Told},
};
use crate::{
    backend::Backend,
    load::{Input, Loader},
    plan::{
        absence::{ABSENCE_MIN, Absences},
        desired::Asked,
        diff::{Desired, Rest, Scanned},
        guard::Allowance,
    },
    source::{
        alarm::Alarm,
        scan::Scan,
        settle::SETTLE,
        watch::{Mode, Wanted, Watcher},
    },
};

/// Waiting time after a pass with failed steps; doubled each time, up to [`RETRY_MAX`].
const RETRY: Duration = Duration::from_secs(1);

/// Longest waiting time after failed steps.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// How long what the tiers hold is taken to be as the last pass left it, while nothing changes.
const LIVE_EVERY: Duration = Duration::from_secs(300);

/// The reconcile loop.
pub struct Follow {
    daemon: Arc<Daemon>,
    backends: Vec<Arc<dyn Backend>>,
    look: Look,
    loader: Loader,
    prefix: String,
    asked: Asked,
    desired: Option<Desired>,
    absences: Absences,
    /// When a pass last found nothing to do; none when the next one may have something to do.
    converged: Option<Instant>,
    retry: Duration,
    told: Told,
    /// Whether it was said that there are no events.
    is_polling: bool,
    commit: CommitQuery,
}

impl Follow {
    /// A loop over the tree of a daemon. `prefix` is what people see in front of each path.
    #[must_use]
    pub fn new(daemon: Arc<Daemon>, watcher: Watcher, loader: Loader, prefix: String) -> Self {
        let look = Look::new(daemon.parts().root.clone(), watcher);
        let backends = daemon.backends();
        loader.hold(daemon.jobs().jobs().into_iter().map(|job| Arc::clone(&job.spec)));
        Self {
            daemon,
            backends,
            look,
            loader,
            told: Told::new(prefix.clone()),
            prefix,
            asked: Asked::default(),
            desired: None,
            absences: Absences::default(),
            converged: None,
            retry: RETRY,
            is_polling: false,
            commit: CommitQuery::default(),
        }
    }

    /// Whoever rings it starts a scan.
    #[must_use]
    pub fn alarm(&self) -> Arc<Alarm> {
        self.look.alarm()
    }

    /// Follows the tree until `stop` says so. `first` hears of the first pass.
    pub async fn run(
        mut self,
        mut requests: mpsc::Receiver<PassRequest>,
        mut stop: watch::Receiver<bool>,
        first: oneshot::Sender<()>,
    ) {
        let mut first = Some(first);
        let mut asked: VecDeque<PassRequest> = VecDeque::new();
        loop {
            while let Ok(request) = requests.try_recv() {
                asked.push_back(request);
            }
            let (order, replies) = batch(&mut asked);
            let asker = if replies.is_empty() { Asker::Nobody } else { Asker::Person };
            let report = Arc::new(self.round(&order, asker, &mut stop).await);
            for reply in replies {
                let _ = reply.send(Arc::clone(&report));
            }
            if !asked.is_empty() {
                continue;
            }
            let wait = match order {
                // What else the manifests ask for is not left waiting.
                Order::Plan(_) => Duration::ZERO,
                Order::Follow(_) => {
                    // A round that was stopped is no pass.
                    if !*stop.borrow()
                        && let Some(first) = first.take()
                    {
                        let _ = first.send(());
                    }
                    self.wait_after(&report)
                }
            };
            // Its steps can be very many.
            drop(report);
            match self.woken(wait, &mut requests, &mut stop).await {
                Woken::Stopped => return,
                Woken::Asked(request) => asked.push_back(*request),
                Woken::ToLook => {}
            }
        }
    }

    /// Waits for something to do.
    async fn woken(
        &mut self,
        wait: Duration,
        requests: &mut mpsc::Receiver<PassRequest>,
        stop: &mut watch::Receiver<bool>,
    ) -> Woken {
        let alarm = self.look.alarm();
        let until = Instant::now() + wait;
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Woken::Stopped,
                request = requests.recv() => {
                    return request.map_or(Woken::Stopped, |request| Woken::Asked(Box::new(request)));
                }
                // What it was rung for may have been looked at already.
                () = alarm.rung() => if self.look.is_wanted() { return Woken::ToLook },
                () = sleep_until(until) => {
                    self.look.demand_whole();
                    return Woken::ToLook;
                }
            }
        }
    }

    /// One round, for a pass without a daemon.
    pub async fn once(mut self, order: &Order) -> PassReport {
        let (_go, mut never) = watch::channel(false);
        self.round(order, Asker::Person, &mut never).await
    }

    /// How long to wait for a nudge before the next round.
    fn wait_after(&mut self, report: &PassReport) -> Duration {
        if report.pass.as_ref().is_some_and(Pass::is_unfinished) {
            let wait = self.retry;
            self.retry = (self.retry * 2).min(RETRY_MAX);
            return wait;
        }
        self.retry = RETRY;
        let is_moving = self.desired.as_ref().is_some_and(|desired| desired.scan.rest == Rest::Moving);
        if is_moving {
            return RETRY;
        }
        let rescan = self.look.rescan_wait();
        if report.failure.is_some() {
            return rescan;
        }
        self.absences.wait(self.look.elapsed(), ABSENCE_MIN).map_or(rescan, |wait| wait.min(rescan))
    }

    /// One round: a scan that rests, and a pass. A pass over an unchanged tree finds what was held
    /// back, has failed, or was changed behind our back; while there is nothing of it, there is none.
    async fn round(&mut self, order: &Order, asker: Asker, stop: &mut watch::Receiver<bool>) -> PassReport {
        match self.see(asker, stop).await {
            Ok(()) => {}
            Err(Blind::Stopped) => return PassReport::default(),
            Err(Blind::Failed(failure)) => return self.unseen(failure),
        }
        let Some(desired) = &self.desired else { return PassReport::default() };
        let is_fresh = self.converged.is_some_and(|at| at.elapsed() < LIVE_EVERY);
        if asker == Asker::Nobody && is_fresh {
            return PassReport::default();
        }
        let errors = self.daemon.tree().errors;
        let pass = match order {
            Order::Follow(allowance) => pass(desired, &self.backends, *allowance).await,
            Order::Plan(plan) => match planned(plan, desired, &self.backends).await {
                Ok(pass) => pass,
                Err(stale) => {
                    return PassReport { pass: None, failure: Some(stale.to_string()), errors };
                }
            },
        };
        // A plan has no say in what else there is to do.
        let is_converged = pass.is_converged() && matches!(order, Order::Follow(_));
        self.converged = is_converged.then(Instant::now);
        if is_converged && desired.lingering.is_empty() {
            self.absences.settled();
        }
        tell::of_pass(&self.daemon, &pass);
        if matches!(order, Order::Follow(_)) && desired.scan.rest == Rest::Settled {
            let undone = Arc::new(pass.undone(desired));
            self.daemon.update_tree(|state| state.undone = Some(undone));
        }
        PassReport { pass: Some(pass), failure: None, errors }
    }

    /// Looks at the tree until it rests, and loads it. A person is not left with jobs that linger: it
    /// is looked at until their absence is confirmed, for which two scans that agree will do.
    async fn see(&mut self, asker: Asker, stop: &mut watch::Receiver<bool>) -> Result<(), Blind> {
        let lasting = match asker {
            Asker::Person => SETTLE,
            Asker::Nobody => ABSENCE_MIN,
        };
        if asker == Asker::Person {
            self.look.demand_whole();
        }
        loop {
            let Seen { scan, extent, at } = self.until_rest(stop).await?;
            if let Some((scan, rest)) = &scan {
                self.load(scan, *rest);
            }
            let Some(desired) = &mut self.desired else { return Ok(()) };
            if extent == Extent::Whole && desired.scan.rest == Rest::Settled {
                self.absences.confirm(&at, lasting);
            }
            let waiting = (self.absences.names(), self.absences.successors());
            if waiting != (desired.lingering.clone(), desired.successors.clone()) {
                (desired.lingering, desired.successors) = waiting;
                self.converged = None;
            }
            desired.renamed = self.absences.renamed();
            let wait = self.absences.wait(at.end, lasting);
            let Some(wait) = wait.filter(|_| asker == Asker::Person && desired.scan.rest == Rest::Settled)
            else {
                return Ok(());
            };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return Err(Blind::Stopped),
                () = sleep(wait) => self.look.demand_whole(),
            }
        }
    }

    async fn until_rest(&mut self, stop: &mut watch::Receiver<bool>) -> Result<Seen, Blind> {
        let seen = self.look.until_rest(stop).await;
        let mode = self.look.mode();
        if let (false, Mode::Polling { wanted, reason }) = (self.is_polling, &mode) {
            self.is_polling = true;
            match wanted {
                Wanted::Poll => info!("the directory is looked at every second, as the settings ask"),
                Wanted::Auto => {
                    warn!(%reason, "changes cannot be watched; the directory is looked at every second");
                }
            }
        }
        self.daemon.update_tree(|state| {
            state.watch = mode.to_string();
            if seen.is_ok() {
                state.scanned_at = Some(clock::now());
            }
        });
        self.ask_git();
        seen
    }

    /// Asks for the commit when git has written, or the tree has changed, since it was asked last.
    fn ask_git(&self) {
        self.commit.ask(&self.daemon, self.desired.as_ref().map(|desired| desired.scan.tree));
    }

    /// The tree cannot be seen: nothing is planned, and everything goes on as it is.
    fn unseen(&mut self, failure: String) -> PassReport {
        let mut is_new = false;
        self.absences.restart();
        self.converged = None;
        self.daemon.update_tree(|tree| {
            is_new = tree.failure.as_ref() != Some(&failure);
            tree.failure = Some(failure.clone());
        });
        if is_new {
            error!(%failure, "the manifests cannot be read; jobs go on as they are, and nothing is changed");
        }
        PassReport { pass: None, failure: Some(failure), errors: 0 }
    }

    fn load(&mut self, scan: &Scan, rest: Rest) {
        let unreadable: Vec<(String, String)> =
            scan.unreadable.iter().map(|one| (one.path.clone(), one.reason.clone())).collect();
        let input = Input {
            files: &scan.files,
            above: &[],
            unreadable: &unreadable,
            prefix: &self.prefix,
            now: clock::now(),
        };
        let loader = &mut self.loader;
        let tree = tokio::task::block_in_place(|| loader.load(&input));
        let after = self.asked.by(&tree, Scanned { tree: scan.tree_hash, rest });
        self.told.of_tree(&self.daemon, scan, tree);
        if let Some(before) = &self.desired {
            self.absences.note(before, &after);
        }
        self.desired = Some(after);
        self.converged = None;
        self.ask_git();
    }
}

/// For whom a round is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    /// Somebody waits for its report, or reads it.
    Person,
    /// It follows the tree.
    Nobody,
}

/// What the loop has waited for.
enum Woken {
    Stopped,
    Asked(Box<PassRequest>),
    ToLook,
}

/// Takes the requests that one pass answers: a plan alone, or all that follow the manifests, with
/// the widest of their allowances. Without a request, a pass that the guard watches over.
fn batch(asked: &mut VecDeque<PassRequest>) -> (Order, Vec<oneshot::Sender<Arc<PassReport>>>) {
    let mut allowance = Allowance::Guarded;
    let mut replies = Vec::new();
    while let Some(request) = asked.pop_front() {
        match request.order {
            Order::Follow(more) => {
                allowance = allowance.max(more);
                replies.push(request.reply);
            }
            Order::Plan(_) if !replies.is_empty() => {
                asked.push_front(request);
                break;
            }
            order @ Order::Plan(_) => return (order, vec![request.reply]),
        }
    }
    (Order::Follow(allowance), replies)
}
