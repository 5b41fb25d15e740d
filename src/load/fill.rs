//! A manifest with the defaults of its directory and the built-in ones: a spec.

use std::time::Duration;

use super::{
    action,
    directory::{self, both, keys},
    fault::{Content, Fault},
    texts::{duration, positive, time},
};
use crate::manifest::{
    action::SecretRef,
    characteristics::Complexity,
    code::Code,
    defaults::{Defaults, RunDefaults, ScheduleDefaults},
    job::Manifest,
    name::JobName,
    policy::{Backoff, Overlap, Policy, Retry, RetryOn},
    schedule::{DayMatch, Dst, ScheduleEntry},
    shared::Shared,
    spec::{
        Action, CharacteristicsSpec, CronSpec, PolicySpec, RetrySpec, RunSpec, ScheduleSpec, SecretSource,
        Spec, TriggerSpec,
    },
};

/// Runs that may go on at once with `overlap: allow`, when the manifest does not say.
pub(super) const MAX_RUNNING: u32 = 16;

/// Time between SIGTERM and SIGKILL, when the manifest does not say.
pub(super) const KILL_GRACE: Duration = Duration::from_secs(10);

/// Attempts in all when `retry` is there and does not say.
pub(super) const MAX_ATTEMPTS: u32 = 3;

/// How the schedule is written: what pointers to its entries look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScheduleForm {
    /// One mapping.
    Mapping,
    /// A list of them.
    List,
}

impl ScheduleForm {
    /// The pointer to an entry.
    pub(super) fn pointer(self, entry: usize) -> String {
        match self {
            Self::Mapping => "/schedule".to_owned(),
            Self::List => format!("/schedule/{entry}"),
        }
    }
}

/// What stands in for an interval that has no meaning, so that the rest can be checked.
const STAND_IN: Duration = Duration::from_secs(86_400);

/// The spec that a manifest and its defaults make. Every part without a meaning is an error among the
/// faults; the spec is then good for nothing but to be checked further.
pub(super) fn fill(
    name: &JobName,
    manifest: &Manifest,
    defaults: &Defaults,
    form: ScheduleForm,
) -> (Spec, Vec<Fault>) {
    let mut all = Vec::new();
    let faults = &mut all;
    let empty = ScheduleDefaults::default();
    let options = defaults.schedule.as_ref().unwrap_or(&empty);
    let entries = manifest.schedule.as_ref().map(|schedule| schedule.0.as_slice()).unwrap_or_default();
    let schedule = entries
        .iter()
        .enumerate()
        .map(|(index, entry)| schedule_entry(entry, options, &form.pointer(index), faults))
        .collect();
    let run = run(manifest, defaults, faults);
    let policy =
        both(manifest.policy.as_ref(), defaults.policy.as_ref(), directory::policy).unwrap_or_default();
    let policy = fill_policy(&policy, faults);
    let params = keys(manifest.params.as_ref(), defaults.params.as_ref()).unwrap_or_default();
    if !matches!(run.action, Action::Http(_) | Action::Builtin(_)) {
        for (name, value) in &params {
            action::no_zero(value.as_str().unwrap_or_default(), || format!("/params/{name}"), faults);
        }
    }
    let spec = Spec {
        name: name.clone(),
        description: manifest.description.clone(),
        labels: keys(manifest.labels.as_ref(), defaults.labels.as_ref()).unwrap_or_default(),
        enabled: manifest.enabled.or(defaults.enabled).unwrap_or(true),
        schedule,
        characteristics: characteristics(manifest, defaults),
        run,
        params,
        tier: manifest.tier.or(defaults.tier),
        fallback: manifest.fallback.or(defaults.fallback).unwrap_or_default(),
        queue: None,
        policy: Shared::of(policy),
    };
    (spec, all)
}

