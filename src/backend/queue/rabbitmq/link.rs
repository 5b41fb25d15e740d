//! A connection: made when it is first used, and again when it is lost.
//!
//! There are two, one that sends and one that takes: a server that is short of memory or disk stops to
//! read from the one that sends, and claims are to be settled all the same.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use lapin::{
    Channel, Connection, ConnectionProperties,
    options::ConfirmSelectOptions,
    runtime,
    uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo, SASLMechanism},
};
use secrecy::ExposeSecret as _;
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::{
    super::broker::{BrokerError, Effect},
    Login, Options, fault,
    reach::{self, Hand, Node},
};

/// Longest wait for an answer. A quorum queue whose leader is gone takes some seconds to choose another;
/// past this nobody can tell what became of a request.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(15);

/// Longest time until a connection is made, with TLS and login. A server answers a wrong password late on
/// purpose, by some seconds.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Longest time that a connection takes to say goodbye. It is cut then.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// Shortest time between two attempts to connect, however many ask for it.
const PAUSE: Duration = Duration::from_millis(100);

/// Most channels that are kept for the next one who sends.
const SPARE_MAX: usize = 16;

/// How connections are made.
#[derive(Debug)]
pub(super) struct Dialer {
    options: Options,
    nodes: Vec<Node>,
    scheme: AMQPScheme,
    heartbeat_secs: u16,
    /// Attempts so far: each begins with the next server.
    attempts: AtomicUsize,
}

impl Dialer {
    pub(super) fn new(options: Options, nodes: Vec<Node>, scheme: AMQPScheme) -> Self {
        // A server takes a peer for dead after two of them, and that is to be before a claim is over.
        let heartbeat = options.heartbeat.unwrap_or(options.claim / 3).as_secs().clamp(1, 60);
        let heartbeat_secs = u16::try_from(heartbeat).unwrap_or(60);
        Self { options, nodes, scheme, heartbeat_secs, attempts: AtomicUsize::new(0) }
    }

    /// How long a claim lasts.
    pub(super) fn claim(&self) -> Duration {
        self.options.claim
    }

    fn uri(&self) -> AMQPUri {
        let (user, password, mechanism) = match &self.options.login {
            Login::Password { user, password } => {
                (user.clone(), password.expose_secret().to_owned(), SASLMechanism::Plain)
            }
            Login::Certificate => (String::new(), String::new(), SASLMechanism::External),
        };
        AMQPUri {
            scheme: self.scheme.clone(),
            // Only a name for the client's reports: the socket is ours.
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo { username: user, password },
                host: "server".to_owned(),
                port: 0,
            },
            vhost: self.options.vhost.clone(),
            query: AMQPQueryString {
                heartbeat: Some(self.heartbeat_secs),
                auth_mechanism: Some(mechanism),
                ..AMQPQueryString::default()
            },
        }
    }

    /// The files and names that a socket takes, and with which server to begin.
    fn target(&self) -> Target {
        let is_encrypted = self.scheme == AMQPScheme::AMQPS;
        Target {
            nodes: self.nodes.clone(),
            first: self.attempts.fetch_add(1, Ordering::Relaxed) % self.nodes.len().max(1),
            tls: is_encrypted.then(|| self.options.tls.clone()),
        }
    }

    async fn dial(&self, purpose: &str) -> Result<Link, BrokerError> {
        let name = format!("{} ({purpose})", self.options.name);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let (target, hand) = (self.target(), Arc::new(Hand::default()));
        let held = Arc::clone(&hand);
        let open = async move |_, runtime| {
            reach::open(&target.nodes, target.first, target.tls.as_ref(), &held, &runtime)
                .await
                .map_err(lapin::Error::from)
        };
        let runtime = runtime::default_runtime().map_err(|error| fault::of(&error, Effect::None))?;
        let connecting = Connection::connector(self.uri(), runtime, open, properties);
        match timeout(CONNECT_MAX, connecting).await {
            Ok(Ok(connection)) => Ok(Link::new(connection, hand)),
            Ok(Err(error)) => Err(fault::of(&error, Effect::None)),
            Err(_) => {
                hand.let_go();
                Err(fault::unreachable(Effect::None, format!("no connection within {CONNECT_MAX:?}")))
            }
        }
    }

    /// Kind and version of the server.
    async fn ask_version(&self) -> Result<String, BrokerError> {
        let (target, hand) = (self.target(), Hand::default());
        let runtime = runtime::default_runtime().map_err(|error| fault::of(&error, Effect::None))?;
        let asking = async {
            let opening = reach::open(&target.nodes, target.first, target.tls.as_ref(), &hand, &runtime);
            reach::ask_version(opening.await?).await
        };
        match timeout(CONNECT_MAX, asking).await {
            Ok(answer) => answer.map_err(|error| fault::of(&error.into(), Effect::None)),
            Err(_) => Err(fault::no_answer(Effect::None, CONNECT_MAX)),
        }
    }
}

/// Where to connect to.
struct Target {
    nodes: Vec<Node>,
    first: usize,
    tls: Option<super::Tls>,
}

/// A connection, while it lasts.
#[derive(Debug)]
pub(super) struct Link {
    connection: Connection,
    hand: Arc<Hand>,
    /// Channels that nobody sends on now.
    spare: Mutex<Vec<Channel>>,
    /// Levels of delay that were made on this connection.
    levels: AtomicU32,
    version: OnceLock<String>,
}

impl Link {
    fn new(connection: Connection, hand: Arc<Hand>) -> Self {
        let (spare, levels) = (Mutex::default(), AtomicU32::new(0));
        Self { connection, hand, spare, levels, version: OnceLock::new() }
    }

