//! What is wrong with the keys of a mapping.

use std::cell::OnceCell;

use serde_json::{Map, Value};

use super::{
    check::{Content, Spot, Walk, pointer_to},
    leaf,
    suggest::word_elsewhere,
    words::{Draft, keyword, listed, short},
};
use crate::manifest::{
    code::Code,
    exposed::{is_word, means_one_secret, means_secrets},
    nearest::nearest,
    yaml::{Entry, NodeValue},
};

/// Most fields that a message lists.
const LISTED_MAX: usize = 16;

/// A mapping beside what its schema says of its keys.
struct Fields<'a, 's> {
    keywords: &'a Map<String, Value>,
    entries: &'a [Entry],
    spot: &'s Spot<'a>,
    /// Fields of the schema that are not given; found when the first unknown key is.
    free: OnceCell<Vec<&'a str>>,
    /// Those of them that a misspelt key stands for.
    meant: Vec<&'a str>,
}

/// Looks at the keys of a mapping, and into their values.
pub(super) fn check<'a>(walk: &mut Walk<'a>, keywords: &'a Map<String, Value>, spot: &Spot<'a>) {
    let NodeValue::Map(entries) = &spot.node.value else { return };
    let mut fields = Fields { keywords, entries, spot, free: OnceCell::new(), meant: Vec::new() };
    for entry in entries {
        let inner = Spot {
            node: &entry.value,
            pointer: pointer_to(spot, &entry.key),
            key: Some((&entry.key, entry.key_span)),
            item: None,
            used_at: spot.used_at.or(entry.value.used_at),
            content: fields.content(entry),
        };
        match (fields.property(&entry.key), keyword(keywords, "additionalProperties")) {
            (Some(schema), _) => walk.value(schema, &inner),
            (None, Some(Value::Bool(false))) => fields.unknown(walk, entry, &inner),
            (None, Some(schema @ Value::Object(_))) => {
                // A key under `secrets` that cannot be one may be the secret.
                if fields.key_form(walk, entry) || inner.content == Content::Open {
                    walk.value(schema, &inner);
                }
            }
            (None, _) => {
                fields.key_form(walk, entry);
            }
        }
    }
    fields.missing(walk);
    fields.exactly_one(walk);
    fields.counts(walk);
}

