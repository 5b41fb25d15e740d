//! The writer thread: takes work, does all that has come in one transaction, answers after the
//! commit.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info};

use super::record::LedgerError;
use crate::manifest::name::JobName;

/// Most pieces of work in one transaction: past this the commit costs little beside the work, and
/// the first one has waited long enough.
const GROUP_MAX: usize = 512;

/// While transactions fail, one is told this often.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Most job numbers that are kept at hand.
const JOBS_MAX: usize = 100_000;

/// The writer's connection, with the numbers of jobs at hand.
#[derive(Debug)]
pub(super) struct Session {
    /// The connection.
    pub(super) connection: Connection,
    jobs: HashMap<JobName, i64>,
}

impl Session {
    pub(super) fn new(connection: Connection) -> Self {
        connection.set_prepared_statement_cache_capacity(64);
        Self { connection, jobs: HashMap::new() }
    }

    /// The number of a job; a new one for a new name.
    pub(super) fn job(&mut self, name: &JobName) -> rusqlite::Result<i64> {
        if let Some(id) = self.jobs.get(name) {
            return Ok(*id);
        }
        self.connection
            .prepare_cached("INSERT INTO job (name) VALUES (?1) ON CONFLICT (name) DO NOTHING")?
            .execute([name.as_str()])?;
        let id = self
            .connection
            .prepare_cached("SELECT id FROM job WHERE name = ?1")?
            .query_row([name.as_str()], |row| row.get(0))?;
        if self.jobs.len() >= JOBS_MAX {
            self.jobs.clear();
        }
        self.jobs.insert(name.clone(), id);
        Ok(id)
    }
}

/// A piece of work. It may be run again when a transaction has to be repeated without others.
pub(super) trait Work: Send {
    fn run(&mut self, session: &mut Session) -> rusqlite::Result<()>;
    fn settle(self: Box<Self>, committed: Result<(), LedgerError>);
}

struct Task<T, F> {
    work: F,
    result: Option<T>,
    reply: oneshot::Sender<Result<T, LedgerError>>,
}

impl<T, F> Work for Task<T, F>
where
    T: Send,
    F: FnMut(&mut Session) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, session: &mut Session) -> rusqlite::Result<()> {
        self.result = Some((self.work)(session)?);
        Ok(())
    }

    fn settle(self: Box<Self>, committed: Result<(), LedgerError>) {
        let Task { result, reply, .. } = *self;
        // Nobody waits for records that are let go their way.
        let _ = reply.send(committed.and_then(|()| result.ok_or(LedgerError::Closed)));
    }
}

/// The way to the writer.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    queue: mpsc::UnboundedSender<Box<dyn Work>>,
    trouble: Trouble,
}

/// Why nothing can be written, while that is so.
#[derive(Debug, Clone, Default)]
struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for dyn Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Work")
    }
}

impl Writer {
    /// Starts the thread. It ends when the last `Writer` is dropped and its work is done.
    pub(super) fn start(session: Session) -> std::io::Result<Self> {
        let (queue, work) = mpsc::unbounded_channel();
        let trouble = Trouble::default();
        let mut thread = Thread { session, trouble: trouble.clone(), told: None };
        thread::Builder::new().name("ledger".to_owned()).spawn(move || thread.write(work))?;
        Ok(Self { queue, trouble })
    }

    /// Why nothing can be written: what the last transaction failed with, until one succeeds.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// Hands over a piece of work now; the answer comes after its commit.
    pub(super) fn submit<T, F>(
        &self,
        work: F,
    ) -> impl Future<Output = Result<T, LedgerError>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnMut(&mut Session) -> rusqlite::Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let sent = self.queue.send(Box::new(Task { work, result: None, reply }));
        async move {
            sent.map_err(|_| LedgerError::Closed)?;
            answer.await.map_err(|_| LedgerError::Closed)?
        }
    }
}

/// What the thread works with.
struct Thread {
    session: Session,
    trouble: Trouble,
    /// When a failure was last told.
    told: Option<Instant>,
}

impl Thread {
    fn write(&mut self, mut queue: mpsc::UnboundedReceiver<Box<dyn Work>>) {
        let mut group = Vec::new();
        while let Some(first) = queue.blocking_recv() {
            group.push(first);
            while group.len() < GROUP_MAX
                && let Ok(next) = queue.try_recv()
            {
                group.push(next);
            }
            match self.commit(&mut group) {
                Ok(()) => group.drain(..).for_each(|work| work.settle(Ok(()))),
                Err(error) if group.len() == 1 => {
                    group.drain(..).for_each(|work| work.settle(Err(error.again())));
                }
                // One of them may be at fault: each has a transaction of its own.
                Err(_) => {
                    for work in group.drain(..) {
                        let mut alone = [work];
                        let result = self.commit(&mut alone);
                        let [work] = alone;
                        work.settle(result);
                    }
                }
            }
        }
    }

    fn commit(&mut self, group: &mut [Box<dyn Work>]) -> Result<(), LedgerError> {
        let before = self.session.connection.total_changes();
        let result = transact(&mut self.session, group);
        match &result {
            Err(error) => self.failed(error),
            // A transaction that wrote nothing says nothing about the disk.
            Ok(()) if self.session.connection.total_changes() > before => self.succeeded(),
            Ok(()) => {}
        }
        result.map_err(|error| LedgerError::Unavailable(Arc::new(error)))
    }

    fn failed(&mut self, error: &rusqlite::Error) {
        *self.trouble.lock() = Some(error.to_string());
        if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            self.told = Some(Instant::now());
            error!(%error, "the ledger cannot be written; nothing fires until it can");
        }
    }

    fn succeeded(&mut self) {
        let was_in_trouble = self.trouble.lock().take().is_some();
        if was_in_trouble && self.told.take().is_some() {
            info!("the ledger can be written again");
        }
    }
}

/// Does all of the work in one transaction, or none of it.
fn transact(session: &mut Session, group: &mut [Box<dyn Work>]) -> rusqlite::Result<()> {
    // The statements of the work run on the same connection, inside this transaction.
    session.connection.execute_batch("BEGIN IMMEDIATE")?;
    let result = group
        .iter_mut()
        .try_for_each(|work| work.run(session))
        .and_then(|()| session.connection.execute_batch("COMMIT"));
    if result.is_err() {
        session.jobs.clear();
        if !session.connection.is_autocommit() {
            session.connection.execute_batch("ROLLBACK")?;
        }
    }
    result
}

impl LedgerError {
    /// The same failure for one more who waits.
    fn again(&self) -> Self {
        match self {
            Self::Unavailable(source) => Self::Unavailable(Arc::clone(source)),
            _ => Self::Closed,
        }
    }
}
