//! Makes the envelope of a run.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    broker::QueueName,
    envelope::{Envelope, VERSION, Work, traceparent},
    remote::expires_at,
};
use crate::{
    backend::Submission,
    execute::fill,
    manifest::{
        spec::{Action, MessageSpec},
        template::Values,
    },
    run::Cause,
    schedule::told::{self, Answers},
};

/// The envelope of the run's attempt, sent at `now` and not to be begun before `due`; its outcome goes to
/// the queue `results`.
///
/// # Errors
///
/// When a template of a message for another program cannot be filled in.
pub fn envelope(
    submission: &Submission,
    due: Timestamp,
    results: &QueueName,
    now: Timestamp,
) -> Result<Envelope, String> {
    let Submission { id, key, spec, params, attempt, .. } = submission;
    let timezone = timezone(submission);
    let (action, message) = match &spec.run.action {
        Action::Message(message) => (None, fill_in(message, submission, &timezone)?),
        _ => {
            let work = Work::of(spec, params, timezone);
            let context = Value::Object(work.params.clone().into_iter().collect());
            let workflow = key.job.to_string();
            let metadata = Value::Object(serde_json::Map::new());
            (Some(work), MessageSpec { workflow, workflow_provider: None, context, metadata })
        }
    };
    Ok(Envelope {
        v: VERSION,
        run_id: *id,
        job: key.job.clone(),
        fire_time: key.fire_time,
        cause: key.cause,
        attempt: *attempt,
        max_attempts: spec.policy.retry.max_attempts,
        not_before: (due > now).then_some(due),
        expires_at: expires_at(spec, due),
        enqueued_at: now,
        digest: submission.digest,
        action,
        reply_to: Some(results.to_string()),
        traceparent: traceparent(*id, *attempt),
        workflow: message.workflow,
        workflow_provider: message.workflow_provider,
        context: message.context,
        metadata: message.metadata,
        queued_at: now,
    })
}

/// The zone that templates tell the fire time in.
#[must_use]
pub fn timezone(submission: &Submission) -> String {
    let answers = match submission.key.cause {
        Cause::Reboot => Answers::Boot,
        Cause::Schedule | Cause::Manual => Answers::Instant,
    };
    let spec = &submission.spec;
    told::zone(&spec.name, &spec.schedule, submission.key.fire_time, answers).to_owned()
}

fn fill_in(message: &MessageSpec, submission: &Submission, timezone: &str) -> Result<MessageSpec, String> {
    let Submission { id, key, spec, params, attempt, .. } = submission;
    let mut all = spec.params.clone();
    all.extend(params.clone());
    let values = Values {
        job: spec.name.clone(),
        labels: spec.labels.clone(),
        fire_time: key.fire_time,
        timezone: timezone.to_owned(),
        run_id: id.to_string(),
        attempt: *attempt,
        params: all,
        steps: BTreeMap::new(),
        secrets: BTreeMap::new(),
    };
    Ok(MessageSpec {
        workflow: fill::text(&message.workflow, &values)?,
        workflow_provider: message.workflow_provider.clone(),
        context: fill::value(&message.context, &values)?,
        metadata: fill::value(&message.metadata, &values)?,
    })
}
