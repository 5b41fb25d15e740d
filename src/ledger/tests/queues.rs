//! The queues in the ledger.

use bytes::Bytes;

use super::*;
use crate::ledger::queue::{CLAIM_MAX, DEDUPE};

fn jobs() -> Arc<str> {
    "jobs".into()
}

fn message(name: &str, second: i64) -> NewMessage {
    NewMessage { id: name.to_owned(), body: Bytes::from(name.to_owned()), due: at(second) }
}

async fn send(ledger: &Ledger, message: NewMessage, now: i64) -> Queued {
    let mut sent = ledger.queue_send(jobs(), vec![message], at(now)).await.unwrap();
    sent.remove(0)
}

/// What is received, for ten seconds.
async fn claim(ledger: &Ledger, now: i64) -> Vec<Claimed> {
    ledger.queue_claim(jobs(), 10, at(now), at(now + 10)).await.unwrap().claimed
}

async fn settle(ledger: &Ledger, claim: Claim, fate: Fate) -> bool {
    let mut settled = ledger.queue_settle(jobs(), vec![(claim, fate)]).await.unwrap();
    settled.remove(0)
}

fn bodies(claimed: &[Claimed]) -> Vec<&str> {
    claimed.iter().map(|claimed| std::str::from_utf8(&claimed.body).unwrap()).collect()
}

#[tokio::test]
async fn messages_come_in_the_order_that_they_are_due_in() {
    for (ledger, _files) in both() {
        for (name, due) in [("late", 9), ("first", 1), ("second", 1), ("third", 2)] {
            send(&ledger, message(name, due), 0).await;
        }
        let received = ledger.queue_claim(jobs(), 2, at(5), at(15)).await.unwrap();
        assert_eq!((bodies(&received.claimed), received.next_due), (vec!["first", "second"], Some(at(2))));
        assert_eq!(bodies(&claim(&ledger, 5).await), ["third"]);
        let received = ledger.queue_claim(jobs(), 2, at(5), at(15)).await.unwrap();
        assert_eq!((received.claimed.len(), received.next_due), (0, Some(at(9))));
        assert_eq!(bodies(&claim(&ledger, 9).await), ["late"]);
    }
}

#[tokio::test]
async fn a_claim_is_one_persons_until_it_is_over() {
    for (ledger, _files) in both() {
        send(&ledger, message("a", 1), 1).await;
        let first = claim(&ledger, 1).await.remove(0).claim;
        assert!(claim(&ledger, 10).await.is_empty());
        assert!(settle(&ledger, first, Fate::Extend { until: at(20) }).await);
        assert!(claim(&ledger, 19).await.is_empty());
        let second = claim(&ledger, 20).await.remove(0).claim;
        assert_eq!((second.seq, second.deliveries), (first.seq, 2));
        assert!(!settle(&ledger, first, Fate::Ack).await);
        assert!(settle(&ledger, second, Fate::Again { due: at(25) }).await);
        assert!(!settle(&ledger, second, Fate::Ack).await, "it was given back");
        assert!(claim(&ledger, 24).await.is_empty());
        let third = claim(&ledger, 25).await.remove(0).claim;
        // Late, and nobody else has it: better than to run it again.
        assert!(settle(&ledger, third, Fate::Ack).await);
        assert!(!settle(&ledger, third, Fate::Ack).await);
        assert!(claim(&ledger, 99).await.is_empty());
    }
}

#[tokio::test]
async fn an_id_is_remembered_while_its_message_is_there_and_for_an_hour() {
    for (ledger, _files) in both() {
        let hour = DEDUPE.as_secs();
        assert_eq!(send(&ledger, message("a", 1), 0).await, Queued::New);
        assert_eq!(send(&ledger, message("a", 1), 0).await, Queued::Duplicate);
        let elsewhere = ledger.queue_send("others".into(), vec![message("a", 1)], at(0)).await.unwrap();
        assert_eq!(elsewhere, [Queued::New], "another queue knows nothing of it");
        assert_eq!(send(&ledger, message("a", 1), 5 * hour).await, Queued::Duplicate, "it is there still");
        let claimed = claim(&ledger, 1).await;
        assert!(settle(&ledger, claimed[0].claim, Fate::Ack).await);
        assert_eq!(send(&ledger, message("a", 1), hour - 1).await, Queued::Duplicate);
        assert_eq!(send(&ledger, message("a", 1), hour).await, Queued::New);
        assert_eq!(claim(&ledger, hour).await.len(), 1);
        // The clock was far ahead when it was sent.
        assert_eq!(send(&ledger, message("b", 1), 9 * hour).await, Queued::New);
        let claimed = claim(&ledger, 9 * hour).await;
        let fates = claimed.iter().map(|claimed| (claimed.claim, Fate::Ack)).collect();
        ledger.queue_settle(jobs(), fates).await.unwrap();
        assert_eq!(send(&ledger, message("b", 1), hour).await, Queued::New);
    }
}

