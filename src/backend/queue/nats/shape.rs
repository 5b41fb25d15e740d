//! How the stream and the consumer of a queue are made, and which that are there will do.

use std::time::Duration;

use tracing::warn;

use super::{
    super::broker::{BrokerError, QueueName},
    CONSUMER, Options,
    api::{Answer, Api, ConsumerConfig, ConsumerInfo, StreamConfig, StreamInfo},
    fault::{self, ApiError, refused},
};

/// Pull requests that may wait at a consumer: one for each task of each worker that waits.
const WAITING_MAX: i64 = 10_000;

/// A stream or a consumer of the name has been made meanwhile (10058, 10013, 10148).
const MADE_MEANWHILE: [u32; 3] = [10_058, 10_013, 10_148];

/// Makes what is not there, and changes nothing that is.
pub(super) async fn ensure(api: Api<'_>, queue: &QueueName) -> Result<(), BrokerError> {
    let stream = stream(queue, api.options);
    let found = match api.stream(queue).await? {
        Err(error) if error.code == fault::NOT_FOUND => match api.create_stream(&stream).await? {
            Err(error) if MADE_MEANWHILE.contains(&error.err_code) => api.stream(queue).await?,
            made => made,
        },
        found => found,
    };
    check_stream(queue, &stream, found)?;

    let consumer = consumer(api.options);
    let found = match api.consumer(queue).await? {
        Err(error) if error.code == fault::NOT_FOUND => match api.create_consumer(queue, &consumer).await? {
            Err(error) if MADE_MEANWHILE.contains(&error.err_code) => api.consumer(queue).await?,
            made => made,
        },
        found => found,
    };
    check_consumer(queue, &consumer, found)
}

fn stream(queue: &QueueName, options: &Options) -> StreamConfig {
    StreamConfig {
        name: queue.as_str().to_owned(),
        subjects: vec![queue.as_str().to_owned()],
        retention: "workqueue".to_owned(),
        storage: "file".to_owned(),
        // A full stream refuses what is new; the other way it would drop what nobody has done yet.
        discard: "new".to_owned(),
        max_msgs: -1,
        max_msgs_per_subject: -1,
        max_bytes: options.max_bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        max_age: 0,
        num_replicas: options.replicas,
        duplicate_window: nanos(options.duplicate_window),
        no_ack: false,
        sealed: false,
    }
}