fn schedule_entry(
    entry: &ScheduleEntry,
    options: &ScheduleDefaults,
    pointer: &str,
    faults: &mut Vec<Fault>,
) -> ScheduleSpec {
    let at = |key: &str| format!("{pointer}/{key}");
    let trigger = if let Some(expression) = &entry.cron {
        let dst = both(entry.dst.as_ref(), options.dst.as_ref(), directory::dst).unwrap_or_default();
        Some(TriggerSpec::Cron(cron(expression, entry, options, dst)))
    } else {
        for (key, given) in [
            ("timezone", entry.timezone.is_some()),
            ("dst", entry.dst.is_some()),
            ("day_match", entry.day_match.is_some()),
        ] {
            if given {
                let message = format!("`{key}` has no effect without `cron`");
                let help = "leave it out: `every` and `at` do not depend on a zone's clock";
                faults.push(Fault::new(Code::NoEffect, at(key), message).label("no effect").help(help));
            }
        }
        match (&entry.every, &entry.at) {
            (Some(every), _) => duration(Some(every), || at("every"), faults).map(TriggerSpec::Every),
            (None, at_time) => time(at_time.as_ref(), || at("at"), faults).map(TriggerSpec::At),
        }
    };
    let inherits_jitter = !matches!(trigger, Some(TriggerSpec::At(_)));
    let jitter = entry.jitter.as_ref().or(options.jitter.as_ref().filter(|_| inherits_jitter));
    let jitter = duration(jitter, || at("jitter"), faults).filter(|jitter| !jitter.is_zero());
    let start = time(entry.start.as_ref(), || at("start"), faults);
    let end = time(entry.end.as_ref(), || at("end"), faults);
    ScheduleSpec { trigger: trigger.unwrap_or(TriggerSpec::Every(STAND_IN)), jitter, start, end }
}

fn cron(expression: &str, entry: &ScheduleEntry, options: &ScheduleDefaults, dst: Dst) -> CronSpec {
    let timezone = entry.timezone.as_ref().or(options.timezone.as_ref());
    CronSpec {
        expression: expression.to_owned(),
        timezone: timezone.map_or_else(|| "UTC".to_owned(), Clone::clone),
        gap: dst.gap.unwrap_or_default(),
        overlap: dst.overlap.unwrap_or_default(),
        day_match: entry.day_match.or(options.day_match).unwrap_or(DayMatch::Any),
    }
}

fn run(manifest: &Manifest, defaults: &Defaults, faults: &mut Vec<Fault>) -> RunSpec {
    let written = &manifest.run;
    let empty = RunDefaults::default();
    let far = defaults.run.as_ref().unwrap_or(&empty);
    let (far_env, far_secrets) = directory::unshadowed(written.env.as_ref(), written.secrets.as_ref(), far);
    let env = keys(written.env.as_ref(), far_env.as_ref()).unwrap_or_default();
    let secrets = keys(written.secrets.as_ref(), far_secrets.as_ref()).unwrap_or_default();
    for name in env.keys().chain(secrets.keys()).filter(|name| name.starts_with("TINTAL_")) {
        let part = if env.contains_key(name) { "env" } else { "secrets" };
        let message = format!("`{name}` is set by tintal itself");
        faults.push(
            Fault::new(Code::VariableClash, format!("/run/{part}/{name}"), message)
                .label("reserved")
                .help("names that begin with `TINTAL_` are taken; choose another"),
        );
    }
    for name in env.keys().filter(|name| secrets.contains_key(*name)) {
        let message = format!("`{name}` is given as `env` and as `secrets`");
        faults.push(
            Fault::new(Code::VariableClash, format!("/run/secrets/{name}"), message)
                .label("given here")
                .related(format!("/run/env/{name}"), "and here")
                .help("keep one of them"),
        );
    }
    for (name, value) in &env {
        action::no_zero(value, || format!("/run/env/{name}"), faults);
    }
    let secrets =
        secrets.iter().map(|(name, reference)| (name.clone(), secret(name, reference, faults))).collect();
    let action = action::fill(written, faults);
    let cwd = written.cwd.clone().or_else(|| far.cwd.clone());
    if let Some(cwd) = &cwd {
        action::no_zero(cwd, || "/run/cwd".to_owned(), faults);
    }
    RunSpec { action, cwd, env, secrets }
}