#[tokio::test]
async fn what_is_done_with_is_forgotten_and_what_is_not_stays() {
    for (ledger, files) in both() {
        let limits = HistoryLimits { keep_last: 1, max_age: Duration::from_secs(9_000_000) };
        let rows = || {
            let file = files.as_ref()?;
            let other = rusqlite::Connection::open(file.path()).unwrap();
            let count = "SELECT (SELECT count(*) FROM message), (SELECT count(*) FROM message_body)";
            Some(
                other.query_row(count, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))).unwrap(),
            )
        };
        for name in ["a", "b", "c"] {
            send(&ledger, message(name, 0), 0).await;
        }
        let claimed = claim(&ledger, 0).await;
        assert!(settle(&ledger, claimed[1].claim, Fate::Ack).await);
        let prune = async |now| while ledger.prune_history(limits, at(now)).await.unwrap().more {};
        prune(3_599).await;
        assert_eq!(rows().unwrap_or((3, 2)), (3, 2));
        prune(3_600).await;
        assert_eq!(rows().unwrap_or((2, 2)), (2, 2));
        assert!(settle(&ledger, claimed[0].claim, Fate::Ack).await, "its row was passed, and goes at once");
        assert_eq!(rows().unwrap_or((1, 1)), (1, 1));
        let again = claim(&ledger, 9_000).await;
        assert_eq!((bodies(&again), again[0].claim.deliveries), (vec!["c"], 2));
        // What comes after all are gone has another number: a claim of long ago is none on it.
        assert!(settle(&ledger, again[0].claim, Fate::Ack).await);
        send(&ledger, message("d", 0), 9_000).await;
        let newest = claim(&ledger, 9_000).await.remove(0).claim;
        assert!(newest.seq > again[0].claim.seq, "{newest:?}");
    }
}

#[tokio::test]
async fn what_one_call_takes_is_bounded() {
    for (ledger, _files) in both() {
        let small = (0..CLAIM_MAX + 5).map(|n| message(&format!("{n}"), 0)).collect();
        ledger.queue_send(jobs(), small, at(0)).await.unwrap();
        let received = ledger.queue_claim(jobs(), usize::MAX, at(0), at(9)).await.unwrap();
        assert_eq!(received.claimed.len(), CLAIM_MAX);
        let large = (0..5).map(|n| NewMessage {
            body: Bytes::from(vec![0; 5 * 1024 * 1024]),
            ..message(&format!("large {n}"), 0)
        });
        ledger.queue_send("large".into(), large.collect(), at(0)).await.unwrap();
        let received = ledger.queue_claim("large".into(), 9, at(0), at(9)).await.unwrap();
        assert_eq!(received.claimed.len(), 4, "16 MiB, and what begins below");
    }
}

#[tokio::test]
async fn messages_and_claims_are_there_after_a_restart() {
    let files = Files::new();
    {
        let ledger = open(&files.path());
        for name in ["a", "b", "c"] {
            send(&ledger, message(name, 0), 0).await;
        }
        let claimed = ledger.queue_claim(jobs(), 2, at(1), at(20)).await.unwrap().claimed;
        assert!(settle(&ledger, claimed[0].claim, Fate::Ack).await);
    }
    let ledger = open(&files.path());
    assert_eq!(send(&ledger, message("a", 0), 2).await, Queued::Duplicate);
    let depth = ledger.queue_depth(jobs(), at(2)).await.unwrap();
    assert_eq!(depth, QueueDepth { ready: 1, claimed: 1, delayed: 0 });
    assert_eq!(bodies(&claim(&ledger, 2).await), ["c"]);
    let late = claim(&ledger, 20).await;
    assert_eq!(bodies(&late), ["c", "b"]);
    assert!(late.iter().all(|claimed| claimed.claim.deliveries == 2));
}
