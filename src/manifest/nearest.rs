//! "Did you mean": the word that a misspelt one most likely stands for.
//!
//! Pure. Whatever part of the crate suggests a word asks here, so that a slip is guessed, or not
//! guessed, in one way.

/// How much like a word a text must be to be suggested for it, 0 to 1 by Jaro and Winkler. At this
/// value a letter too many, too few or swapped is found in words of four letters and more, and two
/// words of a manifest that only share a beginning (`schedule`, `shell`) are not taken for each other.
const SIMILAR_MIN: f64 = 0.82;

/// Words of this many letters are too short for one wrong letter to be a slip: all of them are near.
const SHORT_MAX: usize = 2;

/// The word that is most like a text, if one is like it. Case does not matter, and `-` and blanks are
/// as good as `_`. Of words that are equally near the last one is taken.
pub fn nearest<'w>(text: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let plain = |word: &str| word.to_lowercase().replace(['-', ' '], "_");
    let wanted = plain(text);
    words
        .into_iter()
        .map(|word| {
            let known = plain(word);
            let likeness = strsim::jaro_winkler(&wanted, &known);
            let is_slip = known.len() > SHORT_MAX && strsim::damerau_levenshtein(&wanted, &known) <= 1;
            (if is_slip { likeness.max(SIMILAR_MIN) } else { likeness }, word)
        })
        .filter(|(likeness, _)| *likeness >= SIMILAR_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, words: &str, expected: &str) {
        let found = nearest(text, words.split_whitespace());
        assert_eq!(found.unwrap_or("-"), expected, "`{text}` of {words}");
    }

    #[test]
    #[rustfmt::skip]
    fn nearest_table() {
        check("scedule",     "schedule run params",  "schedule");
        check("polciy",      "policy params",        "policy");
        check("secret",      "env secrets",          "secrets");
        check("max-running", "max_running",          "max_running");
        check("Timeout",     "timeout",              "timeout");
        check("eny",         "env cwd",              "env");
        check("nightly-reprot", "nightly-report",    "nightly-report");
        check("schedule",    "shell steps",          "-");
        check("team",        "region environment",   "-");
        check("a",           "b c",                  "-");
        check("ab",          "ac",                   "-");
        check("",            "a",                    "-");
    }
}