    fn is_up(&self) -> bool {
        self.connection.status().connected()
    }

    /// Whether the server does not read what is sent to it, as it is short of something.
    pub(super) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// A new channel.
    pub(super) async fn channel(&self) -> Result<Channel, BrokerError> {
        answered(self.connection.create_channel(), Effect::None).await
    }

    /// A channel that says when it has a message, for one sender at a time: the client counts messages
    /// and puts them in line in two steps, so two senders on one channel could take each other's answers.
    pub(super) async fn sending_channel(&self) -> Result<Channel, BrokerError> {
        while let Some(channel) = self.spare().pop() {
            if channel.status().connected() {
                return Ok(channel);
            }
        }
        let channel = self.channel().await?;
        answered(channel.confirm_select(ConfirmSelectOptions::default()), Effect::None).await?;
        Ok(channel)
    }

    /// Takes back a channel on which nothing is under way.
    pub(super) fn give_back(&self, channel: Channel) {
        let mut spare = self.spare();
        if spare.len() < SPARE_MAX {
            spare.push(channel);
        }
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Channel>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of the lower levels of delay were made on this connection.
    pub(super) fn levels(&self) -> u32 {
        self.levels.load(Ordering::Relaxed)
    }

    pub(super) fn has_levels(&self, levels: u32) {
        self.levels.store(levels, Ordering::Relaxed);
    }

    /// Kind and version of the server; asked for once.
    pub(super) async fn version(&self, dialer: &Dialer) -> Result<String, BrokerError> {
        if let Some(version) = self.version.get() {
            return Ok(version.clone());
        }
        let version = dialer.ask_version().await?;
        Ok(self.version.get_or_init(|| version).clone())
    }

    async fn close(&self) {
        // One that does not answer is cut.
        let _ = timeout(CLOSE_MAX, self.connection.close(200, "closing".into())).await;
        self.hand.let_go();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.hand.let_go();
    }
}

/// Waits for an answer as long as it may take.
pub(super) async fn answered<T>(
    asking: impl Future<Output = lapin::Result<T>>,
    effect: Effect,
) -> Result<T, BrokerError> {
    match timeout(ANSWER_MAX, asking).await {
        Ok(answer) => answer.map_err(|error| fault::of(&error, effect)),
        Err(_) => Err(fault::no_answer(effect, ANSWER_MAX)),
    }
}

type Dialled = Option<Result<Arc<Link>, BrokerError>>;

/// Where a connection is kept.
#[derive(Debug)]
pub(super) struct Line {
    dialer: Arc<Dialer>,
    purpose: &'static str,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// There is none; the next attempt is not to begin before that.
    Down(Instant),
    Dialling(watch::Receiver<Dialled>),
    Up(Arc<Link>),
    /// There is to be none any more.
    Closed,
}

impl Line {
    pub(super) fn new(dialer: Arc<Dialer>, purpose: &'static str) -> Self {
        let state = Mutex::new(State::Down(Instant::now()));
        Self { dialer, purpose, state }
    }

    /// The connection; waits for one that is being made no longer than `wait`. It goes on being made
    /// when nobody waits any more.
    pub(super) async fn link(self: &Arc<Self>, wait: Duration) -> Result<Arc<Link>, BrokerError> {
        let mut dialled = match &mut *self.state() {
            State::Up(link) if link.is_up() => return Ok(Arc::clone(link)),
            State::Dialling(dialled) => dialled.clone(),
            State::Closed => return Err(fault::unreachable(Effect::None, "the connection was closed")),
            state @ (State::Up(_) | State::Down(_)) => {
                let not_before = if let State::Down(at) = state { *at } else { Instant::now() };
                let (tell, dialled) = watch::channel(None);
                *state = State::Dialling(dialled.clone());
                tokio::spawn(Arc::clone(self).dial(not_before, tell));
                dialled
            }
        };
        let waited = timeout(wait.min(CONNECT_MAX), dialled.wait_for(Option::is_some)).await;
        match waited.map(|told| told.ok().and_then(|dialled| dialled.clone())) {
            Ok(Some(result)) => result,
            Ok(None) => Err(fault::unreachable(Effect::None, "the process ends")),
            Err(_) => Err(fault::unreachable(Effect::None, "no connection yet")),
        }
    }

    async fn dial(self: Arc<Self>, not_before: Instant, tell: watch::Sender<Dialled>) {
        sleep_until(not_before).await;
        let result = self.dialer.dial(self.purpose).await.map(Arc::new);
        {
            let mut state = self.state();
            match (&*state, &result) {
                (State::Closed, Ok(link)) => hang_up(link),
                (State::Closed, Err(_)) => {}
                (_, Ok(link)) => *state = State::Up(Arc::clone(link)),
                (_, Err(_)) => *state = State::Down(Instant::now() + PAUSE),
            }
        }
        // Those who asked may have gone.
        let _ = tell.send(Some(result));
    }

    /// Ends the connection, for good: with it, the server takes back all that it gave.
    pub(super) fn close(&self) {
        if let State::Up(link) = std::mem::replace(&mut *self.state(), State::Closed) {
            hang_up(&link);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says goodbye in the background; without a runtime, the connection is cut.
fn hang_up(link: &Arc<Link>) {
    match Handle::try_current() {
        Ok(runtime) => {
            let link = Arc::clone(link);
            runtime.spawn(async move { link.close().await });
        }
        Err(_) => link.hand.let_go(),
    }
}
