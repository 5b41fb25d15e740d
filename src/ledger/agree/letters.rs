//! The same of dead letters, and of what a worker has begun and ended.

use uuid::Uuid;

use super::*;
use crate::run::Category;

/// One call. Letters and seconds are few, so that calls meet.
#[derive(Debug, Clone)]
enum Call {
    Decide(u8),
    GivenUp(u8, Letter, u64),
    Kept(Letter, u64),
    Lease(u8, i64, i64),
    Reopened(u8, i64, i64, u8),
    Returned(i64),
    Over(u8, Outcome, u8, i64),
    Ended(u8, LetterState, u8, i64),
    Purge(Asked),
    Begin(Vec<(u8, u32, i64)>),
    End(Vec<(u8, u32, u8, i64)>),
    Prune(u64),
}

/// A letter to be written.
#[derive(Debug, Clone)]
struct Letter {
    key: u8,
    job: Option<u8>,
    category: Category,
    is_held: bool,
    second: i64,
}

/// A query: states, job, category, backend, before, limit, now.
type Asked = (Vec<LetterState>, Option<u8>, Option<Category>, Option<u8>, Option<i64>, usize, i64);

fn key(letter: u8) -> Uuid {
    id(letter, 0).0
}

fn backend(of: u8) -> Arc<str> {
    format!("backend-{}", of % 2).into()
}

fn new(Letter { key: letter, job: of, category, is_held, second }: Letter) -> NewDeadLetter {
    NewDeadLetter {
        id: key(letter),
        job: of.map(job),
        fire_time: of.map(|_| at(second)),
        backend: backend(letter),
        queue: "jobs".into(),
        category,
        reason: format!("reason {second}"),
        attempts: 3,
        body: vec![letter; usize::from(letter)],
        state: if is_held { LetterState::Held } else { LetterState::Pending },
        at: at(second),
    }
}

fn query((states, of, category, on, before, limit, now): Asked) -> LetterQuery {
    let (job, backend, before) = (of.map(job), on.map(backend), before.map(at));
    LetterQuery { states, job, category, backend, before, limit, now: at(now) }
}

async fn make(ledger: &Ledger, call: Call) -> String {
    match call {
        Call::Decide(name) => {
            let decided = ledger.decide(vec![run(name, 0, Cause::Schedule)]).await.unwrap();
            format!("{decided:?}")
        }
        Call::GivenUp(of, letter, max) => {
            let end = end(id(of, 0), 1, Then::RunEnds);
            format!("{:?}", ledger.given_up(end, new(letter), max).await.unwrap())
        }
        Call::Kept(letter, max) => format!("{:?}", ledger.dead_letter(new(letter), max).await.unwrap()),
        Call::Lease(letter, now, secs) => {
            format!("{:?}", ledger.lease_letter(key(letter), at(now), at(now + secs)).await.unwrap())
        }
        Call::Reopened(of, now, secs, to) => {
            let again = NewDecision::run(id(of, 0), job(of), at(0), Cause::Schedule, at(now));
            let again = again.without_cursor().with_route(route(to).map(Arc::new));
            format!("{:?}", ledger.reopened(again, at(now + secs)).await.unwrap())
        }
        Call::Returned(second) => format!("{:?}", ledger.letters_returned(at(second)).await.unwrap()),
        Call::Over(of, outcome, how, second) => {
            let (run_id, at) = (id(of, 0), at(second));
            match how {
                0 => ledger.run_ended(run_id, outcome, at).await.unwrap(),
                1 => ledger.passed(vec![Passed { run_id, n: 2, at }]).await.unwrap(),
                n => {
                    let end = end(run_id, u32::from(n), Then::RunEnds);
                    ledger.attempt_ended(AttemptEnd { outcome, ended_at: at, ..end }).await.unwrap();
                }
            }
            String::new()
        }
        Call::Ended(letter, state, note, second) => {
            let note = (note > 0).then(|| format!("note {note}"));
            format!("{}", ledger.letter_ended(key(letter), state, note, at(second)).await.unwrap())
        }
        Call::Purge(asked) => format!("{}", ledger.purge_letters(query(asked)).await.unwrap()),
        Call::Begin(attempts) => {
            let attempts = attempts.into_iter().map(|(run, n, second)| (id(run, 0), n, at(second)));
            format!("{:?}", ledger.handled_begin(attempts.collect()).await.unwrap())
        }
        Call::End(attempts) => {
            let attempts = attempts.into_iter();
            let attempts = attempts.map(|(run, n, report, second)| (id(run, 0), n, vec![report], at(second)));
            format!("{:?}", ledger.handled_end(attempts.collect()).await.unwrap())
        }
        Call::Prune(age) => prune(ledger, 100, age).await,
    }
}

