//! The ledger's handle: opens the database, hands work to the writer and reads.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    future::ready,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::Either;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{
    handled,
    history::Pruned,
    memory::Memory,
    queue::bell::Bells,
    record::{
        Applied, AttemptEnd, AttemptStart, Cut, Decided, LastRun, LedgerError, NewDecision, OpenRun, Passed,
        PauseRow, PlacementRow, Range, RunQuery, RunRow, damaged, unavailable, unusable,
    },
    records::{Read, Write},
    schema,
    writer::{Session, Writer},
};
use crate::{
    manifest::{characteristics::Tier, name::JobName},
    run::{Outcome, RunId},
};

/// How long a statement waits for another process that holds the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pages that the writer keeps in memory: what a group commit of a herd changes. What else it reads is
/// in the system's cache.
const CACHE_KIB: i32 = 1024;

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

impl HistoryLimits {
    /// What is older goes.
    pub(super) fn oldest(self, now: Timestamp) -> Timestamp {
        before(now, self.max_age)
    }

    /// Attempts of a worker that were begun before this are forgotten.
    pub(super) fn oldest_handled(self, now: Timestamp) -> Timestamp {
        before(now, self.max_age.min(handled::AGE_MAX))
    }
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
    now.checked_sub(age).unwrap_or(Timestamp::MIN)
}

/// The durable memory. Cheap to clone; the writer ends with the last clone.
#[derive(Clone)]
pub struct Ledger {
    store: Store,
    pub(super) bells: Arc<Bells>,
}

#[derive(Clone)]
enum Store {
    File { writer: Writer, reader: Arc<Mutex<Connection>>, path: Arc<Path> },
    Memory(Arc<Mutex<Memory>>),
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
            Location::Memory => Ok(Self { store: Store::Memory(Arc::default()), bells: Arc::default() }),
            Location::File(path) => {
                refuse_network(path)?;
                match path.symlink_metadata() {
                    // What cannot be seen may be there all the same.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => make(path)?,
                    Err(error) => return Err(cannot_open(path, error)),
                    Ok(_) => {}
                }
                let connection = open_writer(path)?;
                let writer = start(connection, path)?;
                let reader = Arc::new(Mutex::new(open_reader(path)?));
                let store = Store::File { writer, reader, path: path.as_path().into() };
                Ok(Self { store, bells: Arc::default() })
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
        peek(path, Vec::new(), Read::placements)
    }

    /// Reads runs from a ledger that another process may be writing.
    ///
    /// # Errors
    ///
    /// As [`Ledger::peek_placements`].
    pub fn peek_runs(path: &Path, query: &RunQuery) -> Result<Vec<RunRow>, LedgerError> {
        peek(path, Vec::new(), |records| records.runs(query))
    }

    /// Reads the jobs that a person paused from a ledger that another process may be writing.
    ///
    /// # Errors
    ///
    /// As [`Ledger::peek_placements`].
    pub fn peek_paused(path: &Path) -> Result<Vec<PauseRow>, LedgerError> {
        peek(path, Vec::new(), Read::paused)
    }

    /// Reads the newest run of each job from a ledger that another process may be writing.
    ///
    /// # Errors
    ///
    /// As [`Ledger::peek_placements`].
    pub fn peek_last_runs(path: &Path) -> Result<BTreeMap<JobName, LastRun>, LedgerError> {
        peek(path, BTreeMap::new(), Read::last_runs)
    }

    /// One run of a ledger that no daemon has open.
    ///
    /// # Errors
    ///
    /// As [`Ledger::peek_placements`].
    pub fn peek_run(path: &Path, id: RunId) -> Result<Option<RunRow>, LedgerError> {
        peek(path, None, |records| records.run(id))
    }

