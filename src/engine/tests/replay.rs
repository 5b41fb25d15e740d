//! Dead letters from the run that is given up to its success.

use super::*;
use crate::{
    engine::replay::{LetterError, Replayed},
    ledger::{Letter, NewDeadLetter},
    run::Category,
};

const FAILED: Outcome = Outcome::ExitNonzero { code: 1 };

/// Runs the job, and has it given up.
async fn given_up(site: &Site) -> RunId {
    let run = site.trigger().await;
    site.work(FAILED).await;
    soon("its letter", async || site.letter(run).await).await;
    soon("its end", async || site.daemon.running().is_empty().then_some(())).await;
    run
}

async fn state(site: &Site, run: RunId, expected: (LetterState, u32)) {
    soon(&format!("{expected:?}"), async || {
        let found = site.letter(run).await.unwrap();
        (found == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_letter_is_tried_again_as_the_job_is_now_with_what_its_run_was_given() {
    let site = Site::new(BackendKind::RedisStreams).await;
    let run = given_up(&site).await;
    state(&site, run, (LetterState::Pending, 1)).await;
    site.put(&json!({"timeout": "5m"})).await;
    assert_eq!(site.daemon.replay(run.0).await.unwrap(), Replayed::Begun { attempt: 2 });
    state(&site, run, (LetterState::Retrying, 1)).await;
    assert!(matches!(site.daemon.replay(run.0).await, Err(LetterError::Retrying)));
    let envelope = site.message().await;
    let work = envelope.action.unwrap();
    assert_eq!((envelope.run_id, envelope.attempt), (run, 2));
    assert_eq!(
        (work.params["day"].as_str(), work.timeout),
        (Some("tuesday"), Some(Duration::from_secs(300)))
    );
    site.say(done(run, 2, FAILED)).await;
    state(&site, run, (LetterState::Pending, 2)).await;
    assert_eq!(site.daemon.replay(run.0).await.unwrap(), Replayed::Begun { attempt: 3 });
    assert_eq!(site.work(Outcome::Success).await, 3);
    state(&site, run, (LetterState::Resolved, 2)).await;
    assert_eq!(site.outcome(run).await, Outcome::Success);
    assert_eq!(site.row(run).await.attempts.len(), 3);
    assert!(matches!(site.daemon.replay(run.0).await, Err(LetterError::Resolved)));
}

#[tokio::test]
async fn a_job_that_is_gone_is_tried_again_as_its_message_says() {
    let site = Site::new(BackendKind::RedisStreams).await;
    let run = given_up(&site).await;
    site.remove().await;
    assert_eq!(site.daemon.replay(run.0).await.unwrap(), Replayed::Begun { attempt: 2 });
    let work = site.message().await.action.unwrap();
    assert_eq!((work.params["day"].as_str(), &*work.timezone), (Some("tuesday"), "UTC"));
    site.say(done(run, 2, Outcome::Success)).await;
    state(&site, run, (LetterState::Resolved, 1)).await;
}

/// A job that may run once at a time does so, also when many letters of it are tried again at once.
#[tokio::test]
async fn letters_of_a_job_take_turns() {
    let site = Site::new(BackendKind::RedisStreams).await;
    let (a, b) = (given_up(&site).await, given_up(&site).await);
    assert_eq!(site.daemon.replay(a.0).await.unwrap(), Replayed::Begun { attempt: 2 });
    assert_eq!(site.daemon.replay(b.0).await.unwrap(), Replayed::Waits { max: 1 });
    assert_eq!(site.daemon.replay(b.0).await.unwrap(), Replayed::Waits { max: 1 });
    assert!(site.daemon.letters().waits(&job(), b.0));
    // A crash would lose nothing.
    state(&site, b, (LetterState::Pending, 1)).await;
    assert_eq!((site.message().await.run_id, site.depth().await), (a, 0));
    site.say(done(a, 2, Outcome::Success)).await;
    assert_eq!(site.message().await.run_id, b);
    state(&site, b, (LetterState::Retrying, 1)).await;
    assert!(!site.daemon.letters().waits(&job(), b.0));
}

#[tokio::test]
async fn without_room_nothing_is_sent_until_a_person_has_made_some() {
    let site = Site::new(BackendKind::RedisStreams).await;
    for _ in 0..2 {
        given_up(&site).await;
    }
    assert!(!site.daemon.letters().is_full());
    let last = given_up(&site).await;
    soon("it is full", async || site.daemon.letters().is_full().then_some(())).await;
    let run = site.trigger().await;
    // The lane is asked, and so has looked at what waits.
    assert!(site.daemon.cancel_run(run).await.unwrap().message.ends_with("before it began"));
    assert_eq!(site.depth().await, 0);
    let run = site.trigger().await;
    site.daemon.resolve(last.0, Some("seen to".to_owned())).await.unwrap();
    assert!(!site.daemon.letters().is_full());
    assert_eq!(site.message().await.run_id, run);
}

/// Whoever can write to the queue could have a command run here.
#[tokio::test]
async fn nothing_of_a_message_that_a_worker_refused_is_run() {
    let site = Site::new(BackendKind::RedisStreams).await;
    let run = given_up(&site).await;
    let Letter { body, .. } = site.daemon.ledger().letter(run.0, clock::now()).await.unwrap().unwrap();
    let letter = |id, job: Option<JobName>| NewDeadLetter {
        id,
        job,
        fire_time: None,
        backend: "redis".into(),
        queue: "jobs".into(),
        category: Category::Input,
        reason: "refused: nobody vouches for it".to_owned(),
        attempts: 1,
        body: body.clone(),
        state: LetterState::Held,
        at: clock::now(),
    };
    let refuses = async |id: uuid::Uuid, expected: &str| {
        let error = site.daemon.replay(id).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    let unknown = uuid::Uuid::from_u128(7);
    site.daemon.ledger().dead_letter(letter(unknown, Some(job())), 9).await.unwrap();
    refuses(unknown, "it is none of this daemon's runs").await;
    refuses(uuid::Uuid::from_u128(8), "there is no dead letter").await;
    // It says that it is a run of ours: then that is tried again, as our job is.
    site.daemon.ledger().dead_letter(letter(run.0, Some(job())), 9).await.unwrap();
    site.remove().await;
    refuses(run.0, "there is no job `a` any more, and its message does not come from this daemon").await;
    site.put(&json!({})).await;
    assert_eq!(site.daemon.replay(run.0).await.unwrap(), Replayed::Begun { attempt: 2 });
}
