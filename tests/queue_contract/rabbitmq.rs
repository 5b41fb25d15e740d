//! RabbitMQ: the contract, and what is about RabbitMQ only.
//!
//! `RABBITMQ_SERVER` names the program, by default that of Debian's package `rabbitmq-server`;
//! `rabbitmqctl` lies beside it. `openssl` makes the certificates. One server is shared by all tests;
//! those that hurt it wait until they are alone with it.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::{
    broker::{Broker, BrokerError, Capabilities, Effect, Message, QueueName, Sent, Verdict},
    queues::rabbitmq::{CAPABILITIES, Identity, Login, Options, RabbitBroker, Tls},
    server::{free_port, program},
    suite::{Lab, fresh_queue, message, nothing, send, settle, take},
};

/// How long a claim lasts here.
const CLAIM: Duration = Duration::from_secs(3);

/// Longest time until a server answers: on a busy machine.
const START_MAX: Duration = Duration::from_secs(90);

/// How long RabbitMQ 3.10 keeps the name of a new quorum queue in memory before it is on disk. A server
/// that is killed until then starts with an empty queue in its place.
const NAME_KEPT_AFTER: Duration = Duration::from_secs(4);

/// Longest that a call may take whose server hangs.
const HANG_MAX: Duration = Duration::from_secs(20);

/// Starts the server, and waits for a word or for the end of the test's process. A word says that the
/// server was told to end, and will be started again; without one it is ended with all that belongs to it.
const KEEPER: &str = r#"
"$0" &
read -r word || kill -9 "$(cat "$RABBITMQ_PID_FILE")"
wait
[ "$word" = again ] || { epmd -kill; rm -rf "$HOME"; } >/dev/null 2>&1
"#;

const DEFINITIONS: &str = r#"{
    "vhosts": [{"name": "/"}, {"name": "other"}],
    "users": [
        {"name": "tester", "password": "right", "tags": "administrator"},
        {"name": "reader", "password": "right", "tags": ""}
    ],
    "permissions": [
        {"user": "tester", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
        {"user": "reader", "vhost": "/", "configure": "^$", "write": "^$", "read": ".*"}
    ]
}"#;

/// The server.
struct Rabbit {
    directory: PathBuf,
    port: u16,
    tls_port: u16,
    dist_port: u16,
    epmd_port: u16,
    keeper: Mutex<Option<Child>>,
    /// Who shares it reads; who is alone with it writes.
    turn: Arc<RwLock<()>>,
}

/// The one of this process. Its keeper ends it.
fn rabbit() -> &'static Rabbit {
    static RABBIT: OnceLock<Rabbit> = OnceLock::new();
    RABBIT.get_or_init(|| {
        let rabbit = Rabbit {
            directory: tempfile::Builder::new().prefix("rabbitmq-").tempdir().unwrap().keep(),
            port: free_port(),
            tls_port: free_port(),
            dist_port: free_port(),
            epmd_port: free_port(),
            keeper: Mutex::default(),
            turn: Arc::default(),
        };
        rabbit.prepare();
        rabbit.start();
        rabbit
    })
}

impl Rabbit {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn prepare(&self) {
        make_certificates(&self.directory);
        let Self { port, tls_port, .. } = self;
        let at = |name: &str| self.path(name).to_str().unwrap().to_owned();
        let config = format!(
            "listeners.tcp.default = 127.0.0.1:{port}\n\
             listeners.ssl.default = 127.0.0.1:{tls_port}\n\
             ssl_options.cacertfile = {}\nssl_options.certfile = {}\nssl_options.keyfile = {}\n\
             ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n\
             load_definitions = {}\nloopback_users = none\n\
             disk_free_limit.absolute = 50MB\nvm_memory_high_watermark.absolute = 1GB\n",
            at("ca.pem"),
            at("server.pem"),
            at("server.key"),
            at("definitions.json"),
        );
        fs::write(self.path("rabbitmq.conf"), config).unwrap();
        fs::write(self.path("definitions.json"), DEFINITIONS).unwrap();
        fs::write(self.path("enabled_plugins"), "[].").unwrap();
    }

