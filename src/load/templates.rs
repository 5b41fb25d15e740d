//! Whether the templates in a spec can be filled in.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fault::Fault;
use crate::manifest::{
    code::Code,
    spec::{Action, HttpSpec, MessageSpec, Spec, StepSpec},
    template::check::{self, Flaw, FlawKind, Scope},
    yaml::node::escaped,
};

/// Every root of names that a document gives.
pub(super) const ALL: &[&str] = &["job", "params", "secrets", "steps"];

/// Checks every value that may hold a template. `open` are roots of names of which not all is known.
pub(super) fn check(spec: &Spec, open: &[&str], faults: &mut Vec<Fault>) {
    let secrets: Vec<&str> = spec.run.secrets.keys().map(String::as_str).collect();
    let scope = Scope { params: &spec.params, labels: &spec.labels, steps: &[], secrets: &[], open };
    let mut values = Values { faults, scope };
    for (name, value) in &spec.run.env {
        values.text(|| format!("/run/env/{}", escaped(name)), value);
    }
    if let Some(cwd) = &spec.run.cwd {
        values.text(|| "/run/cwd".to_owned(), cwd);
    }
    values.unfilled(spec);
    match &spec.run.action {
        Action::Steps(steps) => {
            for (index, step) in steps.iter().enumerate() {
                let before = before(steps, step);
                let scope = Scope { steps: &before, ..scope };
                let mut values = Values { faults: &mut *values.faults, scope };
                values.action(&format!("/run/steps/{index}"), &step.action, &secrets);
            }
        }
        action => values.action("/run", action, &secrets),
    }
}

/// The steps that are done before this one.
fn before<'s>(steps: &'s [StepSpec], step: &'s StepSpec) -> Vec<&'s str> {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&str> = step.needs.iter().map(String::as_str).collect();
    while let Some(id) = open.pop() {
        if seen.insert(id)
            && let Some(step) = steps.iter().find(|step| step.id == id)
        {
            open.extend(step.needs.iter().map(String::as_str));
        }
    }
    seen.into_iter().collect()
}

struct Values<'a> {
    faults: &'a mut Vec<Fault>,
    scope: Scope<'a>,
}

impl Values<'_> {
    /// What looks like a template where none is filled in.
    fn unfilled(&mut self, spec: &Spec) {
        if let Some(description) = &spec.description {
            self.literal(|| "/description".to_owned(), description);
        }
        for (name, label) in &spec.labels {
            self.literal(|| format!("/labels/{}", escaped(name)), label);
        }
        for (name, value) in &spec.params {
            self.literal_value(&format!("/params/{}", escaped(name)), value);
        }
    }

    fn literal_value(&mut self, pointer: &str, value: &Value) {
        match value {
            Value::String(text) => self.literal(|| pointer.to_owned(), text),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.literal_value(&format!("{pointer}/{index}"), item);
                }
            }
            Value::Object(map) => {
                for (key, item) in map {
                    self.literal_value(&format!("{pointer}/{}", escaped(key)), item);
                }
            }
            _ => {}
        }
    }

    fn literal(&mut self, pointer: impl Fn() -> String, text: &str) {
        let Some(range) = check::would_fill(text) else { return };
        let message = format!("templates are not filled in here: `{}` stays as it is", &text[range.clone()]);
        self.faults.push(
            Fault::new(Code::TemplateUnfilled, pointer(), message)
                .range(Some(range))
                .label("not filled in")
                .help("they are filled in commands, `shell` lines, requests, messages, `env` and `cwd`"),
        );
    }

    /// `secrets` may be used in requests only.
    fn action(&mut self, pointer: &str, action: &Action, secrets: &[&str]) {
        match action {
            Action::Command(words) => {
                for (index, word) in words.iter().enumerate() {
                    self.text(|| format!("{pointer}/command/{index}"), word);
                }
                if let Some((index, flaws)) = check::check_script(words) {
                    self.told(|| format!("{pointer}/command/{index}"), flaws);
                }
            }
            Action::Shell(line) => {
                let flaws = check::check_line(line, &self.scope);
                self.told(|| format!("{pointer}/shell"), flaws);
            }
            Action::Http(request) => {
                let scope = Scope { secrets, ..self.scope };
                Values { faults: &mut *self.faults, scope }.request(&format!("{pointer}/http"), request);
            }
            Action::Message(message) => self.message(&format!("{pointer}/message"), message),
            Action::Steps(_) | Action::Builtin(_) => {}
        }
    }

    fn message(&mut self, pointer: &str, message: &MessageSpec) {
        self.value(&format!("{pointer}/context"), &message.context);
        self.value(&format!("{pointer}/metadata"), &message.metadata);
    }

    fn request(&mut self, pointer: &str, request: &HttpSpec) {
        self.text(|| format!("{pointer}/url"), &request.url);
        if let Some(socket) = &request.unix_socket {
            self.text(|| format!("{pointer}/unix_socket"), socket);
        }
        for (name, value) in &request.headers {
            self.text(|| format!("{pointer}/headers/{}", escaped(name)), value);
        }
        if let Some(body) = &request.body {
            self.value(&format!("{pointer}/body"), body);
        }
        if let Some(text) = &request.expect_body_contains {
            self.text(|| format!("{pointer}/expect/body_contains"), text);
        }
    }

    fn value(&mut self, pointer: &str, value: &Value) {
        match value {
            Value::String(text) => self.text(|| pointer.to_owned(), text),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(&format!("{pointer}/{index}"), item);
                }
            }
            Value::Object(map) => {
                for (key, item) in map {
                    self.text(|| format!("{pointer}/{}", escaped(key)), key);
                    self.value(&format!("{pointer}/{}", escaped(key)), item);
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, pointer: impl Fn() -> String, text: &str) {
        let flaws = check::check(text, &self.scope);
        self.told(pointer, flaws);
    }

    fn told(&mut self, pointer: impl Fn() -> String, flaws: Vec<Flaw>) {
        for flaw in flaws {
            let (code, label) = match flaw.kind {
                FlawKind::Syntax => (Code::TemplateSyntax, "cannot be read"),
                FlawKind::Name => (Code::TemplateName, "no such name"),
                FlawKind::Shell => (Code::TemplateInShell, "not safe here"),
            };
            self.faults.push(
                Fault::new(code, pointer(), flaw.message).range(flaw.range).label(label).help(flaw.help),
            );
        }
    }
}
