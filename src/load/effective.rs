//! A spec in the words of a manifest: what `tintal explain` prints.

use serde_json::{Map, Value, json};

use crate::{
    manifest::{
        queue::Fallback,
        spec::{
            Action, HttpSpec, MessageSpec, QueueSpec, RetrySpec, ScheduleSpec, SecretSource, Spec,
            TriggerSpec,
        },
        text::format_duration,
    },
    tier::Traits,
};

/// The spec as a manifest that says everything, what is derived included.
#[must_use]
pub fn effective(spec: &Spec, traits: &Traits) -> Value {
    let mut out = stated(spec);
    out.insert("characteristics".to_owned(), characteristics(traits));
    Value::Object(out)
}

/// The spec as a manifest that says everything but what is derived. A schedule with one entry is one
/// mapping.
#[must_use]
pub fn stated(spec: &Spec) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("name".to_owned(), json!(spec.name));
    put(&mut out, "description", spec.description.as_ref().map(|text| json!(text)));
    put(&mut out, "labels", (!spec.labels.is_empty()).then(|| json!(spec.labels)));
    out.insert("enabled".to_owned(), json!(spec.enabled));
    let mut entries: Vec<Value> = spec.schedule.iter().map(entry).collect();
    let schedule = if entries.len() > 1 { Some(Value::Array(entries)) } else { entries.pop() };
    put(&mut out, "schedule", schedule);
    out.insert("run".to_owned(), run(spec));
    put(&mut out, "params", (!spec.params.is_empty()).then(|| json!(spec.params)));
    out.insert("characteristics".to_owned(), json!(spec.characteristics));
    put(&mut out, "tier", spec.tier.map(|tier| json!(tier)));
    // Inside the daemon there is nothing to fall back from.
    let says = spec.queue.is_some() || spec.fallback != Fallback::Hold;
    put(&mut out, "fallback", says.then(|| json!(spec.fallback)));
    put(&mut out, "queue", spec.queue.as_deref().map(queue));
    out.insert("policy".to_owned(), policy(spec));
    out
}

fn characteristics(traits: &Traits) -> Value {
    json!({
        "visibility": traits.visibility,
        "durability": traits.durability,
        "infrastructure": traits.infrastructure,
        "frequency": traits.frequency,
        "complexity": traits.complexity,
    })
}

fn put(map: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        map.insert(key.to_owned(), value);
    }
}

fn entry(spec: &ScheduleSpec) -> Value {
    let mut out = Map::new();
    match &spec.trigger {
        TriggerSpec::Cron(cron) => {
            out.insert("cron".to_owned(), json!(cron.expression));
            out.insert("timezone".to_owned(), json!(cron.timezone));
            out.insert("dst".to_owned(), json!({"gap": cron.gap, "overlap": cron.overlap}));
            out.insert("day_match".to_owned(), json!(cron.day_match));
        }
        TriggerSpec::Every(interval) => {
            out.insert("every".to_owned(), json!(format_duration(*interval)));
        }
        TriggerSpec::At(time) => {
            out.insert("at".to_owned(), json!(time));
        }
    }
    put(&mut out, "jitter", spec.jitter.map(|jitter| json!(format_duration(jitter))));
    put(&mut out, "start", spec.start.map(|time| json!(time)));
    put(&mut out, "end", spec.end.map(|time| json!(time)));
    Value::Object(out)
}

fn run(spec: &Spec) -> Value {
    let mut out = Map::new();
    action(&spec.run.action, &mut out);
    put(&mut out, "cwd", spec.run.cwd.as_ref().map(|cwd| json!(cwd)));
    put(&mut out, "env", (!spec.run.env.is_empty()).then(|| json!(spec.run.env)));
    let secrets: Map<String, Value> = spec
        .run
        .secrets
        .iter()
        .map(|(name, source)| {
            let reference = match source {
                SecretSource::Env(variable) => json!({"env": variable}),
                SecretSource::File(path) => json!({"file": path}),
            };
            (name.clone(), reference)
        })
        .collect();
    put(&mut out, "secrets", (!secrets.is_empty()).then_some(Value::Object(secrets)));
    Value::Object(out)
}

fn action(action_spec: &Action, out: &mut Map<String, Value>) {
    match action_spec {
        Action::Command(words) => put(out, "command", Some(json!(words))),
        Action::Shell(line) => put(out, "shell", Some(json!(line))),
        Action::Http(http) => put(out, "http", Some(request(http))),
        Action::Message(sent) => put(out, "message", Some(message(sent))),
        Action::Builtin(_) => put(out, "builtin", Some(json!({"noop": {}}))),
        Action::Steps(steps) => {
            let steps = steps.iter().map(|step| {
                let mut out = Map::new();
                out.insert("id".to_owned(), json!(step.id));
                put(&mut out, "needs", (!step.needs.is_empty()).then(|| json!(step.needs)));
                action(&step.action, &mut out);
                put(&mut out, "timeout", step.timeout.map(|timeout| json!(format_duration(timeout))));
                out.insert("retry".to_owned(), retry(&step.retry));
                Value::Object(out)
            });
            let steps = Value::Array(steps.collect());
            put(out, "steps", Some(steps));
        }
    }
}

fn queue(spec: &QueueSpec) -> Value {
    let mut out = Map::new();
    out.insert("backend".to_owned(), json!(spec.backend));
    out.insert("name".to_owned(), json!(spec.name));
    put(&mut out, "expire_after", spec.expire_after.map(|after| json!(format_duration(after))));
    Value::Object(out)
}

fn message(message: &MessageSpec) -> Value {
    let mut out = Map::new();
    out.insert("workflow".to_owned(), json!(message.workflow));
    put(&mut out, "workflow_provider", message.workflow_provider.as_ref().map(|provider| json!(provider)));
    out.insert("context".to_owned(), message.context.clone());
    out.insert("metadata".to_owned(), message.metadata.clone());
    Value::Object(out)
}

fn request(http: &HttpSpec) -> Value {
    let mut out = Map::new();
    out.insert("method".to_owned(), json!(http.method));
    out.insert("url".to_owned(), json!(http.url));
    put(&mut out, "unix_socket", http.unix_socket.as_ref().map(|path| json!(path)));
    put(&mut out, "headers", (!http.headers.is_empty()).then(|| json!(http.headers)));
    put(&mut out, "body", http.body.clone());
    let mut expect = Map::new();
    put(&mut expect, "status", (!http.expect_status.is_empty()).then(|| json!(http.expect_status)));
    put(&mut expect, "body_contains", http.expect_body_contains.as_ref().map(|text| json!(text)));
    put(&mut out, "expect", (!expect.is_empty()).then_some(Value::Object(expect)));
    Value::Object(out)
}

fn policy(spec: &Spec) -> Value {
    let policy = &spec.policy;
    let mut out = Map::new();
    out.insert("overlap".to_owned(), json!(policy.overlap));
    out.insert("max_running".to_owned(), json!(policy.max_running));
    put(&mut out, "timeout", policy.timeout.map(|timeout| json!(format_duration(timeout))));
    out.insert("kill_grace".to_owned(), json!(format_duration(policy.kill_grace)));
    out.insert("retry".to_owned(), retry(&policy.retry));
    Value::Object(out)
}

fn retry(retry: &RetrySpec) -> Value {
    if retry.max_attempts == 1 {
        return json!({"max_attempts": 1});
    }
    json!({
        "max_attempts": retry.max_attempts,
        "backoff": retry.backoff,
        "initial": format_duration(retry.initial),
        "factor": retry.factor,
        "max": format_duration(retry.max),
        "jitter": retry.jitter,
        "on": retry.on,
    })
}
