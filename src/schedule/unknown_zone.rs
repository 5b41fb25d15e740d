//! What to say of a time zone that the tz database does not have.
//!
//! Pure, save for the names of the tz database. `zone` asks. Six hundred names are compared with a
//! text once: a whole tree of manifests can share one slip of the keys.

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

use super::{
    field::Flaw,
    zone::{COPIES, LOCAL},
};
use crate::manifest::nearest::nearest;

/// Letters of a text without a `/` up to which it is like nothing but itself: `CST` is as much like
/// `EST` as like what was meant.
const ABBREVIATION_MAX: usize = 6;
/// Texts whose nearest name is remembered; with more, all are forgotten. More different slips than
/// this are no slips.
const REMEMBERED_MAX: usize = 256;

/// Hours that a clock can be before UTC, and behind: the tz database has a zone for each.
const HOURS_EAST_MAX: u8 = 14;
const HOURS_WEST_MAX: u8 = 12;

static NEAREST: LazyLock<Remembered> = LazyLock::new(Remembered::default);

/// What is wrong with this name, which the tz database does not have, and which one may be meant.
pub(super) fn unknown_zone(name: &str) -> Flaw {
    let flaw = Flaw::new(None, format!("there is no time zone `{name}`"));
    if let Some(etc) = etc_name(name) {
        let help = format!(
            "a zone has a name, as in `Europe/Berlin`; a clock that never changes is `{etc}` (its sign is the other way round)"
        );
        return flaw.help(help);
    }
    match NEAREST.find_or_search(name.to_ascii_lowercase(), nearest_zone) {
        Some(near) => flaw.help(format!("did you mean `{near}`?")),
        None => flaw.help("write a name of the IANA tz database, as in `Europe/Berlin` or `UTC`; an abbreviation can mean several zones"),
    }
}

/// The names that were found for texts.
#[derive(Debug, Default)]
struct Remembered(Mutex<HashMap<String, Option<String>>>);

impl Remembered {
    /// What was found for a text before, or is found now.
    fn find_or_search(&self, text: String, search: impl FnOnce(&str) -> Option<String>) -> Option<String> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known().get(&text) {
            return found.clone();
        }
        let found = search(&text);
        let mut known = known();
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(text, found.clone());
        found
    }
}

/// The name of the zone whose clock has a whole-hour offset that is written like `+02:00`.
fn etc_name(name: &str) -> Option<String> {
    let text = name.strip_prefix("UTC").or_else(|| name.strip_prefix("GMT")).unwrap_or(name);
    let (sign, hours_max, hours) = match text.split_at_checked(1)? {
        ("+", hours) => ('-', HOURS_EAST_MAX, hours),
        ("-", hours) => ('+', HOURS_WEST_MAX, hours),
        _ => return None,
    };
    let hours = hours
        .strip_suffix(":00")
        .or_else(|| hours.strip_suffix("00").filter(|hours| !hours.is_empty()))
        .unwrap_or(hours);
    let hours: u8 = hours.parse().ok().filter(|&hours| hours <= hours_max)?;
    Some(if hours == 0 { "UTC".to_owned() } else { format!("Etc/GMT{sign}{hours}") })
}

/// The name that is most like a text in lower case, if one is like it: the whole name, or the
/// city alone.
fn nearest_zone(lower: &str) -> Option<String> {
    let spaced = lower.replace(' ', "_");
    let mut names: Vec<String> = jiff::tz::db()
        .available()
        .map(|name| name.as_str().to_owned())
        .filter(|name| !LOCAL.contains(&name.as_str()) && !COPIES.iter().any(|copy| name.starts_with(copy)))
        .collect();
    let region = format!("{spaced}/");
    if names.iter().any(|name| name.to_ascii_lowercase().starts_with(&region)) {
        // None of its cities is more meant than another.
        return None;
    }
    // Of names that are equally near the shortest one is meant.
    names.sort_by_key(|name| Reverse((name.len(), name.clone())));
    let has_slash = spaced.contains('/');
    let city = |name: &str| name.rsplit('/').next().map(str::to_ascii_lowercase);
    let words = names.iter().flat_map(|name| {
        let city = if has_slash { None } else { city(name) };
        [Some(name.to_ascii_lowercase()), city].into_iter().flatten().map(move |word| (word, name))
    });
    let words: Vec<(String, &String)> = words.collect();
    let letters = spaced.bytes().filter(u8::is_ascii_alphabetic).count();
    let near = if letters <= ABBREVIATION_MAX && !has_slash {
        spaced.as_str()
    } else {
        nearest(&spaced, words.iter().map(|(word, _)| word.as_str()))?
    };
    words.iter().rev().find(|(word, _)| word == near).map(|(_, name)| (*name).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(names: &str, help: &str) {
        for name in names.split(' ') {
            assert_eq!(unknown_zone(name).help.as_deref(), Some(help), "{name}");
        }
    }

    #[test]
    fn what_is_suggested_for_an_unknown_zone() {
        let etc = |zone| {
            format!(
                "a zone has a name, as in `Europe/Berlin`; a clock that never changes is `{zone}` (its sign is the other way round)"
            )
        };
        check("UTC+14 GMT+14 +14 +1400 UTC+14:00", &etc("Etc/GMT-14"));
        check("UTC-12 -12:00", &etc("Etc/GMT+12"));
        check("UTC+0 -00:00", &etc("UTC"));
        let none = "write a name of the IANA tz database, as in `Europe/Berlin` or `UTC`; an abbreviation can mean several zones";
        check("UTC+15 UTC-13 UTC+5:30 +05:30 CST CEST PST BST Europe America Australia Asia", none);
        check("Europe/Berlim europe/berlin EuropeBerlin berlin Berlin", "did you mean `Europe/Berlin`?");
        check("utc", "did you mean `UTC`?");
        check("America/New_Yrok New_Yrok", "did you mean `America/New_York`?");
    }

    #[test]
    fn a_text_is_compared_with_the_names_once() {
        let remembered = Remembered::default();
        let mut searches = 0;
        for text in ["europe/berlim", "nowhere", "europe/berlim", "nowhere"] {
            let found = remembered.find_or_search(text.to_owned(), |text| {
                searches += 1;
                text.strip_suffix('m').map(|rest| format!("{rest}n"))
            });
            assert_eq!(found.as_deref(), (text != "nowhere").then_some("europe/berlin"));
        }
        assert_eq!(searches, 2);
    }

    #[test]
    fn no_more_texts_are_remembered_than_the_most() {
        let remembered = Remembered::default();
        for number in 0..3 * REMEMBERED_MAX {
            remembered.find_or_search(number.to_string(), |_| None);
        }
        assert!(remembered.0.lock().unwrap().len() <= REMEMBERED_MAX);
    }
}
