//! A queue system in memory, for tests of what stands above: it can fail call by call.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use super::broker::{
    Broker, BrokerError, Capabilities, Delivery, Depth, Effect, Health, Message, Order, QueueName, Receipt,
    Sent, Settlement, Verdict,
};

/// What it can do.
pub const CAPABILITIES: Capabilities = Capabilities {
    delay: Duration::ZERO,
    dedupe: Duration::from_secs(3600),
    order: Order::Queue,
    extends: true,
    counts: true,
    body_max: 4096,
};

/// A queue system in memory.
#[derive(Debug, Default)]
pub struct FakeBroker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    queues: BTreeMap<QueueName, VecDeque<Message>>,
    /// Every message that it was ever sent, by its id.
    sent: Vec<Message>,
    claimed: BTreeMap<Box<str>, (QueueName, Message)>,
    script: VecDeque<Call>,
    /// How calls go when the script is over.
    rest: Call,
    count: u64,
}

/// How a call goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Call {
    /// It is done, and answered.
    #[default]
    Answered,
    /// It does not arrive: nothing is done.
    Lost,
    /// It is done, and its answer does not come back.
    ReplyLost,
}

impl FakeBroker {
    /// Scripts the next calls, and how those after them go.
    pub fn script(&self, calls: impl IntoIterator<Item = Call>, rest: Call) {
        let mut state = self.lock();
        state.script = calls.into_iter().collect();
        state.rest = rest;
    }

    /// The ids of every message that it took, in order.
    #[must_use]
    pub fn sent(&self) -> Vec<String> {
        self.lock().sent.iter().map(|message| message.id.clone()).collect()
    }

    fn call<T>(&self, work: impl FnOnce(&mut State) -> T) -> Result<T, BrokerError> {
        let mut state = self.lock();
        let rest = state.rest;
        let unanswered = |effect| BrokerError::Unreachable { effect, reason: "a scripted fault".to_owned() };
        match state.script.pop_front().unwrap_or(rest) {
            Call::Answered => Ok(work(&mut state)),
            Call::Lost => Err(unanswered(Effect::None)),
            Call::ReplyLost => {
                work(&mut state);
                Err(unanswered(Effect::Unknown))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn send(&mut self, queue: &QueueName, message: &Message) -> Sent {
        if self.sent.iter().any(|other| other.id == message.id) {
            return Sent::Duplicate;
        }
        self.sent.push(message.clone());
        self.queues.entry(queue.clone()).or_default().push_back(message.clone());
        Sent::New
    }
}

#[async_trait]
impl Broker for FakeBroker {
    async fn ensure(&self, queue: &QueueName) -> Result<(), BrokerError> {
        self.call(|state| {
            state.queues.entry(queue.clone()).or_default();
        })
    }

    async fn send(&self, queue: &QueueName, messages: &[Message]) -> Vec<Result<Sent, BrokerError>> {
        let one = |message| self.call(|state| state.send(queue, message));
        messages.iter().map(one).collect()
    }

    async fn receive(
        &self,
        queue: &QueueName,
        max: usize,
        _wait: Duration,
    ) -> Result<Vec<Delivery>, BrokerError> {
        self.call(|state| {
            let mut came = Vec::new();
            while came.len() < max
                && let Some(message) = state.queues.get_mut(queue).and_then(VecDeque::pop_front)
            {
                state.count += 1;
                let receipt: Box<str> = state.count.to_string().into();
                let body = message.body.clone();
                state.claimed.insert(receipt.clone(), (queue.clone(), message));
                came.push(Delivery { receipt: Receipt(receipt), body, deliveries: 1 });
            }
            came
        })
    }

    async fn settle(&self, _: &QueueName, settlements: &[Settlement]) -> Vec<Result<(), BrokerError>> {
        let one = |settlement: &Settlement| {
            self.call(|state| {
                if settlement.verdict == Verdict::Extend {
                    return;
                }
                let claimed = state.claimed.remove(&settlement.receipt.0);
                if let (Some((queue, message)), Verdict::Retry { .. }) = (claimed, settlement.verdict) {
                    state.queues.entry(queue).or_default().push_back(message);
                }
            })
        };
        settlements.iter().map(one).collect()
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth, BrokerError> {
        self.call(|state| {
            let ready = state.queues.get(queue).map_or(0, VecDeque::len) as u64;
            Depth { ready, claimed: None, delayed: None }
        })
    }

    async fn health(&self) -> Result<Health, BrokerError> {
        self.call(|_| Health { server: "fake 1".to_owned() })
    }
}
