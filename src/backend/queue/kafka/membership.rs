//! A member of a queue's group, and the task that serves it: partitions come and go, claims end, the server
//! may be away.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rdkafka::{consumer::Consumer as _, message::Message as _, topic_partition_list::TopicPartitionList};
use tokio::{sync::Notify, time::sleep};
use tracing::{info, warn};

use super::{
    super::broker::BrokerError,
    Options,
    client::{self, ANSWER_MAX, ask},
    commit::Committer,
    fault::{self, Faults},
    member::{Consumer, Member, Note, give_up, take_over},
    record::Record,
    share::{Share, numbers},
};

/// Between two looks at a handover: whether the group has lost patience is not told.
const HANDOVER_LOOK: Duration = Duration::from_millis(250);

/// Between two looks when nothing happens. The client wants to be asked from time to time, else it takes
/// this process for stuck.
const IDLE_LOOK: Duration = Duration::from_secs(20);

/// Between two tries to reach a server that is in doubt.
const DOUBT_LOOK: Duration = Duration::from_secs(1);

/// A member of a queue's group, once something is to be received.
pub(super) struct Membership {
    /// How it is used.
    pub(super) options: Arc<Options>,
    /// Of which topic.
    pub(super) topic: String,
    /// What time it is.
    pub(super) now: fn() -> Timestamp,
    /// Ends before `commits`: the thread behind that is the last to have it, and leaves the group.
    pub(super) consumer: Arc<Consumer>,
    commits: mpsc::SyncSender<()>,
    /// What the client reports.
    pub(super) faults: Faults,
    state: Arc<Mutex<State>>,
    /// The task has something to do.
    pub(super) woken: Arc<Notify>,
    /// There may be something to hand out.
    pub(super) arrived: Arc<Notify>,
}

/// What changes of it.
#[derive(Debug, Default)]
pub(super) struct State {
    /// What of the topic is ours.
    pub(super) share: Share,
    is_member: bool,
    /// How many wait for records.
    receivers: usize,
    /// When the last of them came or went.
    received_at: Option<Instant>,
    /// What is about to be given up.
    pub(super) handover: Option<Handover>,
    /// The group does not know us any more. While partitions are handed over, the client does not tell.
    pub(super) is_expelled: bool,
    /// What makes the server seem away.
    pub(super) doubt: Option<BrokerError>,
}

impl State {
    /// Whether nobody has received for so long, or works on what was received.
    fn is_idle(&self, now: Instant, long: Duration) -> bool {
        let received_at = self.received_at.filter(|_| self.is_member && self.receivers == 0);
        received_at.is_some_and(|at| now >= at + long) && !self.share.has_claims()
    }
}

/// Partitions that another member waits for.
#[derive(Debug)]
pub(super) struct Handover {
    partitions: TopicPartitionList,
    numbers: Vec<i32>,
    until: Instant,
}

/// One that receives.
pub(super) struct Receiver<'a>(&'a Membership);

impl Drop for Receiver<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.receivers -= 1;
        state.received_at = Some(Instant::now());
    }
}

