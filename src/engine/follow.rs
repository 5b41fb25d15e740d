//! The reconcile loop: from a nudge to a pass.
//!
//! Whatever wakes it – a file event, the timer, SIGHUP, a person – the same happens: scan, settle,
//! load, plan, apply. Which file changed is not asked.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep},
};
use tracing::{debug, error, info, warn};

use super::{
    clock,
    daemon::{Condition, Daemon, PassReply, PassReport, PassRequest},
    reconcile::{Order, Pass, pass, planned},
};
use crate::{
    backend::Backend,
    load::{Input, Loader, Origin, Tree},
    manifest::{
        name::JobName,
        problem::{Problem, Severity},
    },
    plan::{
        desired::desired,
        diff::{Desired, Rest, Scanned},
        guard::Allowance,
    },
    source::{
        commit::{self, Stamp},
        scan::{Scan, Scanner},
        settle::{Settler, Verdict},
        watch::{Mode, Watcher, rescan_after},
    },
};

/// Waiting time after a pass with failed steps; doubled each time, up to [`RETRY_MAX`].
const RETRY: Duration = Duration::from_secs(1);

/// Longest waiting time after failed steps.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Problems that are logged of one tree; `tintal validate` lists all.
const LOGGED_MAX: usize = 50;

/// The reconcile loop.
pub struct Follow {
    daemon: Arc<Daemon>,
    backends: Vec<Arc<dyn Backend>>,
    scanner: Scanner,
    settler: Settler,
    watcher: Watcher,
    loader: Loader,
    prefix: String,
    desired: Option<Desired>,
    retry: Duration,
    begun: Instant,
    /// How long the newest scan took.
    scan_cost: Duration,
    logged: BTreeSet<String>,
    /// Whether it was said that there are no events.
    is_polling: bool,
    /// What git had written, and the tree in use, when it was asked last.
    asked_git: Option<(Stamp, Option<[u8; 32]>)>,
}

impl Follow {
    /// A loop over the tree of a daemon. `prefix` is what people see in front of each path.
    #[must_use]
    pub fn new(daemon: Arc<Daemon>, watcher: Watcher, loader: Loader, prefix: String) -> Self {
        let scanner = Scanner::new(daemon.parts().root.clone());
        let backends = daemon.backends();
        Self {
            daemon,
            backends,
            scanner,
            settler: Settler::default(),
            watcher,
            loader,
            prefix,
            desired: None,
            retry: RETRY,
            begun: Instant::now(),
            scan_cost: Duration::ZERO,
            logged: BTreeSet::new(),
            is_polling: false,
            asked_git: None,
        }
    }

    /// What starts a scan.
    #[must_use]
    pub fn nudge(&self) -> Arc<tokio::sync::Notify> {
        self.watcher.nudge()
    }

