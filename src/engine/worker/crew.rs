//! A worker with all of its queues, from its start to its end.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tracing::{info, warn};

use super::source::{Desk, Shared, Source};
use crate::backend::queue::broker::QueueName;

/// How long it may take to say what came of the last attempts, once they have ended.
const SAY_MAX: Duration = Duration::from_secs(10);

/// How long attempts that are told to stop may take, beside their own grace.
const STOP_MAX: Duration = Duration::from_secs(15);

/// A worker whose queues can grow in number.
#[derive(Debug)]
pub struct Crew {
    shared: Arc<Shared>,
    posts: Vec<(Post, Tasks)>,
    stop_taking: watch::Sender<bool>,
    stop_keeping: watch::Sender<bool>,
}

/// One queue that a worker takes from.
#[derive(Debug, Clone)]
pub struct Post {
    /// The backend.
    pub backend: Arc<str>,
    /// The queue.
    pub queue: QueueName,
    /// What attempts of it give their end to.
    pub desk: Arc<Desk>,
}

/// The tasks of one queue.
#[derive(Debug)]
struct Tasks {
    taking: JoinHandle<()>,
    keeping: JoinHandle<()>,
    speaking: JoinHandle<()>,
}

impl Crew {
    /// A worker without a queue.
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        let (stop_taking, stop_keeping) = (watch::Sender::new(false), watch::Sender::new(false));
        Self { shared, posts: Vec::new(), stop_taking, stop_keeping }
    }

    /// What its queues share.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Has it take from one more queue. One that it takes from already is no error.
    pub fn take_from(&mut self, source: Source) {
        let (backend, queue) = (Arc::clone(&source.connection.name), source.queue.clone());
        if self.posts.iter().any(|(post, _)| post.backend == backend && post.queue == queue) {
            return;
        }
        info!(%backend, %queue, worker = %self.shared.name, "takes messages");
        let (desk, speak) = source.desk(&self.shared);
        let keeping = Source::keep_claims(
            source.connection.clone(),
            queue.clone(),
            Arc::clone(&desk),
            Arc::clone(&self.shared),
            self.stop_keeping.subscribe(),
        );
        let taking = source.run(Arc::clone(&self.shared), Arc::clone(&desk), self.stop_taking.subscribe());
        let (taking, keeping) = (tokio::spawn(taking), tokio::spawn(keeping));
        let tasks = Tasks { taking, keeping, speaking: tokio::spawn(speak) };
        self.posts.push((Post { backend, queue, desk }, tasks));
    }

    /// Its queues.
    #[must_use]
    pub fn posts(&self) -> Vec<Post> {
        self.posts.iter().map(|(post, _)| post.clone()).collect()
    }

    /// From now on it takes no more messages.
    pub fn close(&self) {
        self.stop_taking.send_replace(true);
    }

    /// Lets attempts come to their end, within `patience`; then they are stopped, and their messages are
    /// given back for another worker. What came of them is said before this returns. `hurry` stops them at
    /// once.
    pub async fn drain(self, patience: Duration, hurry: impl Future<Output = ()>) {
        self.close();
        let stops = &self.shared.stops;
        let is_over = tokio::select! {
            over = timeout(patience, stops.drained()) => over.is_ok(),
            () = hurry => false,
        };
        if !is_over {
            warn!(runs = stops.len(), "stopping runs; their messages are given back");
            stops.drain();
            let _ = timeout(STOP_MAX, stops.drained()).await;
        }
        self.stop_keeping.send_replace(true);
        for (Post { desk, queue, .. }, Tasks { taking, keeping, speaking }) in self.posts {
            taking.abort();
            let _ = taking.await;
            keeping.abort();
            let _ = keeping.await;
            desk.close();
            if timeout(SAY_MAX, speaking).await.is_err() {
                warn!(%queue, "what came of the last runs could not be said; other workers are asked for them");
            }
        }
    }
}