impl<'a> Fields<'a, '_> {
    fn property(&self, key: &str) -> Option<&'a Value> {
        keyword(keyword(self.keywords, "properties")?.as_object()?, key)
    }

    /// Whether a message may repeat what stands under a key. Text under a key that people choose
    /// (a variable, a label) may be repeated, whatever the key is called.
    fn content(&self, entry: &Entry) -> Content {
        let is_field = keyword(self.keywords, "properties").is_some();
        let is_meant = means_secrets(&entry.key) || is_field && means_one_secret(&entry.key);
        let is_part = matches!(entry.value.value, NodeValue::Map(_) | NodeValue::List(_));
        if (is_field || is_part) && is_meant { Content::Secret } else { self.spot.content }
    }

    fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let properties = keyword(self.keywords, "properties").and_then(Value::as_object);
        properties.into_iter().flat_map(|map| map.keys().map(String::as_str))
    }

    fn is_unknown(&self, entry: &Entry) -> bool {
        self.property(&entry.key).is_none()
            && keyword(self.keywords, "additionalProperties") == Some(&Value::Bool(false))
    }

    fn given(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == name)
    }

    fn free(&self) -> &[&'a str] {
        self.free.get_or_init(|| self.names().filter(|name| !self.given(name)).collect())
    }

    /// A key that the schema does not have. What stands under it is looked at as if it stood under
    /// the key that was meant, if that can be guessed: all mistakes are told in one run.
    fn unknown(&mut self, walk: &mut Walk<'a>, entry: &'a Entry, inner: &Spot<'a>) {
        let names: Vec<&str> = self.names().collect();
        let free = self.free();
        let known = word_elsewhere(&entry.key);
        let near = match known {
            Some(word) => free.iter().copied().find(|name| *name == word),
            None => nearest(&entry.key, free.iter().copied()),
        };
        let elsewhere = [Some(entry.key.as_str()), known]
            .into_iter()
            .flatten()
            .find_map(|word| walk.shape_known(word, &self.spot.pointer));
        // A word alone, as in `{hunter2}`, is a key without a value.
        let is_key = is_word(&entry.key) && !matches!(entry.value.value, NodeValue::Null);
        let is_told = self.spot.content == Content::Open || is_key;
        let key = short(&entry.key);
        // A value that stands for the whole part is no second mistake.
        let meant = near.or(known).unwrap_or(&entry.key);
        let is_guessed = is_told && (near.is_some() || elsewhere.is_some());
        let part = leaf::whole_part(meant, &entry.value).filter(|_| is_guessed);
        let help = match (near, elsewhere, &part) {
            (Some(_), _, Some(part)) => format!("write `{part}`"),
            (Some(near), ..) => format!("did you mean `{near}`?"),
            (None, Some(path), Some(part)) => {
                format!("`{key}` belongs elsewhere: `{path}`; write `{part}` there")
            }
            (None, Some(path), None) => format!("`{key}` belongs elsewhere: `{path}`"),
            (None, None, _) if names.len() <= LISTED_MAX => {
                format!("the fields are {}", listed(&names, "and"))
            }
            (None, None, _) => "`tintal schema job` lists the fields".to_owned(),
        };
        let message = match self.spot.key {
            Some(_) => format!("{} has no field `{key}`", self.spot.subject()),
            None => format!("there is no field `{key}`"),
        };
        let place = walk.at(self.spot.used_at.unwrap_or(entry.key_span));
        let draft = if is_told {
            Draft::new(Code::UnknownField, message, "no such field", help).pointer(inner.pointer.clone())
        } else {
            let message = format!("{} has a field that is none", self.spot.subject());
            Draft::new(Code::UnknownField, message, "no such field", leaf::reference(self.spot))
        };
        walk.push_at(self.spot, place, draft);
        if let Some(near) = near.filter(|near| !self.meant.contains(near)) {
            self.meant.push(near);
            if part.is_none()
                && let Some(schema) = self.property(near)
            {
                walk.value(schema, inner);
            }
        }
    }

    /// Whether a key has the form that keys of the mapping have.
    fn key_form(&self, walk: &mut Walk<'a>, entry: &Entry) -> bool {
        let pattern = keyword(self.keywords, "propertyNames").and_then(|names| names.get("pattern"));
        let Some(pattern) = pattern.and_then(Value::as_str) else { return true };
        if walk.shape.matches(pattern, &entry.key) {
            return true;
        }
        let what = self.spot.key.map_or("this mapping", |(key, _)| key);
        let help = match what {
            "labels" => {
                "letters, digits, `.`, `_`, `/` and `-`, beginning and ending with a letter or digit, at most 63"
                    .to_owned()
            }
            "backends" => "lower-case letters, digits and `-`, beginning with a letter, at most 63".to_owned(),
            "headers" => "a header's name has no blanks and no `:`".to_owned(),
            _ => "letters, digits and `_`, not beginning with a digit".to_owned(),
        };
        let message = format!("`{}` cannot be a key of `{what}`", short(&entry.key));
        let draft = if self.spot.content == Content::Secret {
            let message = format!("a key of `{what}` is not the name of a variable");
            Draft::new(Code::Form, message, "not of the right form", help)
        } else {
            Draft::new(Code::Form, message, "not of the right form", help)
                .pointer(pointer_to(self.spot, &entry.key))
        };
        let place = walk.at(self.spot.used_at.unwrap_or(entry.key_span));
        walk.push_at(self.spot, place, draft);
        false
    }

    fn missing(&self, walk: &mut Walk<'a>) {
        let required = keyword(self.keywords, "required").and_then(Value::as_array).into_iter().flatten();
        for name in required.filter_map(Value::as_str) {
            if self.given(name) || self.meant.contains(&name) {
                continue;
            }
            let subject = self.spot.subject();
            let (message, help) = match self.spot.key {
                Some(_) if self.spot.item.is_some() => {
                    (format!("{subject} lacks `{name}`"), format!("add `{name}: ...` to it"))
                }
                Some(_) => (format!("{subject} lacks `{name}`"), format!("add `{name}: ...` under it")),
                None if name == "run" => (
                    "the job has no `run`: nothing says what it executes".to_owned(),
                    "add `run:` with `command`, `shell`, `http` or `steps`".to_owned(),
                ),
                None => (format!("{subject} lacks `{name}`"), format!("add `{name}: ...`")),
            };
            let draft = Draft::new(Code::MissingField, message, format!("no `{name}` in here"), help);
            walk.push(self.spot, draft);
        }
    }

    /// `oneOf` of required keys: exactly one of them is given.
    fn exactly_one(&self, walk: &mut Walk<'a>) {
        let Some(Value::Array(branches)) = keyword(self.keywords, "oneOf") else { return };
        let names: Vec<&str> = branches
            .iter()
            .filter_map(|branch| branch.get("required")?.as_array()?.first()?.as_str())
            .collect();
        let given: Vec<&Entry> =
            self.entries.iter().filter(|entry| names.contains(&entry.key.as_str())).collect();
        let subject = self.spot.subject();
        match given.as_slice() {
            [_] => {}
            [] if self.meant.iter().any(|meant| names.contains(meant)) => {}
            // Whatever they mean, one of them may stand for the one that is asked for.
            [] if !self.entries.is_empty() && self.entries.iter().all(|entry| self.is_unknown(entry)) => {}
            [] => {
                let all = listed(&names, "and");
                let message = format!("{subject} takes exactly one of {all}, and there is none");
                let help = format!("add one of {}", listed(&names, "or"));
                walk.push(self.spot, Draft::new(Code::ExactlyOne, message, "none of them is given", help));
            }
            [first, others @ ..] => {
                let keys: Vec<&str> = given.iter().map(|entry| entry.key.as_str()).collect();
                let (all, keys) = (listed(&names, "and"), listed(&keys, "and"));
                let message = format!("{subject} takes exactly one of {all}, not {keys}");
                let help = if names.contains(&"shell") {
                    "keep one of them; for several actions in a row use `steps`"
                } else {
                    "keep one of them"
                };
                let mut draft = Draft::new(Code::ExactlyOne, message, "and this one", help);
                draft.related.push((first.key_span, "this one".to_owned()));
                let place = others.first().map_or(first.key_span, |entry| entry.key_span);
                let place = walk.at(self.spot.used_at.unwrap_or(place));
                walk.push_at(self.spot, place, draft);
            }
        }
    }

    fn counts(&self, walk: &mut Walk<'a>) {
        let limit = |name: &str| keyword(self.keywords, name).and_then(Value::as_u64);
        let count = self.entries.len() as u64;
        let subject = self.spot.subject();
        if limit("minProperties").is_some_and(|least| count < least) && self.meant.is_empty() {
            let names: Vec<&str> = self.names().collect();
            let message = format!("{subject} is empty");
            let help = format!("name one of {}", listed(&names, "or"));
            walk.push(self.spot, Draft::new(Code::ExactlyOne, message, "nothing in here", help));
        }
        if let Some(most) = limit("maxProperties").filter(|most| count > *most) {
            let (code, message) = match most {
                1 => (Code::ExactlyOne, format!("{subject} takes one key, not {count}")),
                _ => (Code::OutOfRange, format!("{subject} has {count} keys; at most {most} may stand here")),
            };
            walk.push(self.spot, Draft::new(code, message, "too many", format!("keep {most} of them")));
        }
    }
}
