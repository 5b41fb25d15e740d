//! The worker of the daemon itself: runs what is on the embedded queue system.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, sleep},
};

use super::{
    claims::Stops,
    counts::Counts,
    crew::Crew,
    source::{Shared, Source},
    vouch::Vouch,
};
use crate::{
    backend::queue::{broker::QueueName, outbox::Connection},
    engine::{clock, daemon::Daemon},
    execute::Executor,
    tier::queues::BackendKind,
};

/// What the worker of a daemon shares among its queues.
#[must_use]
pub fn shared(daemon: &Daemon, executor: Executor, concurrency: usize) -> Arc<Shared> {
    let parts = daemon.parts();
    Arc::new(Shared {
        name: Arc::clone(&parts.worker),
        executor,
        vouch: Vouch::Own,
        keys: Arc::clone(&daemon.outbox().shared().keys),
        memory: parts.ledger.clone(),
        output: parts.output.clone(),
        is_at_daemon: true,
        permits: Arc::new(Semaphore::new(concurrency)),
        stops: Stops::default(),
        under_way: Arc::default(),
        counts: Arc::new(Counts::default()),
        now: clock::now,
    })
}

/// Takes from every queue of the embedded queue system that a message was sent to, until `stop` says so;
/// then lets what runs come to its end, within `patience`.
pub async fn run(
    daemon: Arc<Daemon>,
    shared: Arc<Shared>,
    claim: Duration,
    mut stop: watch::Receiver<bool>,
    (patience, hurry): (Duration, impl Future<Output = ()>),
) {
    let mut crew = Crew::new(shared);
    let embedded = daemon.outbox().lanes().find(|(connection, _)| connection.kind == BackendKind::Embedded);
    let Some((connection, lane)) = embedded.map(|(connection, lane)| (connection.clone(), lane.queues()))
    else {
        let _ = stop.wait_for(|stop| *stop).await;
        return;
    };
    let mut queues = lane;
    loop {
        let names: BTreeSet<QueueName> = queues.borrow_and_update().clone();
        names.into_iter().for_each(|queue| crew.take_from(source(&connection, queue, claim)));
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            changed = queues.changed() => if changed.is_err() { break },
        }
    }
    crew.drain(patience, hurry).await;
    taken_in(&connection).await;
}

/// How long the last outcomes may take to be recorded.
const RECORD_MAX: Duration = Duration::from_secs(3);

/// Time between two looks whether they are.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until the daemon has taken in what its worker has said, so that what ended before it is not open
/// until the next one.
async fn taken_in(connection: &Connection) {
    let begun = Instant::now();
    while begun.elapsed() < RECORD_MAX {
        match connection.broker.depth(&connection.results).await {
            Ok(depth) if depth.ready > 0 || depth.claimed.is_some_and(|claimed| claimed > 0) => {
                sleep(LOOK).await;
            }
            _ => return,
        }
    }
}

fn source(connection: &Connection, queue: QueueName, claim: Duration) -> Source {
    Source { connection: connection.clone(), queue, claim, rate: None }
}
