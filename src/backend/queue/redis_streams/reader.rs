//! The task that reads from a queue, for all who receive from it.
//!
//! It has a connection of its own, since a blocked read holds up all that comes after it. Who receives
//! leaves a request with it; one read serves several. What was read for somebody who went away is given
//! to the next, or back to the server.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use redis::Cmd;
use tokio::{
    sync::{
        mpsc::{self, UnboundedReceiver, UnboundedSender},
        oneshot,
    },
    time::{sleep_until, timeout_at},
};
use tracing::debug;

use super::{
    super::broker::{BrokerError, Delivery, QueueName},
    GROUP, Process, entry,
    fault::{Fault, not_connected},
    lines::{ANSWER_MAX, Lines},
    millis, settle,
    sweep::Sweep,
};

/// Longest time that a read blocks: a server that is gone is noticed after it.
const BLOCK_MAX: Duration = Duration::from_secs(1);

/// Most messages in one read, and in the first.
const READ_MAX: usize = 1_000;
const READ_FIRST: usize = 100;

/// Bytes of one read from which on the next is made smaller. The server cannot be told how many.
const READ_BYTES_MAX: usize = 8 << 20;

/// How long what was read for nobody is kept for the next who receives.
const KEEP_MAX: Duration = Duration::from_secs(1);

/// How long the connection is kept while nobody receives.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// A read that was not answered for so long has found nothing, if the server is well.
const LOOK_MAX: Duration = Duration::from_millis(100);

/// What the task is told.
#[derive(Debug)]
pub(super) enum Order {
    /// Somebody wants to receive.
    Take(Request),
    /// Somebody went away without what was given to him.
    Back(Vec<Delivery>),
}

/// What somebody wants to receive.
#[derive(Debug)]
pub(super) struct Request {
    max: usize,
    deadline: Instant,
    answer: oneshot::Sender<Result<Vec<Delivery>, BrokerError>>,
}

/// Somebody who receives. Gives what was given to him back when he goes away without it.
struct Receiver<'a> {
    orders: &'a UnboundedSender<Order>,
    given: oneshot::Receiver<Result<Vec<Delivery>, BrokerError>>,
}

impl Drop for Receiver<'_> {
    fn drop(&mut self) {
        self.given.close();
        if let Ok(Ok(given)) = self.given.try_recv()
            && !given.is_empty()
        {
            // Without a task, its claim time brings it back.
            let _ = self.orders.send(Order::Back(given));
        }
    }
}

/// Takes up to `max` messages from the task, as soon as there is one; none when none came within `wait`.
pub(super) async fn receive(
    orders: &UnboundedSender<Order>,
    max: usize,
    wait: Duration,
) -> Result<Vec<Delivery>, BrokerError> {
    if max == 0 {
        return Ok(Vec::new());
    }
    let (answer, given) = oneshot::channel();
    let request = Request { max, deadline: Instant::now() + wait.min(WAIT_MAX), answer };
    let ended = || not_connected("the task that reads has ended");
    orders.send(Order::Take(request)).map_err(|_| ended())?;
    let mut receiver = Receiver { orders, given };
    (&mut receiver.given).await.unwrap_or_else(|_| Err(ended()))
}

/// Longest time that anybody waits: a day is as good as for ever, and no overflow.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3_600);

/// The task.
#[derive(Debug)]
pub(super) struct Reader {
    queue: QueueName,
    lines: Arc<Lines>,
    process: Process,
    orders: UnboundedReceiver<Order>,
    requests: VecDeque<Request>,
    /// What was read, and nobody has yet; and since when.
    left: VecDeque<Delivery>,
    left_since: Instant,
    sweep: Sweep,
    /// When the server last answered.
    answered: Option<Instant>,
    /// Most messages of the next read: fewer after one that was large, or too large to come in time.
    read_max: usize,
}

