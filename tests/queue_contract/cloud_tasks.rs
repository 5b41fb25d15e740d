//! Cloud Tasks, by an emulator that answers as recordings of the real service do: what every queue
//! system must do, and what only this one has.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tintal::backend::queue::{
    cloud_tasks::{CAPABILITIES, CloudTasksBroker, Oidc, Options},
    google::credentials::Credentials,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use super::{
    broker::{Broker, BrokerError, Capabilities, Delivery, Effect, Message, QueueName, Sent, Verdict},
    server::{Server, answers, free_port, program},
    suite::{Lab, fresh_queue, message, nothing, send, settle, take},
};

const PROJECT: &str = "tintal-test";
const LOCATION: &str = "europe-west1";
const ACCOUNT: &str = "pusher@tintal-test.iam.gserviceaccount.com";

pub struct CloudTasksLab {
    server: Server,
    front: Front,
}

impl Lab for CloudTasksLab {
    const CAPABILITIES: Capabilities = CAPABILITIES;
    const CLAIM: Duration = Duration::from_secs(15);

    async fn new() -> Self {
        let server = tokio::task::spawn_blocking(|| Server::start(|_, port| command(port), answers));
        Self { server: server.await.unwrap(), front: Front::new().await }
    }

    async fn client(&self) -> Arc<dyn Broker> {
        Arc::new(self.broker(|_| ()))
    }

    /// The emulator keeps nothing.
    async fn crash(&self) -> bool {
        false
    }

    async fn foreign(&self, queue: &QueueName, body: &str) -> bool {
        let body = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, body);
        let url = format!("{}/v1/tasks/{queue}", self.front.url());
        let task = json!({ "task": { "httpRequest": { "url": url, "body": body } } });
        assert_eq!(self.ask("POST", &format!("queues/{queue}/tasks"), &task).await.0, 200);
        true
    }
}

fn command(port: u16) -> Command {
    let mut command = Command::new(program("TEST_CLOUD_TASKS_EMULATOR", "cloud-tasks-emulator"));
    command.env("LISTEN_ADDR", format!("127.0.0.1:{port}"));
    command.env("OIDC_ISSUER", format!("http://127.0.0.1:{port}"));
    command.env("QUEUES", "");
    command
}

/// What stands before the workers, as a load balancer does: one address, and a connection goes to the
/// newest worker that listens. It waits a while for one, as for an instance that starts.
struct Front {
    address: SocketAddr,
    workers: Arc<Mutex<Vec<SocketAddr>>>,
    task: JoinHandle<()>,
}

impl Front {
    async fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let workers: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
        let known = Arc::clone(&workers);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut outside, _) = listener.accept().await.unwrap();
                let known = Arc::clone(&known);
                connections.spawn(async move {
                    let start = Instant::now();
                    while start.elapsed() < Duration::from_secs(5) {
                        let workers: Vec<SocketAddr> = known.lock().unwrap().iter().rev().copied().collect();
                        for worker in workers {
                            if let Ok(mut inside) = TcpStream::connect(worker).await {
                                let _ = copy_bidirectional(&mut outside, &mut inside).await;
                                return;
                            }
                        }
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                });
            }
        });
        Self { address, workers, task }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl CloudTasksLab {
    fn options(&self) -> Options {
        Options {
            project: PROJECT.to_owned(),
            location: LOCATION.to_owned(),
            endpoint: format!("http://127.0.0.1:{}", self.server.port),
            credentials: Credentials::Anonymous,
            claim: Self::CLAIM,
            target_url: self.front.url(),
            listen: (Ipv4Addr::LOCALHOST, free_port()).into(),
            oidc: None,
            waiting_max: 1_000,
        }
    }

    fn broker(&self, change: impl FnOnce(&mut Options)) -> CloudTasksBroker {
        let mut options = self.options();
        change(&mut options);
        self.front.workers.lock().unwrap().push(options.listen);
        CloudTasksBroker::new(options, Timestamp::now).unwrap()
    }

    fn oidc(&self) -> Oidc {
        Oidc {
            service_account: ACCOUNT.to_owned(),
            audience: None,
            issuer: format!("http://127.0.0.1:{}", self.server.port),
        }
    }

    /// Asks the emulator, as another program would.
    async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}/v2/projects/{PROJECT}/locations/{LOCATION}/{path}", self.options().endpoint);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.request(method.parse().unwrap(), url);
        let request = if method == "GET" { request } else { request.json(body) };
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Has the server hang, until [`Self::go_on`].
    fn hang(&self) {
        let pid = self.server.pid();
        kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::STOP).unwrap();
        // The signal is on its way: a thread that still runs could answer.
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let stats: Vec<_> = tasks.map(|task| task.unwrap().path().join("stat")).collect();
        let runs = |stat: &PathBuf| std::fs::read_to_string(stat).is_ok_and(|stat| !stat.contains(") T "));
        while stats.iter().any(runs) {
            std::thread::yield_now();
        }
    }

    /// Has the server go on.
    fn go_on(&self) {
        kill_process(Pid::from_raw(self.server.pid().cast_signed()).unwrap(), Signal::CONT).unwrap();
    }

    fn restart(&self) {
        self.server.kill();
        tokio::task::block_in_place(|| self.server.run());
    }
}

