//! The ledger's handle: opens the database, hands work to the writer and reads.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};

use super::{
    history::{self, Pruned},
    read,
    record::{
        Applied, AttemptEnd, AttemptStart, Cut, Decided, LastRun, LedgerError, NewDecision, OpenRun,
        PauseRow, PlacementRow, Range, RunQuery, RunRow,
    },
    schema, write,
    writer::{Session, Writer},
};
use crate::{
    manifest::{characteristics::Tier, name::JobName},
    run::{Outcome, RunId},
};

/// How long a statement waits for another process that holds the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a ledger is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In a file; it outlives the process.
    File(PathBuf),
    /// In memory; it is gone with the process.
    Memory,
}

/// How much history is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Runs of each job, at most, and as many skips.
    pub keep_last: usize,
    /// Rows older than this go.
    pub max_age: Duration,
}

/// The durable memory. Cheap to clone; the writer ends with the last clone.
#[derive(Clone)]
pub struct Ledger {
    writer: Writer,
    reader: Option<Arc<Mutex<Connection>>>,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ledger")
    }
}

impl Ledger {
    /// Opens a ledger, makes it when it is not there, and brings it to the newest format.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, is of a newer format, or is on a network file system.
    pub fn open(location: &Location) -> Result<Self, LedgerError> {
        match location {
            Location::Memory => {
                let here = Path::new(":memory:");
                let connection = Connection::open_in_memory().map_err(|error| cannot_open(here, error))?;
                let writer = start(connection, here)?;
                Ok(Self { writer, reader: None })
            }
            Location::File(path) => {
                refuse_network(path)?;
                let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
                    | OpenFlags::SQLITE_OPEN_CREATE
                    | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let connection = Connection::open_with_flags(file(path), flags)
                    .map_err(|error| cannot_open(path, error))?;
                let writer = start(connection, path)?;
                let reader = open_reader(path)?;
                Ok(Self { writer, reader: Some(Arc::new(Mutex::new(reader))) })
            }
        }
    }

    /// Reads what tiers hold from a ledger that another process may be writing.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is of a newer format. A file that is not there is an empty
    /// ledger.
    pub fn peek_placements(path: &Path) -> Result<Vec<PlacementRow>, LedgerError> {
        peek(path, Vec::new(), read::placements)
    }

    /// Reads runs from a ledger that another process may be writing.
    ///
    /// # Errors
    ///
    /// As [`Ledger::peek_placements`].
    pub fn peek_runs(path: &Path, query: &RunQuery) -> Result<Vec<RunRow>, LedgerError> {
        peek(path, Vec::new(), |connection| read::runs(connection, query))
    }

    /// One run of a ledger that no daemon has open.
    ///
    /// # Errors
    ///
    /// As [`Ledger::peek_placements`].
    pub fn peek_run(path: &Path, id: RunId) -> Result<Option<RunRow>, LedgerError> {
        peek(path, None, |connection| read::run(connection, id))
    }