    /// Why nothing can be written, while that is so: the disk is full, or breaks.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        match &self.store {
            Store::File { writer, .. } => writer.trouble(),
            Store::Memory(_) => None,
        }
    }

    /// Records what a tier now holds.
    pub fn record_applied(
        &self,
        applied: Applied,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        self.write(move |records| records.applied(&applied))
    }

    /// Records that a tier no longer holds a job. Its history stays.
    pub fn record_pruned(
        &self,
        job: JobName,
        tier: Tier,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        self.write(move |records| records.pruned(&job, tier))
    }

    /// Records decisions, all or none, and advances the cursors of their jobs with them. The work
    /// is handed over at once; the answer comes after the commit.
    pub fn decide(
        &self,
        decisions: Vec<NewDecision>,
    ) -> impl Future<Output = Result<Vec<Decided>, LedgerError>> + Send + use<> {
        self.decide_shared(Arc::new(decisions))
    }

    /// The same for who needs the decisions again.
    pub fn decide_shared(
        &self,
        decisions: Arc<Vec<NewDecision>>,
    ) -> impl Future<Output = Result<Vec<Decided>, LedgerError>> + Send + use<> {
        self.write_many(decisions.len(), move |records| records.decide(&decisions))
    }

    /// Records that an attempt begins.
    pub fn attempt_started(
        &self,
        start: AttemptStart,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        self.write(move |records| records.attempt_started(&start))
    }

    /// Takes a job's cursor back to where `back` says, and ends the ranges of skips that reach past
    /// it.
    pub fn go_back(
        &self,
        back: NewDecision,
        cuts: Vec<Cut>,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        self.write(move |records| records.go_back(&back, &cuts))
    }

    /// Records how an attempt ended, and with it, if it was the last one, how its run did.
    pub fn attempt_ended(
        &self,
        end: AttemptEnd,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        self.write(move |records| records.attempt_ended(&end))
    }

    /// Records attempts that were over as soon as they began, and the end of their runs.
    pub fn passed(
        &self,
        attempts: Vec<Passed>,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        self.write_many(attempts.len(), move |records| records.passed(&attempts))
    }

    /// Records how a run ended.
    pub fn run_ended(
        &self,
        run: RunId,
        outcome: Outcome,
        at: Timestamp,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        self.write(move |records| records.run_ended(run, &outcome, at))
    }

    /// The name of this ledger, which tells what is its own on other tiers: 8 hexadecimal digits, made up
    /// once.
    pub fn instance(&self) -> impl Future<Output = Result<String, LedgerError>> + Send + use<> {
        let proposed = format!("{:08x}", rand::random::<u32>());
        self.write(move |records| records.instance(&proposed))
    }

    /// Records that a person paused a job, or gave another reason for it.
    pub fn pause(
        &self,
        job: JobName,
        reason: Option<String>,
        at: Timestamp,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        self.write(move |records| records.pause(&job, reason.as_deref(), at))
    }

    /// Records that a job is no longer paused.
    pub fn resume(&self, job: JobName) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        self.write(move |records| records.resume(&job))
    }

    /// Records a start of the machine, and the jobs that are to decide on it.
    pub fn record_boot(
        &self,
        boot_id: String,
        jobs: Vec<JobName>,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        self.write(move |records| records.boot(&boot_id, &jobs))
    }

    /// Records what a job does at a start of the machine; [`Decided::Already`] when it does not wait
    /// to decide on that.
    pub fn decide_at_boot(
        &self,
        decision: NewDecision,
        boot_id: String,
    ) -> impl Future<Output = Result<Decided, LedgerError>> + Send + use<> {
        self.write(move |records| records.decide_at_boot(&decision, &boot_id))
    }

    /// Drops history past the limits, a bounded number of rows. Call again while it drops some.
    pub fn prune_history(
        &self,
        limits: HistoryLimits,
        now: Timestamp,
    ) -> impl Future<Output = Result<Pruned, LedgerError>> + Send + use<> {
        self.write(move |records| records.prune(limits, now))
    }

    /// What tiers hold.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn placements(&self) -> Result<Vec<PlacementRow>, LedgerError> {
        self.read(|records| records.placements()).await
    }

    /// Runs without an end.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn unfinished(&self) -> Result<Vec<OpenRun>, LedgerError> {
        self.read(|records| records.unfinished()).await
    }

    /// The last fire time of a job that was decided; none for a job that was never held.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn cursor(&self, job: JobName) -> Result<Option<Timestamp>, LedgerError> {
        self.read(move |records| records.cursor(&job)).await
    }

    /// The latest fire time of the runs of a job that were dropped; none when none was.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn pruned_to(&self, job: JobName) -> Result<Option<Timestamp>, LedgerError> {
        self.read(move |records| records.pruned_to(&job)).await
    }

    /// The ranges of skips of a job that reach past an instant.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn ranges_past(&self, job: JobName, at: Timestamp) -> Result<Vec<Range>, LedgerError> {
        self.read(move |records| records.ranges_past(&job, at)).await
    }

    /// The start of the machine that was recorded last.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn boot(&self) -> Result<Option<String>, LedgerError> {
        self.read(|records| records.recorded_boot()).await
    }

    /// The jobs that have not decided on a start of the machine yet.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn waiting_at_boot(&self, boot_id: String) -> Result<Vec<JobName>, LedgerError> {
        self.read(move |records| records.waiting_at_boot(&boot_id)).await
    }

    /// Jobs that a person paused.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn paused(&self) -> Result<Vec<PauseRow>, LedgerError> {
        self.read(|records| records.paused()).await
    }

    /// Runs and skips, newest first.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn runs(&self, query: RunQuery) -> Result<Vec<RunRow>, LedgerError> {
        self.read(move |records| records.runs(&query)).await
    }

    /// One run.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn run(&self, id: RunId) -> Result<Option<RunRow>, LedgerError> {
        self.read(move |records| records.run(id)).await
    }

    /// Those of these runs that there is a row of.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn known(&self, runs: BTreeSet<RunId>) -> Result<BTreeSet<RunId>, LedgerError> {
        self.read(move |records| records.known(&runs)).await
    }

    /// The newest run of each job that is no skip.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn last_runs(&self) -> Result<BTreeMap<JobName, LastRun>, LedgerError> {
        self.read(|records| records.last_runs()).await
    }

    /// Does work that writes one record.
    pub(super) fn write<T, F>(
        &self,
        work: F,
    ) -> impl Future<Output = Result<T, LedgerError>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Write) -> rusqlite::Result<T> + Send + 'static,
    {
        self.write_many(1, work)
    }

    /// Does work that writes about so many records.
    pub(super) fn write_many<T, F>(
        &self,
        records: usize,
        mut work: F,
    ) -> impl Future<Output = Result<T, LedgerError>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Write) -> rusqlite::Result<T> + Send + 'static,
    {
        match &self.store {
            Store::File { writer, .. } => Either::Left(writer.submit(records, move |session| work(session))),
            Store::Memory(memory) => {
                Either::Right(ready(work(&mut *lock(memory)).map_err(|error| unavailable(&error))))
            }
        }
    }

    pub(super) async fn read<T, F>(&self, mut work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnMut(&dyn Read) -> rusqlite::Result<T> + Send + 'static,
    {
        match &self.store {
            Store::Memory(memory) => work(&*lock(memory)).map_err(|error| unavailable(&error)),
            Store::File { reader, path, .. } => {
                let reader = Arc::clone(reader);
                let read = tokio::task::spawn_blocking(move || work(&*lock(&reader)));
                read.await.map_err(|_| LedgerError::Closed)?.map_err(|error| unusable(path, &error))
            }
        }
    }
}

