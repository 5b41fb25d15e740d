//! What is said of many jobs in the same words, said once.

use std::collections::BTreeMap;

/// Jobs that a group names; the others are counted.
const NAMED_MAX: usize = 5;

/// Lines such as `a: sentence` or `a, b, c, d, e … and 7 more: sentence`, in the order in which each sentence came
/// first.
pub(super) fn grouped(said: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for (job, sentence) in said {
        let place = *places.entry(sentence.clone()).or_insert_with(|| {
            groups.push((sentence, Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(job);
    }
    groups.into_iter().map(|(sentence, jobs)| format!("{}: {sentence}", names(&jobs))).collect()
}

/// The first names, and how many more there are.
pub(super) fn names(jobs: &[String]) -> String {
    let (named, rest) = jobs.split_at(jobs.len().min(NAMED_MAX));
    let named = named.join(", ");
    if rest.is_empty() { named } else { format!("{named} … and {} more", rest.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said is `job=sentence`.
    #[track_caller]
    fn check(said: &str, expected: &[&str]) {
        let pairs = said.split_whitespace().map(|pair| pair.split_once('=').unwrap());
        assert_eq!(grouped(pairs.map(|(job, text)| (job.to_owned(), text.to_owned()))), expected, "{said}");
    }

    #[test]
    #[rustfmt::skip]
    fn group_table() {
        check("",                            &[]);
        check("a=x",                         &["a: x"]);
        check("a=x b=y c=x",                 &["a, c: x", "b: y"]);
        check("a=x b=x c=x d=x e=x",         &["a, b, c, d, e: x"]);
        check("a=x b=x c=x d=x e=x f=x g=x", &["a, b, c, d, e … and 2 more: x"]);
    }
}