async fn look(ledger: &Ledger) -> Vec<String> {
    let mut seen = super::look(ledger).await;
    for now in [0, 15, 40] {
        let all = LetterQuery::all(at(now));
        let letters = ledger.letters(all.clone()).await.unwrap();
        seen.extend(letters.iter().map(|row| format!("{row:?}")));
        let some = LetterQuery { states: vec![LetterState::Pending, LetterState::Held], limit: 2, ..all };
        seen.push(format!("{:?}", ledger.letters(some).await.unwrap()));
        seen.push(format!("{:?}", ledger.letter_counts(at(now)).await.unwrap()));
        for letter in 0..4 {
            seen.push(format!("{:?}", ledger.letter(key(letter), at(now)).await.unwrap()));
        }
    }
    seen
}

fn call() -> impl Strategy<Value = Call> {
    let name = 0..4_u8;
    let second = 0..30_i64;
    let state = proptest::sample::select(&LetterState::ALL[..]);
    let category = proptest::sample::select(&Category::ALL[..3]);
    let letter =
        (name.clone(), proptest::option::of(0..2_u8), category.clone(), any::<bool>(), second.clone())
            .prop_map(|(key, job, category, is_held, second)| Letter { key, job, category, is_held, second });
    let asked = (
        proptest::collection::vec(state.clone(), 0..3),
        proptest::option::of(0..2_u8),
        proptest::option::of(category),
        proptest::option::of(0..2_u8),
        proptest::option::of(second.clone()),
        1..5_usize,
        second.clone(),
    );
    let outcome = proptest::sample::select(vec![
        Outcome::Success,
        Outcome::Cancelled,
        Outcome::Expired,
        Outcome::ExitNonzero { code: 77 },
    ]);
    let begun = (name.clone(), 1..3_u32, second.clone());
    let ended = (name.clone(), 1..3_u32, any::<u8>(), second.clone());
    prop_oneof![
        2 => name.clone().prop_map(Call::Decide),
        4 => (name.clone(), letter.clone(), 1..4_u64).prop_map(|(of, letter, max)| Call::GivenUp(of, letter, max)),
        4 => (letter, 1..4_u64).prop_map(|(letter, max)| Call::Kept(letter, max)),
        4 => (name.clone(), second.clone(), 1..15_i64).prop_map(|(of, now, secs)| Call::Lease(of, now, secs)),
        6 => (name.clone(), second.clone(), 1..15_i64, 0..4_u8)
            .prop_map(|(of, now, secs, to)| Call::Reopened(of, now, secs, to)),
        1 => second.clone().prop_map(Call::Returned),
        6 => (name.clone(), outcome, 0..4_u8, second.clone())
            .prop_map(|(of, outcome, how, at)| Call::Over(of, outcome, how, at)),
        4 => (name, state, 0..3_u8, second).prop_map(|(of, state, note, at)| Call::Ended(of, state, note, at)),
        1 => asked.prop_map(Call::Purge),
        4 => proptest::collection::vec(begun, 1..4).prop_map(Call::Begin),
        4 => proptest::collection::vec(ended, 1..4).prop_map(Call::End),
        1 => (5..60_u64).prop_map(Call::Prune),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn both_kinds_of_ledger_give_up_alike(calls in proptest::collection::vec(call(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let directory = tempfile::TempDir::new().unwrap();
        let file = Ledger::open(&Location::File(directory.path().join("ledger.db"))).unwrap();
        let memory = Ledger::open(&Location::Memory).unwrap();
        runtime.block_on(async {
            for call in calls {
                let (one, other) = (make(&file, call.clone()).await, make(&memory, call.clone()).await);
                prop_assert_eq!(one, other, "{:?}", call);
            }
            prop_assert_eq!(look(&file).await, look(&memory).await);
            Ok(())
        })?;
    }
}
