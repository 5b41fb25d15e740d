//! `# tintal: ignore TIN036 -- reason`: a person says that a warning is known and meant.
//!
//! At the end of a line it holds for that line. On a line of its own it holds for the key that
//! follows, and after the dash of a list for the item, with everything in it. In a file of defaults
//! it holds for what jobs take over from there. Errors cannot be waved away.

mod scope;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use self::scope::{Cover, Scopes, Sought};
use crate::manifest::{
    code::Code,
    problem::{Place, Problem, Severity, SourceText, Span},
    yaml::Node,
};

/// What begins such a comment, after `#` and blanks.
const MARK: &str = "tintal:";

/// What is near enough to [`MARK`] to be looked at, in any case.
const NEAR_MARK: &str = "tintal";

/// What to write instead of a comment that cannot be read.
const WAY_OUT: &str = "write `# tintal: ignore TIN036 -- why it is meant`";

/// The suppressions of a file.
#[derive(Debug, Clone, Default)]
pub(super) struct Ignores {
    all: Vec<Ignore>,
    /// Where each code is suppressed.
    covers: BTreeMap<Code, Cover>,
}

/// Codes that were suppressed, with the suppression, counted from 0.
pub(super) type Used = BTreeSet<(usize, Code)>;

/// A suppression that was read.
#[derive(Debug, Clone)]
struct Ignore {
    codes: Vec<Code>,
    /// The comment.
    place: Place,
    /// The bytes that it holds for.
    scope: Range<usize>,
}

/// Where warnings were suppressed, by their codes.
#[derive(Debug, Default)]
pub(super) struct Hits(BTreeMap<Code, BTreeSet<usize>>);

/// The suppressions of a file; what cannot be read is a problem.
pub(super) fn read(nodes: &[&Node], source: &Arc<SourceText>, problems: &mut Vec<Problem>) -> Ignores {
    let text = &source.text;
    if !mentions(text) {
        return Ignores::default();
    }
    let scopes = Scopes::of(nodes, text);
    let mut ignores = Vec::new();
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let start = line_start;
        line_start += line.len();
        let Some((hash, words)) = comment(line) else { continue };
        let at = start + hash;
        if scopes.is_in_scalar(at) {
            continue;
        }
        let place = Place { source: Arc::clone(source), span: span(at, start + line.trim_end().len()) };
        match words.and_then(codes) {
            Ok(codes) => {
                let scope = match sought(&line[..hash]) {
                    Some(sought) => scopes.following(line_start, sought),
                    None => start..line_start,
                };
                ignores.push(Ignore { codes, place, scope });
            }
            Err(message) => problems
                .push(Problem::new(Code::BadIgnore, place, message).label("cannot be read").help(WAY_OUT)),
        }
    }
    Ignores::of(ignores)
}

impl Ignores {
    fn of(all: Vec<Ignore>) -> Self {
        let mut scopes: BTreeMap<Code, Vec<Range<usize>>> = BTreeMap::new();
        for ignore in &all {
            for code in &ignore.codes {
                scopes.entry(*code).or_default().push(ignore.scope.clone());
            }
        }
        let covers = scopes.into_iter().map(|(code, ranges)| (code, Cover::of(ranges))).collect();
        Self { all, covers }
    }

    /// Whether one of them is about a warning; where is noted in `hits`. It is about the place of the
    /// warning; of an inherited one, about the job that takes it over.
    pub(super) fn suppress(&self, problem: &Problem, hits: &mut Hits) -> bool {
        let (Some(cover), Some(first)) = (self.covers.get(&problem.code), self.all.first()) else {
            return false;
        };
        if problem.severity != Severity::Warning {
            return false;
        }
        let source = &first.place.source;
        let is_here = |place: &&Place| Arc::ptr_eq(&place.source, source);
        let own = Some(&problem.primary.place).filter(is_here);
        let inherited = problem.related.iter().filter(|_| own.is_none());
        let places = own.into_iter().chain(inherited.map(|label| &label.place).filter(is_here));
        let bytes: Vec<usize> =
            places.map(|place| place.span.start as usize).filter(|byte| cover.holds(*byte)).collect();
        if bytes.is_empty() {
            return false;
        }
        hits.0.entry(problem.code).or_default().extend(bytes);
        true
    }

