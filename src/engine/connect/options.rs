//! The options of each kind of queue system, out of what the settings say.

use std::sync::Arc;

use secrecy::SecretString;

use super::{Environment, secret};
use crate::{
    backend::queue::{
        broker::{Broker, BrokerError, Capabilities},
        cloud_tasks,
        google::credentials::{Credentials, METADATA_HOST},
        kafka, nats, pubsub, rabbitmq, redis_streams,
    },
    config::queue::{
        cloud_tasks::CloudTasksSettings,
        kafka::{KafkaSettings, SaslMechanism},
        login::Login,
        nats::{NatsAuth, NatsSettings},
        pubsub::PubsubSettings,
        rabbitmq::RabbitmqSettings,
        redis_streams::{RedisServers, RedisStreamsSettings},
        settings::{BackendOptions, BackendSettings},
    },
    engine::clock,
};

/// Pushes of Cloud Tasks that are held at once while nobody receives: each has up to a mebibyte.
#[cfg(feature = "gcp")]
const WAITING_MAX: usize = 64;

/// What speaks to a queue system, and what it can do; or why it cannot be made.
pub(super) type Made = Result<(Arc<dyn Broker>, Capabilities), String>;

/// What speaks to the queue system of these settings. The embedded one is none of these.
pub(super) fn made(backend: &BackendSettings, environment: &Environment) -> Option<Made> {
    let look = Look { backend, environment };
    Some(match &backend.options {
        BackendOptions::Embedded => return None,
        #[cfg(feature = "redis")]
        BackendOptions::RedisStreams(settings) => look.redis_streams(settings),
        #[cfg(feature = "nats")]
        BackendOptions::Nats(settings) => look.nats(settings),
        #[cfg(feature = "kafka")]
        BackendOptions::Kafka(settings) => look.kafka(settings),
        #[cfg(feature = "rabbitmq")]
        BackendOptions::Rabbitmq(settings) => look.rabbitmq(settings),
        #[cfg(feature = "gcp")]
        BackendOptions::Pubsub(settings) => look.pubsub(settings),
        #[cfg(feature = "gcp")]
        BackendOptions::CloudTasks(settings) => look.cloud_tasks(settings),
        #[cfg(not(all(
            feature = "redis",
            feature = "nats",
            feature = "kafka",
            feature = "rabbitmq",
            feature = "gcp"
        )))]
        other => Err(format!(
            "this build of tintal leaves `{0}` out; build it with `--features {1}`, or with the default features",
            other.kind(),
            feature(other.kind()),
        )),
    })
}

/// The feature of the build that a kind of queue system needs.
#[cfg(not(all(
    feature = "redis",
    feature = "nats",
    feature = "kafka",
    feature = "rabbitmq",
    feature = "gcp"
)))]
fn feature(kind: crate::tier::queues::BackendKind) -> &'static str {
    use crate::tier::queues::BackendKind;
    match kind {
        BackendKind::Embedded => "default",
        BackendKind::RedisStreams => "redis",
        BackendKind::Nats => "nats",
        BackendKind::Kafka => "kafka",
        BackendKind::Rabbitmq => "rabbitmq",
        BackendKind::Pubsub | BackendKind::CloudTasks => "gcp",
    }
}

/// What options are made of.
struct Look<'a> {
    backend: &'a BackendSettings,
    environment: &'a Environment,
}