fn consumer(options: &Options) -> ConsumerConfig {
    ConsumerConfig {
        durable_name: CONSUMER.to_owned(),
        deliver_subject: None,
        deliver_policy: "all".to_owned(),
        ack_policy: "explicit".to_owned(),
        ack_wait: nanos(options.claim),
        max_deliver: -1,
        replay_policy: "instant".to_owned(),
        filter_subject: None,
        filter_subjects: Vec::new(),
        backoff: Vec::new(),
        headers_only: false,
        max_ack_pending: i64::from(options.claims_max),
        max_waiting: WAITING_MAX,
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn check_stream(
    queue: &QueueName,
    wanted: &StreamConfig,
    found: Answer<StreamInfo>,
) -> Result<(), BrokerError> {
    let found = found.map_err(|error| of_making(queue, error))?.config;
    let wrong = wrong_of_stream(wanted, &found);
    if !wrong.is_empty() {
        let wrong = wrong.join(", ");
        return Err(refused(format!(
            "the stream `{queue}` is there, and {wrong}; it is left as it is: name another queue, or delete it"
        )));
    }
    if found.num_replicas != wanted.num_replicas || found.duplicate_window != wanted.duplicate_window {
        warn!(
            queue = queue.as_str(),
            replicas = found.num_replicas,
            duplicate_window = ?Duration::from_nanos(found.duplicate_window),
            "the stream was made with other settings, and is left as it is"
        );
    }
    Ok(())
}

/// For what a stream will not do.
fn wrong_of_stream(wanted: &StreamConfig, found: &StreamConfig) -> Vec<String> {
    let mut wrong = Vec::new();
    if found.retention != wanted.retention {
        wrong.push(format!("its retention is `{}`, not `{}`", found.retention, wanted.retention));
    }
    if found.subjects != wanted.subjects {
        wrong.push(format!("its subjects are `{}`, not `{}`", found.subjects.join(" "), wanted.name));
    }
    if found.storage != wanted.storage {
        wrong.push(format!("its storage is `{}`, not `{}`", found.storage, wanted.storage));
    }
    if found.discard != wanted.discard && (found.max_msgs > 0 || found.max_bytes > 0) {
        wrong.push("it drops its oldest messages when it is full".to_owned());
    }
    if found.max_msgs_per_subject > 0 && found.discard != wanted.discard {
        wrong.push(format!("it keeps {} messages of a subject only", found.max_msgs_per_subject));
    }
    if found.max_age > 0 {
        wrong.push(format!("it drops messages after {:?}", Duration::from_nanos(found.max_age)));
    }
    if found.no_ack {
        wrong.push("it does not say when it has a message".to_owned());
    }
    if found.sealed {
        wrong.push("it is sealed".to_owned());
    }
    wrong
}

fn check_consumer(
    queue: &QueueName,
    wanted: &ConsumerConfig,
    found: Answer<ConsumerInfo>,
) -> Result<(), BrokerError> {
    let found = found.map_err(|error| of_making(queue, error))?.config;
    let wrong = wrong_of_consumer(wanted, &found);
    if !wrong.is_empty() {
        let wrong = wrong.join(", ");
        return Err(refused(format!(
            "the consumer `{CONSUMER}` of the stream `{queue}` is there, and {wrong}; it is left as it is: \
             change the setting, edit the consumer, or delete it (what it handed out then comes again)"
        )));
    }
    if found.max_ack_pending != wanted.max_ack_pending {
        warn!(
            queue = queue.as_str(),
            max_ack_pending = found.max_ack_pending,
            "the consumer was made with another limit, and is left as it is"
        );
    }
    Ok(())
}

/// For what a consumer will not do.
fn wrong_of_consumer(wanted: &ConsumerConfig, found: &ConsumerConfig) -> Vec<String> {
    let mut wrong = Vec::new();
    if found.ack_policy != wanted.ack_policy {
        wrong.push(format!("its ack policy is `{}`, not `{}`", found.ack_policy, wanted.ack_policy));
    }
    if found.deliver_subject.is_some() {
        wrong.push("it pushes".to_owned());
    }
    if found.filter_subject.as_deref().is_some_and(|filter| !filter.is_empty())
        || !found.filter_subjects.is_empty()
    {
        wrong.push("it has a filter".to_owned());
    }
    if found.max_deliver > 0 {
        wrong.push(format!("it gives a message up after {} deliveries", found.max_deliver));
    }
    if !found.backoff.is_empty() {
        wrong.push("it has a backoff".to_owned());
    } else if found.ack_wait != wanted.ack_wait {
        let (is, asked) = (Duration::from_nanos(found.ack_wait), Duration::from_nanos(wanted.ack_wait));
        wrong.push(format!("its ack wait is {is:?}, where a claim is to last {asked:?}"));
    }
    if found.headers_only {
        wrong.push("it hands out headers only".to_owned());
    }
    wrong
}

fn of_making(queue: &QueueName, error: ApiError) -> BrokerError {
    match BrokerError::from(error) {
        BrokerError::Refused { reason } => refused(format!("the queue `{queue}` cannot be made: {reason}")),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> QueueName {
        QueueName::parse("reports").unwrap()
    }

    #[track_caller]
    fn check_stream_with(change: impl FnOnce(&mut StreamConfig), expected: &[&str]) {
        let wanted = stream(&queue(), &Options::default());
        let mut found = wanted.clone();
        change(&mut found);
        assert_eq!(wrong_of_stream(&wanted, &found), expected);
    }

    #[test]
    fn a_stream_that_would_lose_messages_will_not_do() {
        check_stream_with(|_| {}, &[]);
        check_stream_with(|found| found.num_replicas = 3, &[]);
        check_stream_with(|found| found.max_bytes = 1 << 30, &[]);
        check_stream_with(|found| found.discard = "old".to_owned(), &[]);
        check_stream_with(
            |found| (found.discard, found.max_msgs) = ("old".to_owned(), 10),
            &["it drops its oldest messages when it is full"],
        );
        check_stream_with(|found| found.max_age = 1_000_000_000, &["it drops messages after 1s"]);
        check_stream_with(
            |found| found.retention = "limits".to_owned(),
            &["its retention is `limits`, not `workqueue`"],
        );
        check_stream_with(
            |found| found.subjects = vec!["reports.>".to_owned(), "other".to_owned()],
            &["its subjects are `reports.> other`, not `reports`"],
        );
        check_stream_with(
            |found| found.storage = "memory".to_owned(),
            &["its storage is `memory`, not `file`"],
        );
    }

    #[track_caller]
    fn check_consumer_with(change: impl FnOnce(&mut ConsumerConfig), expected: &[&str]) {
        let wanted = consumer(&Options::default());
        let mut found = wanted.clone();
        change(&mut found);
        assert_eq!(wrong_of_consumer(&wanted, &found), expected);
    }

    #[test]
    fn a_consumer_that_would_lose_messages_will_not_do() {
        check_consumer_with(|_| {}, &[]);
        check_consumer_with(|found| found.max_ack_pending = 10, &[]);
        check_consumer_with(|found| found.filter_subject = Some(String::new()), &[]);
        check_consumer_with(
            |found| found.ack_policy = "none".to_owned(),
            &["its ack policy is `none`, not `explicit`"],
        );
        check_consumer_with(|found| found.max_deliver = 5, &["it gives a message up after 5 deliveries"]);
        check_consumer_with(
            |found| found.ack_wait = 1_000_000_000,
            &["its ack wait is 1s, where a claim is to last 60s"],
        );
        check_consumer_with(|found| found.deliver_subject = Some("x".to_owned()), &["it pushes"]);
    }
}