    /// Follows the tree until `stop` says so. `first` hears of the first pass.
    pub async fn run(
        mut self,
        mut requests: mpsc::Receiver<PassRequest>,
        mut stop: watch::Receiver<bool>,
        first: oneshot::Sender<()>,
    ) {
        let mut first = Some(first);
        let nudge = self.watcher.nudge();
        let mut asked: VecDeque<PassRequest> = VecDeque::new();
        loop {
            while let Ok(request) = requests.try_recv() {
                asked.push_back(request);
            }
            let (order, replies) = batch(&mut asked);
            let report = self.round(&order, &mut stop).await;
            for reply in replies {
                let _ = reply.send(report.clone_for_reply());
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
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                request = requests.recv() => match request {
                    Some(request) => asked.push_back(request),
                    None => return,
                },
                () = nudge.notified() => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// One round, for a pass without a daemon.
    pub async fn once(mut self, order: &Order) -> PassReply {
        let (_go, mut never) = watch::channel(false);
        self.round(order, &mut never).await.clone_for_reply()
    }

    /// How long to wait for a nudge before the next round.
    fn wait_after(&mut self, report: &PassReport) -> Duration {
        let failed =
            report.pass.as_ref().is_some_and(|pass| !pass.failed.is_empty() || !pass.unseen.is_empty());
        if failed {
            let wait = self.retry;
            self.retry = (self.retry * 2).min(RETRY_MAX);
            return wait;
        }
        self.retry = RETRY;
        let is_moving = self.desired.as_ref().is_some_and(|desired| desired.scan.rest == Rest::Moving);
        if is_moving { RETRY } else { rescan_after(self.scan_cost) }
    }

    /// One round: a scan that rests, and a pass. A pass over an unchanged tree finds what was held
    /// back, has failed, or was changed behind our back; when there is nothing of it, it costs a
    /// comparison.
    async fn round(&mut self, order: &Order, stop: &mut watch::Receiver<bool>) -> PassReport {
        let scan = loop {
            let scan = match self.scan() {
                Ok(scan) => scan,
                Err(failure) => return self.unseen(failure),
            };
            let now = self.begun.elapsed();
            match self.settler.judge(&scan, now) {
                Verdict::Use => break Some((scan, Rest::Settled)),
                Verdict::UseMoving => break Some((scan, Rest::Moving)),
                Verdict::Unchanged => break None,
                Verdict::Wait(wait) => {
                    tokio::select! {
                        _ = stop.wait_for(|stop| *stop) => return PassReport::default(),
                        () = sleep(wait) => {}
                    }
                }
            }
        };
        if let Some((scan, rest)) = &scan {
            self.load(scan, *rest);
        }
        let Some(desired) = &self.desired else { return PassReport::default() };
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
        self.tell(&pass);
        PassReport { pass: Some(pass), failure: None, errors }
    }

    /// Scans, and watches where the tree was found to be.
    fn scan(&mut self) -> Result<Scan, String> {
        tokio::task::block_in_place(|| {
            let begun = Instant::now();
            let scan = self.scanner.scan(clock::now());
            self.scan_cost = begun.elapsed();
            let root = &self.daemon.parts().root;
            let scan = scan.and_then(|scan| scan.refused(root).map_or(Ok(scan), Err));
            let scan = scan.map_err(|error| error.to_string());
            self.watcher.follow(self.scanner.places());
            let mode = self.watcher.mode();
            if let (false, Mode::Polling { reason }) = (self.is_polling, &mode) {
                self.is_polling = true;
                warn!(%reason, "changes cannot be watched; the directory is looked at every second");
            }
            self.daemon.update_tree(|state| {
                state.watch = mode.to_string();
                if scan.is_ok() {
                    state.scanned_at = Some(clock::now());
                }
            });
            self.ask_git();
            scan
        })
    }

    /// Asks for the commit when git has written since it was asked last.
    fn ask_git(&mut self) {
        let root = self.daemon.parts().root.clone();
        let stamp = Some((commit::stamp(&root), self.parsed_tree()));
        if self.asked_git == stamp {
            return;
        }
        self.asked_git = stamp;
        let daemon = Arc::clone(&self.daemon);
        // Not waited for: in a large work tree it takes a while.
        tokio::task::spawn_blocking(move || {
            let commit = commit::commit(&root);
            daemon.update_tree(|state| state.commit = commit);
        });
    }

    fn parsed_tree(&self) -> Option<[u8; 32]> {
        self.desired.as_ref().map(|desired| desired.scan.tree)
    }

    /// The tree cannot be seen: nothing is planned, and everything goes on as it is.
    fn unseen(&mut self, failure: String) -> PassReport {
        let mut is_new = false;
        self.settler.forget();
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
        self.log(&tree);
        let degraded = self.degraded(&tree);
        let errors = tree.errors();
        let origins = self.origins(&tree);
        self.daemon.update_tree(|state| {
            state.digest = Some(scan.tree_hash);
            state.errors = errors;
            state.warnings = tree.problems.len() - errors;
            state.failure = None;
            state.degraded = Arc::new(degraded);
            state.origins = Arc::new(origins);
            state.parsed += tree.parsed as u64;
        });
        self.desired = Some(desired(&tree, Scanned { tree: scan.tree_hash, rest }));
        self.ask_git();
    }

    /// Where each job's manifest is; of one that cannot be used, where it was, or what is wrong.
    fn origins(&self, tree: &Tree) -> BTreeMap<JobName, Origin> {
        let before = self.daemon.tree().origins;
        let of_problem = |name: &JobName| {
            let problem = tree.problems.iter().find(|problem| problem.job.as_ref() == Some(name))?;
            let path = &problem.primary.place.source.path;
            let path = path.strip_prefix(&self.prefix).unwrap_or(path);
            let line = u32::try_from(problem.start().line).unwrap_or(u32::MAX);
            Some(Origin { path: path.into(), line, document: 0, name: problem.primary.place.span })
        };
        let broken = tree
            .broken
            .iter()
            .filter_map(|name| Some((name.clone(), before.get(name).cloned().or_else(|| of_problem(name))?)));
        let sound = tree.jobs.iter().map(|(name, job)| (name.clone(), job.origin.clone()));
        broken.chain(sound).collect()
    }

    /// Says what is wrong, once for each problem.
    fn log(&mut self, tree: &Tree) {
        let mut now = BTreeSet::new();
        for problem in tree.problems.iter().take(LOGGED_MAX) {
            let line = one_line(problem);
            if !self.logged.contains(&line) {
                match problem.severity {
                    Severity::Error => error!(code = %problem.code, "{line}"),
                    Severity::Warning => warn!(code = %problem.code, "{line}"),
                }
            }
            now.insert(line);
        }
        for mended in self.logged.difference(&now) {
            info!("mended: {mended}");
        }
        self.logged = now;
    }

    fn degraded(&self, tree: &Tree) -> BTreeMap<JobName, Condition> {
        let before = self.daemon.tree().degraded;
        let now = clock::now();
        tree.broken
            .iter()
            .map(|name| {
                let file = tree.suspects.get(name).map(|path| format!("{}{path}", self.prefix));
                let mut errors = tree.problems.iter().filter(|problem| problem.severity == Severity::Error);
                let problem = errors.find(|problem| match &file {
                    Some(file) => problem.primary.place.source.path == *file,
                    None => problem.concerns(name),
                });
                let message = problem.map_or_else(
                    || "its file, or the defaults above it, cannot be used".to_owned(),
                    one_line,
                );
                let reason =
                    problem.map_or_else(|| "Unusable".to_owned(), |problem| problem.code.to_string());
                (name.clone(), since(before.get(name), reason, message, now))
            })
            .collect()
    }

    /// Logs what a pass did, and keeps what was held back.
    fn tell(&self, pass: &Pass) {
        for step in &pass.done {
            debug!("{step}");
        }
        for (step, reason) in &pass.failed {
            error!(error = reason as &dyn std::error::Error, "could not {step}; it is tried again");
        }
        for reason in &pass.unseen {
            error!(
                error = reason as &dyn std::error::Error,
                "a tier cannot be seen; nothing is changed there"
            );
        }
        let before = self.daemon.tree().held;
        let now = clock::now();
        let held = pass
            .held_back
            .iter()
            .map(|held| {
                let condition =
                    since(before.get(&held.job), "PruneHeldBack".to_owned(), held.reason.clone(), now);
                (held.job.clone(), condition)
            })
            .collect::<BTreeMap<_, _>>();
        for (job, condition) in held.iter().filter(|(job, _)| !before.contains_key(*job)).take(LOGGED_MAX) {
            warn!(%job, reason = condition.message, "not removed");
        }
        if !pass.done.is_empty() {
            let count = pass.done.len();
            let examples: Vec<String> = pass.done.iter().take(5).map(ToString::to_string).collect();
            let more = if count > examples.len() {
                format!(" and {} more", count - examples.len())
            } else {
                String::new()
            };
            info!(steps = count, "applied: {}{more}", examples.join(", "));
        }
        self.daemon.update_tree(|state| {
            state.held = Arc::new(held);
            if !pass.done.is_empty() {
                state.generation += 1;
            }
        });
    }
}

/// Takes the requests that one pass answers: a plan alone, or all that follow the manifests, with
/// the widest of their allowances. Without a request, a pass that the guard watches over.
fn batch(asked: &mut VecDeque<PassRequest>) -> (Order, Vec<oneshot::Sender<PassReply>>) {
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

/// A condition; one that held before keeps its time.
fn since(before: Option<&Condition>, reason: String, message: String, now: Timestamp) -> Condition {
    let since = before.filter(|before| before.reason == reason).map_or(now, |before| before.since);
    Condition { reason, message, since }
}

/// A problem in one line: place, code, message.
fn one_line(problem: &Problem) -> String {
    let start = problem.start();
    let path = &problem.primary.place.source.path;
    format!("{path}:{}:{}: {}: {}", start.line, start.column, problem.code, problem.message)
}