impl Reader {
    /// Starts the task. It ends when what it is told by is dropped.
    pub(super) fn start(queue: QueueName, lines: Lines, process: Process) -> UnboundedSender<Order> {
        let (sender, orders) = mpsc::unbounded_channel();
        let reader = Self {
            queue,
            lines: Arc::new(lines),
            sweep: Sweep::new(&process),
            process,
            orders,
            requests: VecDeque::new(),
            left: VecDeque::new(),
            left_since: Instant::now(),
            answered: None,
            read_max: READ_FIRST,
        };
        tokio::spawn(reader.run());
        sender
    }

    async fn run(mut self) {
        while self.is_wanted().await {
            if let Err(error) = self.round().await {
                self.answered = None;
                for request in self.requests.drain(..) {
                    // Who went away needs no error.
                    let _ = request.answer.send(Err(error.clone()));
                }
            }
        }
        self.give_back().await;
    }

    /// Waits until somebody wants to receive; `false` when nobody will any more.
    async fn is_wanted(&mut self) -> bool {
        loop {
            while let Ok(order) = self.orders.try_recv() {
                self.note(order);
            }
            self.requests.retain(|request| !request.answer.is_closed());
            if !self.requests.is_empty() {
                return true;
            }
            let until = if self.left.is_empty() {
                Instant::now() + IDLE_MAX
            } else {
                self.left_since + self.keep_max()
            };
            match timeout_at(until.into(), self.orders.recv()).await {
                Ok(Some(order)) => self.note(order),
                Ok(None) => return false,
                Err(_) if self.left.is_empty() => self.lines.close(),
                Err(_) => self.give_back().await,
            }
        }
    }

    fn note(&mut self, order: Order) {
        match order {
            Order::Take(request) => self.requests.push_back(request),
            Order::Back(deliveries) => self.keep(deliveries),
        }
    }

    /// What is kept must not lose much of its claim.
    fn keep_max(&self) -> Duration {
        KEEP_MAX.min(self.process.claim / 4)
    }

    fn keep(&mut self, deliveries: Vec<Delivery>) {
        if self.left.is_empty() {
            self.left_since = Instant::now();
        }
        self.left.extend(deliveries);
    }

    /// Gives what nobody took back to the server. What fails to be given comes again with its claim time.
    async fn give_back(&mut self) {
        if self.left.is_empty() {
            return;
        }
        let left: Vec<Delivery> = self.left.drain(..).collect();
        if let Err(error) = settle::give_back(&self.lines, &self.process, &self.queue, &left).await {
            debug!(queue = %self.queue, count = left.len(), %error, "messages wait for their claim time");
        }
        self.sweep.hasten();
    }

    /// One round: gives what is there, does what is due beside, and reads.
    async fn round(&mut self) -> Result<(), BrokerError> {
        match self.turn().await {
            Err(Fault::NoGroup(_)) => {
                // The server lost it, or it was not made yet.
                self.lines.ensure(&self.queue).await?;
                Ok(self.turn().await?)
            }
            result => Ok(result?),
        }
    }

    async fn turn(&mut self) -> Result<(), Fault> {
        if !self.left.is_empty() {
            if self.left_since.elapsed() > self.keep_max() {
                self.give_back().await;
            } else {
                self.serve();
                return Ok(());
            }
        }
        if self.sweep.due() <= Instant::now() {
            let max = self.wanted();
            let claimed = self.sweep.run(&self.lines, &self.process, &self.queue, max).await?;
            self.answered = Some(Instant::now());
            if !claimed.is_empty() {
                self.keep(claimed);
                self.serve();
                return Ok(());
            }
        }
        self.read().await
    }

    /// How many messages are wanted.
    fn wanted(&self) -> usize {
        let wanted = self.requests.iter().fold(0_usize, |sum, request| sum.saturating_add(request.max));
        wanted.clamp(1, self.read_max)
    }

    /// Gives what was read to those who wait, in their order.
    fn serve(&mut self) {
        while !self.left.is_empty()
            && let Some(request) = self.requests.pop_front()
        {
            let count = request.max.min(self.left.len());
            let given = self.left.drain(..count).collect();
            if let Err(Ok(given)) = request.answer.send(Ok(given)) {
                given.into_iter().rev().for_each(|delivery| self.left.push_front(delivery));
            }
        }
    }