impl Look<'_> {
    #[cfg(feature = "redis")]
    fn redis_streams(&self, settings: &RedisStreamsSettings) -> Made {
        use redis_streams::{Identity, Options, RedisBroker, Sentinels, Servers, Tls};
        let password = self.password(&settings.login)?;
        let servers = match &settings.servers {
            RedisServers::One { url } => Servers::One(url.clone()),
            RedisServers::Cluster { urls } => Servers::Cluster(urls.clone()),
            RedisServers::Sentinel { urls, service } => Servers::Sentinels(Sentinels {
                addresses: urls.clone(),
                service: service.clone(),
                user: None,
                password: None,
            }),
        };
        let tls = settings.tls.as_ref().map_or_else(Tls::default, |tls| Tls {
            authority: tls.ca.clone(),
            identity: tls
                .identity
                .as_ref()
                .map(|own| Identity { certificate: own.cert.clone(), key: own.key.clone() }),
        });
        let (user, claim, dedupe) = (settings.login.username.clone(), self.backend.claim, settings.dedupe);
        let options = Options { servers, user, password, tls, claim, dedupe };
        let capabilities = options.capabilities();
        with(RedisBroker::new(options, clock::now), capabilities)
    }

    #[cfg(feature = "nats")]
    fn nats(&self, settings: &NatsSettings) -> Made {
        use nats::{Identity, NatsBroker, Options, Tls};
        let login = match &settings.auth {
            NatsAuth::Nobody => nats::Login::None,
            NatsAuth::Login(login) => nats::Login::Password {
                user: login.username.clone().unwrap_or_default(),
                password: self.password(login)?.unwrap_or_default(),
            },
            NatsAuth::Token(token) => nats::Login::Token(secret(token, self.environment)?),
            NatsAuth::NkeySeed(seed) => nats::Login::Nkey(secret(seed, self.environment)?),
            NatsAuth::Credentials(file) => nats::Login::Credentials(file.clone()),
        };
        let tls = settings.tls.as_ref().map_or_else(Tls::default, |tls| Tls {
            required: true,
            authority: tls.ca.clone(),
            identity: tls
                .identity
                .as_ref()
                .map(|own| Identity { certificate: own.cert.clone(), key: own.key.clone() }),
            ..Tls::default()
        });
        let options = Options {
            servers: settings.servers.clone(),
            login,
            tls,
            claim: self.backend.claim,
            duplicate_window: settings.duplicate_window,
            replicas: usize::from(settings.replicas),
            max_bytes: settings.max_bytes,
            ..Options::default()
        };
        let capabilities = Capabilities { dedupe: settings.duplicate_window, ..nats::CAPABILITIES };
        with(NatsBroker::new(options), capabilities)
    }

    #[cfg(feature = "kafka")]
    fn kafka(&self, settings: &KafkaSettings) -> Made {
        use kafka::{Identity, KafkaBroker, Mechanism, Options, Sasl, Tls};
        let tls = settings.tls.as_ref().map(|tls| Tls {
            authorities: tls.ca.clone(),
            identity: tls
                .identity
                .as_ref()
                .map(|own| Identity { certificate: own.cert.clone(), key: own.key.clone() }),
        });
        let sasl = settings.sasl.as_ref().map(|sasl| {
            let mechanism = match sasl.mechanism {
                SaslMechanism::Plain => Mechanism::Plain,
                SaslMechanism::ScramSha256 => Mechanism::ScramSha256,
                SaslMechanism::ScramSha512 => Mechanism::ScramSha512,
            };
            let password = secret(&sasl.password, self.environment)?;
            Ok::<_, String>(Sasl { mechanism, user: sasl.username.clone(), password })
        });
        let options = Options {
            group: settings.group.clone(),
            claim: self.backend.claim,
            partitions: i32::try_from(settings.partitions).unwrap_or(i32::MAX),
            replication: settings.replication.map_or(-1, i32::from),
            tls,
            sasl: sasl.transpose()?,
            ..Options::at(&settings.brokers.join(","))
        };
        with(KafkaBroker::new(options, clock::now), kafka::CAPABILITIES)
    }

    #[cfg(feature = "rabbitmq")]
    fn rabbitmq(&self, settings: &RabbitmqSettings) -> Made {
        use rabbitmq::{Identity, Options, RabbitBroker, Tls};
        let tls = settings.tls.as_ref().map_or_else(Tls::default, |tls| Tls {
            authority: tls.ca.clone(),
            identity: tls
                .identity
                .as_ref()
                .map(|own| Identity { certificate: own.cert.clone(), key: own.key.clone() }),
        });
        let (server, vhost) = vhost(&settings.url)?;
        let mut options = Options {
            servers: vec![server],
            vhost,
            tls,
            claim: self.backend.claim,
            heartbeat: Some(settings.heartbeat),
            ..Options::default()
        };
        if let (Some(user), Some(password)) = (&settings.login.username, self.password(&settings.login)?) {
            options.login = rabbitmq::Login::Password { user: user.clone(), password };
        }
        with(RabbitBroker::new(options, clock::now), rabbitmq::CAPABILITIES)
    }

    #[cfg(feature = "gcp")]
    fn pubsub(&self, settings: &PubsubSettings) -> Made {
        use pubsub::{Options, PubsubBroker};
        let options = Options {
            project: settings.project.clone(),
            endpoint: endpoint(settings.emulator.as_deref(), pubsub::ENDPOINT),
            credentials: credentials(settings.emulator.as_deref(), settings.credentials.as_ref()),
            claim: self.backend.claim,
            is_ordered: settings.ordering,
        };
        with(PubsubBroker::new(options, clock::now), pubsub::CAPABILITIES)
    }

    #[cfg(feature = "gcp")]
    fn cloud_tasks(&self, settings: &CloudTasksSettings) -> Made {
        use cloud_tasks::{CloudTasksBroker, Oidc, Options};
        let oidc = settings.service_account.as_ref().map(|account| Oidc {
            service_account: account.clone(),
            audience: settings.audience.clone(),
            issuer: settings.emulator.as_deref().map_or(cloud_tasks::ISSUER.to_owned(), url),
        });
        let options = Options {
            project: settings.project.clone(),
            location: settings.location.clone(),
            endpoint: endpoint(settings.emulator.as_deref(), cloud_tasks::ENDPOINT),
            credentials: credentials(settings.emulator.as_deref(), settings.credentials.as_ref()),
            claim: self.backend.claim,
            target_url: settings.target_url.clone(),
            listen: settings.listen,
            oidc,
            waiting_max: WAITING_MAX,
        };
        with(CloudTasksBroker::new(options, clock::now), cloud_tasks::CAPABILITIES)
    }

    fn password(&self, login: &Login) -> Result<Option<SecretString>, String> {
        login.password.as_ref().map(|password| secret(password, self.environment)).transpose()
    }
}