    /// Why nothing can be written, while that is so: the disk is full, or breaks.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.writer.trouble()
    }

    /// Records what a tier now holds.
    pub fn record_applied(
        &self,
        applied: Applied,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        self.writer.submit(move |session| write::applied(session, &applied))
    }

    /// Records that a tier no longer holds a job. Its history stays.
    pub fn record_pruned(
        &self,
        job: JobName,
        tier: Tier,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        self.writer.submit(move |session| write::pruned(session, &job, tier))
    }

    /// Records decisions, all or none, and advances the cursors of their jobs with them. The work
    /// is handed over at once; the answer comes after the commit.
    pub fn decide(
        &self,
        decisions: Vec<NewDecision>,
    ) -> impl Future<Output = Result<Vec<Decided>, LedgerError>> + Send + use<> {
        self.writer.submit(move |session| write::decide(session, &decisions))
    }

    /// Records that an attempt begins.
    pub fn attempt_started(
        &self,
        start: AttemptStart,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        self.writer.submit(move |session| write::attempt_started(session, &start))
    }

    /// Takes a job's cursor back to where `back` says, and ends the ranges of skips that reach past
    /// it.
    pub fn go_back(
        &self,
        back: NewDecision,
        cuts: Vec<Cut>,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        self.writer.submit(move |session| write::go_back(session, &back, &cuts))
    }

    /// Records how an attempt ended, and with it, if it was the last one, how its run did.
    pub fn attempt_ended(
        &self,
        end: AttemptEnd,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        self.writer.submit(move |session| write::attempt_ended(session, &end))
    }

    /// Records how a run ended.
    pub fn run_ended(
        &self,
        run: RunId,
        outcome: Outcome,
        at: Timestamp,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        self.writer.submit(move |session| write::run_ended(session, run, &outcome, at))
    }

    /// Records that a person paused a job.
    pub fn pause(
        &self,
        job: JobName,
        reason: Option<String>,
        at: Timestamp,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        self.writer.submit(move |session| write::pause(session, &job, reason.as_deref(), at))
    }

    /// Records that a job is no longer paused.
    pub fn resume(&self, job: JobName) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        self.writer.submit(move |session| write::resume(session, &job))
    }

    /// Records a start of the machine, and the jobs that are to decide on it.
    pub fn record_boot(
        &self,
        boot_id: String,
        jobs: Vec<JobName>,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        self.writer.submit(move |session| write::boot(session, &boot_id, &jobs))
    }

    /// Records what a job does at a start of the machine; [`Decided::Already`] when it does not wait
    /// to decide on that.
    pub fn decide_at_boot(
        &self,
        decision: NewDecision,
        boot_id: String,
    ) -> impl Future<Output = Result<Decided, LedgerError>> + Send + use<> {
        self.writer.submit(move |session| write::decide_at_boot(session, &decision, &boot_id))
    }

    /// Drops history past the limits, a bounded number of rows. Call again while it drops some.
    pub fn prune_history(
        &self,
        limits: HistoryLimits,
        now: Timestamp,
    ) -> impl Future<Output = Result<Pruned, LedgerError>> + Send + use<> {
        self.writer.submit(move |session| history::prune(&session.connection, limits, now))
    }

    /// What tiers hold.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn placements(&self) -> Result<Vec<PlacementRow>, LedgerError> {
        self.read(read::placements).await
    }

    /// Runs without an end.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn unfinished(&self) -> Result<Vec<OpenRun>, LedgerError> {
        self.read(read::unfinished).await
    }

    /// The last fire time of a job that was decided; none for a job that was never held.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn cursor(&self, job: JobName) -> Result<Option<Timestamp>, LedgerError> {
        self.read(move |connection| read::cursor(connection, &job)).await
    }

    /// The latest fire time of the runs of a job that were dropped; none when none was.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn pruned_to(&self, job: JobName) -> Result<Option<Timestamp>, LedgerError> {
        self.read(move |connection| read::pruned_to(connection, &job)).await
    }

    /// The ranges of skips of a job that reach past an instant.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn ranges_past(&self, job: JobName, at: Timestamp) -> Result<Vec<Range>, LedgerError> {
        self.read(move |connection| read::ranges_past(connection, &job, at)).await
    }

    /// The start of the machine that was recorded last.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn boot(&self) -> Result<Option<String>, LedgerError> {
        self.read(read::boot).await
    }

    /// The jobs that have not decided on a start of the machine yet.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn waiting_at_boot(&self, boot_id: String) -> Result<Vec<JobName>, LedgerError> {
        self.read(move |connection| read::waiting_at_boot(connection, &boot_id)).await
    }

    /// Jobs that a person paused.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn paused(&self) -> Result<Vec<PauseRow>, LedgerError> {
        self.read(read::paused).await
    }

    /// Runs and skips, newest first.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn runs(&self, query: RunQuery) -> Result<Vec<RunRow>, LedgerError> {
        self.read(move |connection| read::runs(connection, &query)).await
    }

    /// One run.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn run(&self, id: RunId) -> Result<Option<RunRow>, LedgerError> {
        self.read(move |connection| read::run(connection, id)).await
    }

    /// Those of these runs that there is a row of.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn known(&self, runs: BTreeSet<RunId>) -> Result<BTreeSet<RunId>, LedgerError> {
        self.read(move |connection| read::known(connection, &runs)).await
    }

    /// The newest run of each job that is no skip.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn last_runs(&self) -> Result<BTreeMap<JobName, LastRun>, LedgerError> {
        self.read(read::last_runs).await
    }

    async fn read<T, F>(&self, mut work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let Some(reader) = self.reader.clone() else {
            return self.writer.submit(move |session| work(&session.connection)).await;
        };
        let read =
            tokio::task::spawn_blocking(move || work(&reader.lock().unwrap_or_else(PoisonError::into_inner)));
        match read.await {
            Ok(result) => result.map_err(|error| LedgerError::Unavailable(Arc::new(error))),
            Err(_) => Err(LedgerError::Closed),
        }
    }
}