    /// A program with the surroundings that make it part of this server.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("HOME", &self.directory)
            .env("RABBITMQ_NODENAME", format!("t{}@localhost", self.port))
            .env("RABBITMQ_DIST_PORT", self.dist_port.to_string())
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_MNESIA_BASE", self.path("data"))
            .env("RABBITMQ_LOG_BASE", self.path("log"))
            .env("RABBITMQ_PID_FILE", self.path("pid"))
            .env("RABBITMQ_CONFIG_FILE", self.path("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", self.path("advanced.config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.path("enabled_plugins"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", self.path("generated"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}");
        command
    }

    fn program() -> String {
        program("TEST_RABBITMQ_SERVER", "/usr/lib/rabbitmq/bin/rabbitmq-server")
    }

    fn start(&self) {
        let log = fs::File::options().create(true).append(true).open(self.path("server.log")).unwrap();
        let mut command = self.command("sh");
        command.args(["-c", KEEPER, &Self::program()]);
        // Whatever ends the test, the keeper is to see it and do its work.
        command.process_group(0).stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
        *self.keeper.lock().unwrap() = Some(command.spawn().unwrap());
        let start = Instant::now();
        while !speaks_amqp(self.port) {
            let log = || fs::read_to_string(self.path("server.log")).unwrap();
            assert!(start.elapsed() < START_MAX, "the server is not ready\n{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = fs::read_to_string(self.path("pid")).unwrap().trim().parse().unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Ends the server with a signal, and waits until it is gone.
    fn end(&self, signal: Signal) {
        self.signal(signal);
        while speaks_amqp(self.port) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut keeper = self.keeper.lock().unwrap().take().unwrap();
        keeper.stdin.take().unwrap().write_all(b"again\n").unwrap();
        keeper.wait().unwrap();
    }

    fn ctl(&self, arguments: &[&str]) {
        let ctl = Path::new(&Self::program()).with_file_name("rabbitmqctl");
        let output = self.command(ctl.to_str().unwrap()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    fn options(&self) -> Options {
        Options {
            servers: vec![format!("amqp://127.0.0.1:{}", self.port)],
            login: Login::Password { user: "tester".to_owned(), password: "right".into() },
            claim: CLAIM,
            ..Options::default()
        }
    }

    /// A channel of another program.
    async fn foreign_channel(&self) -> (Connection, Channel) {
        let url = format!("amqp://tester:right@127.0.0.1:{}/%2f", self.port);
        let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        (connection, channel)
    }
}

/// Whether a server says hello there.
fn speaks_amqp(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut first = [0];
    stream.write_all(b"AMQP\x00\x00\x09\x01").is_ok() && stream.read_exact(&mut first).is_ok()
}

/// An authority, and certificates of it for a server and a client; one more authority that is not known.
fn make_certificates(directory: &Path) {
    let openssl = |arguments: &str| {
        let output =
            Command::new("openssl").current_dir(directory).args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for authority in ["ca", "stranger"] {
        openssl(&format!(
            "req -x509 {key} -keyout {authority}.key -out {authority}.pem -subj /CN={authority} -days 2"
        ));
    }
    fs::write(directory.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1").unwrap();
    for owner in ["server", "client"] {
        openssl(&format!("req {key} -keyout {owner}.key -out {owner}.csr -subj /CN={owner}"));
        openssl(&format!(
            "x509 -req -in {owner}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names \
             -out {owner}.pem -days 2"
        ));
    }
}

/// A share in the server.
pub struct RabbitLab {
    rabbit: &'static Rabbit,
    turn: Mutex<Option<OwnedRwLockReadGuard<()>>>,
}

impl Lab for RabbitLab {
    const CAPABILITIES: Capabilities = CAPABILITIES;
    const CLAIM: Duration = CLAIM;

    async fn new() -> Self {
        let rabbit = server().await;
        let turn = Arc::clone(&rabbit.turn).read_owned().await;
        Self { rabbit, turn: Mutex::new(Some(turn)) }
    }

    async fn client(&self) -> Arc<dyn Broker> {
        Arc::new(client(self.rabbit.options()))
    }

    async fn crash(&self) -> bool {
        *self.turn.lock().unwrap() = None;
        let alone = alone().await;
        tokio::time::sleep(NAME_KEPT_AFTER).await;
        restart(&alone, Signal::KILL).await;
        true
    }

    async fn foreign(&self, queue: &QueueName, body: &str) -> bool {
        let (connection, channel) = self.rabbit.foreign_channel().await;
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        let name = queue.as_str().into();
        channel.basic_publish("".into(), name, options, body.as_bytes(), properties).await.unwrap();
        connection.close(200, "done".into()).await.unwrap();
        true
    }
}

contract!(RabbitLab);
worker_contract!(RabbitLab);

fn client(options: Options) -> RabbitBroker {
    RabbitBroker::new(options, Timestamp::now).unwrap()
}

async fn server() -> &'static Rabbit {
    tokio::task::spawn_blocking(rabbit).await.unwrap()
}

/// The server, while nobody else uses it.
struct Alone {
    rabbit: &'static Rabbit,
    _turn: OwnedRwLockWriteGuard<()>,
}

async fn alone() -> Alone {
    let rabbit = server().await;
    Alone { rabbit, _turn: Arc::clone(&rabbit.turn).write_owned().await }
}

async fn restart(alone: &Alone, signal: Signal) {
    let rabbit = alone.rabbit;
    let restarting = move || {
        rabbit.end(signal);
        rabbit.start();
    };
    tokio::task::spawn_blocking(restarting).await.unwrap();
}

async fn ctl(rabbit: &'static Rabbit, arguments: &'static [&'static str]) {
    tokio::task::spawn_blocking(move || rabbit.ctl(arguments)).await.unwrap();
}

async fn queue_of(broker: &dyn Broker) -> QueueName {
    let queue = fresh_queue();
    broker.ensure(&queue).await.unwrap();
    queue
}

fn reason(result: Result<(), BrokerError>) -> String {
    match result {
        Err(BrokerError::Refused { reason }) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_confirmed_message_is_there_when_the_server_is_killed_in_the_middle() {
    let alone = alone().await;
    let broker = Arc::new(client(alone.rabbit.options()));
    let queue = queue_of(&*broker).await;
    tokio::time::sleep(NAME_KEPT_AFTER).await;
    let messages: Vec<Message> = (0..2_000).map(|n| message(&format!("m{n}"))).collect();
    let sending = tokio::spawn({
        let (broker, queue) = (Arc::clone(&broker), queue.clone());
        async move {
            let mut results = Vec::new();
            for part in messages.chunks(100) {
                results.extend(broker.send(&queue, part).await);
            }
            results
        }
    });
    while broker.depth(&queue).await.unwrap().ready < 500 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    restart(&alone, Signal::KILL).await;
    let results = sending.await.unwrap();
    let confirmed: BTreeSet<String> =
        (0..).zip(&results).filter(|(_, result)| result.is_ok()).map(|(n, _)| format!("m{n}")).collect();
    assert!(confirmed.len() >= 500, "{}", confirmed.len());
    assert!(confirmed.len() < 2_000, "it was killed in the middle");
    let is_unanswered = |result: &Result<Sent, _>| matches!(result, Err(BrokerError::Unreachable { .. }));
    assert!(results.iter().all(|result| result.is_ok() || is_unanswered(result)), "{results:?}");
    let mut found = BTreeSet::new();
    let start = Instant::now();
    while !confirmed.is_subset(&found) {
        assert!(start.elapsed() < START_MAX, "{} of {} are there", found.len(), confirmed.len());
        // The queue takes some seconds to choose its leader again.
        let Ok(taken) = broker.receive(&queue, 500, Duration::from_secs(5)).await else { continue };
        found.extend(taken.iter().map(|delivery| String::from_utf8(delivery.body.to_vec()).unwrap()));
        settle(&*broker, &queue, &taken, Verdict::Ack).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_stay_when_the_server_is_restarted() {
    let alone = alone().await;
    let broker = client(alone.rabbit.options());
    let queue = queue_of(&broker).await;
    let due = Timestamp::now() + Duration::from_secs(2);
    let late = Message { not_before: Some(due), ..message("late") };
    send(&broker, &queue, &[message("a"), message("b"), late]).await;
    restart(&alone, Signal::TERM).await;
    let taken = take(&client(alone.rabbit.options()), &queue, 3).await;
    let bodies: Vec<&[u8]> = taken.iter().map(|delivery| &*delivery.body).collect();
    assert_eq!(bodies[..2], [b"a", b"b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_unreachable_within_a_bound_and_then_answers_again() {
    let alone = alone().await;
    let broker = client(alone.rabbit.options());
    let queue = queue_of(&broker).await;
    send(&broker, &queue, &[message("a")]).await;
    let taken = take(&broker, &queue, 1).await;
    alone.rabbit.signal(Signal::STOP);
    let start = Instant::now();
    let (b, c) = ([message("b")], [message("c")]);
    let newcomer = client(alone.rabbit.options());
    let (sent, settled, depth, came, fresh) = tokio::join!(
        broker.send(&queue, &b),
        settle(&broker, &queue, &taken, Verdict::Ack),
        broker.depth(&queue),
        newcomer.receive(&queue, 1, Duration::from_secs(1)),
        newcomer.send(&queue, &c),
    );
    let waited = start.elapsed();
    alone.rabbit.signal(Signal::CONT);
    assert!(waited < HANG_MAX, "{waited:?}");
    let unknown =
        |error: &BrokerError| matches!(error, BrokerError::Unreachable { effect: Effect::Unknown, .. });
    assert!(sent[0].as_ref().is_err_and(unknown), "{sent:?}");
    assert!(settled[0].as_ref().is_err_and(unknown), "{settled:?}");
    assert!(matches!(depth, Err(BrokerError::Unreachable { .. })), "{depth:?}");
    let none = |error: &BrokerError| matches!(error, BrokerError::Unreachable { effect: Effect::None, .. });
    assert!(came.as_ref().is_err_and(none), "{came:?}");
    assert!(fresh[0].as_ref().is_err_and(none), "{fresh:?}");
    let start = Instant::now();
    while broker.send(&queue, &[message("d")]).await != [Ok(Sent::New)] {
        assert!(start.elapsed() < HANG_MAX);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut bodies = BTreeSet::new();
    while !bodies.contains(&b"d"[..]) {
        let taken = take(&broker, &queue, 1).await;
        bodies.extend(taken.iter().map(|delivery| delivery.body.clone()));
        settle(&broker, &queue, &taken, Verdict::Ack).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_short_of_memory_is_busy_for_who_sends_and_settles_all_the_same() {
    let alone = alone().await;
    let broker = client(alone.rabbit.options());
    let queue = queue_of(&broker).await;
    send(&broker, &queue, &[message("a")]).await;
    let alarm = "rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []}).";
    ctl(alone.rabbit, Box::leak(Box::new(["eval", alarm]))).await;
    // The server reads the first one, and says then that it reads no more.
    let first = broker.send(&queue, &[message("c")]).await;
    let start = Instant::now();
    let second = broker.send(&queue, &[message("d")]).await;
    assert!(matches!(second[..], [Err(BrokerError::Busy { .. })]), "{first:?} {second:?}");
    assert!(start.elapsed() < Duration::from_secs(1));
    let taken = take(&broker, &queue, 1).await;
    assert_eq!(settle(&broker, &queue, &taken, Verdict::Ack).await, [Ok(())]);
    let clear = "rabbit_alarm:clear_alarm({resource_limit, memory, node()}).";
    ctl(alone.rabbit, Box::leak(Box::new(["eval", clear]))).await;
    let start = Instant::now();
    while broker.send(&queue, &[message("e")]).await != [Ok(Sent::New)] {
        assert!(start.elapsed() < HANG_MAX);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_without_being_shown() {
    let lab = RabbitLab::new().await;
    let login = Login::Password { user: "tester".to_owned(), password: "hunter2".into() };
    let broker = client(Options { login, ..lab.rabbit.options() });
    let said = reason(broker.health().await.map(|_| ()));
    assert!(said.contains("password") && !said.contains("hunter2"), "{said}");
    assert!(!format!("{broker:?}").contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_virtual_host_without_permission_and_one_that_is_none_are_refused() {
    let lab = RabbitLab::new().await;
    for vhost in ["other", "no-such"] {
        let broker = client(Options { vhost: vhost.to_owned(), ..lab.rabbit.options() });
        let said = reason(broker.ensure(&fresh_queue()).await);
        assert!(said.contains(vhost), "{said}");
        let sent = broker.send(&fresh_queue(), &[message("a")]).await;
        assert!(matches!(sent[..], [Err(BrokerError::Refused { .. })]), "{sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_is_refused() {
    let lab = RabbitLab::new().await;
    let queue = queue_of(&*lab.client().await).await;
    let login = Login::Password { user: "reader".to_owned(), password: "right".into() };
    let reader = client(Options { login, ..lab.rabbit.options() });
    let said = reason(reader.ensure(&fresh_queue()).await);
    assert!(said.contains("reader") && said.contains("permission"), "{said}");
    let sent = reader.send(&queue, &[message("a"), message("b")]).await;
    assert!(sent.iter().all(|sent| matches!(sent, Err(BrokerError::Refused { .. }))), "{sent:?}");
    assert_eq!(reader.depth(&queue).await.map(|depth| depth.ready), Ok(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_classic_queue_under_the_name_is_refused_and_left_as_it_is() {
    let lab = RabbitLab::new().await;
    let (_connection, channel) = lab.rabbit.foreign_channel().await;
    let queue = fresh_queue();
    let classic = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let declare = || channel.queue_declare(queue.as_str().into(), classic, FieldTable::default());
    declare().await.unwrap();
    assert!(lab.foreign(&queue, "not ours").await);
    let broker = lab.client().await;
    let said = reason(broker.ensure(&queue).await);
    assert!(said.contains("inequivalent") && said.contains("another name"), "{said}");
    assert_eq!(declare().await.unwrap().message_count(), 1);
    // It has done no harm to the connection.
    queue_of(&*broker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_was_deleted_is_refused_and_can_be_made_again() {
    let lab = RabbitLab::new().await;
    let broker = lab.client().await;
    let queue = queue_of(&*broker).await;
    send(&*broker, &queue, &[message("a")]).await;
    let receiving = tokio::spawn({
        let (broker, queue) = (Arc::clone(&broker), queue.clone());
        async move {
            take(&*broker, &queue, 1).await;
            broker.receive(&queue, 1, Duration::from_secs(20)).await
        }
    });
    let (_connection, channel) = lab.rabbit.foreign_channel().await;
    while broker.depth(&queue).await.unwrap().ready > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    let came = receiving.await.unwrap();
    assert!(reason(came.map(|_| ())).contains("deleted"));
    let sent = broker.send(&queue, &[message("b"), message("c")]).await;
    assert!(sent.iter().all(|sent| matches!(sent, Err(BrokerError::Refused { .. }))), "{sent:?}");
    reason(broker.receive(&queue, 1, Duration::from_secs(1)).await.map(|_| ()));
    reason(broker.depth(&queue).await.map(|_| ()));
    broker.ensure(&queue).await.unwrap();
    send(&*broker, &queue, &[message("d")]).await;
    assert_eq!(&*take(&*broker, &queue, 1).await[0].body, b"d");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_full_is_busy_and_drops_nothing() {
    let lab = RabbitLab::new().await;
    let broker = lab.client().await;
    let queue = queue_of(&*broker).await;
    let pattern = format!("^{queue}$");
    let arguments = ["set_policy", "full", &pattern, r#"{"max-length": 3}"#].map(str::to_owned);
    let rabbit = lab.rabbit;
    tokio::task::spawn_blocking(move || rabbit.ctl(&arguments.each_ref().map(String::as_str))).await.unwrap();
    let start = Instant::now();
    let mut accepted = Vec::new();
    // A queue learns of a policy a little later, and refuses a little later that it is full.
    for n in 0.. {
        let id = format!("m{n}");
        match &broker.send(&queue, &[message(&id)]).await[..] {
            [Ok(Sent::New)] => accepted.push(id),
            [Err(BrokerError::Busy { .. })] => break,
            other => panic!("{other:?}"),
        }
        assert!(start.elapsed() < HANG_MAX);
    }
    let taken = take(&*broker, &queue, accepted.len()).await;
    let bodies: Vec<_> =
        taken.iter().map(|delivery| String::from_utf8_lossy(&delivery.body).into_owned()).collect();
    assert_eq!(bodies, accepted);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_works_with_the_right_authority_and_certificate_only() {
    let lab = RabbitLab::new().await;
    let at = |name: &str| lab.rabbit.path(name);
    let identity = || Identity { certificate: at("client.pem"), key: at("client.key") };
    let with = |authority: Option<&str>, identity: Option<Identity>| {
        let servers = vec![format!("amqps://localhost:{}", lab.rabbit.tls_port)];
        let tls = Tls { authority: authority.map(at), identity };
        client(Options { servers, tls, ..lab.rabbit.options() })
    };
    let broker = with(Some("ca.pem"), Some(identity()));
    let queue = queue_of(&broker).await;
    send(&broker, &queue, &[message("a")]).await;
    assert_eq!(take(&broker, &queue, 1).await.len(), 1);
    assert!(broker.health().await.unwrap().server.starts_with("RabbitMQ "));
    let said = reason(with(Some("stranger.pem"), Some(identity())).ensure(&queue).await);
    assert!(said.contains("certificate"), "{said}");
    reason(with(None, Some(identity())).ensure(&queue).await);
    let said = reason(with(Some("no-such.pem"), Some(identity())).ensure(&queue).await);
    assert!(said.contains("no-such.pem"), "{said}");
    let error = with(Some("ca.pem"), None).ensure(&queue).await.unwrap_err();
    assert!(matches!(error, BrokerError::Refused { .. } | BrokerError::Unreachable { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_a_short_delay_does_not_wait_behind_one_with_a_long_delay() {
    let lab = RabbitLab::new().await;
    let broker = lab.client().await;
    let queue = queue_of(&*broker).await;
    let start = Instant::now();
    let after = |secs| Some(Timestamp::now() + Duration::from_secs(secs));
    let long = Message { not_before: after(60), ..message("long") };
    let short = Message { not_before: after(2), ..message("short") };
    send(&*broker, &queue, &[long, short]).await;
    let taken = take(&*broker, &queue, 1).await;
    assert_eq!(&*taken[0].body, b"short");
    assert!(start.elapsed() >= Duration::from_millis(1_900), "{:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_for_and_is_not_taken_goes_to_another_worker() {
    let lab = RabbitLab::new().await;
    let broker = lab.client().await;
    let queue = queue_of(&*broker).await;
    send(&*broker, &queue, &[message("a")]).await;
    let held = broker.receive(&queue, 10, CLAIM).await.unwrap();
    assert_eq!(held.len(), 1);
    // Nine more may come to the first worker, which asks no more and holds on to what it has.
    send(&*broker, &queue, &[message("b"), message("c")]).await;
    let other = lab.client().await;
    let start = Instant::now();
    let taken = take(&*other, &queue, 2).await;
    assert!(start.elapsed() < CLAIM, "{:?}", start.elapsed());
    assert_eq!(taken.len(), 2);
    assert_eq!(settle(&*broker, &queue, &held, Verdict::Ack).await, [Ok(())]);
    assert_eq!(settle(&*other, &queue, &taken, Verdict::Ack).await, [Ok(()), Ok(())]);
    nothing(&*broker, &queue, Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_not_extended_is_over_though_its_worker_lives() {
    let lab = RabbitLab::new().await;
    let broker = lab.client().await;
    let queue = queue_of(&*broker).await;
    send(&*broker, &queue, &[message("a")]).await;
    let held = take(&*broker, &queue, 1).await;
    let again = take(&*lab.client().await, &queue, 1).await;
    assert_eq!(again[0].deliveries, 2);
    for verdict in [Verdict::Ack, Verdict::Extend, Verdict::Leave] {
        assert_eq!(settle(&*broker, &queue, &held, verdict).await, [Err(BrokerError::ClaimOver)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_dropped_lose_nothing() {
    let lab = RabbitLab::new().await;
    let broker = lab.client().await;
    let queue = queue_of(&*broker).await;
    let messages: Vec<Message> = (0..200).map(|n| message(&format!("m{n}"))).collect();
    send(&*broker, &queue, &messages).await;
    let mut found = BTreeSet::new();
    let start = Instant::now();
    let mut round = 0_u64;
    while found.len() < messages.len() {
        assert!(start.elapsed() < Duration::from_secs(30), "{} came", found.len());
        round += 1;
        let patience = Duration::from_micros(round * 97 % 2_000);
        let receiving = broker.receive(&queue, 7, Duration::from_secs(1));
        let Ok(taken) = tokio::time::timeout(patience, receiving).await else { continue };
        let taken = taken.unwrap();
        let settling = settle(&*broker, &queue, &taken, Verdict::Ack);
        if tokio::time::timeout(patience, settling).await.is_ok() {
            found.extend(taken.iter().map(|delivery| delivery.body.clone()));
        } else {
            // It may have been settled or not.
            found.extend(taken.iter().map(|delivery| delivery.body.clone()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_may_send_and_receive_at_once() {
    let lab = RabbitLab::new().await;
    let broker = lab.client().await;
    let queue = queue_of(&*broker).await;
    let senders: Vec<_> = (0..8)
        .map(|sender| {
            let (broker, queue) = (Arc::clone(&broker), queue.clone());
            tokio::spawn(async move {
                for part in 0..10 {
                    let messages: Vec<_> =
                        (0..10).map(|n| message(&format!("{sender}-{part}-{n}"))).collect();
                    send(&*broker, &queue, &messages).await;
                }
            })
        })
        .collect();
    let found = Arc::new(Mutex::new(Vec::new()));
    let receivers: Vec<_> = (0..8)
        .map(|_| {
            let (broker, queue, found) = (Arc::clone(&broker), queue.clone(), Arc::clone(&found));
            tokio::spawn(async move {
                while found.lock().unwrap().len() < 800 {
                    let taken = broker.receive(&queue, 5, Duration::from_millis(200)).await.unwrap();
                    found.lock().unwrap().extend(taken.iter().map(|delivery| delivery.body.clone()));
                    for result in settle(&*broker, &queue, &taken, Verdict::Ack).await {
                        assert_eq!(result, Ok(()));
                    }
                }
            })
        })
        .collect();
    for task in senders.into_iter().chain(receivers) {
        task.await.unwrap();
    }
    let found = found.lock().unwrap();
    assert_eq!((found.len(), found.iter().collect::<BTreeSet<_>>().len()), (800, 800));
}

#[test]
fn options_that_cannot_be_right_are_refused() {
    let check = |options: Options, word: &str| {
        let said = reason(RabbitBroker::new(options, Timestamp::now).map(|_| ()));
        assert!(said.contains(word) && !said.contains("secret"), "{said}");
    };
    let server = |server: &str| Options { servers: vec![server.to_owned()], ..Options::default() };
    check(server("amqp://user:secret@host"), "login");
    check(server("amqp://host:5672/vhost"), "virtual host");
    check(server("http://host"), "amqps://");
    check(server("host"), "address");
    check(Options { servers: Vec::new(), ..Options::default() }, "no server");
    check(Options { claim: Duration::from_secs(2), ..Options::default() }, "claim time");
    check(Options { login: Login::Certificate, ..Options::default() }, "amqps://");
}
