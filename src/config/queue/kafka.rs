//! `kafka`: Apache Kafka, Redpanda, and what speaks their protocol.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    options::Options,
    tls::{TlsFile, TlsSettings},
};
use crate::manifest::{action::SecretRef, code::Code, spec::SecretSource, text::DurationText};

/// Apache Kafka.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaFile {
    /// Some brokers of the cluster: `HOST:PORT`.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 255)), extend("examples" = [["kafka.example.com:9092"]]))]
    pub brokers: Vec<String>,
    /// How name and password are shown to the brokers; with `username` and `password`.
    pub sasl: Option<SaslMechanism>,
    /// A user's name; with `sasl`.
    #[schemars(length(min = 1, max = 255))]
    pub username: Option<String>,
    /// Where the password is looked up; with `sasl`.
    pub password: Option<SecretRef>,
    /// TLS towards the brokers. Default: none.
    pub tls: Option<TlsFile>,
    /// Partitions of each topic, when it is made: so many workers share one. Default: 6.
    #[schemars(range(min = 1, max = 10_000))]
    pub partitions: Option<u32>,
    /// Copies of each partition, when a topic is made. Default: as the brokers say.
    #[schemars(range(min = 1, max = 100))]
    pub replication: Option<u16>,
    /// Name of the consumer group. Default: `tintal`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9_-]+$"))]
    pub group: Option<String>,
    /// How long a claim on a message holds that nobody extends: then it is taken as lost. Default: `30s`.
    pub claim: Option<DurationText>,
    /// The queue that results go back on. Default: `tintal-results`.
    #[schemars(length(min = 3, max = 40), regex(pattern = r"^[a-z][a-z0-9-]*[a-z0-9]$"))]
    pub results: Option<String>,
}

/// How name and password are shown to the brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SaslMechanism {
    /// As they are; only with `tls`, or on a network that nobody listens on.
    #[serde(rename = "plain")]
    Plain,
    /// By a proof with SHA-256.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// By a proof with SHA-512.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

/// The options of Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    /// Some brokers of the cluster.
    pub brokers: Vec<String>,
    /// Who we are to them.
    pub sasl: Option<Sasl>,
    /// TLS towards them.
    pub tls: Option<TlsSettings>,
    /// Partitions of each topic, when it is made.
    pub partitions: u32,
    /// Copies of each partition, when a topic is made; none: as the brokers say.
    pub replication: Option<u16>,
    /// Name of the consumer group.
    pub group: String,
}

/// Who we are to Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sasl {
    /// How name and password are shown.
    pub mechanism: SaslMechanism,
    /// The user's name.
    pub username: String,
    /// Where the password is looked up.
    pub password: SecretSource,
}

/// Reads them; none when something in them cannot be used.
pub(super) fn read(options: &mut Options<'_, '_>) -> Option<KafkaSettings> {
    let brokers: Option<Vec<String>> = options.required("brokers");
    let mut are_good = true;
    for (at, broker) in brokers.iter().flatten().enumerate() {
        are_good &= options.host_port(&format!("brokers.{at}"), broker).is_some();
    }
    let sasl = sasl(options);
    let tls = options.tls();
    let partitions = options.value("partitions", 6)?;
    let replication = options.optional("replication");
    let group = options.value("group", "tintal".to_owned())?;
    let brokers = brokers.filter(|_| are_good)?;
    Some(KafkaSettings { brokers, sasl: sasl?, tls, partitions, replication, group })
}

/// Who we are; nobody when nothing says so, and nothing when what says so cannot be used.
#[expect(clippy::option_option, reason = "whether it can be used, and whether it is there")]
fn sasl(options: &mut Options<'_, '_>) -> Option<Option<Sasl>> {
    let keys = ["sasl", "username", "password"];
    let (given, lacking): (Vec<&str>, Vec<&str>) = keys.into_iter().partition(|key| options.is_given(key));
    let ([first, ..], [lacks, ..]) = (given.as_slice(), lacking.as_slice()) else {
        if given.is_empty() {
            return Some(None);
        }
        let mechanism = options.optional("sasl");
        let username = options.optional("username");
        let password = options.secret("password");
        return Some(Some(Sasl { mechanism: mechanism?, username: username?, password: password? }));
    };
    let message = format!("`{first}` has no effect without `{lacks}`");
    let help = "give `sasl`, `username` and `password`, or none of them";
    options.fault(first, Code::OptionsClash, message, "not all that is needed", help);
    None
}
