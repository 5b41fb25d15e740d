//! The same of the queues.

use bytes::Bytes;

use super::*;

/// One call. Messages and instants are few, so that calls meet.
#[derive(Debug, Clone)]
enum Call {
    Send(u8, Vec<(u8, i64)>, i64),
    Claim(u8, usize, i64, i64),
    /// Of the claims that were given so far, the first by place.
    Settle(u8, Vec<(usize, Fate)>),
    Prune(i64),
}

/// Instants are a few minutes apart, so that some keys are forgotten.
fn minute(minute: i64) -> Timestamp {
    at(60 * minute)
}

fn queue(name: u8) -> Arc<str> {
    format!("queue-{name}").into()
}

async fn make(ledger: &Ledger, call: Call, claims: &mut Vec<Claim>) -> String {
    match call {
        Call::Send(name, messages, now) => {
            let messages = messages.into_iter().map(|(id, due)| NewMessage {
                id: format!("id-{id}"),
                body: Bytes::from(vec![id; usize::from(id)]),
                due: minute(due),
            });
            format!("{:?}", ledger.queue_send(queue(name), messages.collect(), minute(now)).await.unwrap())
        }
        Call::Claim(name, max, now, length) => {
            let until = minute(now + length);
            let received = ledger.queue_claim(queue(name), max, minute(now), until).await.unwrap();
            claims.extend(received.claimed.iter().map(|claimed| claimed.claim));
            format!("{received:?}")
        }
        Call::Settle(name, fates) => {
            let fates = fates
                .into_iter()
                .filter_map(|(place, fate)| Some((*claims.get(claims.len().checked_sub(1 + place)?)?, fate)));
            format!("{:?}", ledger.queue_settle(queue(name), fates.collect()).await.unwrap())
        }
        Call::Prune(now) => {
            let limits = HistoryLimits { keep_last: 10, max_age: Duration::from_secs(3_600) };
            while ledger.prune_history(limits, minute(now)).await.unwrap().more {}
            String::new()
        }
    }
}

async fn look(ledger: &Ledger) -> Vec<String> {
    let mut seen = Vec::new();
    for name in 0..2 {
        for now in [0, 50, 150] {
            let depth = ledger.queue_depth(queue(name), minute(now)).await.unwrap();
            seen.push(format!("{depth:?}"));
        }
        let all = ledger.queue_claim(queue(name), 100, minute(500), minute(501)).await.unwrap();
        seen.push(format!("{all:?}"));
    }
    seen
}

fn call() -> impl Strategy<Value = Call> {
    let name = 0..2_u8;
    let now = 0..150_i64;
    let fate = prop_oneof![
        4 => Just(Fate::Ack),
        1 => now.clone().prop_map(|due| Fate::Again { due: minute(due) }),
        1 => now.clone().prop_map(|until| Fate::Extend { until: minute(until) }),
    ];
    let message = (0..12_u8, now.clone());
    prop_oneof![
        4 => (name.clone(), proptest::collection::vec(message, 1..4), now.clone())
            .prop_map(|(name, messages, now)| Call::Send(name, messages, now)),
        4 => (name.clone(), 1..4_usize, now.clone(), 1..40_i64)
            .prop_map(|(name, max, now, length)| Call::Claim(name, max, now, length)),
        4 => (name, proptest::collection::vec((0..6_usize, fate), 1..4))
            .prop_map(|(name, fates)| Call::Settle(name, fates)),
        1 => now.prop_map(Call::Prune),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn both_kinds_of_ledger_queue_alike(calls in proptest::collection::vec(call(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let directory = tempfile::TempDir::new().unwrap();
        let file = Ledger::open(&Location::File(directory.path().join("ledger.db"))).unwrap();
        let memory = Ledger::open(&Location::Memory).unwrap();
        let (mut of_file, mut of_memory) = (Vec::new(), Vec::new());
        runtime.block_on(async {
            for call in calls {
                let one = make(&file, call.clone(), &mut of_file).await;
                let other = make(&memory, call.clone(), &mut of_memory).await;
                prop_assert_eq!(one, other, "{:?}", call);
            }
            prop_assert_eq!(look(&file).await, look(&memory).await);
            Ok(())
        })?;
    }
}
