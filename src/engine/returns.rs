//! What comes back from workers: reports become records, and it is decided what comes after an attempt.
//!
//! A report is acknowledged once all that it says is in the ledger, so that one is read twice rather than
//! never; every record is safe to repeat.

use std::{sync::Arc, time::Duration};

use futures_util::future::{join_all, try_join_all};
use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tracing::{debug, error, info, warn};

use super::{clock, daemon::Daemon, letters};
use crate::{
    backend::{
        Submission,
        drive::output_file,
        queue::{
            broker::{Delivery, QueueName, Settlement, Verdict},
            outbox::Connection,
            remote::{Silence, Tracked},
            report::{AttemptId, Done, Refused, Report, Reports},
            tail,
        },
    },
    ledger::{AttemptEnd, AttemptStart, LedgerError, LetterKept, RETRY, Stage, Staged, Then},
    run::{self, Next, Outcome, RunId, category},
};

/// Messages that are taken at once; each holds many reports.
const BATCH: usize = 32;

/// How long a queue without reports is waited at.
const WAIT: Duration = Duration::from_secs(10);

/// Time between two tries when the queue system does not answer, or there is no room for dead letters.
const AGAIN: Duration = Duration::from_secs(5);

/// How often it is looked for runs of which nothing is heard any more.
const SILENCE_EVERY: Duration = Duration::from_secs(10);

/// Why reports are left to be read again.
#[derive(Debug)]
enum Left {
    /// The ledger cannot be written.
    Ledger(LedgerError),
    /// There is no room for dead letters: nothing more is sent until a person has made some.
    Full,
}

