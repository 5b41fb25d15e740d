//! How the client library is set up, and how its calls that block are made.

use std::{fmt, ops::Deref, thread, time::Duration};

use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, KafkaResult},
};
use secrecy::ExposeSecret as _;
use tokio::task::spawn_blocking;
use tracing::{debug, warn};

use super::{
    super::broker::BrokerError,
    BODY_MAX, Options,
    fault::{self, Faults},
};

/// Longest time for one answer. A server that is under load answers within seconds; one that is held half
/// open never does.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Longest time until a message is sent or given up, with all that is tried again meanwhile.
pub(super) const SEND_MAX: Duration = Duration::from_secs(15);

/// Longest time between two tries to connect: a server that is back is found soon.
const RECONNECT_MAX: Duration = Duration::from_secs(2);

/// Bytes that wait to be sent, for all queues together; past this, sending waits.
const UNSENT_MAX: usize = 64 << 20;

/// Bytes that are fetched ahead of one partition.
const FETCHED_MAX: usize = 4 << 20;

/// Bytes of headers and key beside a body.
const BESIDE_BODY_MAX: usize = 16 << 10;

/// Between two signs of life to the group; the server's advice is a third of the claim at most.
const HEARTBEAT_MAX: Duration = Duration::from_secs(3);

/// Time in which the group's members must be heard of beside the handover, which is ours to keep short.
const POLL_SPARE: Duration = Duration::from_secs(60);

/// Settings of a client that sends.
pub(super) fn producer(options: &Options) -> ClientConfig {
    let mut config = common(options);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("message.timeout.ms", millis(SEND_MAX))
        .set("request.timeout.ms", millis(ANSWER_MAX))
        .set("message.max.bytes", (BODY_MAX + BESIDE_BODY_MAX).to_string())
        .set("queue.buffering.max.kbytes", (UNSENT_MAX >> 10).to_string())
        // The same partition for a key as the Java client takes.
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "1")
        .set("topic.metadata.propagation.max.ms", millis(ANSWER_MAX / 2));
    config
}

/// Settings of a member of a group.
pub(super) fn consumer(options: &Options, group: &str) -> ClientConfig {
    let mut config = common(options);
    let poll = options.claim.max(options.handover) + POLL_SPARE;
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        // The others go on while a partition changes hands.
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", millis(options.claim))
        .set("heartbeat.interval.ms", millis(HEARTBEAT_MAX.min(options.claim / 3)))
        .set("max.poll.interval.ms", millis(poll))
        .set("queued.max.messages.kbytes", (FETCHED_MAX >> 10).to_string())
        .set("fetch.queue.backoff.ms", "20");
    config
}

fn common(options: &Options) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &options.servers)
        .set("client.id", "tintal")
        .set("allow.auto.create.topics", "false")
        .set("socket.timeout.ms", millis(ANSWER_MAX))
        .set("socket.connection.setup.timeout.ms", millis(ANSWER_MAX))
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true")
        .set("reconnect.backoff.max.ms", millis(RECONNECT_MAX))
        .set_log_level(RDKafkaLogLevel::Warning);
    config.set(
        "security.protocol",
        match (&options.tls, &options.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        },
    );
    if let Some(tls) = &options.tls {
        if let Some(authorities) = &tls.authorities {
            config.set("ssl.ca.location", authorities.to_string_lossy());
        }
        if let Some(identity) = &tls.identity {
            config
                .set("ssl.certificate.location", identity.certificate.to_string_lossy())
                .set("ssl.key.location", identity.key.to_string_lossy());
        }
    }
    if let Some(sasl) = &options.sasl {
        config
            .set("sasl.mechanism", sasl.mechanism.name())
            .set("sasl.username", &sasl.user)
            .set("sasl.password", sasl.password.expose_secret());
    }
    config
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// Makes a call that blocks, on a thread for such. Ends early with what the client reports meanwhile, if
/// waiting longer is of no use.
pub(super) async fn ask<T: Send + 'static>(
    faults: &Faults,
    call: impl FnOnce() -> KafkaResult<T> + Send + 'static,
) -> Result<T, BrokerError> {
    let mut reports = faults.watch();
    let answer = tokio::select! {
        answer = spawn_blocking(call) => answer,
        refusal = reports.refusal() => return Err(refusal),
    };
    match answer {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(match fault::of(&error) {
            // That no answer came says less than what was reported while it did not come.
            silence @ BrokerError::Unreachable { .. } => reports.why().await.unwrap_or(silence),
            said => said,
        }),
        Err(error) => Err(fault::unreachable(error.to_string())),
    }
}

/// What a client reports, for clients that have nothing else to report.
#[derive(Debug)]
pub(super) struct Reporter(pub(super) Faults);

impl ClientContext for Reporter {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, text: &str) {
        log(facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.tell(&error, reason);
    }
}

/// Takes a line of the client's log. What matters of it comes back from calls as well.
pub(super) fn log(facility: &str, text: &str) {
    debug!(facility, "kafka: {text}");
}

/// Something whose end takes long, since it says goodbye to the server: it ends on a thread of its own.
pub(super) struct Parting<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Parting<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Some(value))
    }
}

impl<T: Send + 'static> Deref for Parting<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.0 {
            Some(value) => value,
            None => unreachable!("it is only taken when it ends"),
        }
    }
}

impl<T: Send + 'static> Drop for Parting<T> {
    fn drop(&mut self) {
        let value = self.0.take();
        let thread = thread::Builder::new().name("kafka-parting".to_owned());
        if let Err(error) = thread.spawn(move || drop(value)) {
            warn!(%error, "no thread to leave a Kafka server from");
        }
    }
}

impl<T: Send + 'static> fmt::Debug for Parting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parting").finish_non_exhaustive()
    }
}
