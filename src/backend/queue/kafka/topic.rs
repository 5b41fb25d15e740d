//! Questions about topics, and how they are made.

use std::{sync::Arc, time::Instant};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    consumer::Consumer as _,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code},
    producer::Producer as _,
    topic_partition_list::{Offset, TopicPartitionList},
};
use tokio::time::{sleep, timeout};

use super::{
    super::broker::BrokerError,
    Options,
    client::{self, ANSWER_MAX, Parting, Reporter, ask},
    fault::{self, Faults},
    intake::Intake,
    member::Consumer,
    outbox::Outbox,
};

/// Longest time until all brokers know a topic that was made.
const SPREAD_MAX: std::time::Duration = ANSWER_MAX;

/// Makes a topic, unless it is there.
pub(super) async fn ensure(options: &Options, outbox: &Outbox, topic: &str) -> Result<(), BrokerError> {
    if !is_there(outbox, topic).await? {
        make(options, topic).await?;
        let start = Instant::now();
        while !is_there(outbox, topic).await? {
            if start.elapsed() > SPREAD_MAX {
                return Err(fault::unreachable("the topic was made, and is not there yet"));
            }
            sleep(SPREAD_MAX / 100).await;
        }
    }
    match is_compacted(options, topic).await {
        Ok(true) => Err(fault::refused(format!(
            "`{topic}` is compacted: of two messages with one key it keeps the last; use another name, or \
             set its `cleanup.policy` to `delete`"
        ))),
        // Who may not look at settings, or asks a server that does not show them, can still use the topic.
        Ok(false) | Err(BrokerError::Refused { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether there is a topic with a leader for each partition.
async fn is_there(outbox: &Outbox, topic: &str) -> Result<bool, BrokerError> {
    let (producer, name) = (outbox.producer()?, topic.to_owned());
    let found = ask(outbox.faults(), move || {
        let metadata = producer.client().fetch_metadata(Some(&name), ANSWER_MAX)?;
        let Some(topic) = metadata.topics().first() else { return Ok(false) };
        if let Some(error) = topic.error() {
            let code = Code::from(error);
            let is_absent = code == Code::UnknownTopicOrPartition || code == Code::LeaderNotAvailable;
            return if is_absent { Ok(false) } else { Err(KafkaError::MetadataFetch(code)) };
        }
        Ok(!topic.partitions().is_empty() && topic.partitions().iter().all(|part| part.leader() >= 0))
    });
    found.await
}

async fn make(options: &Options, topic: &str) -> Result<(), BrokerError> {
    let (admin, faults) = admin(options)?;
    let retention = options.retention.as_millis().to_string();
    let new = NewTopic::new(topic, options.partitions, TopicReplication::Fixed(options.replication))
        .set("cleanup.policy", "delete")
        .set("retention.ms", &retention);
    let wishes = AdminOptions::new().operation_timeout(Some(ANSWER_MAX)).request_timeout(Some(ANSWER_MAX));
    let results = answer(&faults, admin.create_topics([&new], &wishes)).await?;
    match results.into_iter().next() {
        None | Some(Ok(_) | Err((_, Code::TopicAlreadyExists))) => Ok(()),
        Some(Err((_, code))) => Err(fault::of_code(code, "")),
    }
}

async fn is_compacted(options: &Options, topic: &str) -> Result<bool, BrokerError> {
    let (admin, faults) = admin(options)?;
    let wishes = AdminOptions::new().request_timeout(Some(ANSWER_MAX));
    let results =
        answer(&faults, admin.describe_configs([&ResourceSpecifier::Topic(topic)], &wishes)).await?;
    let Some(result) = results.into_iter().next() else { return Ok(false) };
    let settings = result.map_err(|code| fault::of_code(code, ""))?;
    let policy = settings.get("cleanup.policy").and_then(|entry| entry.value.as_deref());
    Ok(policy.is_some_and(|policy| policy.contains("compact")))
}

/// A client for administration. It is made for one request: between requests, nobody reads what it reports.
fn admin(options: &Options) -> Result<(Parting<AdminClient<Reporter>>, Faults), BrokerError> {
    let faults = Faults::new();
    let made = client::producer(options).create_with_context(Reporter(faults.clone()));
    Ok((Parting::new(made.map_err(|error| fault::of(&error))?), faults))
}

async fn answer<T>(faults: &Faults, request: impl Future<Output = KafkaResult<T>>) -> Result<T, BrokerError> {
    let mut reports = faults.watch();
    tokio::select! {
        answer = timeout(ANSWER_MAX * 2, request) => match answer {
            Ok(answer) => answer.map_err(|error| fault::of(&error)),
            Err(_) => Err(fault::unreachable("no answer to a request for administration")),
        },
        refusal = reports.refusal() => Err(refusal),
    }
}

/// How many records of a topic its group has not done with.
pub(super) async fn depth(intake: &Intake, topic: &str) -> Result<u64, BrokerError> {
    let (consumer, topic) = (intake.consumer(), topic.to_owned());
    ask(intake.faults(), move || count(&consumer, &topic)).await
}

fn count(consumer: &Arc<Consumer>, topic: &str) -> KafkaResult<u64> {
    let deadline = Instant::now() + ANSWER_MAX;
    let left = || deadline.saturating_duration_since(Instant::now());
    let metadata = consumer.fetch_metadata(Some(topic), left())?;
    let mut list = TopicPartitionList::new();
    for found in metadata.topics() {
        if let Some(error) = found.error() {
            return Err(KafkaError::MetadataFetch(error.into()));
        }
        for partition in found.partitions() {
            list.add_partition(topic, partition.id());
        }
    }
    let committed = consumer.committed_offsets(list, left())?;
    let mut ready = 0;
    for partition in committed.elements() {
        let (low, high) = consumer.fetch_watermarks(topic, partition.partition(), left())?;
        let position = match partition.offset() {
            Offset::Offset(offset) => offset.max(low),
            _ => low,
        };
        ready += u64::try_from(high - position).unwrap_or(0);
    }
    Ok(ready)
}

/// How many brokers there are.
pub(super) async fn brokers(outbox: &Outbox) -> Result<usize, BrokerError> {
    let producer = outbox.producer()?;
    let metadata = ask(outbox.faults(), move || {
        producer.client().fetch_metadata(None, ANSWER_MAX).map(|metadata| metadata.brokers().len())
    });
    metadata.await
}
