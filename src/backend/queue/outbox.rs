//! The outbox: runs that are decided and wait to be messages.
//!
//! A run is durable here by its decision in the ledger, which says how far it has come; what is in memory
//! is made of that after a restart. Each queue system has a lane of its own, so that one that does not
//! answer holds up no other.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    broker::{Broker, Capabilities, QueueName},
    lane::{Lane, LaneStatus, Order, Waited},
    remote::Remote,
    signature::Keyring,
    waiting::is_first_of_fire,
};
use crate::{
    backend::{Submission, drive::Driver, running::Running},
    ledger::Ledger,
    run::RunId,
    tier::queues::BackendKind,
};

/// How long it may take to hear whether a run waits here: longer than a call that nobody answers.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// A queue system as the settings name it.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Its name in the settings.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: BackendKind,
    /// What speaks to it.
    pub broker: Arc<dyn Broker>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// The queue that outcomes for this daemon come to.
    pub results: QueueName,
    /// The queue for what no worker runs and that does not say whose it is.
    pub refusals: QueueName,
}

/// What the lanes share.
#[derive(Debug)]
pub struct Shared {
    /// Where runs are recorded.
    pub ledger: Ledger,
    /// The runs that go on.
    pub running: Arc<Running>,
    /// The runs that are messages, or at a worker.
    pub remote: Arc<Remote>,
    /// What takes a run of a job with `fallback: degrade`.
    pub driver: Driver,
    /// What signs envelopes.
    pub keys: Arc<Keyring>,
    /// The clock.
    pub now: fn() -> Timestamp,
}

/// The outbox.
#[derive(Debug)]
pub struct Outbox {
    lanes: BTreeMap<Arc<str>, (Connection, mpsc::UnboundedSender<Order>, Arc<LaneStatus>)>,
    shared: Arc<Shared>,
}

impl Outbox {
    /// An outbox with a lane for each queue system. Nothing is sent before the tasks that it gives run.
    #[must_use]
    pub fn new(connections: Vec<Connection>, shared: Shared) -> (Self, Vec<Lane>) {
        let shared = Arc::new(shared);
        let mut lanes = BTreeMap::new();
        let mut tasks = Vec::new();
        for connection in connections {
            let (orders, taken) = mpsc::unbounded_channel();
            let status = Arc::new(LaneStatus::default());
            tasks.push(Lane::new(connection.clone(), Arc::clone(&shared), taken, Arc::clone(&status)));
            lanes.insert(Arc::clone(&connection.name), (connection, orders, status));
        }
        (Self { lanes, shared }, tasks)
    }

    /// What the lanes share.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The queue systems, with how each does.
    pub fn lanes(&self) -> impl Iterator<Item = (&Connection, &LaneStatus)> {
        self.lanes.values().map(|(connection, _, status)| (connection, &**status))
    }

    /// Takes a run that was decided; a run of a queue system that the settings no longer name waits until
    /// they do.
    pub fn take(&self, submission: Submission) {
        let Some(route) = &submission.route else { return };
        let (id, job) = (submission.id, &submission.key.job);
        if is_first_of_fire(&submission) {
            self.shared.running.await_delivery(id, job);
        } else {
            self.shared.running.hold(id, job);
        }
        if let Some((_, orders, _)) = self.lanes.get(&route.backend) {
            // The lane ends with the daemon; the next one takes the run from the ledger.
            let _ = orders.send(Order::Send(Box::new(submission)));
        }
    }

    /// Takes a run that a daemon before this one may have sent.
    pub fn take_again(&self, submission: Submission) {
        let Some(route) = &submission.route else { return };
        if let Some((_, orders, _)) = self.lanes.get(&route.backend) {
            let _ = orders.send(Order::Again(Box::new(submission)));
        }
    }

    /// The lane of a backend.
    #[must_use]
    pub fn lane(&self, backend: &str) -> Option<(&Connection, &LaneStatus)> {
        self.lanes.get(backend).map(|(connection, _, status)| (connection, &**status))
    }

    /// Says whether there is room for dead letters: without, nothing is sent.
    pub fn set_full(&self, is_full: bool) {
        self.lanes.values().for_each(|(_, _, status)| status.set_full(is_full));
    }

    /// Ends a run that waits here as cancelled; says whether one did.
    pub async fn cancel(&self, run: RunId, backend: &str) -> Waited {
        let Some((_, orders, _)) = self.lanes.get(backend) else { return Waited::No };
        let (reply, answer) = oneshot::channel();
        // A lane that has ended sends nothing any more.
        let _ = orders.send(Order::Cancel(run, reply));
        match timeout(ANSWER_MAX, answer).await {
            Ok(Ok(waited)) => waited,
            _ => Waited::No,
        }
    }
}
