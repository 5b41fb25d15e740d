//! Runs, attempts and outcomes, and what comes after an attempt.
//!
//! Pure: ids derive from their inputs, chance is an argument.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use arrayvec::ArrayString;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::manifest::{
    name::{JobName, NAME_LEN_MAX},
    policy::{Backoff, RetryOn},
    spec::RetrySpec,
};

/// Namespace of run ids: `UUIDv5` of `tintal.run` in the DNS namespace.
const RUN_NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_9c3a_52b7_5e0b_9d1e_3a8c_47f2_b6d5);

/// Longest text that an id is made of: a name, the nanoseconds of an instant (at most 21 characters),
/// and a word, in lines.
const ID_TEXT_MAX: usize = NAME_LEN_MAX + 64;

/// Names a run on every tier, so that a second submit of one occurrence starts nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunKey {
    /// The job.
    pub job: JobName,
    /// The nominal instant that a trigger named; for a run by hand, the instant it was asked for.
    pub fire_time: Timestamp,
    /// What asked for it.
    pub cause: Cause,
}

/// What asked for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A trigger of the schedule.
    Schedule,
    /// A person, by `tintal trigger` or `tintal run`.
    Manual,
    /// A start of the machine (`@reboot`).
    Reboot,
}

impl Cause {
    /// The word in records and in ids.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Manual => "manual",
            Self::Reboot => "reboot",
        }
    }
}

/// Identifies a run: `UUIDv5` of its [`RunKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub Uuid);

impl RunKey {
    /// The id of the run, the same on every machine and after every restart.
    #[must_use]
    pub fn id(&self) -> RunId {
        run_id(&self.job, self.fire_time, self.cause)
    }
}

/// The id of the run with these in its [`RunKey`].
#[must_use]
pub fn run_id(job: &JobName, fire_time: Timestamp, cause: Cause) -> RunId {
    id(job, fire_time, cause.as_str())
}

/// The id of what happens to a job at an instant; `what` tells things of one instant apart.
fn id(job: &JobName, at: Timestamp, what: &str) -> RunId {
    // On the stack: ids are made for ten thousand runs that are due together.
    let mut text = ArrayString::<ID_TEXT_MAX>::new();
    let written = write!(text, "{job}\n{}\n{what}", at.as_nanosecond());
    debug_assert!(written.is_ok(), "the parts are bounded");
    RunId(Uuid::new_v5(&RUN_NAMESPACE, text.as_bytes()))
}

/// The id of the record of what the clock jumped over at an instant, for one job. No run has it: an
/// occurrence at the same instant has its own.
#[must_use]
pub fn gap_id(job: &JobName, at: Timestamp) -> RunId {
    id(job, at, "gap")
}