fn lock<T>(store: &Mutex<T>) -> MutexGuard<'_, T> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes an empty ledger where there is none. It is made beside its place, so that a crash leaves all of
/// it or nothing, and the disk is waited for once, and not at each step.
fn make(path: &Path) -> Result<(), LedgerError> {
    let draft = path.with_extension("draft");
    // A log of a ledger that was taken away would be taken for one of the new ledger.
    for left in [draft.clone(), beside(path, "-wal"), beside(path, "-shm"), beside(path, "-journal")] {
        match fs::remove_file(left) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot_open(path, error)),
            _ => {}
        }
    }
    let mut connection = open_writer(&draft)?;
    let made = connection
        .pragma_update(None, "journal_mode", "OFF")
        .and_then(|()| connection.pragma_update(None, "synchronous", "OFF"))
        .and_then(|()| schema::migrate(&mut connection))
        .and_then(|_| connection.pragma_update(None, "journal_mode", "WAL"));
    made.and_then(|()| connection.close().map_err(|(_, error)| error))
        .map_err(|error| cannot_open(path, error))?;
    // `SQLite` waits for the directory when it makes the log beside the ledger, before anything is in it.
    fs::File::open(&draft)
        .and_then(|made| made.sync_all())
        .and_then(|()| fs::rename(&draft, path))
        .map_err(|error| cannot_open(path, error))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn open_writer(path: &Path) -> Result<Connection, LedgerError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(file(path), flags).map_err(|error| no_ledger(path, &error))
}