    /// Tells those whose time is over that nothing came.
    fn expire(&mut self, now: Instant) {
        let (over, waiting) = self.requests.drain(..).partition(|request| request.deadline <= now);
        self.requests = waiting;
        let over: VecDeque<Request> = over;
        for request in over {
            let _ = request.answer.send(Ok(Vec::new()));
        }
    }

    fn first_deadline(&self) -> Option<Instant> {
        self.requests.iter().map(|request| request.deadline).min()
    }

    /// Reads what is new, blocked until there is something; meanwhile notes who comes, and tells those
    /// whose time is over.
    async fn read(&mut self) -> Result<(), Fault> {
        let start = Instant::now();
        let until = self.first_deadline().unwrap_or(start).min(self.sweep.due());
        let block = until.saturating_duration_since(start).min(BLOCK_MAX);
        let request = self.request(block).into();
        let (lines, queue) = (Arc::clone(&self.lines), self.queue.clone());
        let answer = lines.ask(Some(&queue), &request, block + ANSWER_MAX);
        tokio::pin!(answer);
        let answer = loop {
            // Who came with the read waits for its answer. Who came later and has less time need not, if the
            // server has answered of late: then its silence says that there is nothing.
            let is_well = self.answered.is_some_and(|at| at.elapsed() < BLOCK_MAX + LOOK_MAX);
            let deadline = self.first_deadline().filter(|&at| is_well && at < until);
            let expiry = deadline.unwrap_or(until).max(start + LOOK_MAX);
            tokio::select! {
                answer = &mut answer => break answer,
                order = self.orders.recv() => match order {
                    Some(order) => self.note(order),
                    // Dropped with its connection, the read takes nothing more.
                    None => return Ok(()),
                },
                () = sleep_until(expiry.into()), if deadline.is_some() => self.expire(expiry),
            }
        };
        if let Err(Fault::Other(BrokerError::Unreachable { .. })) = &answer {
            self.read_max = (self.read_max / 2).max(1);
        }
        let came = entry::read(answer?, self.process.at_ms(start))?;
        self.read_max = next_read_max(self.read_max, &came);
        let now = Instant::now();
        self.answered = Some(now);
        if came.is_empty() {
            self.expire(now);
        } else {
            self.keep(came);
            self.serve();
        }
        Ok(())
    }

    fn request(&self, block: Duration) -> Cmd {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(&*self.process.consumer).arg("COUNT").arg(self.wanted());
        if !block.is_zero() {
            // Zero would be for ever; and less than a whole one would end before its time.
            command.arg("BLOCK").arg(millis(block) + 1);
        }
        command.arg("STREAMS").arg(self.queue.as_str()).arg(">");
        command
    }
}

/// Most messages of the next read after one.
fn next_read_max(read_max: usize, came: &[Delivery]) -> usize {
    let bytes: usize = came.iter().map(|delivery| delivery.body.len()).sum();
    if bytes > READ_BYTES_MAX {
        (came.len() * READ_BYTES_MAX / bytes).max(1)
    } else {
        (read_max * 2).min(READ_MAX)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{super::super::broker::Receipt, *};

    #[test]
    #[rustfmt::skip]
    fn a_read_grows_until_it_is_large() {
        let check = |read_max: usize, count: usize, len: usize, expected: usize| {
            let body = Bytes::from(vec![b'x'; len]);
            let came = vec![Delivery { receipt: Receipt("r".into()), body, deliveries: 1 }; count];
            assert_eq!(next_read_max(read_max, &came), expected, "{count} of {len}");
        };
        check(1,     0,     0,        2);
        check(100,   100,   200,      200);
        check(1_000, 1_000, 200,      1_000);
        check(100,   100,   1 << 20,  8);
        check(8,     8,     1 << 20,  16);
        check(1_000, 1_000, 10_000,   838);
    }
}