/// The id of the record that the clock went back behind what was decided of a job. No run has it.
#[must_use]
pub fn back_id(job: &JobName, at: Timestamp) -> RunId {
    id(job, at, "back")
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Outcome {
    /// As it should.
    Success,
    /// The program ended with a status other than 0.
    ExitNonzero {
        /// The status, 1 to 255.
        code: i32,
    },
    /// The program was ended by a signal that we did not send.
    Signal {
        /// The signal's number.
        signal: i32,
    },
    /// The attempt took longer than it may.
    Timeout,
    /// The server answered with a status from 500 to 599 that was not expected.
    Http5xx {
        /// The status.
        status: u16,
    },
    /// The server answered, and not as expected.
    HttpUnexpected {
        /// The status.
        status: u16,
        /// What was wrong with the answer.
        reason: String,
    },
    /// No connection, or one that broke before the answer was there.
    Connect {
        /// What the client said.
        reason: String,
    },
    /// It could not be started: no such program, no such directory, a secret that is not there,
    /// a template that fails.
    NotStarted {
        /// What was missing.
        reason: String,
        /// What the system said, where it was asked: an `errno`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        errno: Option<i32>,
    },
    /// One or more steps did not succeed.
    StepsFailed {
        /// Ids of the steps that failed, in the manifest's order.
        failed: Vec<String>,
        /// Ids of the steps that were skipped because of them.
        skipped: Vec<String>,
    },
    /// A person, or the end of the daemon, stopped it.
    Cancelled,
    /// It was begun, and the daemon ended before its end was recorded; how it ended is not known.
    Abandoned,
    /// Nobody picked it up in time.
    Expired,
    /// A worker picked it up, and nothing was heard of it since; how it ended is not known.
    Lost,
    /// A worker did not run it: nobody vouches for it, or its form is unknown.
    Refused {
        /// What was wrong with it.
        reason: String,
    },
}

impl Outcome {
    /// The word for the kind, as in records and on the command line.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::ExitNonzero { .. } => "exit-nonzero",
            Self::Signal { .. } => "signal",
            Self::Timeout => "timeout",
            Self::Http5xx { .. } => "http-5xx",
            Self::HttpUnexpected { .. } => "http-unexpected",
            Self::Connect { .. } => "connect",
            Self::NotStarted { .. } => "not-started",
            Self::StepsFailed { .. } => "steps-failed",
            Self::Cancelled => "cancelled",
            Self::Abandoned => "abandoned",
            Self::Expired => "expired",
            Self::Lost => "lost",
            Self::Refused { .. } => "refused",
        }
    }

    /// That it was not started for a reason that the system was not asked for.
    #[must_use]
    pub fn not_started(reason: impl Into<String>) -> Self {
        Self::NotStarted { reason: reason.into(), errno: None }
    }

    /// Whether it ended as it should.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Success)
    }

    /// The kind of retry that this outcome falls under; `None`: it is never tried again.
    ///
    /// Failed steps have had their own retries; the run as a whole is tried again like a program
    /// that failed.
    #[must_use]
    pub fn retry_on(&self) -> Option<RetryOn> {
        match self {
            Self::ExitNonzero { .. } | Self::StepsFailed { .. } => Some(RetryOn::ExitNonzero),
            Self::Signal { .. } => Some(RetryOn::Signal),
            Self::Timeout => Some(RetryOn::Timeout),
            Self::Http5xx { .. } => Some(RetryOn::Http5xx),
            Self::Connect { .. } => Some(RetryOn::Connect),
            Self::Abandoned | Self::Lost => Some(RetryOn::Abandoned),
            Self::Success
            | Self::HttpUnexpected { .. }
            | Self::NotStarted { .. }
            | Self::Cancelled
            | Self::Expired
            | Self::Refused { .. } => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => f.write_str("success"),
            Self::ExitNonzero { code } => write!(f, "exit status {code}"),
            Self::Signal { signal } => write!(f, "ended by signal {signal}"),
            Self::Timeout => f.write_str("timed out"),
            Self::Http5xx { status } => write!(f, "http status {status}"),
            Self::HttpUnexpected { status, reason } => write!(f, "http status {status}: {reason}"),
            Self::Connect { reason } => write!(f, "no connection: {reason}"),
            Self::NotStarted { reason, .. } => write!(f, "not started: {reason}"),
            Self::StepsFailed { failed, skipped } if skipped.is_empty() => {
                write!(f, "failed steps: {}", failed.join(", "))
            }
            Self::StepsFailed { failed, skipped } => {
                write!(f, "failed steps: {}; skipped: {}", failed.join(", "), skipped.join(", "))
            }
            Self::Cancelled => f.write_str("cancelled"),
            Self::Abandoned => f.write_str("abandoned: the daemon ended before its end was recorded"),
            Self::Expired => f.write_str("expired: nobody picked it up in time"),
            Self::Lost => f.write_str("lost: it was picked up, and nothing was heard of it since"),
            Self::Refused { reason } => write!(f, "refused: {reason}"),
        }
    }
}

/// Why a run was given up, for whoever decides what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// What it needs was away, or too slow: later it can succeed as it is.
    Transient,
    /// The machine had no more memory, room or processes for it.
    Resource,
    /// It may not do what it does.
    Permission,
    /// What it was given is wrong.
    Input,
    /// What it calls is not there.
    Missing,
    /// It failed in its own way.
    Failure,
    /// Nobody picked it up in time.
    Expired,
    /// A person, or the end of the daemon, stopped it.
    Cancelled,
}

