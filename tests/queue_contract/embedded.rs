//! The queue in the ledger, in a file and in memory.

use std::{
    fmt, fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use tempfile::TempDir;
use tintal::{
    backend::queue::embedded::{self, EmbeddedBroker},
    engine::clock,
    ledger::{Ledger, Location},
};

use super::{
    broker::{
        Broker, BrokerError, Capabilities, Delivery, Depth, Health, Message, QueueName, Sent, Settlement,
    },
    suite::Lab,
};

const CLAIM: Duration = Duration::from_secs(2);

/// The process that has the ledger, and the directories of those before it.
struct Process {
    directories: Mutex<Vec<TempDir>>,
    broker: Mutex<EmbeddedBroker>,
}

/// A client that goes on with the process that comes after a crash.
struct Client(Arc<Process>);

impl Process {
    fn broker(&self) -> EmbeddedBroker {
        self.broker.lock().unwrap().clone()
    }
}

fn open(location: &Location) -> EmbeddedBroker {
    EmbeddedBroker::new(Ledger::open(location).unwrap(), clock::now, CLAIM)
}

fn file(directory: &Path) -> Location {
    Location::File(directory.join("ledger.db"))
}

struct InFile(Arc<Process>);

impl Lab for InFile {
    const CAPABILITIES: Capabilities = embedded::CAPABILITIES;
    const CLAIM: Duration = CLAIM;

    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let broker = Mutex::new(open(&file(directory.path())));
        Self(Arc::new(Process { directories: Mutex::new(vec![directory]), broker }))
    }

    async fn client(&self) -> Arc<dyn Broker> {
        Arc::new(Client(Arc::clone(&self.0)))
    }

    /// What was on disk at that moment is what the next process finds.
    async fn crash(&self) -> bool {
        let (next, mut directories) = (tempfile::tempdir().unwrap(), self.0.directories.lock().unwrap());
        for name in ["ledger.db", "ledger.db-wal"] {
            fs::copy(directories.last().unwrap().path().join(name), next.path().join(name)).unwrap();
        }
        *self.0.broker.lock().unwrap() = open(&file(next.path()));
        directories.push(next);
        true
    }

    async fn foreign(&self, _: &QueueName, _: &str) -> bool {
        false
    }
}

struct InMemory(Arc<Process>);

impl Lab for InMemory {
    const CAPABILITIES: Capabilities = embedded::CAPABILITIES;
    const CLAIM: Duration = CLAIM;

    async fn new() -> Self {
        let broker = Mutex::new(open(&Location::Memory));
        Self(Arc::new(Process { directories: Mutex::default(), broker }))
    }

    async fn client(&self) -> Arc<dyn Broker> {
        Arc::new(Client(Arc::clone(&self.0)))
    }

    async fn crash(&self) -> bool {
        false
    }

    async fn foreign(&self, _: &QueueName, _: &str) -> bool {
        false
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

#[async_trait]
impl Broker for Client {
    async fn ensure(&self, queue: &QueueName) -> Result<(), BrokerError> {
        self.0.broker().ensure(queue).await
    }

    async fn send(&self, queue: &QueueName, messages: &[Message]) -> Vec<Result<Sent, BrokerError>> {
        self.0.broker().send(queue, messages).await
    }

    async fn receive(
        &self,
        queue: &QueueName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BrokerError> {
        self.0.broker().receive(queue, max, wait).await
    }

    async fn settle(&self, queue: &QueueName, settlements: &[Settlement]) -> Vec<Result<(), BrokerError>> {
        self.0.broker().settle(queue, settlements).await
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth, BrokerError> {
        self.0.broker().depth(queue).await
    }

    async fn health(&self) -> Result<Health, BrokerError> {
        self.0.broker().health().await
    }
}

mod in_file {
    crate::contract!(super::InFile);
    crate::worker_contract!(crate::embedded::InFile);
}

mod in_memory {
    crate::contract!(super::InMemory);
}
