//! `tintal worker`: takes messages off queues and runs what they ask for.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, str::FromStr, sync::Arc, time::Instant};

use clap::Args;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Semaphore,
};
use tracing::{info, warn};

use super::{Exit, Failure, serve, signals::Ear, tree};
use crate::{
    backend::queue::{broker::QueueName, outbox::Connection},
    config::Settings,
    control::worker::{self as endpoint, Looks},
    engine::{
        clock,
        connect::{self, Environment},
        lock::StateLock,
        start::{LEDGER_FILE, OUTPUT_DIRECTORY},
        worker::{
            claims::Stops,
            counts::Counts,
            crew::Crew,
            rate::Rate,
            source::{Shared, Source},
            vouch::{Checkout, Jobs, Vouch},
        },
    },
    execute::{Executor, adoption::adopt_orphans},
    ledger::{Ledger, Location},
    manifest::nearest::nearest,
    tier::{LedgerKind, queues::EMBEDDED},
};

/// Where a worker keeps what it remembers, in the state directory: beside a daemon's.
const WORKER_DIRECTORY: &str = "worker";

/// Run what messages on queues ask for
#[derive(Debug, Args)]
pub(super) struct Worker {
    /// Backend to take messages from, by its name in the settings; several times for several [default:
    /// all of `queue.backends`]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    backend: Vec<String>,

    /// Queue to take messages from; several times for several [default: `queue.name` of the settings]
    #[arg(long, value_name = "QUEUE", value_delimiter = ',')]
    queue: Vec<String>,

    /// Runs that go on at once
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=4096))]
    concurrency: Option<u16>,

    /// Most messages of a queue that begin in a while, as in `reports=10/s` or `reports=30/m`
    #[arg(long, value_name = "QUEUE=RATE")]
    rate: Vec<QueueRate>,

    /// Name of the worker in records [default: host name and process id]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Where health and metrics are served; `none` for nowhere
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8721")]
    listen: Listen,
}

/// How many messages of a queue may begin in a while.
#[derive(Debug, Clone, PartialEq)]
struct QueueRate {
    queue: String,
    per_second: f64,
}

impl FromStr for QueueRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is no rate of a queue; write `reports=10/s`, or `/m` or `/h`");
        let (queue, rate) = text.split_once('=').ok_or_else(wrong)?;
        let (count, unit) = rate.split_once('/').ok_or_else(wrong)?;
        let count: f64 = count.parse().map_err(|_| wrong())?;
        let seconds = match unit {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        if !(count.is_finite() && count > 0.0) {
            return Err(wrong());
        }
        Ok(Self { queue: queue.to_owned(), per_second: count / seconds })
    }
}

/// Where something is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listen {
    At(SocketAddr),
    Nowhere,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self::Nowhere);
        }
        let wrong = |_| format!("`{text}` is no address; write `127.0.0.1:8721`, or `none`");
        text.parse().map(Self::At).map_err(wrong)
    }
}

impl Worker {
    pub(super) fn run(self, settings: &Settings, jobs: Option<&PathBuf>) -> Result<Exit, Failure> {
        serve::log(settings)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let result = runtime.block_on(self.work(settings, jobs));
        // Reads of files that hang, as on a network disk, must not keep the process.
        runtime.shutdown_background();
        result
    }