contract!(CloudTasksLab);

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: &Result<T, BrokerError>, words: &str) {
    match result {
        Err(BrokerError::Refused { reason }) => assert!(reason.contains(words), "{reason}"),
        other => panic!("{other:?} is not a refusal that says `{words}`"),
    }
}

fn ids(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| String::from_utf8(delivery.body.to_vec()).unwrap()).collect()
}

/// A push as Cloud Tasks makes it, or somebody who is not Cloud Tasks; gives the status of the answer.
async fn push(url: &str, body: &str, headers: &[(&str, &str)]) -> u16 {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(url).body(body.to_owned());
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.send().await.unwrap().status().as_u16()
}

/// Has a listener listen for a queue.
async fn listen(broker: &dyn Broker, queue: &QueueName) {
    assert_eq!(broker.receive(queue, 1, Duration::ZERO).await, Ok(Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_says_all_that_cloud_tasks_must_know() {
    let lab = CloudTasksLab::new().await;
    let oidc = Oidc { audience: Some("https://worker.example.com".to_owned()), ..lab.oidc() };
    let (broker, queue) = (lab.broker(|options| options.oidc = Some(oidc)), fresh_queue());
    broker.ensure(&queue).await.unwrap();
    let found = lab.ask("GET", &format!("queues/{queue}"), &Value::Null).await.1;
    assert_eq!(found["retryConfig"]["maxAttempts"], -1);
    let far = Timestamp::now() + Duration::from_secs(40 * 24 * 3_600);
    let id = "x".repeat(128);
    let body = Bytes::from(vec![b'x'; CAPABILITIES.body_max]);
    let message = Message { id: id.clone(), body, not_before: Some(far), key: None };
    send(&broker, &queue, std::slice::from_ref(&message)).await;
    assert_eq!(broker.send(&queue, &[message]).await, [Ok(Sent::Duplicate)]);
    let path = format!("queues/{queue}/tasks?responseView=FULL");
    let listed = lab.ask("GET", &path, &Value::Null).await.1;
    let [task] = listed["tasks"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert_eq!(task["httpRequest"]["headers"]["x-tintal-id"], id);
    assert_eq!(task["httpRequest"]["oidcToken"]["serviceAccountEmail"], ACCOUNT);
    assert_eq!(task["httpRequest"]["oidcToken"]["audience"], "https://worker.example.com");
    assert_eq!(task["dispatchDeadline"], "15s");
    assert_eq!(task["retryConfig"]["maxAttempts"], -1);
    // Thirty days at most, and less what clocks may differ by.
    let at: Timestamp = task["scheduleTime"].as_str().unwrap().parse().unwrap();
    let hours = (at - Timestamp::now()).total(jiff::Unit::Hour).unwrap();
    assert!((718.9..719.1).contains(&hours), "{hours}");
    let depth = broker.depth(&queue).await.unwrap();
    assert_eq!((depth.ready, depth.claimed, depth.delayed), (0, None, Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_without_a_good_token_is_not_taken_in() {
    let lab = CloudTasksLab::new().await;
    let audience = |audience: &str| Oidc { audience: Some(audience.to_owned()), ..lab.oidc() };
    let sender = |oidc: Option<Oidc>| lab.broker(|options| options.oidc = oidc);
    // The receiver is made last: it is the one that pushes go to.
    let good = sender(Some(lab.oidc()));
    let (tokenless, strange) = (sender(None), sender(Some(audience("https://other.example.com"))));
    let other = sender(Some(Oidc { service_account: "other@example.com".to_owned(), ..lab.oidc() }));
    let receiver = lab.broker(|options| options.oidc = Some(lab.oidc()));
    let queue = fresh_queue();
    good.ensure(&queue).await.unwrap();
    listen(&receiver, &queue).await;
    send(&tokenless, &queue, &[message("no token")]).await;
    send(&strange, &queue, &[message("another audience")]).await;
    send(&other, &queue, &[message("another account")]).await;
    nothing(&receiver, &queue, Duration::from_secs(2)).await;
    send(&good, &queue, &[message("good")]).await;
    let taken = take(&receiver, &queue, 1).await;
    assert_eq!(ids(&taken), ["good"]);
    assert_eq!(settle(&receiver, &queue, &taken, Verdict::Ack).await, [Ok(())]);

    let url = format!("{}/v1/tasks/{queue}", lab.front.url());
    let named = ("x-cloudtasks-taskname", "t");
    assert_eq!(push(&url, "", &[named]).await, 401);
    assert_eq!(push(&url, "", &[named, ("authorization", "Bearer x.y.z")]).await, 401);
    // Who has no token learns no queue's name, either.
    assert_eq!(push(&format!("{url}x"), "", &[named]).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_over_or_of_another_key_is_not_taken_in() {
    let lab = CloudTasksLab::new().await;
    let issuer = lab.oidc().issuer;
    let (queue, oidc) = (fresh_queue(), lab.oidc());
    let sender = lab.broker(|options| options.oidc = Some(oidc.clone()));
    sender.ensure(&queue).await.unwrap();
    let mut options = lab.options();
    options.oidc = Some(oidc);
    lab.front.workers.lock().unwrap().push(options.listen);
    // Tokens are good for an hour.
    let later = || Timestamp::now() + Duration::from_secs(2 * 3_600);
    let late = CloudTasksBroker::new(options, later).unwrap();
    listen(&late, &queue).await;
    send(&sender, &queue, &[message("one")]).await;
    nothing(&late, &queue, Duration::from_secs(2)).await;
    drop(late);

    // Another emulator that says it is this one has another key.
    let forger = tokio::task::spawn_blocking(move || {
        let forged = move |_: &tempfile::TempDir, port| {
            let mut command = command(port);
            command.env("OIDC_ISSUER", &issuer);
            command
        };
        Server::start(forged, answers)
    });
    let forger = forger.await.unwrap();
    let forged = lab.broker(|options| {
        options.endpoint = format!("http://127.0.0.1:{}", forger.port);
        options.oidc = Some(lab.oidc());
    });
    let queue_of_forger = fresh_queue();
    forged.ensure(&queue_of_forger).await.unwrap();
    let receiver = lab.broker(|options| options.oidc = Some(lab.oidc()));
    listen(&receiver, &queue_of_forger).await;
    send(&forged, &queue_of_forger, &[message("forged")]).await;
    nothing(&receiver, &queue_of_forger, Duration::from_secs(2)).await;
    assert_eq!(ids(&take(&receiver, &queue, 1).await), ["one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_push_is_not_taken_in() {
    let lab = CloudTasksLab::new().await;
    let (broker, queue) = (lab.broker(|options| options.waiting_max = 2), fresh_queue());
    listen(&broker, &queue).await;
    let url = format!("{}/v1/tasks/{queue}", lab.front.url());
    let named = ("x-cloudtasks-taskname", "t");
    assert_eq!(push(&url.replace("/v1/", "/v2/"), "", &[named]).await, 404);
    assert_eq!(push(&format!("{url}x"), "", &[named]).await, 404);
    assert_eq!(push(&format!("{}/v1/tasks/A%2F..", lab.front.url()), "", &[named]).await, 404);
    assert_eq!(push(&url, "", &[]).await, 400);
    assert_eq!(push(&url, "", &[("x-cloudtasks-taskname", &"t".repeat(501))]).await, 400);
    // Who would send so much is told before it is read.
    let address = lab.front.workers.lock().unwrap()[0];
    let mut connection = TcpStream::connect(address).await.unwrap();
    let large = format!(
        "POST /v1/tasks/{queue} HTTP/1.1\r\nHost: x\r\nX-CloudTasks-TaskName: t\r\nContent-Length: 3000000\r\n\r\n"
    );
    connection.write_all(large.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    connection.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    // Two wait, and the third is told to come later; nobody receives, so the two are for another worker.
    let start = Instant::now();
    let headers = [named];
    let waiting = tokio::join!(push(&url, "1", &headers), push(&url, "2", &headers), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        push(&url, "3", &headers).await
    });
    assert_eq!(waiting, (503, 503, 429));
    assert!(start.elapsed() < CloudTasksLab::CLAIM / 2, "{:?}", start.elapsed());
    nothing(&broker, &queue, Duration::from_millis(200)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_given_up_is_a_claim_that_is_over() {
    let lab = CloudTasksLab::new().await;
    let (broker, queue) = (lab.broker(|_| ()), fresh_queue());
    listen(&broker, &queue).await;
    let address = lab.front.workers.lock().unwrap()[0];
    let mut connection = TcpStream::connect(address).await.unwrap();
    let push = format!(
        "POST /v1/tasks/{queue} HTTP/1.1\r\nHost: x\r\nX-CloudTasks-TaskName: t\r\n\
         X-CloudTasks-TaskRetryCount: 4\r\nContent-Length: 3\r\n\r\none"
    );
    connection.write_all(push.as_bytes()).await.unwrap();
    let taken = take(&broker, &queue, 1).await;
    assert_eq!((ids(&taken), taken[0].deliveries), (vec!["one".to_owned()], 5));
    assert_eq!(settle(&broker, &queue, &taken, Verdict::Extend).await, [Ok(())]);
    drop(connection);
    let start = Instant::now();
    while settle(&broker, &queue, &taken, Verdict::Extend).await == [Ok(())] {
        assert!(start.elapsed() < Duration::from_secs(5), "the client is gone");
        tokio::task::yield_now().await;
    }
    for verdict in [Verdict::Ack, Verdict::Leave, Verdict::Retry { after: Duration::ZERO }] {
        assert_eq!(settle(&broker, &queue, &taken, verdict).await, [Err(BrokerError::ClaimOver)]);
    }
    // One that is gone before anybody received it is not handed out.
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(push.as_bytes()).await.unwrap();
    drop(connection);
    tokio::time::sleep(Duration::from_millis(200)).await;
    nothing(&broker, &queue, Duration::from_millis(200)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_ends_with_the_dispatch_deadline_and_the_message_comes_again() {
    let lab = CloudTasksLab::new().await;
    let (broker, queue) = (lab.broker(|_| ()), fresh_queue());
    broker.ensure(&queue).await.unwrap();
    listen(&broker, &queue).await;
    let start = Instant::now();
    send(&broker, &queue, &[message("one")]).await;
    let late = take(&broker, &queue, 1).await;
    let again = take(&broker, &queue, 1).await;
    let waited = start.elapsed();
    assert!(CloudTasksLab::CLAIM <= waited && waited < CloudTasksLab::CLAIM * 3 / 2, "{waited:?}");
    assert_eq!(again[0].deliveries, 2);
    assert_eq!(settle(&broker, &queue, &late, Verdict::Ack).await, [Err(BrokerError::ClaimOver)]);
    assert_eq!(settle(&broker, &queue, &again, Verdict::Ack).await, [Ok(())]);
    nothing(&broker, &queue, Duration::from_secs(2)).await;
    assert_eq!(broker.depth(&queue).await.unwrap().ready, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_counted_through_all_its_tries() {
    let lab = CloudTasksLab::new().await;
    let (broker, queue) = (lab.broker(|_| ()), fresh_queue());
    broker.ensure(&queue).await.unwrap();
    send(&broker, &queue, &[message("one")]).await;
    for tries in 1..=6 {
        let taken = take(&broker, &queue, 1).await;
        assert_eq!((ids(&taken), taken[0].deliveries), (vec!["one".to_owned()], tries));
        let again = Verdict::Retry { after: Duration::from_millis(u64::from(tries % 2) * 200) };
        assert_eq!(settle(&broker, &queue, &taken, again).await, [Ok(())]);
        // Its name is kept, however often it was tried.
        assert_eq!(broker.send(&queue, &[message("one")]).await, [Ok(Sent::Duplicate)]);
    }
    let taken = take(&broker, &queue, 1).await;
    settle(&broker, &queue, &taken, Verdict::Ack).await;
    nothing(&broker, &queue, Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_goes_side_by_side() {
    let lab = CloudTasksLab::new().await;
    let (broker, queue) = (lab.broker(|_| ()), fresh_queue());
    broker.ensure(&queue).await.unwrap();
    listen(&broker, &queue).await;
    let mut sent: Vec<Message> = (0..500).map(|id| message(&format!("m-{id:05}"))).collect();
    send(&broker, &queue, &sent).await;
    // Half of them are there already.
    sent.extend((500..1_000).map(|id| message(&format!("m-{id:05}"))));
    let results = broker.send(&queue, &sent).await;
    assert!(results[..500].iter().all(|result| *result == Ok(Sent::Duplicate)));
    assert!(results[500..].iter().all(|result| *result == Ok(Sent::New)));
    let mut came = BTreeSet::new();
    while came.len() < sent.len() {
        let taken = take(&broker, &queue, 1).await;
        came.extend(ids(&taken));
        assert_eq!(settle(&broker, &queue, &taken, Verdict::Ack).await, [Ok(())]);
    }
    assert_eq!(came, sent.into_iter().map(|message| message.id).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_queue_is_told_and_goes_on_when_it_is_resumed() {
    let lab = CloudTasksLab::new().await;
    let (broker, queue) = (lab.broker(|_| ()), fresh_queue());
    broker.ensure(&queue).await.unwrap();
    assert_eq!(lab.ask("POST", &format!("queues/{queue}:pause"), &json!({})).await.0, 200);
    assert_eq!(broker.ensure(&queue).await, Ok(()));
    let health = broker.health().await;
    assert!(matches!(&health, Err(BrokerError::Busy { reason }) if reason.contains("resume")), "{health:?}");
    send(&broker, &queue, &[message("one")]).await;
    nothing(&broker, &queue, Duration::from_secs(1)).await;
    assert_eq!(lab.ask("POST", &format!("queues/{queue}:resume"), &json!({})).await.0, 200);
    assert!(broker.health().await.unwrap().server.starts_with("Cloud Tasks v2"));
    assert_eq!(ids(&take(&broker, &queue, 1).await), ["one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_another_kind_is_refused_and_left() {
    let lab = CloudTasksLab::new().await;
    let (broker, queue) = (lab.broker(|_| ()), fresh_queue());
    let name = format!("projects/{PROJECT}/locations/{LOCATION}/queues/{queue}");
    let target = json!({ "uriOverride": { "host": "example.com" } });
    let made = lab.ask("POST", "queues", &json!({ "name": name, "httpTarget": target })).await;
    assert_eq!(made.0, 200, "{made:?}");
    assert_refused(&broker.ensure(&queue).await, "sends its tasks elsewhere");
    let found = lab.ask("GET", &format!("queues/{queue}"), &Value::Null).await;
    assert_eq!(found, made);
    // A name is free again three days after its queue was deleted.
    let gone = fresh_queue();
    broker.ensure(&gone).await.unwrap();
    assert_eq!(lab.ask("DELETE", &format!("queues/{gone}"), &json!({})).await.0, 200);
    assert_refused(&broker.ensure(&gone).await, "existed too recently");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_is_told() {
    let lab = CloudTasksLab::new().await;
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = taken.local_addr().unwrap();
    let (broker, queue) = (lab.broker(|options| options.listen = address), fresh_queue());
    let received = broker.receive(&queue, 1, Duration::from_secs(1)).await;
    assert_refused(&received, &address.to_string());
    drop(taken);
    listen(&broker, &queue).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_unreachable_and_the_client_goes_on_when_it_is_back() {
    let lab = CloudTasksLab::new().await;
    let (broker, queue) = (lab.broker(|options| options.claim = Duration::from_secs(60)), fresh_queue());
    broker.ensure(&queue).await.unwrap();
    send(&broker, &queue, &[message("before")]).await;
    let taken = take(&broker, &queue, 1).await;
    lab.hang();
    let start = Instant::now();
    let one = [message("while")];
    let again = Verdict::Retry { after: Duration::ZERO };
    let (sent, settled, healthy, ensured, depth) = tokio::join!(
        broker.send(&queue, &one),
        settle(&broker, &queue, &taken, again),
        broker.health(),
        broker.ensure(&queue),
        broker.depth(&queue),
    );
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let unknown = |result: Result<(), BrokerError>| {
        assert!(
            matches!(result, Err(BrokerError::Unreachable { effect: Effect::Unknown, .. })),
            "{result:?}"
        );
    };
    unknown(sent[0].clone().map(drop));
    unknown(settled[0].clone());
    unknown(healthy.map(drop));
    unknown(ensured);
    unknown(depth.map(drop));
    lab.go_on();
    // The claim is still held, and what may have been done is not done twice.
    assert_eq!(settle(&broker, &queue, &taken, again).await, [Ok(())]);
    assert!(broker.send(&queue, &one).await[0].is_ok());
    let taken = take(&broker, &queue, 2).await;
    let mut came = ids(&taken);
    came.sort();
    assert_eq!(came, ["before", "while"]);
    settle(&broker, &queue, &taken, Verdict::Ack).await;
    nothing(&broker, &queue, Duration::from_secs(2)).await;
}

/// Waits until it is told that nobody listens. A connection that was there may be written to before it is
/// seen that it broke.
async fn is_gone(broker: &dyn Broker, queue: &QueueName) {
    let start = Instant::now();
    loop {
        let sent = broker.send(queue, &[message("unsent")]).await;
        let Err(BrokerError::Unreachable { effect, .. }) = &sent[0] else { panic!("{sent:?}") };
        if *effect == Effect::None {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_goes_on_after_a_restart_of_the_server() {
    let lab = CloudTasksLab::new().await;
    let (broker, queue) = (lab.broker(|_| ()), fresh_queue());
    broker.ensure(&queue).await.unwrap();
    listen(&broker, &queue).await;
    lab.server.kill();
    is_gone(&broker, &queue).await;
    lab.restart();
    // The emulator has forgotten the queue; the service does not know one for a minute after it was made.
    let sent = broker.send(&queue, &[message("unsent")]).await;
    assert!(matches!(&sent[..], [Err(BrokerError::Busy { .. })]), "{sent:?}");
    let sent = lab.broker(|_| ()).send(&queue, &[message("unsent")]).await;
    assert_refused(&sent[0], "NOT_FOUND");
    broker.ensure(&queue).await.unwrap();
    send(&broker, &queue, &[message("one")]).await;
    assert_eq!(ids(&take(&broker, &queue, 1).await), ["one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_goes_with_its_adapter() {
    let lab = CloudTasksLab::new().await;
    let (broker, queue) = (lab.broker(|_| ()), fresh_queue());
    listen(&broker, &queue).await;
    let address = lab.front.workers.lock().unwrap()[0];
    let mut connection = TcpStream::connect(address).await.unwrap();
    let push = format!(
        "POST /v1/tasks/{queue} HTTP/1.1\r\nHost: x\r\nX-CloudTasks-TaskName: t\r\nContent-Length: 0\r\n\r\n"
    );
    connection.write_all(push.as_bytes()).await.unwrap();
    let taken = take(&broker, &queue, 1).await;
    assert_eq!(taken.len(), 1);
    drop(broker);
    // What it held is given up, so that Cloud Tasks pushes it again.
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(5), connection.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "the connection is still there");
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    assert!(TcpStream::connect(address).await.is_err());
}
