//! Options of the manifest itself that have no effect beside its others. What it takes over from
//! defaults is meant for other jobs as well, and is not looked at.

use std::time::Duration;

use super::fault::Fault;
use crate::manifest::{
    code::Code,
    job::Manifest,
    policy::{Retry, RetryOn},
    spec::{Action, RetrySpec, Spec, StepSpec},
};

/// Finds options without effect under `run` and `policy`.
pub(super) fn check(spec: &Spec, manifest: &Manifest, faults: &mut Vec<Fault>) {
    surroundings(spec, manifest, faults);
    limits(spec, manifest, faults);
    if matches!(spec.run.action, Action::Message(_)) {
        message(manifest, faults);
        return;
    }
    let kinds = limited(&spec.run.action, spec.policy.timeout);
    if let Some(own) = manifest.policy.as_ref().and_then(|policy| policy.retry.as_ref()) {
        retry(own, &spec.policy.retry, "/policy/retry", kinds, faults);
    }
    let written = manifest.run.steps.iter().flatten();
    let Action::Steps(steps) = &spec.run.action else { return };
    for (index, (step, written)) in steps.iter().zip(written).enumerate() {
        let pointer = format!("/run/steps/{index}");
        if let Some(own) = &written.retry {
            let kinds = limited(&step.action, step.timeout);
            retry(own, &step.retry, &format!("{pointer}/retry"), kinds, faults);
        }
        needs(step, &pointer, faults);
    }
}

/// What an action does, and how it may end.
#[derive(Debug, Clone, Copy, Default)]
struct Kinds {
    /// It starts a program.
    program: bool,
    /// It makes a request.
    request: bool,
    /// It has a limit in time.
    limit: bool,
}

fn kinds(action: &Action) -> Kinds {
    match action {
        Action::Command(_) | Action::Shell(_) => Kinds { program: true, ..Kinds::default() },
        Action::Http(_) => Kinds { request: true, ..Kinds::default() },
        Action::Builtin(_) | Action::Message(_) => Kinds::default(),
        Action::Steps(steps) => {
            steps.iter().map(|step| kinds(&step.action)).fold(Kinds::default(), |all, one| Kinds {
                program: all.program || one.program,
                request: all.request || one.request,
                ..all
            })
        }
    }
}

/// The same of an action with its own timeout. A request ends after a while without one as well; when
/// it is that of a step, the step fails and the job does not time out.
fn limited(action: &Action, timeout: Option<Duration>) -> Kinds {
    Kinds { limit: timeout.is_some() || matches!(action, Action::Http(_)), ..kinds(action) }
}

fn surroundings(spec: &Spec, manifest: &Manifest, faults: &mut Vec<Fault>) {
    let Kinds { program, request, .. } = kinds(&spec.run.action);
    let own = &manifest.run;
    for (key, is_given, has_effect, help) in [
        ("cwd", own.cwd.is_some(), program, "leave it out: no program is started"),
        ("env", own.env.is_some(), program, "leave it out: no program is started"),
        ("secrets", own.secrets.is_some(), program || request, "leave it out: nothing here can use it"),
    ] {
        if is_given && !has_effect {
            let message = format!("`{key}` has no effect without a `command` or `shell`");
            faults.push(no_effect(format!("/run/{key}"), message, help));
        }
    }
}

/// How an attempt is brought to an end.
fn limits(spec: &Spec, manifest: &Manifest, faults: &mut Vec<Fault>) {
    let Some(own) = &manifest.policy else { return };
    if own.kill_grace.is_some() && !kinds(&spec.run.action).program {
        let message = "`kill_grace` has no effect without a `command` or `shell`".to_owned();
        faults.push(no_effect(
            "/policy/kill_grace".to_owned(),
            message,
            "leave it out: no program is started",
        ));
    }
    if own.timeout.is_some() && matches!(spec.run.action, Action::Builtin(_)) {
        let message = "`timeout` has no effect on `noop`".to_owned();
        faults.push(no_effect("/policy/timeout".to_owned(), message, "leave it out: it ends at once"));
    }
}

/// What a consumer that is not ours does is not ours to limit or to try again.
fn message(manifest: &Manifest, faults: &mut Vec<Fault>) {
    let Some(own) = &manifest.policy else { return };
    for (key, is_given) in [("timeout", own.timeout.is_some()), ("retry", own.retry.is_some())] {
        if is_given {
            let message = format!("`{key}` has no effect on a `message`");
            faults.push(no_effect(format!("/policy/{key}"), message, "leave it out: its consumer runs it"));
        }
    }
}

fn retry(own: &Retry, whole: &RetrySpec, pointer: &str, kinds: Kinds, faults: &mut Vec<Fault>) {
    if whole.max_attempts == 1 {
        for (key, is_given) in [
            ("backoff", own.backoff.is_some()),
            ("initial", own.initial.is_some()),
            ("factor", own.factor.is_some()),
            ("max", own.max.is_some()),
            ("jitter", own.jitter.is_some()),
            ("on", own.on.is_some()),
        ] {
            if is_given {
                let message = format!("`{key}` has no effect with `max_attempts: 1`");
                let help = "leave it out, or let there be more attempts; the first one counts";
                faults.push(no_effect(format!("{pointer}/{key}"), message, help));
            }
        }
        return;
    }
    for (index, outcome) in own.on.iter().flatten().enumerate() {
        let (has_effect, word, by) = match outcome {
            RetryOn::ExitNonzero => (kinds.program, "exit-nonzero", "`command` or `shell`"),
            RetryOn::Signal => (kinds.program, "signal", "`command` or `shell`"),
            RetryOn::Http5xx => (kinds.request, "http-5xx", "`http`"),
            RetryOn::Connect => (kinds.request, "connect", "`http`"),
            RetryOn::Timeout => (kinds.limit, "timeout", "a timeout"),
            // Whatever it does, the daemon may be killed meanwhile.
            RetryOn::Abandoned => (true, "", ""),
        };
        if !has_effect {
            let message = format!("`{word}` has no effect without {by}: nothing here ends like that");
            faults.push(no_effect(format!("{pointer}/on/{index}"), message, "take it out of the list"));
        }
    }
}

fn needs(step: &StepSpec, pointer: &str, faults: &mut Vec<Fault>) {
    for (at, need) in step.needs.iter().enumerate() {
        if step.needs[..at].contains(need) {
            let message = format!("the step `{need}` is needed already");
            faults.push(no_effect(format!("{pointer}/needs/{at}"), message, "name each step once"));
        }
    }
}

fn no_effect(pointer: String, message: String, help: &str) -> Fault {
    Fault::new(Code::NoEffect, pointer, message).label("no effect").help(help)
}
