//! Numbers that are not kept as they are written.
//!
//! `3.10` is the number 3.1 and `0755` is 755: a template fills these in, and a request sends them. Where
//! a text is meant, that is not it.

use serde_json::Value;

use super::fault::{Content, Fault, Written};
use crate::manifest::{
    code::Code,
    exposed::is_under_secrets,
    spec::{Action, Spec},
    template::filled_in,
    yaml::node::escaped,
};

/// Warns of each number in what belongs to the user (parameters, the bodies of requests, messages) that comes out
/// other than it is written.
pub(super) fn check(spec: &Spec, written: &Written<'_>, faults: &mut Vec<Fault>) {
    for (name, value) in &spec.params {
        look(value, &format!("/params/{}", escaped(name)), &filled_in, written, faults);
    }
    let mut body = |action: &Action, pointer: &str| match action {
        Action::Http(request) => {
            if let Some(value) = &request.body {
                look(value, &format!("{pointer}/http/body"), &Value::to_string, written, faults);
            }
        }
        Action::Message(message) => {
            for (key, value) in [("context", &message.context), ("metadata", &message.metadata)] {
                look(value, &format!("{pointer}/message/{key}"), &Value::to_string, written, faults);
            }
        }
        _ => {}
    };
    match &spec.run.action {
        Action::Steps(steps) => {
            for (index, step) in steps.iter().enumerate() {
                body(&step.action, &format!("/run/steps/{index}"));
            }
        }
        action => body(action, "/run"),
    }
}

/// Looks at a value and into it. `shown` is what becomes of a number.
fn look(
    value: &Value,
    pointer: &str,
    shown: &dyn Fn(&Value) -> String,
    written: &Written<'_>,
    faults: &mut Vec<Fault>,
) {
    match value {
        Value::Number(_) => faults.extend(fault(&shown(value), pointer, written)),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                look(item, &format!("{pointer}/{index}"), shown, written, faults);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                look(item, &format!("{pointer}/{}", escaped(key)), shown, written, faults);
            }
        }
        _ => {}
    }
}

fn fault(shown: &str, pointer: &str, written: &Written<'_>) -> Option<Fault> {
    let text = written.text(pointer)?;
    // A number in quotes is one by its tag, which says what is meant.
    if text == shown || text.starts_with(['"', '\'']) {
        return None;
    }
    let fault = |message: String, help: String| {
        Fault::new(Code::NumberForm, pointer, message).label("not kept as it is written").help(help)
    };
    let help = "put it in quotes to keep it as it is written";
    if is_under_secrets(pointer) {
        let message = "a number is read other than it is written".to_owned();
        return Some(fault(message, help.to_owned()).content(Content::Secret));
    }
    Some(fault(format!("`{text}` is read as the number {shown}"), format!("{help}: `\"{text}\"`")))
}
