//! How many messages a queue has.

use redis::Value;

use super::{
    super::broker::{BrokerError, Depth, QueueName},
    GROUP, Keys,
    entry::list,
    fault::unexpected,
    lines::{ANSWER_MAX, Lines},
    script::{DEPTH, Request},
};

/// Counts the messages of a queue; one that is not there has none. What is due and was not moved yet is
/// ready.
pub(super) async fn depth(lines: &Lines, queue: &QueueName) -> Result<Depth, BrokerError> {
    let keys = Keys::new(queue);
    let mut request = Request::call(&DEPTH, &[keys.stream, &keys.delayed], 1, GROUP.len());
    request.command.arg(GROUP);
    let counts = lines.ask(Some(queue), &request, ANSWER_MAX).await?;
    read(counts).ok_or_else(|| unexpected("a count"))
}

fn read(counts: Value) -> Option<Depth> {
    let count = |value: Value| if let Value::Int(count) = value { u64::try_from(count).ok() } else { None };
    let [ready, claimed, delayed] = <[Value; 3]>::try_from(list(counts)?).ok()?;
    Some(Depth { ready: count(ready)?, claimed: Some(count(claimed)?), delayed: Some(count(delayed)?) })
}
