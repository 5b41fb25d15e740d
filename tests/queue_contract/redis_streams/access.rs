//! Who is let in: passwords, permissions, certificates, and addresses that are none.

use std::{path::Path, process::Command, sync::Arc, time::Duration};

use jiff::Timestamp;
use secrecy::SecretString;

use super::{
    super::{
        broker::{Broker, BrokerError, Message, Verdict},
        queues::redis_streams::{Identity, Options, RedisBroker, Servers, Tls},
        suite::{fresh_queue, message, send, settle, take},
    },
    RedisLab, ask, assert_refused, broker, fresh, options, redis_server, start, text,
};

fn as_user(port: u16, user: Option<&str>, password: &str) -> Arc<RedisBroker> {
    let (user, password) = (user.map(str::to_owned), Some(SecretString::from(password.to_owned())));
    broker(Options { user, password, ..options(port) })
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_know_the_password_is_refused_and_it_is_not_shown() {
    let server = start(&redis_server(), &["--requirepass", "open sesame"]);
    let queue = fresh_queue();
    for broker in [
        broker(options(server.port)),
        as_user(server.port, None, "secret-guess"),
        as_user(server.port, Some("tintal"), "secret-guess"),
    ] {
        for reason in [
            broker.health().await.map(|_| ()),
            broker.ensure(&queue).await,
            broker.send(&queue, &fresh(1)).await.remove(0).map(|_| ()),
            broker.receive(&queue, 1, Duration::from_secs(1)).await.map(|_| ()),
            broker.depth(&queue).await.map(|_| ()),
        ] {
            assert!(!format!("{reason:?} {broker:?}").contains("secret-guess"), "{reason:?}");
            assert_refused(reason, "look at the user and the password");
        }
    }
    as_user(server.port, None, "open sesame").health().await.unwrap();
}

/// The permissions that the module's documentation names.
fn permissions() -> Vec<String> {
    let docs = include_str!("../../../src/backend/queue/redis_streams.rs");
    let start = docs.find("`ACL SETUSER tintal on").unwrap() + 1;
    let end = start + docs[start..].find('`').unwrap();
    let words = docs[start..end].replace("//!", " ");
    words.split_whitespace().filter(|word| word.starts_with('+')).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_permissions_in_the_documentation_suffice() {
    let lab = RedisLab::with(&[]);
    let queue = fresh_queue();
    let (stream, others) = (format!("~{queue}"), format!("~{{{queue}}}:*"));
    let permissions = permissions();
    assert!(permissions.len() > 20, "{permissions:?}");
    let mut rule = vec!["ACL", "SETUSER", "tintal", "on", ">word", &stream, &others];
    rule.extend(permissions.iter().map(String::as_str));
    let () = ask(lab.port(), &rule).await;
    let () = ask(lab.port(), &["ACL", "SETUSER", "default", "off"]).await;
    let broker = as_user(lab.port(), Some("tintal"), "word");
    broker.health().await.unwrap();
    broker.ensure(&queue).await.unwrap();
    let soon = Timestamp::now() + Duration::from_millis(100);
    send(&*broker, &queue, &fresh(4)).await;
    send(&*broker, &queue, &[Message { not_before: Some(soon), ..message("soon") }]).await;
    let taken = take(&*broker, &queue, 5).await;
    let retry = |after| Verdict::Retry { after };
    for (delivery, verdict) in taken.iter().zip([
        retry(Duration::ZERO),
        retry(Duration::from_millis(1)),
        Verdict::Extend,
        Verdict::Leave,
        Verdict::Ack,
    ]) {
        assert_eq!(settle(&*broker, &queue, std::slice::from_ref(delivery), verdict).await, [Ok(())]);
    }
    take(&*broker, &queue, 3).await;
    broker.depth(&queue).await.unwrap();
    // Long enough for a look at consumers that are gone.
    let _ = broker.receive(&queue, 1, Duration::from_secs(2)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_refused_and_told_what_is_missing() {
    let lab = RedisLab::with(&[]);
    let queue = fresh_queue();
    lab.broker().ensure(&queue).await.unwrap();
    let () = ask(lab.port(), &["ACL", "SETUSER", "reader", "on", ">word", "~*", "+evalsha", "+time"]).await;
    let broker = as_user(lab.port(), Some("reader"), "word");
    broker.health().await.unwrap();
    assert_refused(broker.ensure(&queue).await, "xgroup");
    let sent = broker.send(&queue, &fresh(1)).await.remove(0);
    assert_refused(sent, "by ACL SETUSER");
    assert_refused(broker.receive(&queue, 1, Duration::from_secs(1)).await, "by ACL SETUSER");
    assert_refused(broker.depth(&queue).await, "by ACL SETUSER");
    // The keys are another's.
    let () = ask(lab.port(), &["ACL", "SETUSER", "other", "on", ">word", "~other", "+@all"]).await;
    let broker = as_user(lab.port(), Some("other"), "word");
    assert_refused(broker.ensure(&queue).await, "NOPERM");
    assert_refused(broker.send(&queue, &fresh(1)).await.remove(0), "NOPERM");
}

#[test]
fn an_address_that_is_none_is_refused_and_a_password_in_it_is_not_shown() {
    let new = |servers| RedisBroker::new(Options { servers, ..Options::default() }, Timestamp::now);
    let one = |address: &str| new(Servers::One(address.to_owned()));
    assert_refused(one("http://127.0.0.1:6379"), "redis://host:port");
    assert_refused(one("127.0.0.1:6379"), "redis://host:port");
    assert_refused(one("redis://127.0.0.1/x"), "redis://host:port");
    assert_refused(one("rediss://127.0.0.1#insecure"), "authority");
    assert_refused(new(Servers::Cluster(Vec::new())), "no server");
    assert_refused(new(Servers::Cluster(vec!["redis://127.0.0.1/1".to_owned()])), "no database");
    for address in ["redis://:hunter2@127.0.0.1", "redis://u:hunter2@127.0.0.1", "redis://u:hunter2@[::"] {
        let error = one(address).unwrap_err();
        assert!(matches!(error, BrokerError::Refused { .. }), "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    for claim in [Duration::from_millis(999), Duration::MAX] {
        let options = Options { claim, ..Options::default() };
        assert_refused(RedisBroker::new(options, Timestamp::now), "claim time");
    }
    let options = Options { dedupe: Duration::MAX, ..Options::default() };
    assert_refused(RedisBroker::new(options, Timestamp::now), "ids are remembered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_and_a_database_may_be_named() {
    let lab = RedisLab::with(&["--unixsocket", "redis.sock"]);
    let queue = fresh_queue();
    let socket = lab.server.directory.path().join("redis.sock");
    let servers = Servers::One(format!("unix://{}?db=3", socket.display()));
    let by_socket = broker(Options { servers, ..options(lab.port()) });
    by_socket.ensure(&queue).await.unwrap();
    send(&*by_socket, &queue, &[message("a")]).await;
    let servers = Servers::One(format!("redis://127.0.0.1:{}/3", lab.port()));
    let by_port = broker(Options { servers, ..options(lab.port()) });
    assert_eq!(text(&take(&*by_port, &queue, 1).await[0]), "a");
    let others: Vec<String> = ask(lab.port(), &["KEYS", "*"]).await;
    assert!(others.is_empty(), "{others:?}");
}

fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl").current_dir(directory).args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority, and certificates of it for a server and for us; and another authority.
fn certificates(directory: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for name in ["authority", "other"] {
        openssl(
            directory,
            &format!("req -x509 {key} -keyout {name}.key -out {name}.pem -subj /CN={name} -days 2"),
        );
    }
    std::fs::write(directory.join("server.ext"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    std::fs::write(directory.join("client.ext"), "subjectAltName=DNS:tintal\n").unwrap();
    for name in ["server", "client"] {
        openssl(directory, &format!("req -new {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        openssl(
            directory,
            &format!(
                "x509 -req -in {name}.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 2 \
                 -extfile {name}.ext -out {name}.pem"
            ),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_may_be_encrypted_and_both_sides_may_be_asked_for_certificates() {
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path());
    let path = |name: &str| directory.path().join(name);
    let tls_port = super::server::free_port();
    let arguments = [
        "--tls-port".to_owned(),
        tls_port.to_string(),
        "--tls-cert-file".to_owned(),
        path("server.pem").display().to_string(),
        "--tls-key-file".to_owned(),
        path("server.key").display().to_string(),
        "--tls-ca-cert-file".to_owned(),
        path("authority.pem").display().to_string(),
    ];
    let _server = start(&redis_server(), &arguments.each_ref().map(String::as_str));
    let with = |authority: &str, identity: Option<&str>| {
        let identity = identity.map(|name| Identity {
            certificate: path(&format!("{name}.pem")),
            key: path(&format!("{name}.key")),
        });
        let servers = Servers::One(format!("rediss://127.0.0.1:{tls_port}"));
        let tls = Tls { authority: Some(path(authority)), identity };
        broker(Options { servers, tls, ..options(tls_port) })
    };
    let queue = fresh_queue();
    let good = with("authority.pem", Some("client"));
    good.ensure(&queue).await.unwrap();
    send(&*good, &queue, &fresh(600)).await;
    let taken = take(&*good, &queue, 600).await;
    assert!(settle(&*good, &queue, &taken, Verdict::Ack).await.iter().all(Result::is_ok));
    assert_refused(with("other.pem", Some("client")).health().await, "certificates of both sides");
    assert_refused(with("authority.pem", None).health().await, "certificates of both sides");
    assert_refused(with("missing.pem", None).health().await, "missing.pem cannot be read");
}