impl Membership {
    /// Makes a client that has not joined yet.
    pub(super) fn new(
        options: &Arc<Options>,
        topic: &str,
        now: fn() -> Timestamp,
        presence: tokio::sync::mpsc::Sender<()>,
    ) -> Result<Self, BrokerError> {
        let (woken, arrived, faults) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Faults::new());
        let group = format!("{}.{topic}", options.group);
        let member = Member::new(faults.clone(), Arc::clone(&woken));
        let made = client::consumer(options, &group).create_with_context(member);
        let mut consumer: Consumer = made.map_err(|error| fault::of(&error))?;
        consumer.set_nonempty_callback({
            let woken = Arc::clone(&woken);
            move || woken.notify_one()
        });
        let consumer = Arc::new(consumer);
        let state = Arc::<Mutex<State>>::default();
        let committer = Committer {
            consumer: Arc::clone(&consumer),
            topic: topic.to_owned(),
            state: Arc::clone(&state),
            woken: Arc::clone(&woken),
            presence,
        };
        Ok(Self {
            options: Arc::clone(options),
            topic: topic.to_owned(),
            now,
            consumer,
            commits: committer.start()?,
            faults,
            state,
            woken,
            arrived,
        })
    }

    /// What changes of it.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Has committed what is settled.
    pub(super) fn ask_for_commit(&self) {
        // When it is full, the thread is about to look.
        let _ = self.commits.try_send(());
    }

    /// Counts one that receives, and asks to become a member of the group if we are none.
    pub(super) fn join(&self) -> Result<Receiver<'_>, BrokerError> {
        let mut state = self.state();
        if !state.is_member {
            self.consumer.subscribe(&[&self.topic]).map_err(|error| fault::of(&error))?;
            state.is_member = true;
        }
        state.receivers += 1;
        Ok(Receiver(self))
    }

    /// Serves the client: what it says, and what it is to be told.
    pub(super) async fn serve(&self) {
        loop {
            let woken = self.woken.notified();
            self.listen();
            for note in self.consumer.context().notes() {
                self.heed(note);
            }
            let wait = self.look();
            tokio::select! {
                () = woken => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// Has the client say what it has to say.
    fn listen(&self) {
        loop {
            let calls = self.consumer.context().calls();
            match self.consumer.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    let (number, offset) = (message.partition(), message.offset());
                    self.state().share.hold(number, offset, Record::read(&message), (self.now)());
                    self.arrived.notify_waiters();
                }
                Some(Err(error)) => self.state().share.note(&error),
                None if calls == self.consumer.context().calls() => return,
                None => {}
            }
        }
    }

    fn heed(&self, note: Note) {
        match note {
            Note::Assigned(partitions) => self.gain(&partitions),
            Note::Revoked { partitions, is_lost: true } => {
                info!(topic = self.topic, "the group has given our partitions to others");
                self.state().handover = None;
                self.lose(&partitions);
            }
            Note::Revoked { partitions, is_lost: false } => {
                let numbers = numbers(&partitions);
                let mut state = self.state();
                for &number in &numbers {
                    state.share.freeze(number);
                }
                let until = Instant::now() + self.options.handover;
                state.handover = Some(Handover { partitions, numbers, until });
            }
        }
    }

    /// Takes partitions over.
    fn gain(&self, partitions: &TopicPartitionList) {
        {
            let mut state = self.state();
            for number in numbers(partitions) {
                // Before it is taken over, else its first records come beside its queue.
                let Some(mut queue) = self.consumer.split_partition_queue(&self.topic, number) else {
                    continue;
                };
                queue.set_nonempty_callback({
                    let arrived = Arc::clone(&self.arrived);
                    move || arrived.notify_one()
                });
                state.share.add(number, queue);
            }
            state.is_expelled = false;
        }
        take_over(&self.consumer, partitions);
        self.arrived.notify_waiters();
    }

    /// Gives partitions up; the claims on them are over.
    fn lose(&self, partitions: &TopicPartitionList) {
        {
            let mut state = self.state();
            for number in numbers(partitions) {
                state.share.remove(number);
            }
        }
        give_up(&self.consumer, partitions);
    }

    /// Does what is due; gives how long nothing will be.
    fn look(&self) -> Duration {
        let now = Instant::now();
        let mut wait = IDLE_LOOK.min(self.options.claim / 2);
        let mut state = self.state();
        if state.share.has_claims() {
            wait = wait.min(self.options.claim / 4);
            if state.share.expire(now, (self.now)()) {
                self.arrived.notify_waiters();
            }
        }
        if state.is_idle(now, self.options.claim) {
            // What is in our partitions can only be had by others when these are theirs.
            info!(topic = self.topic, "the group is left, since nothing is received");
            state.is_member = false;
            self.consumer.unsubscribe();
        }
        if let Some(handover) = &state.handover {
            let is_done = handover.numbers.iter().all(|number| state.share.is_done(*number));
            if is_done || now >= handover.until || state.is_expelled || self.consumer.assignment_lost() {
                let partitions = handover.partitions.clone();
                state.handover = None;
                drop(state);
                if !is_done {
                    warn!(topic = self.topic, "messages that are worked on go to another worker, too");
                }
                self.lose(&partitions);
                return Duration::ZERO;
            }
            wait = wait.min(HANDOVER_LOOK);
        }
        wait
    }

    /// Finds out whether the server is away when the client reports trouble.
    pub(super) async fn doubt(&self) {
        let mut reports = self.faults.watch();
        loop {
            let report = reports.next().await;
            self.state().doubt = Some(report);
            while let Err(error) = self.reach().await {
                self.state().doubt = Some(error);
                sleep(DOUBT_LOOK).await;
            }
            self.state().doubt = None;
        }
    }

    /// Whether the server answers.
    async fn reach(&self) -> Result<(), BrokerError> {
        let (consumer, topic) = (Arc::clone(&self.consumer), self.topic.clone());
        ask(&self.faults, move || consumer.fetch_metadata(Some(&topic), ANSWER_MAX).map(drop)).await
    }
}

impl Drop for Membership {
    /// From now on the group may take partitions away without asking; its thread commits and leaves.
    fn drop(&mut self) {
        self.consumer.context().leave();
    }
}

/// Locks it, whatever became of who had it before.
pub(super) fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
