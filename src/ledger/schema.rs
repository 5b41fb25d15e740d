//! The tables, and the way from one format to the next.

use rusqlite::{Connection, TransactionBehavior};

/// One script per format; format `n` is what the first `n` scripts make.
const MIGRATIONS: &[&str] = &[FORMAT_1, FORMAT_2];

/// The newest format.
pub(super) const FORMAT: i64 = 2;

/// Instants are microseconds since the Unix epoch. `run` holds one row per decision, skips
/// included; `open` marks runs that have no end yet.
pub(super) const FORMAT_1: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE job (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    cursor_us INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE placement (
    job_id INTEGER NOT NULL REFERENCES job (id),
    tier TEXT NOT NULL,
    digest BLOB NOT NULL,
    spec TEXT NOT NULL,
    applied_us INTEGER NOT NULL,
    PRIMARY KEY (job_id, tier)
) STRICT, WITHOUT ROWID;
CREATE TABLE run (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    job_id INTEGER NOT NULL REFERENCES job (id),
    fire_us INTEGER NOT NULL,
    last_fire_us INTEGER NOT NULL,
    count INTEGER NOT NULL,
    cause TEXT NOT NULL,
    skipped TEXT,
    decided_us INTEGER NOT NULL,
    params TEXT,
    open INTEGER NOT NULL,
    outcome TEXT,
    ended_us INTEGER
) STRICT;
CREATE INDEX run_by_job ON run (job_id, seq);
CREATE INDEX run_open ON run (seq) WHERE open = 1;
CREATE INDEX run_by_decision ON run (decided_us);
CREATE TABLE attempt (
    run_seq INTEGER NOT NULL REFERENCES run (seq) ON DELETE CASCADE,
    n INTEGER NOT NULL,
    started_us INTEGER NOT NULL,
    ended_us INTEGER,
    outcome TEXT,
    output TEXT,
    bytes_seen INTEGER,
    bytes_kept INTEGER,
    PRIMARY KEY (run_seq, n)
) STRICT, WITHOUT ROWID;
CREATE TABLE pause (
    job_id INTEGER PRIMARY KEY REFERENCES job (id),
    reason TEXT,
    at_us INTEGER NOT NULL
) STRICT;
CREATE TABLE boot (
    job_id INTEGER NOT NULL REFERENCES job (id),
    boot_id TEXT NOT NULL,
    PRIMARY KEY (job_id, boot_id)
) STRICT, WITHOUT ROWID;
";

/// `more` marks counts that are not all. `waits` marks jobs that have not decided on a start of the
/// machine yet. `pruned_us` is the latest fire time of the runs of a job
/// that were dropped: up to there nobody can tell any more what ran.
const FORMAT_2: &str = "
ALTER TABLE run ADD COLUMN more INTEGER NOT NULL DEFAULT 0;
ALTER TABLE boot ADD COLUMN waits INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN pruned_us INTEGER NOT NULL DEFAULT -9223372036854775808;
";

/// Brings a database to the newest format; gives the format it had when that is newer still.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<Result<(), i64>> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > FORMAT {
        return Ok(Err(found));
    }
    debug_assert_eq!(usize::try_from(FORMAT), Ok(MIGRATIONS.len()), "one script per format");
    let done = usize::try_from(found).unwrap_or(0);
    for (format, script) in (1_i64..).zip(MIGRATIONS).skip(done) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(script)?;
        transaction.pragma_update(None, "user_version", format)?;
        transaction.commit()?;
    }
    Ok(Ok(()))
}