fn secret(name: &str, reference: &SecretRef, faults: &mut Vec<Fault>) -> SecretSource {
    let wrong = match reference.source() {
        Ok(source) => return source,
        Err(wrong) => wrong,
    };
    faults.push(
        Fault::new(
            Code::Secret,
            format!("/run/secrets/{name}/file"),
            format!("the secret `{name}` has no path of a file: {wrong}"),
        )
        .content(Content::Secret)
        .label("not a file")
        .help("write the path of a file that holds the value and nothing else"),
    );
    // It is only checked further.
    SecretSource::File(String::new())
}

fn characteristics(manifest: &Manifest, defaults: &Defaults) -> CharacteristicsSpec {
    let merged = both(
        manifest.characteristics.as_ref(),
        defaults.characteristics.as_ref(),
        directory::characteristics,
    )
    .unwrap_or_default();
    CharacteristicsSpec {
        visibility: merged.visibility.unwrap_or_default(),
        durability: merged.durability.unwrap_or_default(),
        infrastructure: merged.infrastructure.unwrap_or_default(),
        frequency: merged.frequency,
        complexity: merged.complexity,
    }
}

/// The complexity that an action has by itself.
pub(super) fn derived_complexity(action: &Action) -> Complexity {
    match action {
        Action::Steps(_) => Complexity::Dag,
        _ => Complexity::Simple,
    }
}

fn fill_policy(policy: &Policy, faults: &mut Vec<Fault>) -> PolicySpec {
    let overlap = policy.overlap.unwrap_or_default();
    let max_running = match overlap {
        Overlap::Skip => {
            if policy.max_running.is_some_and(|max| max > 1) {
                faults.push(
                    Fault::new(
                        Code::NoEffect,
                        "/policy/max_running",
                        "`max_running` has no effect with `overlap: skip`",
                    )
                    .label("one run at a time")
                    .by("/policy/overlap")
                    .help("write `overlap: allow` to let runs go on beside each other"),
                );
            }
            1
        }
        Overlap::Allow => policy.max_running.unwrap_or(MAX_RUNNING),
    };
    PolicySpec {
        overlap,
        max_running,
        timeout: positive(policy.timeout.as_ref(), || "/policy/timeout".to_owned(), faults),
        kill_grace: duration(policy.kill_grace.as_ref(), || "/policy/kill_grace".to_owned(), faults)
            .unwrap_or(KILL_GRACE),
        retry: retry(policy.retry.as_ref(), "/policy/retry", faults),
    }
}

/// The retry policy under a pointer; one attempt when it is absent.
pub(super) fn retry(retry: Option<&Retry>, pointer: &str, faults: &mut Vec<Fault>) -> RetrySpec {
    let never = RetrySpec::never();
    let Some(retry) = retry else { return never };
    let at = |key: &str| format!("{pointer}/{key}");
    let initial = duration(retry.initial.as_ref(), || at("initial"), faults).unwrap_or(never.initial);
    let max = duration(retry.max.as_ref(), || at("max"), faults).unwrap_or(never.max.max(initial));
    if max < initial {
        let message = "the longest waiting time is shorter than the first one";
        faults.push(
            Fault::new(Code::Duration, at("max"), message)
                .label("shorter than `initial`")
                .help("let `max` be at least as long as `initial`"),
        );
    }
    let backoff = retry.backoff.unwrap_or_default();
    if backoff == Backoff::Fixed && retry.factor.is_some() {
        faults.push(
            Fault::new(Code::NoEffect, at("factor"), "`factor` has no effect with `backoff: fixed`")
                .label("no effect")
                .by("/policy/retry/backoff")
                .help("leave it out, or write `backoff: exponential`"),
        );
    }
    let mut on = retry.on.clone().unwrap_or_else(|| RetryOn::ALL.to_vec());
    on.sort_unstable();
    on.dedup();
    RetrySpec {
        max_attempts: retry.max_attempts.unwrap_or(MAX_ATTEMPTS),
        backoff,
        initial,
        // Zero has one sign, so that equal specs have equal digests.
        factor: retry.factor.unwrap_or(never.factor) + 0.0,
        max,
        jitter: retry.jitter.unwrap_or(never.jitter) + 0.0,
        on,
    }
}