impl Category {
    /// Every category.
    pub const ALL: [Self; 8] = [
        Self::Transient,
        Self::Resource,
        Self::Permission,
        Self::Input,
        Self::Missing,
        Self::Failure,
        Self::Expired,
        Self::Cancelled,
    ];

    /// The word in records and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Resource => "resource",
            Self::Permission => "permission",
            Self::Input => "input",
            Self::Missing => "missing",
            Self::Failure => "failure",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What exit statuses say: those of `sysexits.h` by their names there, and those that POSIX (Shell
/// Command Language, 2.8.2) has a shell end with. All others are up to each program.
#[rustfmt::skip]
const EXIT_CATEGORIES: &[(i32, Category)] = &[
    (64,  Category::Input),      // EX_USAGE
    (65,  Category::Input),      // EX_DATAERR
    (66,  Category::Input),      // EX_NOINPUT
    (71,  Category::Resource),   // EX_OSERR: cannot fork, cannot make a pipe
    (74,  Category::Resource),   // EX_IOERR
    (75,  Category::Transient),  // EX_TEMPFAIL
    (77,  Category::Permission), // EX_NOPERM
    (126, Category::Permission), // found, and not to be executed
    (127, Category::Missing),    // not found
    (137, Category::Resource),   // 128 + SIGKILL, as a shell says that its child was killed
];

/// What HTTP statuses say (RFC 9110, 15.5 and 15.6; 429 is of RFC 6585): the first range that has one.
#[rustfmt::skip]
const HTTP_CATEGORIES: &[(std::ops::RangeInclusive<u16>, Category)] = &[
    (401..=401, Category::Permission), // Unauthorized
    (403..=403, Category::Permission), // Forbidden
    (408..=408, Category::Transient),  // Request Timeout
    (429..=429, Category::Transient),  // Too Many Requests
    (400..=499, Category::Input),      // the client erred
    (500..=599, Category::Transient),  // the server did
];

/// What the system says when a program cannot be started: numbers of Linux (errno(3)). All others mean
/// that something is not there.
#[rustfmt::skip]
const ERRNO_CATEGORIES: &[(i32, Category)] = &[
    (1,   Category::Permission), // EPERM
    (7,   Category::Input),      // E2BIG: the arguments are too long
    (11,  Category::Resource),   // EAGAIN: too many processes
    (12,  Category::Resource),   // ENOMEM
    (13,  Category::Permission), // EACCES
    (23,  Category::Resource),   // ENFILE
    (24,  Category::Resource),   // EMFILE
    (28,  Category::Resource),   // ENOSPC
    (122, Category::Resource),   // EDQUOT
];

/// The signal that a program cannot refuse. Ours are timeouts and cancellations: from elsewhere it is
/// the kernel's when memory ran out.
const SIGKILL: i32 = 9;

/// Sorts an outcome by its exit status, its HTTP status and its kind, and never by its text. What
/// succeeded is not given up, and has no category of its own.
#[must_use]
pub fn category(outcome: &Outcome) -> Category {
    let of_code = |table: &[(i32, Category)], code: i32| {
        table.iter().find(|(of, _)| *of == code).map(|(_, category)| *category)
    };
    match outcome {
        Outcome::ExitNonzero { code } => of_code(EXIT_CATEGORIES, *code).unwrap_or(Category::Failure),
        Outcome::Http5xx { status } | Outcome::HttpUnexpected { status, .. } => {
            let of = HTTP_CATEGORIES.iter().find(|(range, _)| range.contains(status));
            of.map_or(Category::Failure, |(_, category)| *category)
        }
        Outcome::NotStarted { errno, .. } => {
            errno.and_then(|errno| of_code(ERRNO_CATEGORIES, errno)).unwrap_or(Category::Missing)
        }
        Outcome::Signal { signal: SIGKILL } => Category::Resource,
        Outcome::Signal { .. }
        | Outcome::Timeout
        | Outcome::Connect { .. }
        | Outcome::Abandoned
        | Outcome::Lost => Category::Transient,
        Outcome::Refused { .. } => Category::Input,
        Outcome::Expired => Category::Expired,
        Outcome::Cancelled => Category::Cancelled,
        Outcome::Success | Outcome::StepsFailed { .. } => Category::Failure,
    }
}

/// What comes after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The run has ended, as it should.
    Done,
    /// One more attempt after this long.
    RetryAfter(Duration),
    /// The run is given up.
    GiveUp,
}

/// Decides what comes after attempt number `attempt` (counted from 1) ended with `outcome`.
///
/// `chance` is from 0 to 1 and spreads the waiting time within the policy's jitter.
#[must_use]
pub fn next(attempt: u32, outcome: &Outcome, retry: &RetrySpec, chance: f64) -> Next {
    if outcome.is_success() {
        return Next::Done;
    }
    let wanted = outcome.retry_on().is_some_and(|on| retry.on.contains(&on));
    if !wanted || attempt >= retry.max_attempts {
        return Next::GiveUp;
    }
    Next::RetryAfter(wait(attempt, retry, chance))
}

/// How far a run had come, as the records say, when the daemon that drove it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reached {
    /// It was decided. An attempt is recorded before anything starts, so nothing did.
    Decided {
        /// When it was to start: then, or later by its share of the jitter.
        at: Timestamp,
    },
    /// Its last attempt was begun, and has no end.
    Begun {
        /// The number of the attempt, from 1.
        attempt: u32,
    },
    /// Its last attempt ended, and the run did not.
    Ended {
        /// The number of the attempt, from 1.
        attempt: u32,
        /// How.
        outcome: Outcome,
        /// When.
        at: Timestamp,
    },
}