impl From<LedgerError> for Left {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl Daemon {
    /// Takes in the reports that come over one queue system, until `stop` says so.
    pub async fn take_reports(
        self: Arc<Self>,
        from: Connection,
        queue: QueueName,
        mut stop: watch::Receiver<bool>,
    ) {
        // Before that, an outcome could not be told from one that nobody waits for.
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = self.recovered() => {}
        }
        let mut told: Option<String> = None;
        let mut is_ensured = false;
        loop {
            let round = async {
                if !is_ensured {
                    from.broker.ensure(&queue).await?;
                    is_ensured = true;
                }
                from.broker.receive(&queue, BATCH, WAIT).await
            };
            let came = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                came = round => came,
            };
            match came {
                Ok(deliveries) => {
                    told = None;
                    self.take_in(&from, &queue, deliveries).await;
                }
                Err(error) => {
                    is_ensured = false;
                    let said = error.to_string();
                    if told.as_ref() != Some(&said) {
                        warn!(backend = %from.name, error = said, "outcomes cannot be fetched");
                        told = Some(said);
                    }
                    tokio::select! {
                        _ = stop.wait_for(|stop| *stop) => return,
                        () = sleep(AGAIN) => {}
                    }
                }
            }
        }
    }

    async fn take_in(&self, from: &Connection, queue: &QueueName, deliveries: Vec<Delivery>) {
        let mut done = Vec::with_capacity(deliveries.len());
        for Delivery { receipt, body, .. } in deliveries {
            let result = match Reports::read(&body, &self.outbox().shared().keys) {
                Ok(reports) => self.take_in_one(from, reports).await,
                Err(error) => {
                    // Nobody could make more of it later.
                    error!(backend = %from.name, %queue, %error, "a report is not believed");
                    Ok(())
                }
            };
            match result {
                Ok(()) => done.push(Settlement { receipt, verdict: Verdict::Ack }),
                Err(Left::Ledger(error)) => {
                    warn!(error = &error as &dyn std::error::Error, "reports cannot be recorded yet");
                    done.push(Settlement { receipt, verdict: Verdict::Retry { after: RETRY } });
                }
                Err(Left::Full) => {
                    debug!(backend = %from.name, "a report waits for room for a dead letter");
                    done.push(Settlement { receipt, verdict: Verdict::Retry { after: AGAIN } });
                }
            }
        }
        for result in from.broker.settle(queue, &done).await {
            if let Err(error) = result {
                // It comes again, and is recorded already then.
                debug!(backend = %from.name, %error, "a report could not be acknowledged");
            }
        }
    }

    async fn take_in_one(&self, from: &Connection, reports: Reports) -> Result<(), Left> {
        let worker: Arc<str> = reports.worker.into();
        let mut staged = Vec::new();
        let mut starts = Vec::new();
        let mut ends = Vec::new();
        for report in reports.reports {
            match report {
                Report::PickedUp { attempt, at } => {
                    if self.remote().heard(attempt, Stage::PickedUp, clock::now(), &worker) {
                        staged.push(stage(attempt, Stage::PickedUp, at, &worker));
                    }
                }
                Report::Running { attempt, started_at } => {
                    if self.remote().heard(attempt, Stage::Running, clock::now(), &worker) {
                        staged.push(stage(attempt, Stage::Running, started_at, &worker));
                        starts.push(start(attempt, started_at, None, &worker));
                    }
                }
                Report::Returned { attempt, .. } => {
                    self.remote().heard(attempt, Stage::Acknowledged, clock::now(), &worker);
                }
                Report::Done(done) => ends.push(*done),
                Report::Refused(refused) => self.refused(from, *refused, &worker).await?,
            }
        }
        // Handed to the writer together, in their order.
        let staged = self.ledger().staged(staged);
        let starts: Vec<_> = starts.into_iter().map(|start| self.ledger().attempt_started(start)).collect();
        let ends = join_all(ends.into_iter().map(|done| self.done(from, done, &worker)));
        let (staged, starts, ends) = tokio::join!(staged, try_join_all(starts), ends);
        staged?;
        starts?;
        ends.into_iter().collect()
    }

    /// Records the end of an attempt, and has what comes after it begin.
    async fn done(&self, from: &Connection, done: Done, worker: &Arc<str>) -> Result<(), Left> {
        let tracked = self.remote().get(done.attempt.run_id);
        let is_current = |tracked: &Tracked| tracked.submission.attempt == done.attempt.n;
        // An attempt after it is under way, or the run was given up, and is told of after all. What a
        // person has stopped stays so.
        let is_over = tracked.is_none() && !self.is_cancelled(done.attempt.run_id).await?;
        let then = if is_over { Then::RunEnds } else { Then::Again };
        let file = self.keep_tail(&done, worker).await;
        let start = start(done.attempt, done.started_at, file, worker);
        let started = self.ledger().attempt_started(start);
        let Some(tracked) = tracked.filter(is_current) else {
            debug!(run_id = %done.attempt.run_id, attempt = done.attempt.n, "an outcome came that was not waited for");
            let ended = self.ledger().attempt_ended(end(&done, then, worker));
            let (started, ended) = tokio::join!(started, ended);
            return started.and(ended).map_err(Left::from);
        };
        started.await?;
        self.ended(from, &tracked.submission, &end(&done, Then::RunEnds, worker)).await
    }

    /// Decides what comes after an attempt of a run elsewhere, and records both.
    async fn ended(&self, from: &Connection, submission: &Submission, end: &AttemptEnd) -> Result<(), Left> {
        let Submission { id, key, spec, .. } = submission;
        let next = run::next(end.n, &end.outcome, &spec.policy.retry, rand::random());
        let job = &key.job;
        match next {
            Next::Done => {
                info!(%job, run_id = %id, attempt = end.n, worker = end.worker.as_deref(), "succeeded");
                self.ledger().attempt_ended(end.clone()).await?;
                if self.letters().is_full() {
                    // It may have been one that was tried again.
                    self.see_to_room().await?;
                }
            }
            Next::RetryAfter(wait) => {
                warn!(%job, run_id = %id, attempt = end.n, outcome = %end.outcome, retry_in_ms = wait.as_millis(), "failed, will be tried again");
                let again = Submission { attempt: end.n + 1, wait, ..submission.clone() };
                let ended = self.ledger().attempt_ended(AttemptEnd { then: Then::Again, ..end.clone() });
                let at = AttemptId { run_id: *id, n: again.attempt };
                let staged = self.ledger().staged(vec![enqueued(at)]);
                let (ended, staged) = tokio::join!(ended, staged);
                ended.and(staged)?;
                self.jobs().take(again);
                return Ok(());
            }
            // Its record says it; no person could do more about it.
            Next::GiveUp if matches!(end.outcome, Outcome::Cancelled | Outcome::Expired) => {
                self.ledger().attempt_ended(end.clone()).await?;
            }
            Next::GiveUp => {
                warn!(%job, run_id = %id, attempt = end.n, outcome = %end.outcome, "failed; kept as a dead letter");
                let letter = letters::of_run(submission, end, from, clock::now());
                let kept = self.ledger().given_up(end.clone(), letter, self.letters_max()).await?;
                self.letter_kept(kept).await?;
                if kept == LetterKept::Full {
                    return Err(Left::Full);
                }
            }
        }
        self.remote().forget(*id);
        self.running().leave(*id);
        Ok(())
    }

    async fn is_cancelled(&self, run: RunId) -> Result<bool, LedgerError> {
        let row = self.ledger().run(run).await?;
        Ok(row.is_some_and(|row| row.outcome == Some(Outcome::Cancelled)))
    }

    /// A message that no worker runs becomes a dead letter.
    async fn refused(&self, from: &Connection, refused: Refused, worker: &Arc<str>) -> Result<(), Left> {
        let Refused { attempt, outcome, at, .. } = &refused;
        warn!(%worker, queue = refused.queue, outcome = %outcome, "a message was not run; kept as a dead letter");
        let tracked =
            attempt.and_then(|of| self.remote().get(of.run_id).filter(|run| run.submission.attempt == of.n));
        if let (Some(of), Some(tracked)) = (attempt, tracked) {
            let outcome = outcome.clone();
            let worker = Some(Arc::clone(worker));
            let (run_id, n, ended_at) = (of.run_id, of.n, *at);
            let (bytes_seen, bytes_kept, then) = (0, 0, Then::RunEnds);
            let end = AttemptEnd { run_id, n, ended_at, outcome, bytes_seen, bytes_kept, then, worker };
            return self.ended(from, &tracked.submission, &end).await;
        }
        let category = category(outcome);
        let letter = letters::of_message(refused, category, from);
        let kept = self.ledger().dead_letter(letter, self.letters_max()).await?;
        self.letter_kept(kept).await?;
        if kept == LetterKept::Full { Err(Left::Full) } else { Ok(()) }
    }

    /// Keeps the end of an attempt's output as the output of the run; gives the file. A worker of this
    /// process has written it there itself.
    async fn keep_tail(&self, done: &Done, worker: &Arc<str>) -> Option<String> {
        if done.bytes_seen == 0 {
            return None;
        }
        let file = output_file(done.attempt.run_id, done.attempt.n);
        if self.is_own_worker(worker) {
            return Some(file);
        }
        let path = self.parts().output.join(&file);
        match tail::keep(path, done.tail.clone(), done.bytes_seen).await {
            Ok(()) => Some(file),
            Err(error) => {
                warn!(%error, run_id = %done.attempt.run_id, "the output of an attempt cannot be kept");
                None
            }
        }
    }

    /// Ends the attempts of which nothing is heard any more, until `stop` says so.
    pub async fn end_silent(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut look = Instant::now();
        loop {
            look += SILENCE_EVERY;
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep_until(look) => {}
            }
            for (attempt, silence) in self.remote().silent(clock::now()) {
                if let Err(left) = self.silent(attempt, silence).await {
                    debug!(?left, "a run of which nothing is heard could not be ended yet");
                }
            }
        }
    }

    async fn silent(&self, attempt: AttemptId, silence: Silence) -> Result<(), Left> {
        let Some(tracked) = self.remote().get(attempt.run_id) else { return Ok(()) };
        let job = &tracked.submission.key.job;
        let worker = tracked.worker.clone();
        let (run_id, ended_at) = (attempt.run_id, clock::now());
        match silence {
            Silence::Expired => {
                warn!(%job, %run_id, "nobody picked up the message in time");
                self.ledger().run_ended(run_id, Outcome::Expired, ended_at).await?;
                self.remote().forget(run_id);
                self.running().leave(run_id);
                Ok(())
            }
            Silence::Lost => {
                warn!(%job, %run_id, worker = worker.as_deref(), "nothing is heard of the run any more");
                let Some(from) = self.connection_of(&tracked.submission) else { return Ok(()) };
                let (n, outcome, then) = (attempt.n, Outcome::Lost, Then::RunEnds);
                let end =
                    AttemptEnd { run_id, n, ended_at, outcome, bytes_seen: 0, bytes_kept: 0, then, worker };
                self.ended(&from, &tracked.submission, &end).await
            }
        }
    }
}

fn stage(attempt: AttemptId, stage: Stage, at: Timestamp, worker: &Arc<str>) -> Staged {
    Staged { run_id: attempt.run_id, attempt: attempt.n, stage, at, worker: Some(Arc::clone(worker)) }
}

/// That an attempt is in the outbox.
pub(super) fn enqueued(attempt: AttemptId) -> Staged {
    let (run_id, at) = (attempt.run_id, clock::now());
    Staged { run_id, attempt: attempt.n, stage: Stage::Enqueued, at, worker: None }
}

fn start(attempt: AttemptId, at: Timestamp, output: Option<String>, worker: &Arc<str>) -> AttemptStart {
    let worker = Some(Arc::clone(worker));
    AttemptStart { run_id: attempt.run_id, n: attempt.n, started_at: at, output, worker }
}

fn end(done: &Done, then: Then, worker: &Arc<str>) -> AttemptEnd {
    AttemptEnd {
        run_id: done.attempt.run_id,
        n: done.attempt.n,
        ended_at: done.ended_at,
        outcome: done.outcome.clone(),
        bytes_seen: done.bytes_seen,
        bytes_kept: done.bytes_kept,
        then,
        worker: Some(Arc::clone(worker)),
    }
}
