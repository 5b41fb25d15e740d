//! Makes what speaks to the queue systems of the settings.

mod options;

use std::{collections::BTreeMap, sync::Arc};

use secrecy::SecretString;
use thiserror::Error;

use super::clock;
use crate::{
    backend::queue::{
        broker::{Broker, Capabilities, QueueName},
        embedded::{self, EmbeddedBroker},
        outbox::Connection,
        signature::{Key, Keyring},
    },
    config::queue::settings::{BackendSettings, QueueSettings},
    ledger::Ledger,
    manifest::spec::SecretSource,
};

/// Why a queue system of the settings cannot be used.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// A secret that the settings name is not there.
    #[error("{what}: {reason}")]
    Secret {
        /// What it is for.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// An option cannot be used.
    #[error("the backend `{backend}`: {reason}")]
    Option {
        /// Its name in the settings.
        backend: String,
        /// What is wrong.
        reason: String,
    },
}

/// The variables of this process's environment.
pub type Environment = BTreeMap<String, String>;

/// The keys of the settings.
///
/// # Errors
///
/// When the secret of one is not there.
pub fn keyring(settings: &QueueSettings, environment: &Environment) -> Result<Keyring, ConnectError> {
    let key = |key: &crate::config::queue::settings::KeySettings| {
        let secret = secret(&key.secret, environment);
        let what = || format!("the key `{}` of `queue.keys`", key.id);
        secret
            .map(|secret| Key::new(key.id.clone(), &secret))
            .map_err(|reason| ConnectError::Secret { what: what(), reason })
    };
    Ok(Keyring::new(settings.keys.iter().map(key).collect::<Result<_, _>>()?))
}

/// The queue systems of the settings, for a daemon of this instance, or a worker of none. `ledger` holds
/// the embedded one; without, it is left out.
///
/// # Errors
///
/// When a secret is not there, or an option cannot be used. Nothing is connected to yet.
pub fn connections(
    settings: &QueueSettings,
    environment: &Environment,
    (instance, ledger): (Option<&str>, Option<&Ledger>),
) -> Result<Vec<Connection>, ConnectError> {
    let mut connections = Vec::new();
    for (name, backend) in &settings.backends {
        let Some((broker, capabilities)) = broker(name, backend, environment, ledger)? else { continue };
        let queue = |text: String| {
            let reason = || format!("`{text}` is no name of a queue");
            QueueName::parse(&text)
                .ok_or_else(|| ConnectError::Option { backend: name.clone(), reason: reason() })
        };
        let refusals = queue(backend.results.clone())?;
        let results = match instance {
            Some(instance) => queue(format!("{}-{instance}", backend.results))?,
            None => refusals.clone(),
        };
        let (name, kind) = (Arc::from(name.as_str()), backend.options.kind());
        connections.push(Connection { name, kind, broker, capabilities, results, refusals });
    }
    Ok(connections)
}

/// What speaks to a queue system, and what it can do.
type Speaks = (Arc<dyn Broker>, Capabilities);

fn broker(
    name: &str,
    backend: &BackendSettings,
    environment: &Environment,
    ledger: Option<&Ledger>,
) -> Result<Option<Speaks>, ConnectError> {
    let wrong = |reason| ConnectError::Option { backend: name.to_owned(), reason };
    if let Some(made) = options::made(backend, environment) {
        return made.map(Some).map_err(wrong);
    }
    let Some(ledger) = ledger else { return Ok(None) };
    let broker = EmbeddedBroker::new(ledger.clone(), clock::now, backend.claim);
    Ok(Some((Arc::new(broker), embedded::CAPABILITIES)))
}

/// Looks up a secret: a variable, or what is in a file, without one trailing line break.
///
/// # Errors
///
/// When it is not there: what is wrong, in a line.
pub fn secret(source: &SecretSource, environment: &Environment) -> Result<SecretString, String> {
    match source {
        SecretSource::Env(variable) => environment
            .get(variable)
            .map(|value| SecretString::from(value.as_str()))
            .ok_or_else(|| format!("the variable `{variable}` is not set")),
        SecretSource::File(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| format!("`{path}`: {error}"))?;
            let text = text.strip_suffix('\n').unwrap_or(&text);
            Ok(SecretString::from(text.strip_suffix('\r').unwrap_or(text)))
        }
    }
}