/// What becomes of a run whose daemon ended before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// Its attempt with this number is made, after this long.
    Attempt(u32, Duration),
    /// It has ended like this.
    End(Outcome),
}

/// Decides what becomes of a run whose daemon ended before it. `retry` is the policy of its job;
/// none when the job is gone. A run that nothing was started of is not begun later than `late_max`
/// after it was to start.
#[must_use]
pub fn resume(reached: &Reached, retry: Option<&RetrySpec>, now: Timestamp, late_max: Duration) -> Resume {
    let since = |at: Timestamp| Duration::try_from(now.duration_since(at)).unwrap_or(Duration::ZERO);
    let (attempt, outcome, passed) = match reached {
        Reached::Decided { at } => {
            let not_started = |reason: &str| Resume::End(Outcome::not_started(reason));
            return match retry {
                None => not_started("the daemon ended before it was started, and its job is gone"),
                Some(_) if since(*at) > late_max => {
                    not_started("the daemon ended before it was started, and then it was too late")
                }
                Some(_) => {
                    let wait = at.duration_since(now).max(SignedDuration::ZERO).unsigned_abs();
                    Resume::Attempt(1, wait)
                }
            };
        }
        Reached::Begun { attempt } => (*attempt, &Outcome::Abandoned, Duration::ZERO),
        Reached::Ended { attempt, outcome, at } => (*attempt, outcome, since(*at)),
    };
    match retry.map(|retry| next(attempt, outcome, retry, 0.0)) {
        Some(Next::RetryAfter(wait)) => Resume::Attempt(attempt + 1, wait.saturating_sub(passed)),
        _ => Resume::End(outcome.clone()),
    }
}

