//! Drops history past its limits, now and then.

use std::{collections::BTreeSet, fs, io, path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::watch, task::spawn_blocking, time::sleep};
use tracing::{info, warn};

use super::{clock, daemon::Daemon};
use crate::{backend::drive::run_of_output, ledger::HistoryLimits, run::RunId};

/// Time between two looks. Rows of a minute past the limit do no harm.
const EVERY: Duration = Duration::from_secs(60);

/// Drops what is past the limits until `stop` says so; first, output whose run was dropped by a
/// daemon that ended before it had removed the file.
pub async fn run(daemon: Arc<Daemon>, limits: HistoryLimits, mut stop: watch::Receiver<bool>) {
    sweep(&daemon).await;
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = sleep(EVERY) => {}
        }
        let mut rows = 0;
        loop {
            match daemon.ledger().prune_history(limits, clock::now()).await {
                Ok(pruned) => {
                    rows += pruned.rows;
                    let output = &daemon.parts().output;
                    remove_all(pruned.files.iter().map(|file| output.join(file)).collect()).await;
                    if !pruned.more {
                        break;
                    }
                }
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, "history cannot be dropped");
                    break;
                }
            }
        }
        if rows > 0 {
            info!(rows, "dropped history past its limits");
        }
    }
}

/// Removes the output of runs that there is no row of. A run has its row before its output.
async fn sweep(daemon: &Daemon) {
    let mut removed = 0;
    for directory in entries(daemon.parts().output.clone()).await {
        let files: Vec<(PathBuf, RunId)> = entries(directory)
            .await
            .into_iter()
            .filter_map(|path| {
                let run = run_of_output(path.file_name()?.to_str()?)?;
                Some((path, run))
            })
            .collect();
        let runs: BTreeSet<RunId> = files.iter().map(|(_, run)| *run).collect();
        // What cannot be told now is told by the next daemon.
        let Ok(known) = daemon.ledger().known(runs).await else { return };
        let unknown: Vec<PathBuf> =
            files.into_iter().filter(|(_, run)| !known.contains(run)).map(|(path, _)| path).collect();
        removed += unknown.len();
        remove_all(unknown).await;
    }
    if removed > 0 {
        info!(files = removed, "removed output without a run");
    }
}

/// What is in a directory; nothing when it cannot be listed. On a thread for such work, as
/// [`remove_all`]: a disk that is slow must not hold up what fires.
async fn entries(directory: PathBuf) -> Vec<PathBuf> {
    let listed = spawn_blocking(move || {
        let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
        entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()
    });
    listed.await.unwrap_or_default()
}

/// Removes files. One that is gone is no error; one that cannot be removed is told of.
async fn remove_all(files: Vec<PathBuf>) {
    let removed = spawn_blocking(move || {
        for path in files {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    warn!(path = %path.display(), %error, "the output cannot be removed");
                }
                _ => {}
            }
        }
    });
    // It ends with the runtime at the latest; what is left then is swept by the next daemon.
    let _ = removed.await;
}
