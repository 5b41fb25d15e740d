//! The pulls: requests that wait at Pub/Sub until there is a message.
//!
//! A pull that is given up while it waits may have been handed messages, and nobody else gets those
//! before their claims are over. So pulls are tasks: a call that ends leaves its pull to the next one.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::Method;
use serde::de::IgnoredAny;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tracing::debug;

use super::{
    Shared,
    line::{Arrived, Line, Pull},
    wire::{Pulled, deadline_body, pull_body},
};
use crate::backend::queue::{
    broker::{BrokerError, Effect},
    google::api::{Failure, REQUEST_MAX},
};

/// Messages of one pull: Pub/Sub's limit.
const MESSAGES_MAX: usize = 1_000;

/// Pulls of one queue that are under way at once.
const PULLS_MAX: usize = 16;

/// How long a pull may take. Pub/Sub answers after a minute and a half at the latest; one that it ends
/// itself loses nothing.
const PULL_MAX: Duration = Duration::from_secs(120);

/// How often a pull that is not answered is looked after, since nothing comes of a connection that is
/// held half open, either.
const QUIET_MAX: Duration = Duration::from_secs(10);

/// How long a pull that brings nothing takes at least, whatever Pub/Sub does: the next one follows it.
const EMPTY_MIN: Duration = Duration::from_millis(250);

/// How long what a pull brought waits for somebody who takes it, until others may have it.
const KEPT_MAX: Duration = Duration::from_secs(2);

/// The pulls. They end with the adapter.
#[derive(Debug)]
pub(super) struct Pulls {
    shared: Arc<Shared>,
    tasks: Mutex<JoinSet<()>>,
}

impl Pulls {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, tasks: Mutex::default() }
    }

    /// Begins a pull for up to `max` messages, if there are too few under way.
    pub(super) fn start(&self, line: &Arc<Line>, max: usize) {
        let Some(pull) = line.begin(PULLS_MAX) else { return };
        let (shared, line) = (Arc::clone(&self.shared), Arc::clone(line));
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move { shared.pull(line, pull, max.min(MESSAGES_MAX)).await });
    }
}

impl Shared {
    async fn pull(&self, line: Arc<Line>, pull: Pull, max: usize) {
        let start = Instant::now();
        let result = self.pulled(&line, pull.number, max).await;
        match &result {
            Ok(messages) if messages.is_empty() => {
                return sleep(EMPTY_MIN.saturating_sub(start.elapsed())).await;
            }
            Ok(_) => {}
            Err(error) => debug!(queue = %line.queue, %error, "a pull failed"),
        }
        let number = pull.number;
        pull.brought(result);
        drop(pull);
        sleep(KEPT_MAX).await;
        let left = line.give_back(number);
        if left.is_empty() {
            return;
        }
        let body = deadline_body(left.iter().map(|message| &*message.ack_id), 0);
        let path = format!("{}:modifyAckDeadline", self.subscription(&line.queue));
        if let Err(failure) = self.api.ask_for::<IgnoredAny>(Method::POST, &path, body).await {
            let error = BrokerError::from(failure);
            debug!(queue = %line.queue, %error, "what nobody took comes again when its claims are over");
        }
    }

    async fn pulled(&self, line: &Line, pull: u64, max: usize) -> Result<Vec<Arrived>, BrokerError> {
        let subscription = self.subscription(&line.queue);
        let path = format!("{subscription}:pull");
        let asked = self.api.ask(Method::POST, &path, pull_body(max), PULL_MAX);
        tokio::pin!(asked);
        let answer = loop {
            tokio::select! {
                answer = &mut asked => break answer,
                silent = self.silent(&subscription) => silent?,
            }
        };
        let answer = match answer {
            Ok(answer) => answer,
            // Nothing came for very long.
            Err(Failure::Said(_, complaint)) if complaint.code == "DEADLINE_EXCEEDED" => {
                return Ok(Vec::new());
            }
            Err(failure) => return Err(failure.into()),
        };
        let until = Instant::now() + self.options.claim;
        let pulled: Pulled<'_> = self.api.read(&answer)?;
        pulled.arrived(until, pull).ok_or_else(|| BrokerError::Unreachable {
            effect: Effect::Unknown,
            reason: "Pub/Sub gave a message that is not in base64".to_owned(),
        })
    }

    /// Waits for a while, and then asks whether Pub/Sub is there.
    async fn silent(&self, subscription: &str) -> Result<(), BrokerError> {
        sleep(QUIET_MAX).await;
        match self.api.ask(Method::GET, subscription, "", REQUEST_MAX).await {
            Err(failure) if !failure.is_answer() => Err(failure.into()),
            _ => Ok(()),
        }
    }
}
