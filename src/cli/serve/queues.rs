//! The parts of the daemon that speak to queue systems: what sends, what takes outcomes in, and the
//! daemon's own worker.

use std::sync::Arc;

use tokio::sync::watch;

use super::loops::Loops;
use crate::{
    backend::queue::lane::Lane,
    config::Settings,
    engine::{daemon::Daemon, worker::own},
    tier::queues::EMBEDDED,
};

/// What ends the daemon's own worker.
pub(super) struct Queues {
    hurry: watch::Sender<bool>,
    ended: watch::Receiver<bool>,
}

impl Queues {
    /// Starts them. They send and take until the first of the two says so; outcomes are taken in until
    /// the second does.
    pub(super) fn start(
        daemon: &Arc<Daemon>,
        settings: &Settings,
        lanes: Vec<Lane>,
        loops: &mut Loops,
        (stop, stop_all): (&watch::Receiver<bool>, &watch::Receiver<bool>),
    ) -> Self {
        for lane in lanes {
            loops.add("the loop that sends messages", tokio::spawn(lane.run(stop.clone())));
        }
        for (connection, _) in daemon.outbox().lanes() {
            for queue in [connection.results.clone(), connection.refusals.clone()] {
                let taking = Arc::clone(daemon).take_reports(connection.clone(), queue, stop_all.clone());
                loops.add("the loop that takes outcomes in", tokio::spawn(taking));
            }
        }
        let silent = Arc::clone(daemon).end_silent(stop_all.clone());
        loops.add("the loop that ends lost runs", tokio::spawn(silent));
        let letters = Arc::clone(daemon).see_to_letters(stop.clone());
        loops.add("the loop that sees to dead letters", tokio::spawn(letters));
        let (hurry, hurried) = watch::channel(false);
        let (end, ended) = watch::channel(false);
        let worker = settings.queue.worker;
        if worker.enabled {
            let shared = own::shared(daemon, daemon.parts().executor.clone(), worker.concurrency);
            daemon.set_own_worker(Arc::clone(&shared));
            let claim = settings.queue.backends.get(EMBEDDED).map(|backend| backend.claim);
            let patience = settings.shutdown_timeout;
            let (daemon, stop) = (Arc::clone(daemon), stop.clone());
            let mut hurried = hurried;
            tokio::spawn(async move {
                let hurry = async { drop(hurried.wait_for(|hurried| *hurried).await) };
                own::run(daemon, shared, claim.unwrap_or_default(), stop, (patience, hurry)).await;
                end.send_replace(true);
            });
        } else {
            end.send_replace(true);
        }
        Self { hurry, ended }
    }

    /// Stops what the daemon's own worker runs.
    pub(super) fn hurry(&self) {
        self.hurry.send_replace(true);
    }

    /// Waits until the daemon's own worker has ended.
    pub(super) async fn drained(&self) {
        let mut ended = self.ended.clone();
        let _ = ended.wait_for(|ended| *ended).await;
    }
}