fn start(mut connection: Connection, path: &Path) -> Result<Writer, LedgerError> {
    let prepared = connection
        .busy_timeout(BUSY_TIMEOUT)
        .and_then(|()| connection.pragma_update(None, "journal_mode", "WAL"))
        .and_then(|()| connection.pragma_update(None, "synchronous", "FULL"))
        .and_then(|()| connection.pragma_update(None, "foreign_keys", true))
        .and_then(|()| schema::migrate(&mut connection));
    match prepared {
        Ok(Ok(())) => Writer::start(Session::new(connection)).map_err(|error| cannot_open(path, error)),
        Ok(Err(found)) => Err(too_new(path, found)),
        Err(error) => Err(cannot_open(path, error)),
    }
}

fn open_reader(path: &Path) -> Result<Connection, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(file(path), flags).map_err(|error| cannot_open(path, error))?;
    connection
        .busy_timeout(BUSY_TIMEOUT)
        .and_then(|()| connection.pragma_update(None, "query_only", true))
        .map_err(|error| cannot_open(path, error))?;
    Ok(connection)
}

/// The path as `SQLite` takes it for a file, whatever it is called: `file:x` and `:memory:` mean
/// something else to it.
pub(super) fn file(path: &Path) -> PathBuf {
    if path.is_absolute() { path.to_owned() } else { Path::new(".").join(path) }
}

fn peek<T>(
    path: &Path,
    empty: T,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<T, LedgerError> {
    if !path.exists() {
        return Ok(empty);
    }
    let connection = open_reader(path)?;
    let unreadable = |error| LedgerError::Unavailable(Arc::new(error));
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(unreadable)?;
    match found {
        0 => Ok(empty),
        found if found > schema::FORMAT => Err(too_new(path, found)),
        _ => work(&connection).map_err(unreadable),
    }
}

fn too_new(path: &Path, found: i64) -> LedgerError {
    LedgerError::TooNew { path: path.to_owned(), found, known: schema::FORMAT }
}

fn cannot_open(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LedgerError {
    LedgerError::Open { path: path.to_owned(), source: source.into() }
}

/// Refuses file systems whose locks do not reach across machines: two daemons would both believe
/// that the ledger is theirs.
fn refuse_network(path: &Path) -> Result<(), LedgerError> {
    // `f_type` of statfs(2).
    const NETWORKS: [(i64, &str); 5] = [
        (0x6969, "NFS"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB2"),
        (0x0102_1997, "9p"),
        (0x7461_636f, "OCFS2"),
    ];
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(found) = rustix::fs::statfs(directory) else { return Ok(()) };
    match NETWORKS.iter().find(|(magic, _)| *magic == found.f_type) {
        Some((_, kind)) => Err(LedgerError::Network { path: path.to_owned(), kind }),
        None => Ok(()),
    }
}
