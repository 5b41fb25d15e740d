//! One attempt on a worker, from its message to its report.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;
use tracing::{info, warn};

use super::{
    claims::{Going, Halt},
    outgoing::Word,
    source::{Desk, Shared},
    vouch::Task,
};
use crate::{
    backend::{
        drive::output_file,
        queue::{
            broker::Receipt,
            envelope::Envelope,
            report::{AttemptId, Done, Report},
            tail,
        },
    },
    execute::{self, OutputSize},
    manifest::spec::Action,
    run::Outcome,
};

/// Whether an action is over as soon as it begins.
#[must_use]
pub fn is_brief(task: &Task) -> bool {
    matches!(task.spec.run.action, Action::Builtin(_))
}

/// Makes an attempt that is over as soon as it begins.
pub fn run_brief(desk: &Desk, shared: &Shared, receipt: Receipt, envelope: &Envelope) {
    let now = (shared.now)();
    shared.counts.succeeded.add();
    let done = done(envelope, now, now, (Outcome::Success, OutputSize::default()), String::new());
    let attempt = Some(attempt_of(envelope));
    desk.finish(receipt, attempt, envelope.reply_to.as_deref(), Report::Done(Box::new(done)));
}

/// Makes an attempt. The permit is given back with its end.
pub async fn run(
    desk: Arc<Desk>,
    shared: Arc<Shared>,
    receipt: Receipt,
    (envelope, task): (Envelope, Task),
    permit: OwnedSemaphorePermit,
) {
    let attempt = attempt_of(&envelope);
    let Some(stop) = shared.stops.enter(envelope.run_id) else {
        // Another attempt of the run: the daemon has given this one up.
        return desk.give_back(receipt, attempt, envelope.reply_to.as_deref(), (shared.now)());
    };
    let started_at = (shared.now)();
    let reply_to: Option<Arc<str>> = envelope.reply_to.as_deref().map(Into::into);
    desk.claims.runs(&receipt, Going { attempt, started_at, reply_to: reply_to.clone() });
    if let Some(to) = &reply_to {
        let report = Report::Running { attempt, started_at };
        desk.say(Word::Note { to: Arc::clone(to), attempt, report });
    }
    let output = shared.output.join(output_file(attempt.run_id, attempt.n));
    // A person may have stopped it while its message waited here.
    let is_stopped = *stop.borrow();
    let report = if is_stopped {
        execute::Report { outcome: Outcome::Cancelled, output: OutputSize::default() }
    } else {
        execute::attempt(&shared.executor, request(&envelope, &task, output.clone()), stop).await
    };
    let halt = shared.stops.leave(envelope.run_id);
    drop(permit);
    if halt == Halt::Drained && report.outcome == Outcome::Cancelled {
        info!(job = %envelope.job, run_id = %envelope.run_id, "stopped with the worker; another one is to run it");
        return desk.give_back(receipt, attempt, envelope.reply_to.as_deref(), (shared.now)());
    }
    let is_success = report.outcome.is_success();
    if is_success {
        shared.counts.succeeded.add();
    } else {
        shared.counts.failed.add();
    }
    // The daemon tells it itself.
    if !shared.is_at_daemon {
        tell(&envelope, &report.outcome);
    }
    let tail =
        if report.output.seen == 0 || shared.is_at_daemon { String::new() } else { tail::read(output).await };
    let done = done(&envelope, started_at, (shared.now)(), (report.outcome, report.output), tail);
    desk.finish(receipt, Some(attempt), envelope.reply_to.as_deref(), Report::Done(Box::new(done)));
}

/// The attempt that an envelope asks for.
#[must_use]
pub fn attempt_of(envelope: &Envelope) -> AttemptId {
    AttemptId { run_id: envelope.run_id, n: envelope.attempt }
}

/// That a message came too late.
#[must_use]
pub fn expired(envelope: &Envelope, now: Timestamp) -> Report {
    let output = OutputSize::default();
    Report::Done(Box::new(done(envelope, now, now, (Outcome::Expired, output), String::new())))
}

fn tell(envelope: &Envelope, outcome: &Outcome) {
    let Envelope { job, run_id, attempt, .. } = envelope;
    if outcome.is_success() {
        info!(%job, %run_id, attempt, "succeeded");
    } else {
        warn!(%job, %run_id, attempt, %outcome, "failed");
    }
}

fn request(envelope: &Envelope, task: &Task, output: PathBuf) -> execute::Attempt {
    execute::Attempt {
        spec: Arc::clone(&task.spec),
        run_id: envelope.run_id,
        fire_time: envelope.fire_time,
        timezone: task.timezone.clone(),
        attempt: envelope.attempt,
        // Those of the run are among those of the spec.
        params: BTreeMap::new(),
        output,
        echo: None,
    }
}

fn done(
    envelope: &Envelope,
    started_at: Timestamp,
    ended_at: Timestamp,
    (outcome, output): (Outcome, OutputSize),
    tail: String,
) -> Done {
    Done {
        attempt: attempt_of(envelope),
        started_at,
        ended_at,
        outcome,
        bytes_seen: output.seen,
        bytes_kept: output.kept,
        tail,
    }
}
