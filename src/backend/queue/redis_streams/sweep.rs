//! What receivers do beside reading: they move what is due to the stream, claim what others left, and
//! forget consumers that are gone.

use std::time::{Duration, Instant};

use redis::Value;

use super::{
    super::broker::{Delivery, QueueName},
    GROUP, Keys, Process,
    entry::{claimed, list, text},
    fault::{Fault, unexpected},
    lines::{ANSWER_MAX, Lines},
    script::{Request, SWEEP},
};

/// How often is looked at what is delayed, where nothing says that it is due before: so late is what is
/// put there with a shorter delay.
pub(super) const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Most messages that are moved in one call, and bytes after which no more are: it takes the server two
/// milliseconds, in which it does nothing else.
const MOVES_MAX: usize = 500;
const MOVE_BYTES_MAX: usize = 1 << 20;

/// Most entries that are claimed in one call. It looks at ten times as many.
const CLAIMS_MAX: usize = 100;

/// How often is looked for claims that are over: eight times in a claim time, within these bounds.
const SCAN_EVERY_MIN: Duration = Duration::from_millis(100);
const SCAN_EVERY_MAX: Duration = Duration::from_secs(5);

/// A consumer that was silent for so many claim times is gone: one that lives reads every second.
const SILENT_CLAIMS: u32 = 4;

/// Where a search for claims that are over begins, and says that it has ended.
const START: &str = "0-0";

/// What is to be done when.
#[derive(Debug)]
pub(super) struct Sweep {
    /// When the next is due.
    at: Instant,
    scan_at: Instant,
    tidy_at: Instant,
    /// Up to where was looked for claims that are over.
    cursor: String,
}

impl Sweep {
    /// The first is due at once.
    pub(super) fn new(process: &Process) -> Self {
        let now = Instant::now();
        Self { at: now, scan_at: now, tidy_at: now + process.claim, cursor: START.to_owned() }
    }

    /// When the next is due.
    pub(super) fn due(&self) -> Instant {
        self.at
    }

    /// Has the next one be due at once, and look at all claims.
    pub(super) fn hasten(&mut self) {
        let now = Instant::now();
        (self.at, self.scan_at) = (now, now);
        START.clone_into(&mut self.cursor);
    }

    /// Does what is due; gives up to `max` messages that were claimed.
    pub(super) async fn run(
        &mut self,
        lines: &Lines,
        process: &Process,
        queue: &QueueName,
        max: usize,
    ) -> Result<Vec<Delivery>, Fault> {
        let now = Instant::now();
        let is_scan = self.scan_at <= now;
        let is_tidy = self.tidy_at <= now;
        let request = self.request(process, queue, is_scan.then_some(max), is_tidy);
        let answer = lines.ask(Some(queue), &request, ANSWER_MAX).await?;
        let (wait, cursor, claimed) =
            read(answer, process.at_ms(now)).ok_or_else(|| unexpected("a call that claims"))?;
        let now = Instant::now();
        if is_scan {
            // What was not looked at yet is the next's, at once.
            let is_over = cursor == START;
            self.scan_at = if is_over { now + scan_every(process) } else { now };
            self.cursor = cursor;
        }
        if is_tidy {
            self.tidy_at = now + process.claim;
        }
        self.at = self.scan_at.min(now + wait.unwrap_or(SWEEP_EVERY).min(SWEEP_EVERY));
        Ok(claimed)
    }

    fn request(&self, process: &Process, queue: &QueueName, scan: Option<usize>, is_tidy: bool) -> Request {
        let keys = Keys::new(queue);
        let mut request = Request::call(&SWEEP, &[keys.stream, &keys.delayed], 8, 256);
        let call = &mut request.command;
        call.arg(GROUP).arg(&*process.consumer).arg(MOVES_MAX).arg(MOVE_BYTES_MAX);
        call.arg(if scan.is_some() { &self.cursor } else { "" }).arg(process.claim_ms());
        call.arg(scan.unwrap_or(1).clamp(1, CLAIMS_MAX));
        call.arg(if is_tidy { process.claim_ms().saturating_mul(SILENT_CLAIMS.into()) } else { 0 });
        request
    }
}

fn scan_every(process: &Process) -> Duration {
    (process.claim / 8).clamp(SCAN_EVERY_MIN, SCAN_EVERY_MAX)
}

/// How long it is until the next is due, the cursor, and what was claimed.
fn read(answer: Value, since_ms: u64) -> Option<(Option<Duration>, String, Vec<Delivery>)> {
    let [Value::Int(wait), cursor, entries] = <[Value; 3]>::try_from(list(answer)?).ok()? else {
        return None;
    };
    let wait = u64::try_from(wait).ok().map(Duration::from_millis);
    Some((wait, text(cursor)?, claimed(list(entries)?, since_ms)?))
}
