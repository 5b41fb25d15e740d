//! Whether the values of a template can stand where they do in a line for a shell.
//!
//! A value is quoted as one word, so it can stand where a word can, and nowhere else: inside quotes,
//! the quotes around it would end. Every way through the template's branches is looked at. Pure;
//! `check` asks before a job is taken, and `render` once more about the line that comes out.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::{
    check::{Flaw, FlawKind},
    pieces::{Piece, Tag, pieces},
    shell::{Place, Shell},
};

/// Most places of a shell's language that the branches of a template may lead to together. With more it
/// is not told where what follows stands.
const PLACES_MAX: usize = 32;

/// Rounds of a loop that are looked at: after one or two, nothing new comes.
const ROUNDS_MAX: usize = 8;

/// Bytes of text in loops that are looked at in all, as often as they are: rounds of loops in loops
/// multiply. After that it is not told where what follows stands.
const WALKED_MAX: usize = 1 << 18;

/// What stands for a value in a line that is rendered to be looked at: Unicode gives it no meaning. A text
/// that holds it all the same counts as one value more.
pub(super) const VALUE: char = '\u{fdd0}';

/// Shells, as they are called.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "ksh", "zsh", "ash"];

/// Programs that run another one, which may stand behind their options.
const RUNNERS: [&str; 14] = [
    "chroot", "doas", "env", "flock", "ionice", "nice", "nohup", "runuser", "setpriv", "setsid", "stdbuf",
    "sudo", "taskset", "timeout",
];

/// The way out.
const HELP: &str = "take the quotes away, as the value is quoted already; or give it as `env: {NAME: \"{{ ... }}\"}` and write `\"$NAME\"`, in a here-document `$NAME`";

/// What is wrong with a template as a line for a shell. The engine has parsed it.
pub(super) fn check_line(template: &str) -> Vec<Flaw> {
    let mut walk = Walk { pieces: pieces(template), at: 0, walked: 0, flaws: BTreeMap::new() };
    let mut states = BTreeSet::from([Shell::new()]);
    while walk.at < walk.pieces.len() {
        // Only a block that ends nothing is left here, and the engine takes none.
        states = walk.body(states).0;
    }
    walk.flaws.into_values().collect()
}

/// Which word of a command is a script that a shell reads, and what is wrong with it: any value in it
/// is read as code.
#[must_use]
pub fn check_script(words: &[String]) -> Option<(usize, Vec<Flaw>)> {
    let index = script(words)?;
    let script = words.get(index)?;
    let told = pieces(script).into_iter().filter_map(|piece| match piece {
        Piece::Value(tag) if !is_safe(tag.code) => Some(Flaw {
            kind: FlawKind::Shell,
            range: Some(tag.range),
            message: "a value is filled into a script, where the shell reads it as code".to_owned(),
            help: "give it as an argument, as in `[sh, -c, 'echo \"$1\"', sh, \"{{ ... }}\"]`, or write `shell:`, which quotes values".to_owned(),
        }),
        _ => None,
    });
    let flaws: Vec<Flaw> = told.collect();
    (!flaws.is_empty()).then_some((index, flaws))
}

/// The word that a shell among the words takes as a script. A shell's name behind an option is a value of
/// that option, as in `useradd -s /bin/bash`, unless the command is one that runs others.
fn script(words: &[String]) -> Option<usize> {
    let name = |word: &String| word.rsplit('/').next().unwrap_or_default().to_owned();
    let runs_others = words.first().is_some_and(|word| RUNNERS.contains(&name(word).as_str()));
    let is_called = |at: usize| at == 0 || runs_others || !words[at - 1].starts_with('-');
    let shells = words.iter().enumerate().filter(|(_, word)| SHELLS.contains(&name(word).as_str()));
    shells.filter(|(at, _)| is_called(*at)).find_map(|(at, _)| script_of(at, words))
}

/// The word that the shell at a place takes as a script.
fn script_of(shell: usize, words: &[String]) -> Option<usize> {
    let mut takes_script = false;
    let mut index = shell + 1;
    while let Some(word) = words.get(index) {
        let Some(flags) = word.strip_prefix(['-', '+']) else {
            return takes_script.then_some(index);
        };
        let is_short = !flags.starts_with('-');
        takes_script |= is_short && flags.contains('c');
        // `-o pipefail`
        let takes_word = is_short && flags.ends_with(['o', 'O']) || matches!(flags, "-rcfile" | "-init-file");
        index += if takes_word { 2 } else { 1 };
    }
    None
}

/// Why a line cannot be run, in which [`VALUE`] stands for each value; none when it can.
pub(super) fn refusal(marked: &str) -> Option<Place> {
    let mut shell = Shell::new();
    for (count, text) in marked.split(VALUE).enumerate() {
        if count > 0 {
            if let Some(place) = shell.refusal() {
                return Some(place);
            }
            shell.value();
        }
        shell.text(text);
    }
    None
}

/// Whether a value is meant as a part of the line: `| safe` is all that is done to it in the end.
fn is_safe(code: &str) -> bool {
    let Some((value, filter)) = code.rsplit_once('|') else { return false };
    let mixes = value.contains(['~', '+', '%']) || value.split_whitespace().any(|word| word == "if");
    filter.trim() == "safe" && !mixes
}