/// The waiting time after attempt number `attempt`: backoff, capped, with jitter below the cap.
fn wait(attempt: u32, retry: &RetrySpec, chance: f64) -> Duration {
    let grown = match retry.backoff {
        Backoff::Fixed => retry.initial.as_secs_f64(),
        Backoff::Exponential => {
            let doublings = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
            retry.initial.as_secs_f64() * retry.factor.powi(doublings)
        }
    };
    let capped = grown.min(retry.max.as_secs_f64());
    let spread = capped * retry.jitter.clamp(0.0, 1.0) * chance.clamp(0.0, 1.0);
    Duration::from_secs_f64((capped - spread).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(max_attempts: u32, on: &[RetryOn]) -> RetrySpec {
        RetrySpec {
            max_attempts,
            jitter: 0.5,
            on: on.to_vec(),
            max: Duration::from_secs(60),
            ..RetrySpec::never()
        }
    }

    #[test]
    #[rustfmt::skip]
    fn next_table() {
        use Next::{Done, GiveUp, RetryAfter};
        use RetryOn::{ExitNonzero, Timeout};
        let after = |secs| RetryAfter(Duration::from_secs(secs));
        let failed = Outcome::ExitNonzero { code: 1 };
        //              attempt  outcome                 policy                          chance       next
        assert_eq!(next(1, &Outcome::Success,            &retry(3, &[ExitNonzero]),      0.0),        Done);
        assert_eq!(next(1, &failed,                      &retry(3, &[ExitNonzero]),      0.0),        after(10));
        assert_eq!(next(1, &failed,                      &retry(3, &[ExitNonzero]),      1.0),        after(5));
        assert_eq!(next(2, &failed,                      &retry(3, &[ExitNonzero]),      0.0),        after(20));
        assert_eq!(next(3, &failed,                      &retry(3, &[ExitNonzero]),      0.0),        GiveUp);
        assert_eq!(next(9, &failed,                      &retry(99, &[ExitNonzero]),     0.0),        after(60));
        assert_eq!(next(1, &failed,                      &retry(3, &[Timeout]),          0.0),        GiveUp);
        assert_eq!(next(1, &Outcome::Cancelled,          &retry(3, &RetryOn::ALL),       0.0),        GiveUp);
    }

    /// `reached` is `decided`, or an attempt's number with its outcome and how many seconds ago it
    /// ended; the policy is three attempts, 10 s and 20 s apart.
    #[track_caller]
    fn check_resume(reached: &str, secs_ago: i64, policy: Option<&[RetryOn]>, expected: &str) {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let at = Timestamp::from_second(1_000_000 - secs_ago).unwrap();
        let outcome = |word: &str| match word {
            "success" => Outcome::Success,
            "cancelled" => Outcome::Cancelled,
            _ => Outcome::ExitNonzero { code: 1 },
        };
        let reached = match reached.split_once(' ') {
            None => Reached::Decided { at },
            Some((n, "begun")) => Reached::Begun { attempt: n.parse().unwrap() },
            Some((n, word)) => Reached::Ended { attempt: n.parse().unwrap(), outcome: outcome(word), at },
        };
        let retry = policy.map(|on| retry(3, on));
        let shown = match resume(&reached, retry.as_ref(), now, Duration::from_secs(3600)) {
            Resume::Attempt(n, wait) => format!("attempt {n} in {} s", wait.as_secs()),
            Resume::End(outcome) => outcome.as_str().to_owned(),
        };
        assert_eq!(shown, expected, "{reached:?}");
    }

    /// F5, F20.
    #[test]
    #[rustfmt::skip]
    fn resume_table() {
        use RetryOn::{Abandoned, ExitNonzero};
        let all: &[RetryOn] = &[Abandoned, ExitNonzero];
        //            reached        secs ago  policy               becomes
        check_resume("decided",      5,        Some(&[]),           "attempt 1 in 0 s");
        check_resume("decided",      3_601,    Some(&[]),           "not-started");
        check_resume("decided",      -50,      Some(&[]),           "attempt 1 in 50 s");
        check_resume("decided",      5,        None,                "not-started");
        check_resume("1 begun",      5,        Some(&[]),           "abandoned");
        check_resume("1 begun",      5,        Some(all),           "attempt 2 in 10 s");
        check_resume("3 begun",      5,        Some(all),           "abandoned");
        check_resume("1 begun",      5,        None,                "abandoned");
        check_resume("1 success",    5,        Some(all),           "success");
        check_resume("1 cancelled",  5,        Some(all),           "cancelled");
        check_resume("1 failed",     4,        Some(all),           "attempt 2 in 6 s");
        check_resume("2 failed",     90,       Some(all),           "attempt 3 in 0 s");
        check_resume("3 failed",     5,        Some(all),           "exit-nonzero");
        check_resume("1 failed",     5,        None,                "exit-nonzero");
        // The clock went back meanwhile.
        check_resume("1 failed",     -50,      Some(all),           "attempt 2 in 10 s");
    }

    #[test]
    #[rustfmt::skip]
    fn category_table() {
        let check = |outcome: Outcome, expected: &str| {
            assert_eq!(category(&outcome).as_str(), expected, "{outcome:?}");
        };
        let reason = || "403 EX_NOPERM, no space left on device".to_owned();
        let http = |status| Outcome::HttpUnexpected { status, reason: reason() };
        let exit = |code| Outcome::ExitNonzero { code };
        for (code, expected) in [
            (1, "failure"), (2, "failure"), (63, "failure"), (64, "input"), (65, "input"), (66, "input"),
            (67, "failure"), (71, "resource"), (74, "resource"), (75, "transient"), (77, "permission"),
            (126, "permission"), (127, "missing"), (137, "resource"), (143, "failure"), (255, "failure"),
        ] {
            check(exit(code), expected);
        }
        for (status, expected) in [
            (204, "failure"), (302, "failure"), (400, "input"), (401, "permission"), (403, "permission"),
            (404, "input"), (408, "transient"), (410, "input"), (429, "transient"), (499, "input"), (600, "failure"),
        ] {
            check(http(status), expected);
        }
        for (errno, expected) in [
            (None, "missing"), (Some(2), "missing"), (Some(8), "missing"), (Some(7), "input"),
            (Some(13), "permission"), (Some(12), "resource"), (Some(24), "resource"), (Some(28), "resource"),
        ] {
            check(Outcome::NotStarted { reason: reason(), errno }, expected);
        }
        check(Outcome::Http5xx { status: 503 },                           "transient");
        check(Outcome::Signal { signal: 9 },                              "resource");
        check(Outcome::Signal { signal: 11 },                             "transient");
        check(Outcome::Timeout,                                           "transient");
        check(Outcome::Connect { reason: reason() },                      "transient");
        check(Outcome::Abandoned,                                         "transient");
        check(Outcome::Lost,                                              "transient");
        check(Outcome::Refused { reason: reason() },                      "input");
        check(Outcome::Expired,                                           "expired");
        check(Outcome::Cancelled,                                         "cancelled");
        check(Outcome::StepsFailed { failed: vec![], skipped: vec![] },   "failure");
    }

    /// Records of the version before have no `errno`; those of this one have it where there is one.
    #[test]
    fn an_outcome_of_the_version_before_is_read() {
        let before = r#"{"kind":"not-started","reason":"no"}"#;
        assert_eq!(serde_json::from_str::<Outcome>(before).unwrap(), Outcome::not_started("no"));
        assert_eq!(serde_json::to_string(&Outcome::not_started("no")).unwrap(), before);
    }

    #[test]
    fn a_run_key_always_gives_the_same_id() {
        let key = |job: &str, second, cause| {
            let job = JobName::parse(job).unwrap();
            let fire_time = Timestamp::from_second(second).unwrap();
            RunKey { job, fire_time, cause }.id().to_string()
        };
        assert_eq!(key("a", 0, Cause::Schedule), key("a", 0, Cause::Schedule));
        assert_ne!(key("a", 0, Cause::Schedule), key("a", 1, Cause::Schedule));
        assert_ne!(key("a", 0, Cause::Schedule), key("b", 0, Cause::Schedule));
        assert_ne!(key("a", 0, Cause::Schedule), key("a", 0, Cause::Manual));
    }

    #[test]
    fn the_record_of_a_gap_has_another_id_than_the_run_at_the_same_instant() {
        let (job, time) = (JobName::parse("a").unwrap(), Timestamp::UNIX_EPOCH);
        assert_eq!(gap_id(&job, time), gap_id(&job, time));
        assert_ne!(gap_id(&job, time), back_id(&job, time));
        for cause in [Cause::Schedule, Cause::Manual, Cause::Reboot] {
            assert_ne!(gap_id(&job, time), RunKey { job: job.clone(), fire_time: time, cause }.id());
        }
    }
}
