//! What a manifest executes, with every default filled in.

use super::{fault::Fault, fill::retry, texts::positive};
use crate::manifest::{
    action::{Http, Run, Step},
    code::Code,
    spec::{Action, BuiltinTask, HttpSpec, StepSpec},
};

/// The action; none when a part of it has no meaning.
pub(super) fn fill(run: &Run, faults: &mut Vec<Fault>) -> Option<Action> {
    if let Some(steps) = &run.steps {
        let steps: Vec<Option<StepSpec>> = steps
            .iter()
            .enumerate()
            .map(|(index, step)| fill_step(step, &format!("/run/steps/{index}"), faults))
            .collect();
        return steps.into_iter().collect::<Option<_>>().map(Action::Steps);
    }
    if run.builtin.is_some() {
        return Some(Action::Builtin(BuiltinTask::Noop));
    }
    one(run.command.as_ref(), run.shell.as_ref(), run.http.as_ref(), "/run", faults)
}

fn fill_step(step: &Step, pointer: &str, faults: &mut Vec<Fault>) -> Option<StepSpec> {
    let action = one(step.command.as_ref(), step.shell.as_ref(), step.http.as_ref(), pointer, faults);
    let timeout = positive(step.timeout.as_ref(), &format!("{pointer}/timeout"), faults);
    let retry = retry(step.retry.as_ref(), &format!("{pointer}/retry"), faults);
    Some(StepSpec {
        id: step.id.clone(),
        needs: step.needs.clone().unwrap_or_default(),
        action: action?,
        timeout,
        retry,
    })
}

fn one(
    command: Option<&Vec<String>>,
    shell: Option<&String>,
    http: Option<&Http>,
    pointer: &str,
    faults: &mut Vec<Fault>,
) -> Option<Action> {
    if let Some(words) = command {
        if words.first().is_none_or(|program| program.trim().is_empty()) {
            faults.push(
                Fault::new(Code::Form, format!("{pointer}/command/0"), "the program has no name")
                    .label("empty")
                    .help("the first item is the program, as in `[python3, report.py]`"),
            );
            return None;
        }
        if let Some(index) = words.iter().position(|word| word.contains('\0')) {
            faults.push(no_zero(&format!("{pointer}/command/{index}")));
            return None;
        }
        return Some(Action::Command(words.clone()));
    }
    if let Some(line) = shell {
        if line.contains('\0') {
            faults.push(no_zero(&format!("{pointer}/shell")));
            return None;
        }
        return Some(Action::Shell(line.clone()));
    }
    fill_http(http?, &format!("{pointer}/http"), faults).map(Action::Http)
}

fn no_zero(pointer: &str) -> Fault {
    Fault::new(Code::Form, pointer, "the text holds a zero byte")
        .label("zero byte inside")
        .help("no argument of a program can hold one")
}

fn fill_http(http: &Http, pointer: &str, faults: &mut Vec<Fault>) -> Option<HttpSpec> {
    if let Some(reason) = url_fault(&http.url) {
        faults.push(
            Fault::new(
                Code::Url,
                format!("{pointer}/url"),
                format!("`{}` cannot be requested: {reason}", http.url),
            )
            .label(reason)
            .help("write a whole URL, as in `https://example.com/health`"),
        );
        return None;
    }
    let expect = http.expect.clone().unwrap_or_default();
    let mut expect_status = expect.status.unwrap_or_default();
    expect_status.sort_unstable();
    expect_status.dedup();
    Some(HttpSpec {
        method: http.method.unwrap_or_default(),
        url: http.url.clone(),
        unix_socket: http.unix_socket.clone(),
        headers: http.headers.clone().unwrap_or_default(),
        body: http.body.clone(),
        expect_status,
        expect_body_contains: expect.body_contains,
    })
}

/// Why a URL cannot be requested. What a template fills in is not known yet.
fn url_fault(url: &str) -> Option<&'static str> {
    if url.trim_start().starts_with("{{") {
        return None;
    }
    let Some(rest) = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")) else {
        return Some("it does not begin with `http://` or `https://`");
    };
    if rest.starts_with("{{") {
        return None;
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    if host.is_empty() || host.starts_with(':') {
        return Some("it has no host");
    }
    let outside: String = outside_templates(url);
    if outside.contains(char::is_whitespace) || outside.contains(char::is_control) {
        return Some("it holds white space");
    }
    None
}

/// The text without its `{{ … }}`.
fn outside_templates(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        rest = after.split_once("}}").map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out
}
