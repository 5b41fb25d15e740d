//! Where the server of a queue is, and how to connect to it.

use std::{
    collections::HashMap,
    fmt, io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo as _, ProtocolVersion,
    PushInfo, PushKind, RedisConnectionInfo, TlsCertificates, Value, aio::MultiplexedConnection,
    io::tcp::TcpSettings,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{fs, time::timeout};

use super::{
    super::broker::{BrokerError, QueueName},
    Options, Servers, Tls,
    entry::{list, text},
    fault::{self, busy, not_connected, refused},
};

/// Longest time to connect, with TLS and the password: a server that takes longer is not there, or is
/// stopped.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(3);

/// The servers, as the options name them.
pub(super) struct Site {
    kind: Kind,
    /// Addresses that were named.
    seeds: Vec<ConnectionAddr>,
    /// How we begin with a server.
    login: RedisConnectionInfo,
    tls: Tls,
    /// The nodes of a cluster that queues were found on.
    homes: Mutex<HashMap<QueueName, ConnectionAddr>>,
}

/// What the addresses that were named are.
#[derive(Debug)]
enum Kind {
    One,
    Cluster,
    Sentinels { service: String, login: RedisConnectionInfo },
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("kind", &self.kind).field("seeds", &self.seeds).finish_non_exhaustive()
    }
}

/// A connection that many use at once.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub(super) connection: MultiplexedConnection,
    /// Where it leads to.
    pub(super) address: Arc<str>,
    gone: Arc<AtomicBool>,
}

impl Live {
    /// Whether it was closed, or given up.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Has it used no more.
    pub(super) fn give_up(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }
}

impl Site {
    /// # Errors
    ///
    /// [`BrokerError::Refused`] for addresses that are none.
    pub(super) fn new(options: Options) -> Result<Self, BrokerError> {
        let (addresses, kind) = match options.servers {
            Servers::One(address) => (vec![address], Kind::One),
            Servers::Cluster(addresses) => (addresses, Kind::Cluster),
            Servers::Sentinels(sentinels) => {
                let login = login(0, sentinels.user.as_deref(), sentinels.password.as_ref());
                (sentinels.addresses, Kind::Sentinels { service: sentinels.service, login })
            }
        };
        let places: Vec<(ConnectionAddr, i64)> =
            addresses.iter().map(|address| place(address)).collect::<Result<_, _>>()?;
        let Some(&(_, database)) = places.first() else { return Err(refused("no server is named")) };
        if matches!(kind, Kind::Cluster) && database != 0 {
            return Err(refused("a cluster has no database but 0"));
        }
        let login = login(database, options.user.as_deref(), options.password.as_ref());
        let seeds = places.into_iter().map(|(address, _)| address).collect();
        Ok(Self { kind, seeds, login, tls: options.tls, homes: Mutex::default() })
    }

    fn homes(&self) -> MutexGuard<'_, HashMap<QueueName, ConnectionAddr>> {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Addresses to begin with: that of a queue's node where it is known, and those that were named.
    pub(super) fn addresses(&self, queue: Option<&QueueName>) -> Vec<ConnectionAddr> {
        match self.kind {
            Kind::Cluster => {
                let home = queue.and_then(|queue| self.homes().get(queue).cloned());
                home.into_iter().chain(self.seeds.iter().cloned()).collect()
            }
            // The sentinels tell the address, at each connection anew.
            Kind::One | Kind::Sentinels { .. } => self.seeds[..1].to_vec(),
        }
    }

    /// Takes down that a queue is on the node that an answer from another one named as `host:port`. None
    /// where this is no cluster.
    pub(super) fn moved(&self, from: &ConnectionAddr, to: &str) -> Option<ConnectionAddr> {
        let (host, port) = to.rsplit_once(':')?;
        let port = port.parse().ok()?;
        match (&self.kind, from) {
            // A node that does not know its own name leaves it out: it is the one that was asked.
            (Kind::Cluster, ConnectionAddr::Tcp(same, _)) => {
                let host = if host.is_empty() { same } else { host };
                Some(ConnectionAddr::Tcp(host.to_owned(), port))
            }
            (Kind::Cluster, ConnectionAddr::TcpTls { host: same, .. }) => {
                let host = if host.is_empty() { same } else { host };
                Some(ConnectionAddr::TcpTls {
                    host: host.to_owned(),
                    port,
                    insecure: false,
                    tls_params: None,
                })
            }
            _ => None,
        }
    }