/// The word that says what a block is.
fn keyword(code: &str) -> &str {
    code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// Whether a `set` has its value in its block, and not behind it.
fn is_assignment(code: &str) -> bool {
    let names = |c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || "_.,()".contains(c);
    code.trim_start_matches(names).starts_with('=')
}

type States = BTreeSet<Shell>;

struct Walk<'t> {
    pieces: Vec<Piece<'t>>,
    at: usize,
    /// Bytes that were looked at, each as often as it was.
    walked: usize,
    /// By the byte at which they begin, so that what is walked twice is told once.
    flaws: BTreeMap<usize, Flaw>,
}

impl<'t> Walk<'t> {
    /// Walks up to the end of a block; gives where that leads, and the word that ends it.
    fn body(&mut self, mut states: States) -> (States, &'t str) {
        while let Some(piece) = self.pieces.get(self.at).cloned() {
            self.at += 1;
            self.walked += 1;
            match piece {
                Piece::Text(text) => {
                    self.walked += text.len();
                    states = each(states, |shell| shell.text(text));
                }
                Piece::Value(tag) if is_safe(tag.code) => {}
                Piece::Value(tag) => {
                    if let Some(place) = states.iter().find_map(Shell::refusal) {
                        let message =
                            format!("a value stands {place}, where the quotes around it do not hold");
                        self.flaw(tag.range, message);
                    }
                    states = each(states, Shell::value);
                }
                Piece::Block(tag) => match keyword(tag.code) {
                    "if" => states = self.branches(states),
                    "for" => states = self.rounds(&states),
                    word @ ("elif" | "else" | "endif" | "endfor") => return (states, word),
                    "set" if is_assignment(tag.code) => {}
                    "with" | "endwith" | "do" => {}
                    _ => states = self.unknown(tag),
                },
            }
        }
        (states, "")
    }

    /// Walks the branches of an `if`, from behind its block.
    fn branches(&mut self, states: States) -> States {
        let mut all = States::new();
        let mut may_skip = true;
        loop {
            let (after, end) = self.body(states.clone());
            all.extend(after);
            match end {
                "elif" => {}
                "else" => may_skip = false,
                _ => break,
            }
        }
        if may_skip {
            all.extend(states);
        }
        bounded(all)
    }

    /// Walks the body of a loop, from behind its block, until another round leads nowhere else.
    fn rounds(&mut self, states: &States) -> States {
        let begin = self.at;
        let mut all = states.clone();
        for round in 0.. {
            self.at = begin;
            // Then one round is all.
            let is_last = round == ROUNDS_MAX || self.walked > WALKED_MAX;
            if is_last {
                all.insert(Shell::unclear());
            }
            let before = all.len();
            let (after, end) = self.body(all.clone());
            all.extend(after);
            if end == "else" {
                all.extend(self.body(states.clone()).0);
            }
            all = bounded(all);
            if all.len() == before || is_last {
                break;
            }
        }
        all
    }

    /// A block of which it is not told what becomes of the text in it.
    fn unknown(&mut self, tag: Tag<'t>) -> States {
        let word = keyword(tag.code);
        if !word.starts_with("end") {
            let message = format!("`{{% {word} %}}` cannot be used in a line for a shell");
            self.flaw(tag.range, message);
        }
        States::from([Shell::new()])
    }

    fn flaw(&mut self, range: Range<usize>, message: String) {
        let flaw = |range| Flaw { kind: FlawKind::Shell, range: Some(range), message, help: HELP.to_owned() };
        self.flaws.entry(range.start).or_insert_with(|| flaw(range));
    }
}

fn each(states: States, step: impl Fn(&mut Shell)) -> States {
    let stepped = states.into_iter().map(|mut shell| {
        step(&mut shell);
        shell
    });
    stepped.collect()
}

