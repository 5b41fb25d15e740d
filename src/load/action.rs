//! What a manifest executes, with every default filled in.

use serde_json::{Map, Value};

use super::{fault::Fault, fill::retry, request, texts::positive};
use crate::manifest::{
    action::{Http, Run, Step},
    code::Code,
    queue::Message,
    spec::{Action, BuiltinTask, HttpSpec, MessageSpec, StepSpec},
    userinfo::without_password,
    yaml::node::escaped,
};

/// The action. A part of it that can never work is a fault.
pub(super) fn fill(run: &Run, faults: &mut Vec<Fault>) -> Action {
    if let Some(steps) = &run.steps {
        let steps = steps.iter().enumerate();
        return Action::Steps(
            steps.map(|(index, step)| fill_step(step, &format!("/run/steps/{index}"), faults)).collect(),
        );
    }
    if let Some(message) = &run.message {
        return Action::Message(Box::new(fill_message(message)));
    }
    one(run.command.as_ref(), run.shell.as_ref(), run.http.as_ref(), "/run", faults)
}

fn fill_message(message: &Message) -> MessageSpec {
    let mapping = |map: &Option<Map<String, Value>>| Value::Object(map.clone().unwrap_or_default());
    MessageSpec {
        workflow: message.workflow.clone(),
        workflow_provider: message.workflow_provider.clone(),
        context: mapping(&message.context),
        metadata: mapping(&message.metadata),
    }
}

fn fill_step(step: &Step, pointer: &str, faults: &mut Vec<Fault>) -> StepSpec {
    let action = one(step.command.as_ref(), step.shell.as_ref(), step.http.as_ref(), pointer, faults);
    StepSpec {
        id: step.id.clone(),
        needs: step.needs.clone().unwrap_or_default(),
        action,
        timeout: positive(step.timeout.as_ref(), || format!("{pointer}/timeout"), faults),
        retry: retry(step.retry.as_ref(), &format!("{pointer}/retry"), faults),
    }
}

/// The one action that is there; without any it is the task that is built in.
fn one(
    command: Option<&Vec<String>>,
    shell: Option<&String>,
    http: Option<&Http>,
    pointer: &str,
    faults: &mut Vec<Fault>,
) -> Action {
    if let Some(words) = command {
        if words.first().is_none_or(|program| program.trim().is_empty()) {
            faults.push(
                Fault::new(Code::Form, format!("{pointer}/command/0"), "the program has no name")
                    .label("empty")
                    .help("the first item is the program, as in `[python3, report.py]`"),
            );
        }
        for (index, word) in words.iter().enumerate() {
            no_zero(word, || format!("{pointer}/command/{index}"), faults);
        }
        return Action::Command(words.clone());
    }
    if let Some(line) = shell {
        no_zero(line, || format!("{pointer}/shell"), faults);
        return Action::Shell(line.clone());
    }
    match http {
        Some(http) => Action::Http(Box::new(fill_http(http, &format!("{pointer}/http"), faults))),
        None => Action::Builtin(BuiltinTask::Noop),
    }
}

/// A text that is handed to the system ends at its first zero byte, so it cannot hold one.
pub(super) fn no_zero(text: &str, pointer: impl Fn() -> String, faults: &mut Vec<Fault>) {
    if text.contains('\0') {
        faults.push(
            Fault::new(Code::Form, pointer(), "the text holds a zero byte")
                .label("zero byte inside")
                .help("no argument, variable or path of a program can hold one: take it out"),
        );
    }
}

fn fill_http(http: &Http, pointer: &str, faults: &mut Vec<Fault>) -> HttpSpec {
    if let Some(reason) = request::url_fault(&http.url) {
        let message =
            format!("`{}` cannot be requested: {reason}", without_password(&http.url).escape_default());
        faults.push(
            Fault::new(Code::Url, format!("{pointer}/url"), message)
                .label(reason)
                .help("write a whole URL, as in `https://example.com/health`"),
        );
    }
    for (name, value) in http.headers.iter().flatten() {
        if let Some(reason) = request::header_fault(value) {
            let message = format!("the header `{name}` cannot be sent: {reason}");
            faults.push(
                Fault::new(Code::Form, format!("{pointer}/headers/{}", escaped(name)), message)
                    .label("not one line of text")
                    .help("write the value on one line; in YAML `>-` joins lines without a break at the end"),
            );
        }
    }
    if let Some(path) = &http.unix_socket {
        let pointer = format!("{pointer}/unix_socket");
        no_zero(path, || pointer.clone(), faults);
        if let Some(reason) = request::socket_fault(path) {
            faults.push(
                Fault::new(Code::Form, pointer, format!("the path of the socket is too long: {reason}"))
                    .label("too long")
                    .help("let the server listen on a shorter path, or name it by a symbolic link"),
            );
        }
    }
    let expect = http.expect.clone().unwrap_or_default();
    let mut expect_status = expect.status.unwrap_or_default();
    expect_status.sort_unstable();
    expect_status.dedup();
    HttpSpec {
        method: http.method.unwrap_or_default(),
        url: http.url.clone(),
        unix_socket: http.unix_socket.clone(),
        headers: http.headers.clone().unwrap_or_default(),
        body: http.body.clone(),
        expect_status,
        expect_body_contains: expect.body_contains,
    }
}
