//! Clusters: a queue is on one node, which may change.

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{
    super::{
        broker::{Broker, BrokerError, Capabilities, QueueName, Verdict},
        queues::redis_streams::{CAPABILITIES, Options, Servers},
        server::{self, Server},
        suite::{Lab, fresh_queue, send, settle, take},
    },
    CLAIM, DURABLE, answers, ask, broker, fresh, options, raw, redis_server, says,
};

/// The slots of a cluster.
const SLOTS: u16 = 16_384;

/// Three nodes, each with a third of the slots.
pub struct ClusterLab {
    nodes: Vec<Server>,
}

fn node() -> Server {
    let bus_port = server::free_port();
    let command = move |directory: &TempDir, port: u16| {
        let mut command = Command::new(redis_server());
        command.args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string()]);
        command.args(["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"]);
        command.args(["--cluster-port", &bus_port.to_string()]);
        command.arg("--dir").arg(directory.path()).args(DURABLE);
        command
    };
    Server::start(command, answers)
}

impl ClusterLab {
    async fn start() -> Self {
        let lab = Self { nodes: (0..3).map(|_| node()).collect() };
        for (node, first) in lab.nodes.iter().zip([0, SLOTS / 3, 2 * SLOTS / 3]) {
            let last = if first == 2 * SLOTS / 3 { SLOTS - 1 } else { first + SLOTS / 3 - 1 };
            // The last third begins where the second ends, whatever was rounded away.
            let last = if first == SLOTS / 3 { 2 * SLOTS / 3 - 1 } else { last };
            let () =
                ask(node.port, &["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await;
        }
        for node in &lab.nodes[1..] {
            let bus = says(node.port, "CLUSTER MYID").unwrap();
            assert!(bus.starts_with('$'), "{bus}");
            let info: String = ask(node.port, &["CLUSTER", "NODES"]).await;
            let bus_port = info.split(['@', ',', ' ']).nth(2).unwrap().to_owned();
            let port = node.port.to_string();
            let () = ask(lab.nodes[0].port, &["CLUSTER", "MEET", "127.0.0.1", &port, &bus_port]).await;
        }
        lab.settled().await;
        lab
    }

    /// Waits until all nodes know that all are well.
    async fn settled(&self) {
        let start = Instant::now();
        let is_well = |node: &Server| {
            says(node.port, "CLUSTER INFO").is_some_and(|said| {
                said.contains("cluster_state:ok") && said.contains("cluster_known_nodes:3")
            })
        };
        while !self.nodes.iter().all(is_well) {
            assert!(start.elapsed() < Duration::from_secs(30), "the cluster does not come up");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn options(&self) -> Options {
        let address = |node: &Server| format!("redis://127.0.0.1:{}", node.port);
        Options { servers: Servers::Cluster(self.nodes.iter().map(address).collect()), ..options(0) }
    }

    /// The node that a queue is on.
    async fn home(&self, queue: &QueueName) -> &Server {
        for node in &self.nodes {
            let mut raw = raw(node.port).await;
            let length = redis::cmd("XLEN").arg(queue.as_str()).query_async::<u64>(&mut raw).await;
            if length.is_ok() {
                return node;
            }
        }
        panic!("no node has {queue}");
    }
}

impl Lab for ClusterLab {
    const CAPABILITIES: Capabilities = CAPABILITIES;
    const CLAIM: Duration = CLAIM;

    async fn new() -> Self {
        Self::start().await
    }

    async fn client(&self) -> Arc<dyn Broker> {
        broker(self.options())
    }

    async fn crash(&self) -> bool {
        for node in &self.nodes {
            node.kill();
        }
        for node in &self.nodes {
            node.run();
        }
        self.settled().await;
        true
    }

    async fn foreign(&self, queue: &QueueName, body: &str) -> bool {
        let node = self.home(queue).await;
        let _: String = ask(node.port, &["XADD", queue.as_str(), "*", "body", body]).await;
        true
    }
}

contract!(@cases ClusterLab:
    what_is_sent_comes_once_and_is_gone_when_acknowledged,
    what_is_to_be_tried_again_comes_again_after_its_delay,
    what_a_dead_worker_held_is_taken_over,
    a_second_message_of_one_id_is_no_second_message_where_that_is_promised,
    what_is_not_due_is_not_received_where_that_is_promised,
    nothing_is_lost_when_the_server_is_killed,
    how_many_there_are_is_told,
    two_queues_do_not_meet,
    what_is_not_ours_stays_and_does_not_come_back_at_once,
);

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_moves_to_another_node_goes_on_while_it_moves_and_after() {
    let lab = ClusterLab::start().await;
    let (broker, queue) = (broker(lab.options()), fresh_queue());
    broker.ensure(&queue).await.unwrap();
    send(&*broker, &queue, &fresh(10)).await;
    let held = take(&*broker, &queue, 3).await;
    let from = lab.home(&queue).await;
    let to = lab.nodes.iter().find(|node| node.port != from.port).unwrap();
    let slot: u16 = ask(from.port, &["CLUSTER", "KEYSLOT", queue.as_str()]).await;
    let slot = slot.to_string();
    let (from_id, to_id): (String, String) =
        (ask(from.port, &["CLUSTER", "MYID"]).await, ask(to.port, &["CLUSTER", "MYID"]).await);
    let () = ask(to.port, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await;
    let () = ask(from.port, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await;
    // While only half of the keys are there, it is busy.
    let port = to.port.to_string();
    let () = ask(from.port, &["MIGRATE", "127.0.0.1", &port, queue.as_str(), "0", "5000"]).await;
    let sent = broker.send(&queue, &fresh(1)).await.remove(0);
    assert!(matches!(sent, Err(BrokerError::Busy { .. })), "{sent:?}");
    let keys: Vec<String> = ask(from.port, &["CLUSTER", "GETKEYSINSLOT", &slot, "100"]).await;
    assert!(!keys.is_empty());
    for key in keys {
        let () = ask(from.port, &["MIGRATE", "127.0.0.1", &port, &key, "0", "5000"]).await;
    }
    // All keys are on the new node, which is not the slot's yet: it is asked, but not for several keys.
    broker.ensure(&queue).await.unwrap();
    let depth = broker.depth(&queue).await;
    assert!(matches!(depth, Err(BrokerError::Busy { .. })), "{depth:?}");
    for node in [to, from] {
        let () = ask(node.port, &["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await;
    }
    assert_eq!(lab.home(&queue).await.port, to.port);
    assert!(settle(&*broker, &queue, &held, Verdict::Ack).await.iter().all(Result::is_ok));
    send(&*broker, &queue, &fresh(1)).await;
    assert_eq!(take(&*broker, &queue, 8).await.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_away_stops_its_queues_and_they_go_on_with_it() {
    let lab = ClusterLab::start().await;
    let broker = broker(lab.options());
    let queue = fresh_queue();
    broker.ensure(&queue).await.unwrap();
    send(&*broker, &queue, &fresh(2)).await;
    assert_eq!(take(&*broker, &queue, 1).await.len(), 1);
    let home = lab.home(&queue).await;
    home.kill();
    let start = Instant::now();
    let error = broker.send(&queue, &fresh(1)).await.remove(0).unwrap_err();
    assert!(matches!(error, BrokerError::Unreachable { .. } | BrokerError::Busy { .. }), "{error:?}");
    let error = broker.receive(&queue, 1, Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(error, BrokerError::Unreachable { .. } | BrokerError::Busy { .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    home.run();
    lab.settled().await;
    send(&*broker, &queue, &fresh(1)).await;
    assert_eq!(take(&*broker, &queue, 2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_named_as_a_single_server_is_refused_with_the_way_out() {
    let lab = ClusterLab::start().await;
    let mut refused = 0;
    for _ in 0..20 {
        let node = broker(options(lab.nodes[0].port));
        if let Err(error) = node.ensure(&fresh_queue()).await {
            assert!(
                matches!(&error, BrokerError::Refused { reason } if reason.contains("cluster")),
                "{error:?}"
            );
            refused += 1;
        }
    }
    assert!(refused > 0);
}