fn bounded(states: States) -> States {
    if states.len() > PLACES_MAX { States::from([Shell::unclear()]) } else { states }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told, each with the text that it is about.
    #[track_caller]
    fn check(template: &str, expected: &[&str]) {
        let told: Vec<String> = check_line(template)
            .into_iter()
            .map(|flaw| {
                let place =
                    flaw.message.trim_start_matches("a value stands ").split(',').next().unwrap_or("");
                format!("{} {place}", &template[flaw.range.unwrap_or_default()])
            })
            .collect();
        assert_eq!(told, expected, "{template}");
    }

    #[test]
    #[rustfmt::skip]
    fn a_value_stands_where_a_word_stands() {
        check("echo {{ a }} $({{ b }}) \"$(c {{ d }})\" x{{ e }}y", &[]);
        check("echo 'Report: {{ a }}'", &["{{ a }} inside single quotes"]);
        check("echo \"{{ a }}\" {{ b }}", &["{{ a }} inside double quotes"]);
        check("echo \"{{ a }} {{- b }}\"", &["{{ a }} inside double quotes", "{{- b }} inside double quotes"]);
        check("# it\n{{- a }}", &["{{- a }} inside a comment"]);
        check("# it\n{{ a }}", &[]);
        check("echo '{% raw %}{{ a }}{% endraw %}' {{ b }}", &[]);
        check("echo ${#x} ${x%#} {{ a }}", &[]);
    }

    #[test]
    #[rustfmt::skip]
    fn what_is_safe_is_a_part_of_the_line() {
        check("echo '{{ a | safe }}' \"{{ b|upper|safe }}\" {{ c }}", &[]);
        check("echo '{{ a ~ b | safe }}'", &["{{ a ~ b | safe }} inside single quotes"]);
        check("echo '{{ a if b else c | safe }}'", &["{{ a if b else c | safe }} inside single quotes"]);
        check("echo '{{ a | safe | upper }}'", &["{{ a | safe | upper }} inside single quotes"]);
    }

    #[test]
    #[rustfmt::skip]
    fn every_branch_is_looked_at() {
        check("echo {% if a %}--x={{ b }}{% else %}'y'{% endif %} {{ c }}", &[]);
        check("echo '{% if a %}b{% endif %}' {{ c }}", &[]);
        check("echo {% if a %}'{% endif %} {{ c }}", &["{{ c }} inside single quotes"]);
        check("echo {% if a %}'{% elif b %}\"{% else %}x{% endif %}{{ c }}", &["{{ c }} inside single quotes"]);
        check("echo '{% if a %}' {{ b }} '{% else %}' {{ c }} '{% endif %}' {{ d }}", &[]);
        check("{% if a %}echo {% if b %}\"{{ c }}\"{% endif %}{% endif %}", &["{{ c }} inside double quotes"]);
        check("echo {% for x in y %}{{ x }} {% endfor %}{{ z }}", &[]);
        check("echo {% for x in y %}'{% endfor %}{{ z }}", &["{{ z }} inside single quotes"]);
        check("echo {% for x in y %}{{ x }}'{% endfor %}", &["{{ x }} inside single quotes"]);
        check("echo {% for x in y %}a{% else %}'{% endfor %}{{ z }}", &["{{ z }} inside single quotes"]);
        check("{% set x = 'a' %}{% with y = 1 %}echo {{ x }}{% endwith %}", &[]);
        // Each level would multiply the rounds of those in it.
        let deep = "{% for a in b %}$(".repeat(60) + "{{ c }}" + &"{% endfor %}".repeat(60);
        check(&deep, &["{{ c }} behind something that shells read in different ways"]);
        let many = "{% if a %}$({% endif %}{% if a %}\"{% endif %}".repeat(4) + "{{ c }}";
        check(&many, &["{{ c }} behind something that shells read in different ways"]);
    }

    #[test]
    #[rustfmt::skip]
    fn what_puts_text_elsewhere_is_refused() {
        let refused = |word: &str| format!("`{{% {word} %}}` cannot be used in a line for a shell");
        for (template, word, tag) in [
            ("{% set x %}'{{ a }}'{% endset %}",             "set",        "{% set x %}"),
            ("{% macro m(a) %}{{ a }}{% endmacro %}",        "macro",      "{% macro m(a) %}"),
            ("{% filter upper %}a{% endfilter %}",           "filter",     "{% filter upper %}"),
            ("{% autoescape false %}a{% endautoescape %}",   "autoescape", "{% autoescape false %}"),
        ] {
            assert!(check_line(template).iter().any(|flaw| flaw.message == refused(word)
                && &template[flaw.range.clone().unwrap_or_default()] == tag), "{template}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn a_script_holds_no_values() {
        let told = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            check_script(&words).map(|(index, _)| index)
        };
        assert_eq!(told(&["sh", "-c", "echo {{ a }}"]), Some(2));
        assert_eq!(told(&["/bin/bash", "-euo", "pipefail", "-c", "echo '{{ a }}'"]), Some(4));
        assert_eq!(told(&["env", "A=b", "bash", "-lc", "echo {{ a }}"]), Some(4));
        assert_eq!(told(&["sh", "-c", "echo \"$1\"", "sh", "{{ a }}"]), None);
        assert_eq!(told(&["sh", "-c", "echo {{ a | safe }}"]), None);
        assert_eq!(told(&["sh", "-e", "x.sh", "-c", "{{ a }}"]), None);
        assert_eq!(told(&["useradd", "-s", "/bin/bash", "-c", "{{ a }}", "b"]), None);
        assert_eq!(told(&["env", "-i", "bash", "-c", "{{ a }}"]), Some(4));
        assert_eq!(told(&["bash", "--rcfile", "F", "-c", "{{ a }}"]), Some(4));
        assert_eq!(told(&["echo", "sh", "sh", "-c", "{{ a }}"]), Some(4));
        assert_eq!(told(&["echo", "{{ a }}"]), None);
        assert_eq!(told(&["sh"]), None);
    }

    #[test]
    fn a_line_that_comes_out_is_looked_at_once_more() {
        assert_eq!(refusal("echo \u{fdd0} $(a \u{fdd0})"), None);
        assert_eq!(refusal("echo '\u{fdd0}'"), Some(Place::SingleQuotes));
    }
}