fn start(mut connection: Connection, path: &Path) -> Result<Writer, LedgerError> {
    let prepared = connection
        .busy_timeout(BUSY_TIMEOUT)
        .and_then(|()| connection.pragma_update(None, "journal_mode", "WAL"))
        .and_then(|()| connection.pragma_update(None, "synchronous", "FULL"))
        .and_then(|()| connection.pragma_update(None, "foreign_keys", true))
        .and_then(|()| connection.pragma_update(None, "cache_size", -CACHE_KIB))
        .and_then(|()| plan_once(&connection))
        .and_then(|()| schema::migrate(&mut connection));
    match prepared {
        Ok(Ok(())) => Writer::start(Session::new(connection), path).map_err(|error| cannot_open(path, error)),
        Ok(Err(found)) => Err(too_new(path, found)),
        Err(error) => Err(no_ledger(path, &error)),
    }
}

fn open_reader(path: &Path) -> Result<Connection, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(file(path), flags).map_err(|error| no_ledger(path, &error))?;
    connection
        .busy_timeout(BUSY_TIMEOUT)
        .and_then(|()| plan_once(&connection))
        .map_err(|error| no_ledger(path, &error))?;
    Ok(connection)
}

/// A statement is planned when it is prepared, and not again for each other `LIMIT` that it gets.
fn plan_once(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// The path as `SQLite` takes it for a file, whatever it is called: `file:x` and `:memory:` mean
/// something else to it.
pub(super) fn file(path: &Path) -> PathBuf {
    if path.is_absolute() { path.to_owned() } else { Path::new(".").join(path) }
}

pub(super) fn peek<T>(
    path: &Path,
    empty: T,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<T, LedgerError> {
    // A directory that may not be looked into is not an empty ledger.
    if !path.try_exists().map_err(|error| cannot_open(path, error))? {
        return Ok(empty);
    }
    let connection = open_reader(path)?;
    let found = connection.query_row("PRAGMA user_version", [], |row| row.get(0));
    let found: i64 = found.map_err(|error| unusable(path, &error))?;
    match found {
        0 => Ok(empty),
        found if found > schema::FORMAT => Err(too_new(path, found)),
        found => schema::look(&connection, found)
            .and_then(|()| connection.pragma_update(None, "query_only", true))
            .and_then(|()| work(&connection))
            .map_err(|error| unusable(path, &error)),
    }
}

fn too_new(path: &Path, found: i64) -> LedgerError {
    LedgerError::TooNew { path: path.to_owned(), found, known: schema::FORMAT }
}

/// Why a file cannot be opened as a ledger.
fn no_ledger(path: &Path, error: &rusqlite::Error) -> LedgerError {
    damaged(path, error).unwrap_or_else(|| cannot_open(path, error.to_string()))
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
