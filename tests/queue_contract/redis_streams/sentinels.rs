//! A server with a replica, and sentinels that watch over them.

use std::{
    collections::BTreeSet,
    fs,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{
    super::{
        broker::{Broker, BrokerError},
        queues::redis_streams::{Options, RedisBroker, Sentinels, Servers},
        server::Server,
        suite::{fresh_queue, send},
    },
    answers, ask, assert_refused, broker, fresh, options, redis_server, start, text,
};

/// What the sentinels call the server.
const SERVICE: &str = "jobs";

struct Watched {
    server: Server,
    _replica: Server,
    sentinels: Vec<Server>,
}

fn sentinel(server: u16) -> Server {
    let command = move |directory: &TempDir, port: u16| {
        let path = directory.path().join("sentinel.conf");
        // It writes what it learns into the file, and does not begin anew.
        if !path.exists() {
            let config = format!(
                "port {port}\nbind 127.0.0.1\nsentinel monitor {SERVICE} 127.0.0.1 {server} 2\n\
                 sentinel down-after-milliseconds {SERVICE} 500\nsentinel failover-timeout {SERVICE} 2000\n"
            );
            fs::write(&path, config).unwrap();
        }
        let mut command = Command::new(redis_server());
        command.arg(&path).arg("--sentinel");
        command
    };
    Server::start(command, answers)
}

impl Watched {
    async fn start() -> Self {
        let server = start(&redis_server(), &[]);
        let port = server.port.to_string();
        let replica =
            start(&redis_server(), &["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"]);
        let sentinels: Vec<Server> = (0..3).map(|_| sentinel(server.port)).collect();
        let start = Instant::now();
        for sentinel in &sentinels {
            loop {
                let state: Vec<String> = ask(sentinel.port, &["SENTINEL", "MASTER", SERVICE]).await;
                let field = |name: &str| {
                    let at = state.iter().position(|field| field == name).unwrap();
                    state[at + 1].clone()
                };
                if field("num-slaves") == "1"
                    && field("num-other-sentinels") == "2"
                    && field("flags") == "master"
                {
                    break;
                }
                assert!(start.elapsed() < Duration::from_secs(30), "{state:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Self { server, _replica: replica, sentinels }
    }

    fn broker(&self, service: &str) -> Arc<RedisBroker> {
        let address = |sentinel: &Server| format!("redis://127.0.0.1:{}", sentinel.port);
        let addresses = self.sentinels.iter().map(address).collect();
        let sentinels = Sentinels { addresses, service: service.to_owned(), user: None, password: None };
        broker(Options { servers: Servers::Sentinels(sentinels), ..options(0) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_takes_over_and_what_it_had_is_there() {
    let watched = Watched::start().await;
    let (broker, queue) = (watched.broker(SERVICE), fresh_queue());
    broker.ensure(&queue).await.unwrap();
    let messages = fresh(10);
    send(&*broker, &queue, &messages[..9]).await;
    let taken = broker.receive(&queue, 2, Duration::from_secs(1)).await.unwrap();
    assert_eq!(taken.len(), 2);
    // The replica has it all.
    assert_eq!(ask::<u64>(watched.server.port, &["WAIT", "1", "5000"]).await, 1);
    watched.server.kill();
    let start = Instant::now();
    while let Err(error) = broker.send(&queue, &messages[9..]).await.remove(0) {
        assert!(matches!(error, BrokerError::Unreachable { .. } | BrokerError::Busy { .. }), "{error:?}");
        assert!(start.elapsed() < Duration::from_secs(30), "{error:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut came = BTreeSet::new();
    while came.len() < 10 {
        assert!(start.elapsed() < Duration::from_secs(40), "{came:?}");
        let Ok(received) = broker.receive(&queue, 10, Duration::from_secs(1)).await else { continue };
        came.extend(received.iter().map(text));
    }
    assert_eq!(came, messages.iter().map(|message| message.id.clone()).collect());
    // The old one is a replica when it comes back, and is not gone to.
    watched.server.run();
    broker.health().await.unwrap();
    send(&*broker, &queue, &fresh(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_that_do_not_know_the_service_say_so_and_one_that_is_away_is_no_trouble() {
    let mut watched = Watched::start().await;
    assert_refused(watched.broker("other").health().await, "\"other\"");
    watched.sentinels[0].kill();
    watched.broker(SERVICE).health().await.unwrap();
    watched.sentinels.truncate(1);
    let error = watched.broker(SERVICE).health().await.unwrap_err();
    assert!(matches!(error, BrokerError::Unreachable { .. }), "{error:?}");
}
