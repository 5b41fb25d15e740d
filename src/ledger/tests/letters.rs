//! What is given up, and what a worker remembers.

use super::*;
use crate::run::Category;

fn letter(name: &str, second: i64) -> NewDeadLetter {
    NewDeadLetter {
        id: id(name, 1).0,
        job: Some(job(name)),
        fire_time: Some(at(1)),
        backend: "redis".into(),
        queue: "jobs".into(),
        category: Category::Transient,
        reason: "timed out".to_owned(),
        attempts: 3,
        body: name.as_bytes().to_vec(),
        state: LetterState::Pending,
        at: at(second),
    }
}

async fn counts(ledger: &Ledger, now: i64) -> String {
    let counts = ledger.letter_counts(at(now)).await.unwrap();
    counts.iter().map(|(state, count)| format!("{count} {} ", state.as_str())).collect()
}

#[tokio::test]
async fn a_run_that_is_given_up_ends_with_its_letter_or_not_at_all() {
    for (ledger, _files) in both() {
        ledger.decide(vec![run("a", 1), run("b", 1)]).await.unwrap();
        let timeout = |name| end(name, 1, Outcome::Timeout);
        let kept = ledger.given_up(timeout("a"), letter("a", 3), 1).await.unwrap();
        assert_eq!(kept, LetterKept::Kept);
        let kept = ledger.given_up(timeout("b"), letter("b", 3), 1).await.unwrap();
        assert_eq!(kept, LetterKept::Full);
        let open = ledger.unfinished().await.unwrap();
        assert_eq!(open.iter().map(|open| open.id).collect::<Vec<_>>(), [id("b", 1)]);
        assert_eq!(open[0].reached, Reached::Decided { at: at(1) }, "nothing of it was written");
        assert!(ledger.letter(id("b", 1).0, at(4)).await.unwrap().is_none());
        // The same one again takes no room, and one that is done with gives its own back.
        assert_eq!(ledger.dead_letter(letter("a", 4), 1).await.unwrap(), LetterKept::Kept);
        assert!(ledger.letter_ended(id("a", 1).0, LetterState::Resolved, None, at(5)).await.unwrap());
        let kept = ledger.given_up(timeout("b"), letter("b", 6), 1).await.unwrap();
        assert_eq!(kept, LetterKept::Kept);
        assert_eq!(ledger.dead_letter(letter("a", 7), 1).await.unwrap(), LetterKept::Full);
        assert!(ledger.unfinished().await.unwrap().is_empty());
        assert_eq!(counts(&ledger, 9).await, "1 pending 1 resolved ");
    }
}

#[tokio::test]
async fn a_letter_that_is_given_up_again_is_the_same_and_open_again() {
    for (ledger, _files) in both() {
        let again = |second| NewDeadLetter { attempts: 5, body: vec![9], ..letter("a", second) };
        ledger.dead_letter(letter("a", 2), 9).await.unwrap();
        ledger
            .letter_ended(id("a", 1).0, LetterState::Resolved, Some("fixed".to_owned()), at(3))
            .await
            .unwrap();
        for _ in 0..2 {
            // Written twice, since the first answer was lost.
            ledger.dead_letter(again(4), 9).await.unwrap();
        }
        let letters = ledger.letters(LetterQuery::all(at(9))).await.unwrap();
        assert_eq!(letters.len(), 1);
        let LetterRow { times, attempts, state, first_at, at: last, note, .. } = letters[0].clone();
        assert_eq!((times, attempts, state), (2, 5, LetterState::Pending));
        assert_eq!((first_at, last, note.as_deref()), (at(2), at(4), Some("fixed")));
        assert_eq!(ledger.letter(id("a", 1).0, at(9)).await.unwrap().unwrap().body, [9]);
    }
}

