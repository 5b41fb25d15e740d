//! What is wrong with the meaning of what is left of a document without its mistakes of shape.
//!
//! What follows from something that was taken out is no mistake of its own, and is not told.

use super::{
    document::{Reading, placed_roughly},
    fault::{Fault, Written},
    past::{self, Past},
};
use crate::manifest::{
    code::Code,
    name::JobName,
    parse::Rest,
    problem::{Problem, Severity},
    yaml::{Node, NodeValue, node::escaped},
};

impl Reading<'_> {
    /// The problems of what is left, and those that hold once a time has passed; `whole` is the
    /// document with its mistakes.
    pub(super) fn rest(
        &self,
        rest: &Rest,
        whole: &Node,
        name: Option<&JobName>,
    ) -> (Vec<Problem>, Vec<Past>) {
        let stand_in = JobName::parse("job");
        let Some(name) = name.or(stand_in.as_ref().ok()) else { return (Vec::new(), Vec::new()) };
        let node = &rest.node;
        let mut removed = Vec::new();
        missing(whole, node, &mut String::new(), &mut removed);
        if node.get("run").is_none() {
            removed.push("/run".to_owned());
        }
        let mut faults = Vec::new();
        let (spec, _) = self.judge(name, &rest.manifest, node, &open(&removed), &mut faults);
        let past = past::told(&spec, node, &faults);
        let written = Written { source: self.source, node, layers: &self.directory.layers };
        let is_own = |fault: &Fault| {
            node.at(&fault.pointer).is_some()
                && !follows(fault, &original(&fault.pointer, node, whole), &removed)
        };
        let problem = |fault: Fault| {
            let mut problem = written.problem(fault, Some(name));
            problem.pointer = original(&problem.pointer, node, whole);
            if problem.code == Code::NoTier {
                // What the rules would choose may depend on what was taken out.
                problem.help = Some("leave `tier` out, or configure that tier".to_owned());
            }
            problem
        };
        let own = faults.into_iter().filter(is_own).enumerate();
        let told = own.map(|(count, fault)| problem(placed_roughly(count, fault))).collect();
        let past = past.into_iter().filter(|(_, fault)| is_own(fault));
        (told, past.map(|(time, fault)| (time, problem(fault))).collect())
    }
}

/// JSON pointers to what the whole has and what is left has not. A key that was given its right name
/// is there. `pointer` is where the two stand; it is left as it is.
fn missing(whole: &Node, left: &Node, pointer: &mut String, out: &mut Vec<String>) {
    let length = pointer.len();
    let mut look = |part: &str, whole: &Node, left: Option<&Node>| {
        pointer.push('/');
        pointer.push_str(part);
        match left {
            Some(left) => missing(whole, left, pointer, out),
            None => out.push(pointer.clone()),
        }
        pointer.truncate(length);
    };
    match (&whole.value, &left.value) {
        (NodeValue::Map(all), NodeValue::Map(kept)) => {
            for entry in all {
                let other = kept.iter().find(|other| other.key_span == entry.key_span);
                look(&escaped(&entry.key), &entry.value, other.map(|other| &other.value));
            }
        }
        (NodeValue::List(all), NodeValue::List(kept)) => {
            for (index, item) in all.iter().enumerate() {
                let other = kept.iter().find(|other| other.place() == item.place());
                look(&index.to_string(), item, other);
            }
        }
        _ => {}
    }
}

/// Roots of template names of which a part may have been taken out.
pub(super) fn open(removed: &[String]) -> Vec<&'static str> {
    let mut open = Vec::new();
    for (part, root) in
        [("/params", "params"), ("/run/steps", "steps"), ("/run/secrets", "secrets"), ("/labels", "job")]
    {
        if touches(removed, part) {
            open.push(root);
        }
    }
    open
}

/// Whether something was taken out of a part of the document, or the part with what it is in.
fn touches(removed: &[String], part: &str) -> bool {
    removed.iter().any(|gone| under(gone, part) || under(part, gone))
}

/// Whether a pointer leads to a part or into it.
fn under(pointer: &str, part: &str) -> bool {
    pointer.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a fault may follow from what was taken out, or stands for it.
pub(super) fn follows(fault: &Fault, pointer: &str, removed: &[String]) -> bool {
    let any = |parts: &[&str]| parts.iter().any(|part| touches(removed, part));
    let itself = removed.iter().any(|gone| under(pointer, gone));
    let by_kind = match fault.code {
        Code::UnknownStep => any(&["/run/steps"]),
        Code::NeverFires | Code::EmptyWindow => any(&[pointer.trim_end_matches("/cron")]),
        // Whatever the job is otherwise, a tier that is not there cannot take it, nor a backend.
        Code::NoTier if pointer == "/tier" => false,
        Code::UnknownBackend => false,
        Code::ClaimTooShort => any(&["/policy", "/run"]) || is_placed(removed),
        Code::NoEffect if matches!(section(pointer), "/queue" | "/fallback") => is_placed(removed),
        Code::FrequencyClash | Code::ScheduleTest => any(&["/schedule"]),
        code if code >= Code::PinImpossible => is_placed(removed),
        Code::TimeoutTooLong => any(&["/schedule", "/policy"]),
        // It is about itself.
        Code::NumberForm => false,
        code if code.severity() == Severity::Warning => any(&[section(pointer)]),
        _ => false,
    };
    itself || by_kind
}

/// Whether something was taken out that the choice of the tier, or of the backend, depends on.
fn is_placed(removed: &[String]) -> bool {
    ["/schedule", "/characteristics", "/tier", "/queue"].iter().any(|part| touches(removed, part))
        || removed.iter().any(|gone| ["/run", "/run/steps", "/run/message"].contains(&gone.as_str()))
}

/// The first part of a pointer: `/policy` of `/policy/timeout`.
fn section(pointer: &str) -> &str {
    let end = pointer.get(1..).and_then(|rest| rest.find('/')).map_or(pointer.len(), |at| at + 1);
    &pointer[..end]
}

/// A pointer into what is left, as one into the whole: items of lists have moved up.
fn original(pointer: &str, left: &Node, whole: &Node) -> String {
    let mut out = String::new();
    let (mut left, mut whole) = (Some(left), Some(whole));
    for part in pointer.split('/').skip(1) {
        let next = left.and_then(|node| node.at(&format!("/{part}"))).map(|located| located.node);
        let part = match (whole.map(|node| &node.value), next) {
            (Some(NodeValue::List(items)), Some(next)) => items
                .iter()
                .position(|item| item.place() == next.place())
                .map_or_else(|| part.to_owned(), |index| index.to_string()),
            _ => part.to_owned(),
        };
        whole = whole.and_then(|node| node.at(&format!("/{part}"))).map(|located| located.node);
        left = next;
        out.push('/');
        out.push_str(&part);
    }
    out
}