    /// Takes out the warnings that they are about; says which of them were.
    pub(super) fn apply(&self, problems: &mut Vec<Problem>) -> Used {
        let mut hits = Hits::default();
        problems.retain(|problem| !self.suppress(problem, &mut hits));
        self.used(&hits)
    }

    /// Which of them were about a warning that was suppressed.
    pub(super) fn used(&self, hits: &Hits) -> Used {
        let is_hit = |code: &Code, scope: &Range<usize>| {
            hits.0.get(code).is_some_and(|bytes| bytes.range(scope.clone()).next().is_some())
        };
        let each = self.all.iter().enumerate();
        each.flat_map(|(index, ignore)| {
            let hit = ignore.codes.iter().filter(|code| is_hit(code, &ignore.scope));
            hit.map(move |code| (index, *code))
        })
        .collect()
    }

    /// What is wrong with those that were not made use of.
    pub(super) fn unused(&self, used: &Used) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (index, ignore) in self.all.iter().enumerate() {
            for code in ignore.codes.iter().filter(|code| !used.contains(&(index, **code))) {
                let message = format!("there is no {code} here to ignore");
                let (label, help) = if code.severity() == Severity::Error {
                    ("an error", "errors cannot be ignored; mend what it says")
                } else {
                    ("unused", "take the comment out")
                };
                let place = ignore.place.clone();
                problems.push(Problem::new(Code::UnusedIgnore, place, message).label(label).help(help));
            }
        }
        problems
    }
}

/// Whether there may be such a comment at all.
fn mentions(text: &str) -> bool {
    text.match_indices('#').any(|(hash, _)| is_near(text[hash + 1..].trim_start_matches([' ', '\t'])))
}

fn is_near(words: &str) -> bool {
    words.get(..NEAR_MARK.len()).is_some_and(|start| start.eq_ignore_ascii_case(NEAR_MARK))
}

/// Where the `#` is, and what comes after the mark: an error when it is only like the mark.
fn comment(line: &str) -> Option<(usize, Result<&str, String>)> {
    line.match_indices('#').find_map(|(hash, _)| {
        let begins = hash == 0 || line[..hash].ends_with([' ', '\t']);
        let said = line[hash + 1..].trim();
        if !begins || !is_near(said) {
            return None;
        }
        if let Some(words) = said.strip_prefix(MARK) {
            return Some((hash, Ok(words.trim())));
        }
        let mut words = said[NEAR_MARK.len()..].split([' ', '\t', ':', '-']).filter(|word| !word.is_empty());
        let asks = words.next().is_some_and(|word| word.eq_ignore_ascii_case("ignore"));
        let message = || format!("a suppression begins with `{MARK} ignore`, in lower case");
        asks.then(|| (hash, Err(message())))
    })
}

/// The codes that a comment names, or why it cannot be read.
fn codes(words: &str) -> Result<Vec<Code>, String> {
    let Some(rest) =
        words.strip_prefix("ignore").filter(|rest| rest.starts_with([' ', '\t']) || rest.is_empty())
    else {
        let word = words.split_whitespace().next().unwrap_or_default();
        return Err(format!("`{word}` is not something that a comment can ask for"));
    };
    let Some((names, reason)) = rest.split_once("--") else {
        return Err("the reason is missing".to_owned());
    };
    if reason.trim().is_empty() {
        return Err("the reason is empty".to_owned());
    }
    let names = names.split([',', ' ', '\t']).filter(|name| !name.is_empty());
    let codes: Vec<Code> = names
        .map(|name| Code::parse(name).ok_or_else(|| format!("there is no code `{name}`")))
        .collect::<Result<_, _>>()?;
    if codes.is_empty() { Err("no code is named".to_owned()) } else { Ok(codes) }
}

/// What a comment is about, by what stands before it on its line; none: that.
fn sought(before: &str) -> Option<Sought> {
    let before = before.trim();
    if before.is_empty() {
        return Some(Sought::Key);
    }
    before.split_whitespace().all(|part| part == "-").then_some(Sought::Item)
}

fn span(start: usize, end: usize) -> Span {
    let small = |byte: usize| u32::try_from(byte).unwrap_or(u32::MAX);
    Span { start: small(start), end: small(end) }
}