    async fn work(self, settings: &Settings, jobs: Option<&PathBuf>) -> Result<Exit, Failure> {
        adopt_orphans();
        let mut ends = Ends::new()?;
        let environment: Environment = tree::environment().into_iter().collect();
        let keys = Arc::new(connect::keyring(&settings.queue, &environment)?);
        let checkout = jobs.map(|_| checkout(settings)).transpose()?;
        if keys.is_empty() && checkout.is_none() {
            return Err("nothing vouches for what this worker would run: give it a key that it shares with \
                        the daemon (`queue.keys` in the settings), or its own copy of the manifests (`--jobs DIR`)"
                .into());
        }
        let state = settings.state.join(WORKER_DIRECTORY);
        let lock = StateLock::wait_for(&state).await?;
        let memory = Ledger::open(&match settings.ledger {
            LedgerKind::File => Location::File(state.join(LEDGER_FILE)),
            LedgerKind::Memory => Location::Memory,
        })?;
        let connections = connect::connections(&settings.queue, &environment, (None, None))?;
        let sources = self.sources(settings, &connections)?;
        let concurrency = self.concurrency.map_or(settings.queue.worker.concurrency, usize::from);
        let mut crew = Crew::new(Arc::new(Shared {
            name: self.name().into(),
            executor: Executor::new(environment, settings.output_bytes_max),
            vouch: Vouch::Outside { checkout },
            keys,
            memory,
            output: state.join(OUTPUT_DIRECTORY),
            is_at_daemon: false,
            permits: Arc::new(Semaphore::new(concurrency)),
            stops: Stops::default(),
            under_way: Arc::default(),
            counts: Arc::new(Counts::default()),
            now: clock::now,
        }));
        sources.into_iter().for_each(|source| crew.take_from(source));
        let looks = Arc::new(Looks::new(&crew));
        if let Listen::At(address) = self.listen {
            let listener = tokio::net::TcpListener::bind(address).await.map_err(|error| {
                format!("health and metrics cannot be served at {address}: {error}; `--listen` names another address, or `none`")
            })?;
            info!(%address, "health and metrics");
            tokio::spawn(endpoint::serve(listener, Arc::clone(&looks)));
        }
        info!(worker = %crew.shared().name, concurrency, "ready");
        tokio::select! {
            () = ends.next() => {}
            () = lock.lost() => warn!("the state directory was taken away; stopping"),
        }
        looks.set_draining();
        info!(
            runs = crew.shared().stops.len(),
            seconds = settings.shutdown_timeout.as_secs(),
            "stopping: waiting for runs; a second signal stops them"
        );
        crew.drain(settings.shutdown_timeout, ends.next()).await;
        drop(lock);
        info!("stopped");
        Ok(Exit::Clean)
    }

    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| {
            let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
            format!("{host}:{}", std::process::id())
        })
    }

    /// The queues to take from, each of each backend.
    fn sources(&self, settings: &Settings, connections: &[Connection]) -> Result<Vec<Source>, Failure> {
        let known: Vec<&str> = connections.iter().map(|connection| &*connection.name).collect();
        for name in &self.backend {
            if name == EMBEDDED {
                return Err("the embedded queue is run by the daemon itself (`tintal serve`); name a backend of `queue.backends` that a worker can reach".into());
            }
            if !known.contains(&name.as_str()) {
                let near = nearest(name, known.iter().copied());
                let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                return Err(format!("the settings have no backend `{name}`{near}").into());
            }
        }
        let wanted = |connection: &&Connection| {
            self.backend.is_empty() || self.backend.iter().any(|name| **name == *connection.name)
        };
        let names = if self.queue.is_empty() {
            vec![settings.queue.default_queue.clone()]
        } else {
            self.queue.clone()
        };
        let mut sources = Vec::new();
        for connection in connections.iter().filter(wanted) {
            for name in &names {
                let queue = QueueName::parse(name).ok_or_else(|| {
                    format!("`{name}` is no name of a queue: 3 to 63 of `a-z`, `0-9` and `-`, a letter first")
                })?;
                let rate = self.rate.iter().find(|rate| rate.queue == *name);
                let rate = rate.map(|rate| Rate::new(rate.per_second, Instant::now()));
                let claim = settings.queue.backends.get(&*connection.name).map(|backend| backend.claim);
                let claim = claim.unwrap_or_default();
                sources.push(Source { connection: connection.clone(), queue, claim, rate });
            }
        }
        if sources.is_empty() {
            return Err(
                "the settings name no backend that a worker can reach; `queue.backends` is where they go"
                    .into(),
            );
        }
        Ok(sources)
    }
}

/// The worker's own manifests.
fn checkout(settings: &Settings) -> Result<Checkout, Failure> {
    // What is wrong with them now is told now.
    tree::load(settings)?;
    let settings = settings.clone();
    let read = move || match tree::load(&settings) {
        Ok(view) => jobs(&view),
        Err(_) => {
            warn!("the manifests of this worker cannot be read now; `tintal validate` says why");
            Jobs::new()
        }
    };
    Ok(Checkout::new(Box::new(read)))
}

fn jobs(view: &tree::View) -> Jobs {
    let job = |loaded: &Arc<crate::load::Loaded>| {
        (loaded.spec.name.clone(), (loaded.digest(), Arc::clone(&loaded.spec)))
    };
    view.tree.jobs.values().map(job).collect::<BTreeMap<_, _>>()
}

/// What ends the worker.
struct Ends {
    terminate: Signal,
    interrupt: Ear,
}

impl Ends {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: Ear::new(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            () = self.interrupt.next() => {}
        }
    }
}