fn with<B: Broker + 'static>(made: Result<B, BrokerError>, capabilities: Capabilities) -> Made {
    match made {
        Ok(broker) => Ok((Arc::new(broker), capabilities)),
        Err(BrokerError::Refused { reason }) => Err(reason),
        Err(error) => Err(error.to_string()),
    }
}

/// The server's address, and the virtual host that its path names.
fn vhost(text: &str) -> Result<(String, String), String> {
    let mut url = url::Url::parse(text).map_err(|error| format!("`{text}` is no address: {error}"))?;
    let path = url.path().trim_start_matches('/').to_owned();
    let named = percent_encoding::percent_decode_str(&path).decode_utf8_lossy().into_owned();
    url.set_path("");
    let server = url.as_str().trim_end_matches('/').to_owned();
    Ok((server, if named.is_empty() { "/".to_owned() } else { named }))
}

/// An emulator is named as its environment variable has it: without a scheme.
fn url(emulator: &str) -> String {
    if emulator.contains("://") { emulator.to_owned() } else { format!("http://{emulator}") }
}

fn endpoint(emulator: Option<&str>, service: &str) -> String {
    emulator.map_or_else(|| service.to_owned(), url)
}

fn credentials(emulator: Option<&str>, file: Option<&std::path::PathBuf>) -> Credentials {
    match (emulator, file) {
        (_, Some(file)) => Credentials::File(file.clone()),
        (Some(_), None) => Credentials::Anonymous,
        (None, None) => Credentials::Metadata { host: METADATA_HOST.to_owned() },
    }
}