/// F5: a crash in the middle of another try loses nothing.
#[tokio::test]
async fn a_letter_is_taken_by_one_at_a_time_and_given_back_when_its_lease_is_over() {
    for (ledger, _files) in both() {
        ledger.dead_letter(letter("a", 2), 9).await.unwrap();
        let lease = async |now| ledger.lease_letter(id("a", 1).0, at(now), at(now + 10)).await.unwrap();
        let leased = lease(10).await.unwrap();
        assert_eq!((leased.body, leased.row.lease_until), (b"a".to_vec(), Some(at(20))));
        assert!(lease(19).await.is_none());
        assert_eq!(counts(&ledger, 19).await, "1 retrying ");
        assert_eq!(counts(&ledger, 20).await, "1 pending ");
        let pending = LetterQuery { states: vec![LetterState::Pending], ..LetterQuery::all(at(20)) };
        assert_eq!(ledger.letters(pending).await.unwrap().len(), 1);
        assert!(lease(20).await.is_some());
        ledger
            .letter_ended(id("a", 1).0, LetterState::Exhausted, Some("again".to_owned()), at(21))
            .await
            .unwrap();
        assert!(lease(22).await.is_some(), "a person may try it all the same");
        ledger.letter_ended(id("a", 1).0, LetterState::Resolved, None, at(23)).await.unwrap();
        assert!(lease(40).await.is_none());
        assert!(ledger.lease_letter(id("b", 1).0, at(1), at(2)).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn letters_are_told_by_what_is_asked_for_and_dropped_alike() {
    for (ledger, _files) in both() {
        for (second, name) in [(1, "a"), (2, "b"), (3, "c")] {
            let category = if name == "c" { Category::Input } else { Category::Transient };
            ledger.dead_letter(NewDeadLetter { category, ..letter(name, second) }, 9).await.unwrap();
        }
        let nameless =
            NewDeadLetter { id: id("x", 1).0, job: None, backend: "nats".into(), ..letter("d", 4) };
        ledger.dead_letter(nameless, 9).await.unwrap();
        let all = || LetterQuery::all(at(9));
        for (query, expected) in [
            (all(), "4 3 2 1"),
            (LetterQuery { limit: 2, ..all() }, "4 3"),
            (LetterQuery { before: Some(at(3)), ..all() }, "2 1"),
            (LetterQuery { job: Some(job("b")), ..all() }, "2"),
            (LetterQuery { category: Some(Category::Input), ..all() }, "3"),
            (LetterQuery { backend: Some("nats".into()), ..all() }, "4"),
            (LetterQuery { states: vec![LetterState::Held], ..all() }, ""),
            (LetterQuery { states: vec![LetterState::Held, LetterState::Pending], ..all() }, "4 3 2 1"),
        ] {
            let letters = ledger.letters(query.clone()).await.unwrap();
            let seconds = letters.iter().map(|row| row.at.duration_since(at(0)).as_secs().to_string());
            assert_eq!(seconds.collect::<Vec<_>>().join(" "), expected, "{query:?}");
        }
        let transient = LetterQuery { category: Some(Category::Transient), ..all() };
        assert_eq!(ledger.purge_letters(transient).await.unwrap(), 3);
        assert_eq!(counts(&ledger, 9).await, "1 pending ");
        assert_eq!(ledger.dead_letter(letter("a", 9), 2).await.unwrap(), LetterKept::Kept);
        assert_eq!(ledger.dead_letter(letter("b", 9), 2).await.unwrap(), LetterKept::Full);
    }
}

#[tokio::test]
async fn letters_that_are_done_with_are_dropped_by_age_and_no_others() {
    for (ledger, _files) in both() {
        for name in ["a", "b", "c"] {
            ledger.dead_letter(letter(name, 1), 9).await.unwrap();
        }
        for (name, second) in [("a", 2), ("b", 90)] {
            ledger.letter_ended(id(name, 1).0, LetterState::Resolved, None, at(second)).await.unwrap();
        }
        let limits = HistoryLimits { keep_last: 1, max_age: Duration::from_secs(50) };
        while ledger.prune_history(limits, at(100)).await.unwrap().more {}
        assert_eq!(counts(&ledger, 100).await, "1 pending 1 resolved ");
        assert!(ledger.letter(id("a", 1).0, at(100)).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn letters_are_there_after_a_restart_and_for_who_only_looks() {
    let files = Files::new();
    open(&files.path()).dead_letter(letter("a", 2), 9).await.unwrap();
    let ledger = open(&files.path());
    assert_eq!(ledger.dead_letter(letter("b", 3), 1).await.unwrap(), LetterKept::Full);
    let letters = Ledger::peek_letters(&files.path(), &LetterQuery::all(at(9))).unwrap();
    assert_eq!(letters, ledger.letters(LetterQuery::all(at(9))).await.unwrap());
    let one = Ledger::peek_letter(&files.path(), id("a", 1).0, at(9)).unwrap().unwrap();
    assert_eq!((&one.row, one.body.as_slice()), (&letters[0], b"a".as_slice()));
}

#[tokio::test]
async fn a_worker_knows_what_it_has_begun_and_ended_until_that_is_old() {
    for (ledger, _files) in both() {
        let begin = async |n, second| {
            let mut known = ledger.handled_begin(vec![(id("a", 1), n, at(second))]).await.unwrap();
            known.remove(0)
        };
        let report = |n: u8| vec![n; 3];
        assert_eq!(begin(1, 1).await, Handled::New);
        assert_eq!(begin(2, 2).await, Handled::New);
        assert_eq!(begin(1, 3).await, Handled::Begun { at: at(1) });
        assert_eq!(begin(1, 4).await, Handled::Begun { at: at(3) });
        ledger
            .handled_end(vec![(id("a", 1), 1, report(1), at(5)), (id("a", 1), 9, report(9), at(60))])
            .await
            .unwrap();
        assert_eq!(begin(1, 6).await, Handled::Ended { report: report(1) });
        assert_eq!(begin(9, 6).await, Handled::Ended { report: report(9) });
        let twice = ledger.handled_begin(vec![(id("b", 1), 1, at(7)), (id("b", 1), 1, at(8))]).await.unwrap();
        assert_eq!(twice, [Handled::New, Handled::Begun { at: at(7) }]);
        let limits = HistoryLimits { keep_last: 1, max_age: Duration::from_secs(50) };
        while ledger.prune_history(limits, at(57)).await.unwrap().more {}
        assert_eq!(begin(1, 61).await, Handled::New);
        assert_eq!(begin(9, 61).await, Handled::Ended { report: report(9) });
        let begun = ledger.handled_begin(vec![(id("b", 1), 1, at(61))]).await.unwrap();
        assert_eq!(begun, [Handled::Begun { at: at(8) }], "it was begun again");
    }
}
