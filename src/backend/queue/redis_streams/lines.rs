//! Connections to the servers, made when they are needed and again when they are lost.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use redis::{Cmd, ConnectionAddr, ErrorKind, RedisError, Script, ServerErrorKind, Value};
use tokio::{sync::Mutex as AsyncMutex, time::timeout};

use super::{
    super::broker::{BrokerError, QueueName},
    GROUP,
    fault::{self, Fault, not_answered, refused},
    script::Request,
    site::{self, CONNECT_MAX, Hello, Live, Site},
};

/// Longest time until an answer. A server that takes longer is stopped, or its network is gone; the
/// longest of our scripts takes some milliseconds.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Most servers that one request goes to: a cluster that is being rearranged may send it on.
const TURNS_MAX: usize = 8;

/// Connections, one to each server that is needed.
#[derive(Debug)]
pub(super) struct Lines {
    site: Arc<Site>,
    links: Mutex<HashMap<String, Arc<Link>>>,
}

/// The connection to a server.
#[derive(Debug)]
struct Link {
    address: ConnectionAddr,
    held: Mutex<Option<Live>>,
    /// Held while connecting, so that only one does; with the last failure, and when it was.
    opening: AsyncMutex<Option<(Instant, BrokerError)>>,
}

/// Where a request goes next.
enum Turn {
    /// To the same server again.
    Again,
    /// To that one.
    To(ConnectionAddr),
    /// To that one, which has the queue only half.
    Ask(ConnectionAddr),
}

