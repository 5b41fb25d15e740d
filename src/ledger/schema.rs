//! The tables, and the way from one format to the next.

use rusqlite::{Connection, TransactionBehavior};

/// One script per format; format `n` is what the first `n` scripts make.
const MIGRATIONS: &[&str] = &[FORMAT_1, FORMAT_2, FORMAT_3];

/// The newest format.
pub(super) const FORMAT: i64 = 3;

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
pub(super) const FORMAT_2: &str = "
ALTER TABLE run ADD COLUMN more INTEGER NOT NULL DEFAULT 0;
ALTER TABLE boot ADD COLUMN waits INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN pruned_us INTEGER NOT NULL DEFAULT -9223372036854775808;
";

/// `routed` has a row for each run that goes to another tier: where to, and how far its attempt has come;
/// `stage` is 1 in the outbox, 2 with the queue system, 3 with a worker, 4 run by it.
///
/// A `message` without `due_us` is done with, and stays for its key only; `key` is a hash of the names of
/// its queue and of itself.
const FORMAT_3: &str = "
ALTER TABLE attempt ADD COLUMN worker TEXT;
CREATE TABLE route (
    id INTEGER PRIMARY KEY,
    tier TEXT NOT NULL,
    backend TEXT NOT NULL,
    queue TEXT NOT NULL,
    UNIQUE (tier, backend, queue)
) STRICT;
CREATE TABLE routed (
    run_seq INTEGER PRIMARY KEY REFERENCES run (seq) ON DELETE CASCADE,
    route_id INTEGER NOT NULL REFERENCES route (id),
    attempt INTEGER NOT NULL,
    stage INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    worker TEXT
) STRICT;
CREATE TABLE dead_letter (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    job_id INTEGER REFERENCES job (id),
    fire_us INTEGER,
    backend TEXT NOT NULL,
    queue TEXT NOT NULL,
    category TEXT NOT NULL,
    reason TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    times INTEGER NOT NULL,
    state TEXT NOT NULL,
    lease_us INTEGER,
    note TEXT,
    first_us INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    changed_us INTEGER NOT NULL,
    size INTEGER NOT NULL
) STRICT;
CREATE INDEX dead_letter_by_time ON dead_letter (at_us);
CREATE INDEX dead_letter_resolved ON dead_letter (changed_us) WHERE state = 'resolved';
CREATE TABLE letter_body (
    letter_seq INTEGER PRIMARY KEY REFERENCES dead_letter (seq) ON DELETE CASCADE,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE handled (
    seq INTEGER PRIMARY KEY,
    run BLOB NOT NULL,
    attempt INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    report BLOB,
    UNIQUE (run, attempt)
) STRICT;
CREATE INDEX handled_by_time ON handled (at_us);
CREATE TABLE queue (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE message (
    seq INTEGER PRIMARY KEY,
    queue_id INTEGER NOT NULL,
    key BLOB NOT NULL UNIQUE,
    due_us INTEGER,
    claimed INTEGER NOT NULL,
    deliveries INTEGER NOT NULL,
    sent_us INTEGER NOT NULL
) STRICT;
CREATE INDEX message_by_due ON message (queue_id, due_us, claimed) WHERE due_us IS NOT NULL;
CREATE TABLE message_body (seq INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
";

/// One script per format after the first, for who only looks: what makes one of the format before look
/// like it, on this connection alone.
const LOOKS: &[&str] = &[
    "
CREATE TEMP VIEW job AS SELECT *, -9223372036854775808 AS pruned_us FROM main.job;
CREATE TEMP VIEW run AS SELECT *, 0 AS more FROM main.run;
",
    "
CREATE TEMP VIEW attempt AS SELECT *, NULL AS worker FROM main.attempt;
CREATE TEMP VIEW route AS SELECT 0 AS id, '' AS tier, '' AS backend, '' AS queue WHERE 0;
CREATE TEMP VIEW routed AS
    SELECT 0 AS run_seq, 0 AS route_id, 0 AS attempt, 0 AS stage, 0 AS at_us, '' AS worker WHERE 0;
CREATE TEMP VIEW dead_letter AS
    SELECT 0 AS seq, x'' AS id, 0 AS job_id, 0 AS fire_us, '' AS backend, '' AS queue, '' AS category,
        '' AS reason, 0 AS attempts, 0 AS times, '' AS state, 0 AS lease_us, '' AS note, 0 AS first_us,
        0 AS at_us, 0 AS changed_us, 0 AS size WHERE 0;
CREATE TEMP VIEW letter_body AS SELECT 0 AS letter_seq, x'' AS body WHERE 0;
",
];

/// Makes a database of this older format look like one of the newest, for this connection; nothing is
/// written to it.
pub(super) fn look(connection: &Connection, found: i64) -> rusqlite::Result<()> {
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    let done = usize::try_from(found - 1).unwrap_or(0);
    LOOKS.iter().skip(done).try_for_each(|script| connection.execute_batch(script))
}

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
