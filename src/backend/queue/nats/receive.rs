//! Takes messages off a queue: by the request of a caller who has gone, or else by a new one.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, sleep, sleep_until},
};
use tracing::debug;

use super::{
    super::broker::{BrokerError, Delivery, QueueName},
    NatsBroker,
    link::Silence,
    pull::{BYTES_MAX, Demand, EXPIRES_MIN, End, Open, Pull},
};

/// Most messages that are taken at once: what a server sends in one go must fit into the buffers between
/// it and us.
const BATCH_MAX: usize = 5_000;

/// Pause before another request when the server ended one early, as in an election.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a request whose caller has gone is kept for the next one; what came for it waits no longer
/// before it is given back.
const KEEP_MAX: Duration = Duration::from_secs(1);

/// Takes up to `max` messages.
pub(super) async fn receive(
    broker: &NatsBroker,
    queue: &QueueName,
    max: usize,
    wait: Duration,
) -> Result<Vec<Delivery>, BrokerError> {
    let until = Instant::now() + wait;
    let mut demand = Demand { batch: max.min(BATCH_MAX), bytes: Some(BYTES_MAX), with_waiting: false };
    while demand.batch > 0 {
        let left = until.saturating_duration_since(Instant::now());
        let api = broker.api(left).await?;
        let kept = broker.left.take(queue);
        let was_kept = kept.is_some();
        let mut pull = match kept {
            Some(open) => Pull::resume(&broker.left, open),
            None => Pull::begin(api, &broker.left, queue, demand, left).await?,
        };
        let end = pull.run(until).await;
        let (came, since) = pull.finish(api.session, &end, demand.batch);
        if !came.is_empty() {
            return Ok(broker.claims.take(queue, came, since + broker.options.held()));
        }
        match end {
            End::TooLarge => {
                demand = Demand { batch: 1, bytes: None, ..demand };
                continue;
            }
            End::Crowded => demand = Demand { batch: 1, bytes: None, with_waiting: true },
            End::Early(said) => {
                debug!(queue = queue.as_str(), said, "a pull request ended early");
                sleep(PAUSE.min(until.saturating_duration_since(Instant::now()))).await;
            }
            End::Failed(error) => return Err(error),
            End::Silent(Silence::Lost) if was_kept => {}
            End::Silent(Silence::Late) | End::Unanswered => {
                if let Some(error) = api.why_not_consumed(queue).await {
                    return Err(error);
                }
                // The request was lost with the leader that had it.
                debug!(queue = queue.as_str(), "a pull request was not answered");
                sleep(PAUSE.min(until.saturating_duration_since(Instant::now()))).await;
            }
            End::Silent(silence) => return Err(silence.into()),
            End::Enough | End::Paused | End::Waiting | End::Expired => {}
        }
        if until.saturating_duration_since(Instant::now()) < EXPIRES_MIN {
            break;
        }
    }
    Ok(Vec::new())
}

/// Requests whose callers have gone.
#[derive(Debug, Default)]
pub(super) struct Left(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// How many were ever kept.
    count: u64,
    /// Those that are kept, with their numbers.
    requests: Vec<(u64, Open)>,
}

impl Left {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One for the queue.
    fn take(&self, queue: &QueueName) -> Option<Open> {
        let requests = &mut self.lock().requests;
        let index = requests.iter().position(|(_, open)| open.queue == *queue && open.is_of_use())?;
        Some(requests.swap_remove(index).1)
    }

    /// Keeps one until a while after its caller had gone; when nobody has taken it then, what came for it
    /// is given back.
    pub(super) fn keep(self: &Arc<Self>, open: Open) {
        let Ok(runtime) = Handle::try_current() else { return };
        let until = open.kept_at + KEEP_MAX;
        let number = {
            let mut kept = self.lock();
            kept.count += 1;
            let number = kept.count;
            kept.requests.push((number, open));
            number
        };
        let left = Arc::clone(self);
        runtime.spawn(async move {
            sleep_until(until).await;
            let open = {
                let requests = &mut left.lock().requests;
                let index = requests.iter().position(|(other, _)| *other == number);
                index.map(|index| requests.swap_remove(index).1)
            };
            if let Some(open) = open {
                open.give_back().await;
            }
        });
    }
}
