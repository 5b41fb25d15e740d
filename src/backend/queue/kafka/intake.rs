//! A queue as this process takes from it: hands out, and settles.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{
    sync::mpsc,
    task::AbortHandle,
    time::{sleep, sleep_until, timeout_at},
};

use super::{
    super::broker::{BrokerError, Delivery, Settlement, Verdict},
    Options,
    fault::{self, Faults},
    member::Consumer,
    membership::Membership,
    outbox::{Outbox, Outgoing},
    record::Record,
    share::Claim,
};

/// Longest time until a commit is answered, tries included.
const COMMIT_MAX: Duration = Duration::from_secs(15);

/// Between two looks for records that wait in front of settled ones. Longer than it takes to send.
const MOVE_EVERY: Duration = Duration::from_secs(60);

/// A queue that is taken from.
pub(super) struct Intake {
    ours: Arc<Membership>,
    task: AbortHandle,
}

impl Intake {
    /// Opens a queue; the group is joined when something is first received. Must be called within a runtime.
    pub(super) fn open(
        options: &Arc<Options>,
        topic: &str,
        outbox: &Arc<Outbox>,
        now: fn() -> Timestamp,
        presence: mpsc::Sender<()>,
    ) -> Result<Self, BrokerError> {
        let ours = Arc::new(Membership::new(options, topic, now, presence)?);
        let (served, outbox) = (Arc::clone(&ours), Arc::clone(outbox));
        let task = tokio::spawn(async move {
            tokio::join!(served.serve(), served.doubt(), move_out_of_the_way(&served, &outbox));
        });
        Ok(Self { ours, task: task.abort_handle() })
    }

    /// The client, for questions to the server.
    pub(super) fn consumer(&self) -> Arc<Consumer> {
        Arc::clone(&self.ours.consumer)
    }

    /// What the client reports.
    pub(super) fn faults(&self) -> &Faults {
        &self.ours.faults
    }