    /// Remembers the node of a queue.
    pub(super) fn settle(&self, queue: &QueueName, node: ConnectionAddr) {
        self.homes().insert(queue.clone(), node);
    }

    /// Forgets the node of a queue: it does not answer, or not for the queue.
    pub(super) fn unsettle(&self, queue: &QueueName) {
        self.homes().remove(queue);
    }

    /// Connects to a server, or to that which the sentinels name.
    pub(super) async fn open(&self, address: &ConnectionAddr) -> Result<Live, BrokerError> {
        let Kind::Sentinels { service, login } = &self.kind else {
            return self.connect(address, &self.login).await;
        };
        let server = self.server_of(service, login).await?;
        let live = self.connect(&server, &self.login).await?;
        let hello = hello(&live).await?;
        // The sentinels name a server that is gone until they have agreed on another.
        if hello.role.as_deref().is_some_and(|role| role != "master") {
            return Err(busy(format!("{server}, which the sentinels name, is a replica")));
        }
        Ok(live)
    }

    /// The address that the first sentinel to answer has for a server.
    async fn server_of(
        &self,
        service: &str,
        login: &RedisConnectionInfo,
    ) -> Result<ConnectionAddr, BrokerError> {
        let mut asked: FuturesUnordered<_> =
            self.seeds.iter().map(|seed| self.ask_sentinel(seed, service, login)).collect();
        let mut failure = refused("no sentinel is named");
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(server) => return Ok(server),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn ask_sentinel(
        &self,
        sentinel: &ConnectionAddr,
        service: &str,
        login: &RedisConnectionInfo,
    ) -> Result<ConnectionAddr, BrokerError> {
        let live = self.connect(sentinel, login).await?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(service);
        let answer = match timeout(CONNECT_MAX, question.query_async(&mut live.connection.clone())).await {
            Err(_) => return Err(not_connected(format!("the sentinel {sentinel} does not answer"))),
            Ok(Err(error)) => return Err(fault::of_connecting(&sentinel.to_string(), &error)),
            Ok(Ok(Value::Nil)) => {
                return Err(refused(format!("the sentinels know no service {service:?}: look at its name")));
            }
            Ok(Ok(answer)) => answer,
        };
        named(sentinel, answer).ok_or_else(|| fault::unexpected("SENTINEL"))
    }

    async fn connect(
        &self,
        address: &ConnectionAddr,
        login: &RedisConnectionInfo,
    ) -> Result<Live, BrokerError> {
        let client = self.client(address, login).await?;
        let gone = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&gone);
        // So that the first request after a restart does not go to a connection that is closed.
        let notice = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                told.store(true, Ordering::Relaxed);
            }
            Ok::<(), redis::aio::SendError>(())
        };
        // Its own limit of an answer's time would end reads that block.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_push_sender(notice);
        match timeout(CONNECT_MAX, client.get_multiplexed_async_connection_with_config(&config)).await {
            Ok(Ok(connection)) => Ok(Live { connection, address: address.to_string().into(), gone }),
            Ok(Err(error)) => Err(fault::of_connecting(&address.to_string(), &error)),
            Err(_) => Err(not_connected(format!("{address}: no connection within {CONNECT_MAX:?}"))),
        }
    }

    async fn client(
        &self,
        address: &ConnectionAddr,
        login: &RedisConnectionInfo,
    ) -> Result<Client, BrokerError> {
        let wrong = |error| fault::of_connecting(&address.to_string(), &error);
        let info = address.clone().into_connection_info().map_err(wrong)?;
        // Without `nodelay` the end of a large request waits for the server to confirm its beginning.
        let info =
            info.set_redis_settings(login.clone()).set_tcp_settings(TcpSettings::default().set_nodelay(true));
        if !matches!(address, ConnectionAddr::TcpTls { .. }) {
            return Client::open(info).map_err(wrong);
        }
        let root_cert = match &self.tls.authority {
            Some(path) => Some(read(path).await?),
            None => None,
        };
        let client_tls = match &self.tls.identity {
            Some(identity) => Some(ClientTlsConfig {
                client_cert: read(&identity.certificate).await?,
                client_key: read(&identity.key).await?,
            }),
            None => None,
        };
        let certificates = TlsCertificates { client_tls, root_cert };
        Client::build_with_tls(info, certificates)
            .map_err(|error| refused(format!("the files for TLS cannot be used: {error}")))
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, BrokerError> {
    let unreadable = |error: io::Error| refused(format!("{} cannot be read: {error}", path.display()));
    fs::read(path).await.map_err(unreadable)
}

/// The address that a sentinel gave.
fn named(sentinel: &ConnectionAddr, answer: Value) -> Option<ConnectionAddr> {
    let [host, port] = <[Value; 2]>::try_from(list(answer)?).ok()?;
    let (host, port) = (text(host)?, text(port)?.parse().ok()?);
    Some(match sentinel {
        ConnectionAddr::TcpTls { .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        }
        _ => ConnectionAddr::Tcp(host, port),
    })
}

/// What a server says of itself.
#[derive(Debug)]
pub(super) struct Hello {
    /// Its kind and version.
    pub(super) server: String,
    /// Whether it is a `master`.
    role: Option<String>,
}

/// Asks a server for what it is. Any user may.
pub(super) async fn hello(live: &Live) -> Result<Hello, BrokerError> {
    let question = redis::cmd("HELLO");
    let answer: Value = match timeout(CONNECT_MAX, question.query_async(&mut live.connection.clone())).await {
        Err(_) => return Err(not_connected(format!("{}: no answer within {CONNECT_MAX:?}", live.address))),
        Ok(Err(error)) => return Err(fault::of_request(&error).into()),
        Ok(Ok(answer)) => answer,
    };
    let Value::Map(fields) = answer else { return Err(fault::unexpected("HELLO")) };
    let mut fields: HashMap<String, String> =
        fields.into_iter().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect();
    let name = match fields.remove("server") {
        Some(name) if name == "valkey" => "Valkey".to_owned(),
        Some(name) if name == "redis" => "Redis".to_owned(),
        name => name.unwrap_or_default(),
    };
    let version = fields.remove("version").unwrap_or_default();
    Ok(Hello { server: format!("{name} {version}"), role: fields.remove("role") })
}

/// An address and its database. What is said of an address does not show it: a password may be in it.
fn place(address: &str) -> Result<(ConnectionAddr, i64), BrokerError> {
    let info = address.into_connection_info().map_err(|error| {
        refused(format!("a server's address cannot be read, which is redis://host:port: {error}"))
    })?;
    let settings = info.redis_settings();
    if settings.username().is_some() || settings.password().is_some() {
        return Err(refused("a server's address has a user or a password in it: write them beside it"));
    }
    if matches!(info.addr(), ConnectionAddr::TcpTls { insecure: true, .. }) {
        return Err(refused("a server's certificate is always checked: name its authority"));
    }
    Ok((info.addr().clone(), settings.db()))
}

fn login(database: i64, user: Option<&str>, password: Option<&SecretString>) -> RedisConnectionInfo {
    // RESP3: only there are we told when a connection is closed.
    let mut login = RedisConnectionInfo::default()
        .set_db(database)
        .set_protocol(ProtocolVersion::RESP3)
        .set_lib_name("tintal", env!("CARGO_PKG_VERSION"));
    if let Some(user) = user {
        login = login.set_username(user);
    }
    if let Some(password) = password {
        login = login.set_password(password.expose_secret());
    }
    login
}
