//! Settles claims, many in one call of a script.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use redis::Value;

use super::{
    super::broker::{BrokerError, Delivery, QueueName, Settlement, Verdict},
    GROUP, Keys, Process,
    entry::{Claim, list, text},
    fault::{Fault, said, unexpected},
    lines::{ANSWER_MAX, Lines},
    millis,
    script::{Request, SETTLE},
};

/// Most settlements in one call: it takes the server about two milliseconds.
const CALL_MAX: usize = 1_000;

/// Calls that are on their way at once.
const WINDOW: usize = 4;

/// Bytes that a settlement takes in a call, about: an id, a verdict, and their lengths.
const SETTLEMENT_LEN: usize = 48;

/// Settles claims; gives what came of each.
pub(super) async fn settle(
    lines: &Lines,
    process: &Process,
    queue: &QueueName,
    settlements: &[Settlement],
) -> Vec<Result<(), BrokerError>> {
    let mut settled = Vec::with_capacity(settlements.len());
    let calls = settlements.chunks(CALL_MAX);
    let calls: Vec<_> = calls.map(|call| settle_call(lines, process, queue, call)).collect();
    let mut calls = stream::iter(calls).buffered(WINDOW);
    while let Some(results) = calls.next().await {
        settled.extend(results);
    }
    settled
}

async fn settle_call(
    lines: &Lines,
    process: &Process,
    queue: &QueueName,
    settlements: &[Settlement],
) -> Vec<Result<(), BrokerError>> {
    let now = process.at_ms(Instant::now());
    let (mut sure, mut others) = (Vec::with_capacity(settlements.len()), Vec::new());
    let mut results = vec![Ok(()); settlements.len()];
    for (place, (settlement, result)) in settlements.iter().zip(&mut results).enumerate() {
        match Claim::of(&settlement.receipt) {
            None => *result = Err(BrokerError::ClaimOver),
            Some(claim) if settlement.verdict == Verdict::Ack && is_sure(process, now, claim) => {
                sure.push((place, claim.id));
            }
            Some(claim) => others.push((place, claim.id, Word::of(settlement.verdict))),
        }
    }
    let places: Vec<usize> =
        sure.iter().map(|(place, _)| *place).chain(others.iter().map(|(place, ..)| *place)).collect();
    if places.is_empty() {
        return results;
    }
    let sure = sure.into_iter().map(|(_, id)| id);
    let others: Vec<(&str, Word)> = others.into_iter().map(|(_, id, word)| (id, word)).collect();
    match call(lines, process, queue, sure, &others).await {
        Ok(problems) => {
            for (at, error) in problems {
                // Places are counted from 1 there.
                let place = at.checked_sub(1).and_then(|at| places.get(at).copied());
                if let Some(result) = place.and_then(|place| results.get_mut(place)) {
                    *result = Err(error);
                }
            }
        }
        Err(error) => {
            for &place in &places {
                results[place] = Err(error.clone());
            }
        }
    }
    results
}

/// Whether nobody else can have taken it over: half of the claim time is not over by our own clock, which
/// began before the server's. The rest of the time is for the way there.
fn is_sure(process: &Process, now_ms: u64, claim: Claim<'_>) -> bool {
    now_ms.checked_sub(claim.since_ms).is_some_and(|age| age < process.claim_ms() / 2)
}

/// What becomes of an entry, in the words of the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Word {
    verdict: &'static str,
    number: u64,
}

impl Word {
    fn of(verdict: Verdict) -> Self {
        let (verdict, number) = match verdict {
            Verdict::Ack => ("ack", 0),
            // Not less than was asked for.
            Verdict::Retry { after } => {
                ("retry", millis(after.saturating_add(Duration::from_nanos(999_999))))
            }
            Verdict::Extend => ("extend", 0),
            Verdict::Leave => ("leave", 0),
        };
        Self { verdict, number }
    }
}

/// Gives entries back that nobody saw, so that the next who looks takes them over.
pub(super) async fn give_back(
    lines: &Lines,
    process: &Process,
    queue: &QueueName,
    deliveries: &[Delivery],
) -> Result<(), BrokerError> {
    let word = Word { verdict: "give", number: 0 };
    for deliveries in deliveries.chunks(CALL_MAX) {
        let claims = deliveries.iter().filter_map(|delivery| Claim::of(&delivery.receipt));
        let entries: Vec<(&str, Word)> = claims.map(|claim| (claim.id, word)).collect();
        call(lines, process, queue, [].into_iter(), &entries).await?;
    }
    Ok(())
}

/// Calls the script; gives the places of those that were not done, and why.
async fn call<'a>(
    lines: &Lines,
    process: &Process,
    queue: &QueueName,
    sure: impl ExactSizeIterator<Item = &'a str> + Send,
    others: &[(&str, Word)],
) -> Result<Vec<(usize, BrokerError)>, BrokerError> {
    let count = sure.len() + others.len();
    let keys = Keys::new(queue);
    let mut request =
        Request::call(&SETTLE, &[keys.stream, &keys.delayed], 4 + 3 * count, SETTLEMENT_LEN * count);
    let call = &mut request.command;
    call.arg(GROUP).arg(&*process.consumer).arg(process.claim_ms()).arg(sure.len());
    for id in sure {
        call.arg(id);
    }
    for (id, word) in others {
        call.arg(*id).arg(word.verdict).arg(word.number);
    }
    match lines.ask(Some(queue), &request, ANSWER_MAX).await {
        Ok(answer) => problems(answer).ok_or_else(|| unexpected("a call that settles")),
        // Nobody has a claim in a group that is not there.
        Err(Fault::NoGroup(_)) => Ok((1..=count).map(|place| (place, BrokerError::ClaimOver)).collect()),
        Err(fault) => Err(fault.into()),
    }
}

fn problems(answer: Value) -> Option<Vec<(usize, BrokerError)>> {
    let place = |value: Value| if let Value::Int(place) = value { usize::try_from(place).ok() } else { None };
    let [over, failed] = <[Value; 2]>::try_from(list(answer)?).ok()?;
    let over = list(over)?.into_iter().map(|at| Some((place(at)?, BrokerError::ClaimOver)));
    let failed = list(failed)?.into_iter().map(|failed| {
        let [at, words] = <[Value; 2]>::try_from(list(failed)?).ok()?;
        Some((place(at)?, said(&text(words)?)))
    });
    over.chain(failed).collect()
}