    /// Takes up to `max` records that are due, as soon as there is one.
    pub(super) async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, BrokerError> {
        let _receiver = self.ours.join()?;
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let arrived = self.ours.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            let (taken, due_in) = self.take(max);
            if !taken.is_empty() || max == 0 {
                return Ok(taken);
            }
            let now = tokio::time::Instant::now();
            if now >= deadline {
                return self.why_nothing().map_or(Ok(taken), Err);
            }
            let next = due_in.map_or(deadline, |due_in| deadline.min(now + due_in));
            tokio::select! {
                () = arrived => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// Settles; gives what came of each, in their order.
    pub(super) async fn settle(
        &self,
        outbox: &Outbox,
        settlements: &[Settlement],
    ) -> Vec<Result<(), BrokerError>> {
        let claims: Vec<Option<Claim>> =
            settlements.iter().map(|settlement| Claim::parse(&settlement.receipt)).collect();
        let again = self.send_again(outbox, &claims, settlements).await;
        let mut results = Vec::with_capacity(settlements.len());
        let mut waiting = BTreeMap::new();
        {
            let mut state = self.ours.state();
            let until = Instant::now() + self.ours.options.claim;
            for ((settlement, claim), again) in settlements.iter().zip(&claims).zip(again) {
                results.push(match (claim, again) {
                    (None, _) => Err(BrokerError::ClaimOver),
                    (_, Err(error)) => Err(error),
                    (Some(claim), Ok(())) if settlement.verdict == Verdict::Extend => {
                        state.share.extend(*claim, until)
                    }
                    (Some(claim), Ok(())) => state.share.settle(*claim),
                });
            }
            for claim in claims.iter().flatten() {
                if !waiting.contains_key(&claim.partition)
                    && let Some(word) = state.share.committed(claim.partition)
                {
                    waiting.insert(claim.partition, word);
                }
            }
        }
        self.ours.ask_for_commit();
        let deadline = tokio::time::Instant::now() + COMMIT_MAX;
        for (partition, (position, word)) in waiting {
            let error = match timeout_at(deadline, word).await {
                Ok(Ok(Ok(()))) => continue,
                Ok(Ok(Err(error))) => error,
                Ok(Err(_)) => BrokerError::ClaimOver,
                Err(_) => self.silence(),
            };
            for ((settlement, claim), result) in settlements.iter().zip(&claims).zip(&mut results) {
                let is_meant = claim
                    .is_some_and(|claim| claim.partition == partition && claim.offset < position)
                    && settlement.verdict != Verdict::Extend;
                if is_meant && result.is_ok() {
                    *result = Err(error.clone());
                }
            }
        }
        results
    }

    /// Hands out what is due; and in how long more is.
    fn take(&self, max: usize) -> (Vec<Delivery>, Option<Duration>) {
        let now = (self.ours.now)();
        let mut state = self.ours.state();
        let (due_before, is_watched) = (state.share.next_due(), state.share.has_claims());
        let taken = state.share.take(max, now, Instant::now() + self.ours.options.claim);
        let due = state.share.next_due();
        drop(state);
        if taken.len() == max {
            // There may be more, for another that waits.
            self.ours.arrived.notify_one();
        }
        if !taken.is_empty() && !is_watched {
            self.ours.woken.notify_one();
        }
        if due.is_some() && due != due_before {
            // Those that wait must look again at when something is due.
            self.ours.arrived.notify_waiters();
        }
        let due_in = due.map(|due| Duration::try_from(due.duration_since(now)).unwrap_or_default());
        (taken, due_in)
    }

    /// Why nothing came, if there is a reason.
    fn why_nothing(&self) -> Option<BrokerError> {
        let state = self.ours.state();
        state.share.refusal().or_else(|| state.doubt.clone())
    }

    fn silence(&self) -> BrokerError {
        self.ours
            .state()
            .doubt
            .clone()
            .unwrap_or_else(|| fault::unreachable("the group did not answer in time"))
    }

    /// Sends those again that are to be received again. What was sent before and not settled is sent
    /// once more: it comes twice, and is not lost.
    async fn send_again(
        &self,
        outbox: &Outbox,
        claims: &[Option<Claim>],
        settlements: &[Settlement],
    ) -> Vec<Result<(), BrokerError>> {
        let mut records: Vec<(usize, Record, Option<Timestamp>)> = Vec::new();
        {
            let (state, now) = (self.ours.state(), (self.ours.now)());
            for (index, (settlement, claim)) in settlements.iter().zip(claims).enumerate() {
                if let (Verdict::Retry { after }, Some(claim)) = (settlement.verdict, claim)
                    && let Some(record) = state.share.claimed(*claim)
                {
                    let due = (!after.is_zero()).then(|| now.checked_add(after).unwrap_or(Timestamp::MAX));
                    records.push((index, record.clone(), due));
                }
            }
        }
        let mut results = vec![Ok(()); settlements.len()];
        let outgoing: Vec<_> = records.iter().map(|(_, record, due)| Outgoing::Again(record, *due)).collect();
        let sent =
            if outgoing.is_empty() { Vec::new() } else { outbox.send(&self.ours.topic, &outgoing).await };
        for ((index, ..), sent) in records.iter().zip(sent) {
            if let Some(result) = results.get_mut(*index) {
                *result = sent;
            }
        }
        results
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").field("topic", &self.ours.topic).finish_non_exhaustive()
    }
}

/// Writes records anew that wait for long in front of settled ones: only what was settled since the
/// last time comes again after a crash, and what waits is never older than the topic keeps.
async fn move_out_of_the_way(ours: &Membership, outbox: &Outbox) {
    loop {
        sleep(MOVE_EVERY).await;
        // What is due sooner could be handed out while its copy is written.
        let due_after = (ours.now)().checked_add(MOVE_EVERY).unwrap_or(Timestamp::MAX);
        let found = ours.state().share.in_the_way(due_after);
        if found.is_empty() {
            continue;
        }
        let copies = found.iter().map(|(_, _, record)| Outgoing::Again(record, record.not_before));
        let copies: Vec<_> = copies.collect();
        let sent = outbox.send(&ours.topic, &copies).await;
        let mut state = ours.state();
        for ((number, offset, _), sent) in found.iter().zip(sent) {
            if sent.is_ok() {
                state.share.settle_held(*number, *offset);
            }
        }
        drop(state);
        ours.ask_for_commit();
    }
}
