//! What becomes of a message that was taken: it is run, put off, refused, or left alone.

use std::time::Duration;

use jiff::Timestamp;

use super::vouch::{Doubt, Task, Vouch};
use crate::{
    backend::queue::{
        broker::Delivery,
        envelope::{Envelope, EnvelopeError},
        report::{AttemptId, Refused, TAIL_MAX},
        signature::Keyring,
    },
    engine::letters::message_uuid,
    run::Outcome,
};

/// How often a message is handed out: one that no worker has lived to tell of so often ends them.
const DELIVERIES_MAX: u32 = 10;

/// How long a message is put off whose job's manifest is not here yet.
const PUT_OFF: Duration = Duration::from_secs(15);

/// How long a manifest is waited for, from when the message was sent: a checkout that is further behind is
/// broken.
const BEHIND_MAX: Duration = Duration::from_secs(600);

/// What is to become of a message.
#[derive(Debug)]
pub enum Intake {
    /// It is run.
    Run(Box<(Envelope, Task)>),
    /// It is taken again after this long.
    Later(Duration),
    /// It came too late.
    Expired(Box<Envelope>),
    /// It is not run, and becomes a dead letter.
    Refuse(Box<Refused>),
    /// It is not ours.
    Leave,
}

/// Looks at a message that came from `queue`; `counts` says whether the queue system counts how often it
/// hands one out.
#[must_use]
pub fn look(
    delivery: &Delivery,
    queue: &str,
    counts: bool,
    (keys, vouch): (&Keyring, &Vouch),
    now: Timestamp,
) -> Intake {
    let refuse = |attempt: Option<&Envelope>, reason: String| {
        let of = attempt.map(|envelope| AttemptId { run_id: envelope.run_id, n: envelope.attempt });
        Intake::Refuse(Box::new(Refused {
            id: of.map_or_else(|| message_uuid(&delivery.body), |of| of.run_id.0),
            attempt: of,
            job: attempt.map(|envelope| envelope.job.clone()),
            queue: queue.to_owned(),
            outcome: Outcome::Refused { reason },
            deliveries: delivery.deliveries,
            body: shortened(&delivery.body),
            at: now,
        }))
    };
    let (envelope, vouched) = match Envelope::read(&delivery.body, keys) {
        Ok(read) => read,
        Err(EnvelopeError::Foreign) => return Intake::Leave,
        Err(error) => return refuse(None, error.to_string()),
    };
    if counts && delivery.deliveries > DELIVERIES_MAX {
        let reason = format!(
            "it was handed out {} times, and no worker lived to say what came of it",
            delivery.deliveries
        );
        return refuse(Some(&envelope), reason);
    }
    let task = match vouch.check(&envelope, vouched) {
        Ok(task) => task,
        Err(Doubt::ForOthers) => return Intake::Leave,
        Err(Doubt::Never(reason)) => return refuse(Some(&envelope), reason),
        Err(Doubt::NotYet(reason)) => {
            let age = now.duration_since(envelope.enqueued_at);
            let is_hopeless = age.unsigned_abs() > BEHIND_MAX && age.is_positive();
            return if is_hopeless { refuse(Some(&envelope), reason) } else { Intake::Later(PUT_OFF) };
        }
    };
    if let Some(wait) = envelope.not_before.and_then(|at| Duration::try_from(at.duration_since(now)).ok())
        && !wait.is_zero()
    {
        return Intake::Later(wait);
    }
    if envelope.expires_at < now {
        return Intake::Expired(Box::new(envelope));
    }
    Intake::Run(Box::new((envelope, task)))
}

/// What a message says, for people: of one that is very long, its beginning.
fn shortened(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(TAIL_MAX)]).into_owned()
}
