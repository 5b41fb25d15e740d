//! Drops history past its limits, now and then.

use std::{fs, io, sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};
use tracing::{info, warn};

use super::{clock, daemon::Daemon};
use crate::ledger::HistoryLimits;

/// Time between two looks. Rows of a minute past the limit do no harm.
const EVERY: Duration = Duration::from_secs(60);

/// Drops what is past the limits until `stop` says so.
pub async fn run(daemon: Arc<Daemon>, limits: HistoryLimits, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = sleep(EVERY) => {}
        }
        let mut rows = 0;
        loop {
            match daemon.ledger().prune_history(limits, clock::now()).await {
                Ok(pruned) if pruned.rows == 0 => break,
                Ok(pruned) => {
                    rows += pruned.rows;
                    for file in pruned.files {
                        match fs::remove_file(daemon.parts().output.join(&file)) {
                            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                                warn!(file, %error, "the output cannot be removed");
                            }
                            _ => {}
                        }
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