impl Link {
    fn held(&self) -> MutexGuard<'_, Option<Live>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self) -> Option<Live> {
        self.held().as_ref().filter(|live| !live.is_gone()).cloned()
    }

    /// The connection, made if there is none.
    async fn open(&self, site: &Site) -> Result<Live, BrokerError> {
        if let Some(live) = self.live() {
            return Ok(live);
        }
        let came = Instant::now();
        let mut failed = self.opening.lock().await;
        if let Some(live) = self.live() {
            return Ok(live);
        }
        // Whoever waited for an attempt of another has its result: else each would wait for its own.
        if let Some((at, error)) = &*failed
            && *at >= came
        {
            return Err(error.clone());
        }
        match site.open(&self.address).await {
            Ok(live) => {
                *self.held() = Some(live.clone());
                Ok(live)
            }
            Err(error) => {
                *failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }
}

impl Lines {
    pub(super) fn new(site: Arc<Site>) -> Self {
        Self { site, links: Mutex::default() }
    }

    fn links(&self) -> MutexGuard<'_, HashMap<String, Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link(&self, address: &ConnectionAddr) -> Arc<Link> {
        let link =
            || Link { address: address.clone(), held: Mutex::default(), opening: AsyncMutex::default() };
        let mut links = self.links();
        Arc::clone(links.entry(address.to_string()).or_insert_with(|| Arc::new(link())))
    }

    /// Closes all connections that nobody uses.
    pub(super) fn close(&self) {
        self.links().clear();
    }

    /// Sends a request that is about a queue, or about none, to the server that it belongs to; waits so
    /// long for the answer.
    pub(super) async fn ask(
        &self,
        queue: Option<&QueueName>,
        request: &Request,
        patience: Duration,
    ) -> Result<Value, Fault> {
        let mut others = self.site.addresses(queue).into_iter();
        let Some(mut address) = others.next() else { return Err(refused("no server is named").into()) };
        let (start, mut is_asking) = (Instant::now(), false);
        for _ in 0..TURNS_MAX {
            let live = match self.link(&address).open(&self.site).await {
                Ok(live) => live,
                Err(error) => {
                    queue.inspect(|queue| self.site.unsettle(queue));
                    // Those that refuse a connection are many at once; one that is silent is enough.
                    let other = others.next().filter(|_| start.elapsed() < CONNECT_MAX);
                    let Some(other) = other else { return Err(error.into()) };
                    (address, is_asking) = (other, false);
                    continue;
                }
            };
            let error = match timeout(patience, query(&live, &request.command, is_asking)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => error,
                Err(_) => {
                    live.give_up();
                    queue.inspect(|queue| self.site.unsettle(queue));
                    let reason = format!("{}: no answer within {patience:?}", live.address);
                    return Err(not_answered(reason).into());
                }
            };
            match self.turn(queue, request, &address, &live, &error).await? {
                Turn::Again => {}
                Turn::To(other) => (address, is_asking) = (other, false),
                Turn::Ask(other) => (address, is_asking) = (other, true),
            }
        }
        Err(fault::busy("the servers of the cluster send a request on to each other").into())
    }

    /// Where to go on after an error, if anywhere.
    async fn turn(
        &self,
        queue: Option<&QueueName>,
        request: &Request,
        address: &ConnectionAddr,
        live: &Live,
        error: &RedisError,
    ) -> Result<Turn, Fault> {
        if fault::ends_connection(error) {
            live.give_up();
            queue.inspect(|queue| self.site.unsettle(queue));
        }
        let node = || self.site.moved(address, error.redirect_node()?.0);
        match (error.kind(), request.script) {
            (ErrorKind::Server(ServerErrorKind::NoScript), Some(script)) => {
                load(live, script).await?;
                Ok(Turn::Again)
            }
            (ErrorKind::Server(ServerErrorKind::Moved), _) if let Some(node) = node() => {
                queue.inspect(|queue| self.site.settle(queue, node.clone()));
                Ok(Turn::To(node))
            }
            (ErrorKind::Server(ServerErrorKind::Ask), _) if let Some(node) = node() => Ok(Turn::Ask(node)),
            _ => Err(fault::of_request(error)),
        }
    }

    /// Makes a queue.
    pub(super) async fn ensure(&self, queue: &QueueName) -> Result<(), BrokerError> {
        let mut command = redis::cmd("XGROUP");
        command.arg("CREATE").arg(queue.as_str()).arg(GROUP).arg("0").arg("MKSTREAM");
        match self.ask(Some(queue), &command.into(), ANSWER_MAX).await {
            Ok(_) => Ok(()),
            Err(Fault::Other(BrokerError::Refused { reason })) if reason.contains("BUSYGROUP") => Ok(()),
            Err(fault) => Err(fault.into()),
        }
    }

    /// What the server, or one of the cluster's, says of itself.
    pub(super) async fn hello(&self) -> Result<Hello, BrokerError> {
        let mut failure = refused("no server is named");
        for address in self.site.addresses(None) {
            let hello = match self.link(&address).open(&self.site).await {
                Ok(live) => site::hello(&live).await.inspect_err(|_| live.give_up()),
                Err(error) => Err(error),
            };
            match hello {
                Ok(hello) => return Ok(hello),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

async fn query(live: &Live, command: &Cmd, is_asking: bool) -> Result<Value, RedisError> {
    let mut connection = live.connection.clone();
    if is_asking {
        // In one piece: what others send must not come between.
        let mut both = redis::pipe();
        both.cmd("ASKING").ignore().add_command(command.clone());
        let answer: Result<(Value,), RedisError> = both.query_async(&mut connection).await;
        return match answer {
            Ok((answer,)) => Ok(answer),
            Err(error) => Err(of_the_only(error)),
        };
    }
    match connection.send_packed_command(command).await? {
        Value::ServerError(error) => Err(error.into()),
        answer => Ok(answer),
    }
}

/// The error of the only request of several that can fail.
fn of_the_only(error: RedisError) -> RedisError {
    let errors = error.clone().into_server_errors();
    errors.and_then(|errors| errors.first().cloned()).map_or(error, |(_, error)| error.into())
}

async fn load(live: &Live, script: &Script) -> Result<(), Fault> {
    let mut connection = live.connection.clone();
    let loading = script.prepare_invoke();
    match timeout(ANSWER_MAX, loading.load_async(&mut connection)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(fault::of_request(&error)),
        Err(_) => Err(not_answered(format!("no answer within {ANSWER_MAX:?}")).into()),
    }
}
