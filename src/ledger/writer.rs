//! The writer thread: takes work, does all that has come in one transaction, answers after the
//! commit.

use std::{
    collections::HashMap,
    error::Error as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use super::{
    history::Lengths,
    record::{LedgerError, unusable},
    route::Route,
};
use crate::manifest::name::JobName;

/// Records in one transaction after which no more work is taken into it: past this the commit costs
/// little beside the work, and the first one has waited long enough.
const GROUP_MAX: usize = 2_000;

/// Statements that are kept prepared: all that there are.
const STATEMENTS_MAX: usize = 128;

/// While transactions fail, one is told this often.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Most rows of jobs that are kept at hand.
const JOBS_MAX: usize = 100_000;

/// Most routes, and most queues, that are kept at hand: as many as manifests name queues.
const ROUTES_MAX: usize = 10_000;

/// The writer's connection, with what it reads most often at hand.
#[derive(Debug)]
pub(super) struct Session {
    /// The connection.
    pub(super) connection: Connection,
    /// What the history of jobs has come to.
    pub(super) lengths: Lengths,
    /// Dead letters that are not done with; none when they are to be counted.
    pub(super) letters_open: Option<u64>,
    /// The number of the next message of a queue; none when it is to be looked up.
    pub(super) message_next: Option<i64>,
    /// Messages with lower numbers are forgotten once they are done with.
    pub(super) message_looked_at: i64,
    jobs: HashMap<JobName, JobRow>,
    routes: HashMap<Arc<Route>, i64>,
    queues: HashMap<Box<str>, i64>,
}

/// A job as its row says.
#[derive(Debug, Clone, Copy)]
pub(super) struct JobRow {
    /// Its number.
    pub(super) id: i64,
    /// The last fire time that was decided.
    pub(super) cursor: Timestamp,
}

impl Session {
    pub(super) fn new(connection: Connection) -> Self {
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        Self {
            connection,
            lengths: Lengths::default(),
            letters_open: None,
            message_next: None,
            message_looked_at: 0,
            jobs: HashMap::new(),
            routes: HashMap::new(),
            queues: HashMap::new(),
        }
    }

    /// The row of a job; a new one for a new name. What is changed in it must be written.
    pub(super) fn job(&mut self, name: &JobName) -> rusqlite::Result<&mut JobRow> {
        // Looked up twice, since a borrow that is given back in one branch is held in the other.
        if !self.jobs.contains_key(name) {
            if self.jobs.len() >= JOBS_MAX {
                self.jobs.clear();
            }
            let row = read_job(&self.connection, name)?;
            self.jobs.insert(name.clone(), row);
        }
        self.jobs.get_mut(name).ok_or(rusqlite::Error::QueryReturnedNoRows)
    }

    /// The number of a route; a new one for a new route.
    pub(super) fn route(&mut self, route: &Arc<Route>) -> rusqlite::Result<i64> {
        if let Some(number) = self.routes.get(route) {
            return Ok(*number);
        }
        if self.routes.len() >= ROUTES_MAX {
            self.routes.clear();
        }
        let number = read_route(&self.connection, route)?;
        self.routes.insert(Arc::clone(route), number);
        Ok(number)
    }

    /// The number of a queue; a new one for a new name.
    pub(super) fn queue(&mut self, name: &str) -> rusqlite::Result<i64> {
        if let Some(number) = self.queues.get(name) {
            return Ok(*number);
        }
        if self.queues.len() >= ROUTES_MAX {
            self.queues.clear();
        }
        let number = read_queue(&self.connection, name)?;
        self.queues.insert(name.into(), number);
        Ok(number)
    }

    /// What is at hand may be of a transaction that did not come about.
    fn forget(&mut self) {
        self.jobs.clear();
        self.routes.clear();
        self.queues.clear();
        self.letters_open = None;
        self.message_looked_at = 0;
        self.lengths.forget();
    }
}

fn read_job(connection: &Connection, name: &JobName) -> rusqlite::Result<JobRow> {
    connection
        .prepare_cached("INSERT INTO job (name) VALUES (?1) ON CONFLICT (name) DO NOTHING")?
        .execute([name.as_str()])?;
    connection.prepare_cached("SELECT id, cursor_us FROM job WHERE name = ?1")?.query_row(
        [name.as_str()],
        |row| {
            let cursor = Timestamp::from_microsecond(row.get(1)?).unwrap_or(Timestamp::MIN);
            Ok(JobRow { id: row.get(0)?, cursor })
        },
    )
}

fn read_route(connection: &Connection, route: &Route) -> rusqlite::Result<i64> {
    let columns = [route.tier.as_str(), &route.backend, &route.queue];
    connection
        .prepare_cached(
            "INSERT INTO route (tier, backend, queue) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?
        .execute(columns)?;
    connection
        .prepare_cached("SELECT id FROM route WHERE tier = ?1 AND backend = ?2 AND queue = ?3")?
        .query_row(columns, |row| row.get(0))
}

fn read_queue(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("INSERT INTO queue (name) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([name])?;
    connection.prepare_cached("SELECT id FROM queue WHERE name = ?1")?.query_row([name], |row| row.get(0))
}

/// A piece of work. It may be run again when a transaction has to be repeated without others.
pub(super) trait Work: Send {
    /// About how many records it writes.
    fn records(&self) -> usize;
    fn run(&mut self, session: &mut Session) -> rusqlite::Result<()>;
    fn settle(self: Box<Self>, committed: Result<(), LedgerError>);
}

struct Task<T, F> {
    records: usize,
    work: F,
    result: Option<T>,
    reply: oneshot::Sender<Result<T, LedgerError>>,
}

impl<T, F> Work for Task<T, F>
where
    T: Send,
    F: FnMut(&mut Session) -> rusqlite::Result<T> + Send,
{
    fn records(&self) -> usize {
        self.records
    }

    fn run(&mut self, session: &mut Session) -> rusqlite::Result<()> {
        self.result = Some((self.work)(session)?);
        Ok(())
    }

    fn settle(self: Box<Self>, committed: Result<(), LedgerError>) {
        let Self { result, reply, .. } = *self;
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
    pub(super) fn start(session: Session, path: &Path) -> std::io::Result<Self> {
        let (queue, work) = mpsc::unbounded_channel();
        let trouble = Trouble::default();
        let mut thread = Thread { session, path: path.to_owned(), trouble: trouble.clone(), told: None };
        thread::Builder::new().name("ledger".to_owned()).spawn(move || thread.write(work))?;
        Ok(Self { queue, trouble })
    }

    /// Why nothing can be written: what the last transaction failed with, until one succeeds.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// Hands over a piece of work that writes about so many records; the answer comes after its
    /// commit.
    pub(super) fn submit<T, F>(
        &self,
        records: usize,
        work: F,
    ) -> impl Future<Output = Result<T, LedgerError>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnMut(&mut Session) -> rusqlite::Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let sent = self.queue.send(Box::new(Task { records, work, result: None, reply }));
        async move {
            sent.map_err(|_| LedgerError::Closed)?;
            answer.await.map_err(|_| LedgerError::Closed)?
        }
    }
}

/// What the thread works with.
struct Thread {
    session: Session,
    /// The file.
    path: PathBuf,
    trouble: Trouble,
    /// When a failure was last told.
    told: Option<Instant>,
}

impl Thread {
    fn write(&mut self, mut queue: mpsc::UnboundedReceiver<Box<dyn Work>>) {
        let mut group = Vec::new();
        while let Some(first) = queue.blocking_recv() {
            group.push(first);
            let mut records = group.iter().map(|work| work.records()).sum::<usize>();
            while records < GROUP_MAX
                && let Ok(next) = queue.try_recv()
            {
                records += next.records();
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
        let result = result.map_err(|error| unusable(&self.path, &error));
        match &result {
            Err(error) => self.failed(error),
            // A transaction that wrote nothing says nothing about the disk.
            Ok(()) if self.session.connection.total_changes() > before => self.succeeded(),
            Ok(()) => {}
        }
        result
    }

    fn failed(&mut self, error: &LedgerError) {
        let said = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            self.told = Some(Instant::now());
            error!(error = said, "the ledger cannot be written; nothing fires until it can");
        }
        *self.trouble.lock() = Some(said);
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
    // What an earlier transaction could not roll back must not keep this one from beginning.
    end_transaction(&session.connection);
    // The statements of the work run on the same connection, inside this transaction.
    session.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let result = group
        .iter_mut()
        .try_for_each(|work| work.run(session))
        .and_then(|()| session.connection.prepare_cached("COMMIT")?.execute([]).map(drop));
    if result.is_err() {
        session.forget();
        end_transaction(&session.connection);
    }
    result
}

/// Rolls back what is open, if anything is. The error that led here says more than one of this.
fn end_transaction(connection: &Connection) {
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        warn!(%error, "a transaction of the ledger could not be rolled back");
    }
}

impl LedgerError {
    /// The same failure for one more who waits.
    fn again(&self) -> Self {
        match self {
            Self::Unavailable(source) => Self::Unavailable(Arc::clone(source)),
            Self::Damaged { path, said } => Self::Damaged { path: path.clone(), said: said.clone() },
            _ => Self::Closed,
        }
    }
}
