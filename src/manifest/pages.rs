//! The page of each code: what it means, a manifest that has it, and one that has not.
//!
//! `tintal explain TIN036` prints one, `docs/diagnostics.md` holds all. A test validates each
//! example.

use std::fmt::Write as _;

use super::code::Code;

/// The page of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// What it means, and why it matters.
    pub meaning: &'static str,
    /// A manifest that has the problem; empty where a text cannot show it.
    pub wrong: &'static str,
    /// The same without it.
    pub right: &'static str,
}

const TEXT: &str = "run: {command: [echo, hi]}\n";

/// Meaning, a wrong manifest and a right one, of each code in order.
const PAGES: &[(Code, &str, &str, &str)] = &[
    (
        Code::Syntax,
        "The text is not YAML. Usual causes: a bracket or a quote that is never closed, a tab in front of a key, a `:` inside a text without quotes.",
        "run: {command: [echo, hi]\n",
        TEXT,
    ),
    (
        Code::Limit,
        "The file goes over a limit on bytes, nodes, nesting or aliases. The limits are far above what people write; they keep a file that grows without end, or one made to, from taking the daemon down. Of one file at most 200 problems are told, at most 100 of its YAML; how many more there are is told under this code too.",
        "",
        TEXT,
    ),
    (
        Code::DuplicateKey,
        "A key stands twice in one mapping. YAML forbids it; many programs silently take the last one.",
        "run: {command: [echo, hi]}\nenabled: true\nenabled: false\n",
        "run: {command: [echo, hi]}\nenabled: false\n",
    ),
    (
        Code::YamlFeature,
        "The file uses a part of YAML that manifests do without, such as a tag of its own or a key that is no text. It would be read differently by different programs.",
        "run: {command: [echo, !secret hi]}\n",
        TEXT,
    ),
    (
        Code::Unreadable,
        "The file or directory is there and cannot be read: its permissions, a symbolic link to nowhere, a disk that fails. Jobs that may be in it stay as they are, and nothing is pruned meanwhile.",
        "",
        TEXT,
    ),
    (Code::NotText, "The file is not UTF-8 text. Save it as UTF-8.", "", TEXT),
    (
        Code::Empty,
        "There is no manifest in the file, only comments and white space.",
        "# to be written\n",
        TEXT,
    ),
    (
        Code::UnknownField,
        "There is no such field. Nothing is parsed and ignored, so a misspelt field is never silently without effect.",
        "run: {command: [echo, hi]}\nenabeld: false\n",
        "run: {command: [echo, hi]}\nenabled: false\n",
    ),
    (
        Code::WrongType,
        "The value has another type than the field takes: a number where text is expected, a text where a list is. Quotes make a text of a number.",
        "run: {command: echo hi}\n",
        TEXT,
    ),
    (
        Code::MissingField,
        "A field that must be there is missing.",
        "schedule: {cron: \"@daily\"}\n",
        "schedule: {cron: \"@daily\"}\nrun: {command: [echo, hi]}\n",
    ),
    (
        Code::NotAllowed,
        "The field takes one of a few words, and this is none of them.",
        "run: {command: [echo, hi]}\npolicy: {overlap: skipp}\n",
        "run: {command: [echo, hi]}\npolicy: {overlap: skip}\n",
    ),
    (
        Code::ExactlyOne,
        "Of several fields exactly one must be given: one action under `run`, one trigger in each entry of `schedule`.",
        "run: {command: [echo, hi], shell: echo hi}\n",
        TEXT,
    ),
    (
        Code::Form,
        "The text does not have the form of its field, such as a duration without a unit.",
        "run: {command: [echo, hi]}\npolicy: {timeout: 5 minutes}\n",
        "run: {command: [echo, hi]}\npolicy: {timeout: 5m}\n",
    ),
    (
        Code::OutOfRange,
        "A number, a length or a count is outside of what the field takes.",
        "run: {command: []}\n",
        TEXT,
    ),
    (
        Code::NumberForm,
        "A number in `params`, or in the body of a request, comes out other than it is written: YAML reads `3.10` as the number 3.1, and `0755` as 755, and a template fills these in. Where a version, a mode or another text is meant, quotes keep it. Where a number is meant, write it as it comes out.",
        "run: {command: [echo, \"{{ params.version }}\"]}\nparams: {version: 3.10}\n",
        "run: {command: [echo, \"{{ params.version }}\"]}\nparams: {version: \"3.10\"}\n",
    ),
    (
        Code::DuplicateName,
        "Two documents ask for a job of the same name. Neither is changed until one of them has another name: it cannot be told which is meant.",
        "name: a\nrun: {command: [echo, one]}\n---\nname: a\nrun: {command: [echo, two]}\n",
        "name: a\nrun: {command: [echo, one]}\n---\nname: b\nrun: {command: [echo, two]}\n",
    ),
    (
        Code::NoName,
        "The job has no name. A file with one document gives its name to the job; with several, each names itself.",
        "name: a\nrun: {command: [echo, one]}\n---\nrun: {command: [echo, two]}\n",
        "name: a\nrun: {command: [echo, one]}\n---\nname: b\nrun: {command: [echo, two]}\n",
    ),
    (
        Code::Cron,
        "The cron expression cannot be read. See docs/cron.md for the fields.",
        "schedule: {cron: \"61 * * * *\"}\nrun: {command: [echo, hi]}\n",
        "schedule: {cron: \"1 * * * *\"}\nrun: {command: [echo, hi]}\n",
    ),
    (
        Code::NeverFires,
        "The schedule can be read, and there is no time at which it fires.",
        "schedule: {cron: \"0 0 30 2 *\"}\nrun: {command: [echo, hi]}\n",
        "schedule: {cron: \"0 0 28 2 *\"}\nrun: {command: [echo, hi]}\n",
    ),
    (
        Code::TimeZone,
        "The IANA database has no zone of this name. An abbreviation such as CST can mean several zones, so names are written out.",
        "schedule: {cron: \"@daily\", timezone: Europe/Berln}\nrun: {command: [echo, hi]}\n",
        "schedule: {cron: \"@daily\", timezone: Europe/Berlin}\nrun: {command: [echo, hi]}\n",
    ),
    (
        Code::Duration,
        "The duration cannot be used here: it is too short, too long, zero, or shorter than another one that it must not be shorter than.",
        "schedule: {every: 1ms}\nrun: {command: [echo, hi]}\n",
        "schedule: {every: 1s}\nrun: {command: [echo, hi]}\n",
    ),
    (
        Code::Time,
        "There is no such time: the day does not exist, or the offset is missing.",
        "schedule: {at: 2030-02-31T00:00:00Z}\nrun: {command: [echo, hi]}\n",
        "schedule: {at: 2030-02-28T00:00:00Z}\nrun: {command: [echo, hi]}\n",
    ),
    (
        Code::AtInThePast,
        "A one-off time, or the last fire of an entry with `end` or years, has passed. The entry does not fire again.",
        "schedule: {at: 2001-01-01T00:00:00Z}\nrun: {command: [echo, hi]}\n",
        "schedule: {at: 2101-01-01T00:00:00Z}\nrun: {command: [echo, hi]}\n",
    ),
    (
        Code::TwoDayFields,
        "Day of month and day of week are both set. Cron fires on days that match either of them, which few people expect. Say which is meant with `day_match`.",
        "schedule: {cron: \"0 9 1 * MON\"}\nrun: {command: [echo, hi]}\n",
        "schedule: {cron: \"0 9 1 * MON\", day_match: any}\nrun: {command: [echo, hi]}\n",
    ),
    (
        Code::EmptyWindow,
        "The window ends before it starts.",
        "schedule: {every: 1h, start: 2030-01-02T00:00:00Z, end: 2030-01-01T00:00:00Z}\nrun: {command: [echo, hi]}\n",
        "schedule: {every: 1h, start: 2030-01-01T00:00:00Z, end: 2030-01-02T00:00:00Z}\nrun: {command: [echo, hi]}\n",
    ),
    (
        Code::ScheduleTest,
        "A test under `tests` does not hold: the schedule fires at other times than its owner expects.",
        "schedule: {cron: \"0 9 * * *\"}\nrun: {command: [echo, hi]}\ntests:\n  - {after: 2026-01-01T00:00:00Z, fires: [\"2026-01-01T08:00:00Z\"]}\n",
        "schedule: {cron: \"0 9 * * *\"}\nrun: {command: [echo, hi]}\ntests:\n  - {after: 2026-01-01T00:00:00Z, fires: [\"2026-01-01T09:00:00Z\"]}\n",
    ),
    (
        Code::JitterTooLong,
        "The jitter is longer than the time between two fires. Starts never pass the next fire time, so it is cut short.",
        "schedule: {every: 1m, jitter: 5m}\nrun: {command: [echo, hi]}\n",
        "schedule: {every: 1m, jitter: 30s}\nrun: {command: [echo, hi]}\n",
    ),
    (
        Code::TimeoutTooLong,
        "A run may take longer than the time to the next fire. With `overlap: skip`, later fires are skipped while it goes on.",
        "schedule: {every: 1m}\nrun: {command: [echo, hi]}\npolicy: {timeout: 5m}\n",
        "schedule: {every: 1m}\nrun: {command: [echo, hi]}\npolicy: {timeout: 50s}\n",
    ),
    (
        Code::NoEffect,
        "The option has no effect together with the others.",
        "schedule: {every: 1m, timezone: Europe/Berlin}\nrun: {command: [echo, hi]}\n",
        "schedule: {every: 1m}\nrun: {command: [echo, hi]}\n",
    ),
    (
        Code::UnknownStep,
        "A step needs one that is not there.",
        "run:\n  steps:\n    - {id: extract, command: [echo, hi]}\n    - {id: load, needs: [extrct], command: [echo, hi]}\n",
        "run:\n  steps:\n    - {id: extract, command: [echo, hi]}\n    - {id: load, needs: [extract], command: [echo, hi]}\n",
    ),
    (
        Code::StepCycle,
        "Steps need each other in a circle, so none of them could ever start.",
        "run:\n  steps:\n    - {id: a, needs: [b], command: [echo, hi]}\n    - {id: b, needs: [a], command: [echo, hi]}\n",
        "run:\n  steps:\n    - {id: a, command: [echo, hi]}\n    - {id: b, needs: [a], command: [echo, hi]}\n",
    ),
    (
        Code::DuplicateStep,
        "Two steps have one id.",
        "run:\n  steps:\n    - {id: a, command: [echo, hi]}\n    - {id: a, command: [echo, hi]}\n",
        "run:\n  steps:\n    - {id: a, command: [echo, hi]}\n    - {id: b, command: [echo, hi]}\n",
    ),
    (
        Code::TemplateSyntax,
        "The template cannot be read. Text that only looks like a template stands between `{% raw %}` and `{% endraw %}`. A template stands by itself: it cannot include another.",
        "run: {command: [echo, \"{{ fire_time\"]}\n",
        "run: {command: [echo, \"{{ fire_time }}\"]}\n",
    ),
    (
        Code::TemplateName,
        "The template uses a name that does not exist. Templates know `job`, `fire_time`, `run_id`, `attempt`, `params`, in a step the `steps` that it needs, and in `http` the `secrets`. Filters and tests are those of Jinja. A parameter or label that need not be there has a `| default(...)`.",
        "run: {command: [echo, \"{{ params.day }}\"]}\n",
        "run: {command: [echo, \"{{ params.day }}\"]}\nparams: {day: monday}\n",
    ),
    (
        Code::Secret,
        "The reference to a secret is not well formed: it must lead to one file, or to one variable of the daemon's environment.",
        "run: {command: [echo, hi], secrets: {TOKEN: {file: /run/secrets/}}}\n",
        "run: {command: [echo, hi], secrets: {TOKEN: {file: /run/secrets/token}}}\n",
    ),
    (
        Code::Url,
        "The URL cannot be requested: it is not `http` or `https`, has no host, or has a host or port that cannot be.",
        "run: {http: {url: example.com/health}}\n",
        "run: {http: {url: \"https://example.com/health\"}}\n",
    ),
    (
        Code::VariableClash,
        "A variable is given twice, as `env` and as `secrets`, or is one that tintal sets itself.",
        "run: {command: [echo, hi], env: {TOKEN: x}, secrets: {TOKEN: {env: TOKEN}}}\n",
        "run: {command: [echo, hi], secrets: {TOKEN: {env: TOKEN}}}\n",
    ),
    (
        Code::TemplateInShell,
        "In a `shell` line a value is filled in with quotes around it, as one word. Inside of quotes, a comment, a here-document, `$((…))`, `${…}` or backticks these quotes do not hold, and a value with a quote in it would be run as a command. Take the quotes away, or give the value as a variable: `env: {FILE: \"{{ params.file }}\"}`, and `\"$FILE\"` in the line. The same holds for the script of `[sh, -c, …]`, where nothing is quoted: give it the value as an argument. `| safe` says of a value that it is meant as a part of the line.",
        "run: {shell: \"echo 'Report: {{ params.file }}'\"}\nparams: {file: a.txt}\n",
        "run: {shell: \"echo Report: {{ params.file }}\"}\nparams: {file: a.txt}\n",
    ),
    (
        Code::TemplateUnfilled,
        "The value looks like a template, and templates are not filled in here: it is taken as it is. They are filled in commands, `shell` lines, requests, `env` and `cwd`. A parameter has the value that the manifest or a person gives it.",
        "run: {command: [echo, \"{{ params.day }}\"]}\nparams: {day: \"{{ fire_time.date }}\"}\n",
        "run: {command: [echo, \"{{ fire_time.date }}\"]}\n",
    ),
    (
        Code::PinImpossible,
        "The manifest pins a tier that cannot do what the job needs: a distributed job cannot run inside the daemon. To keep it distributed, take the pin out: the rules choose a tier whose workers run elsewhere. To keep the pin, let the job be `local`.",
        "tier: in-process\ncharacteristics: {infrastructure: distributed}\nrun: {command: [echo, hi]}\n",
        "characteristics: {infrastructure: distributed}\nrun: {command: [echo, hi]}\n",
    ),
    (
        Code::UserFacingOften,
        "A user-facing job fires more often than once a minute: more than a person can watch.",
        "schedule: {every: 10s}\ncharacteristics: {visibility: user-facing}\nrun: {command: [echo, hi]}\n",
        "schedule: {every: 10m}\ncharacteristics: {visibility: user-facing}\nrun: {command: [echo, hi]}\n",
    ),
    (
        Code::QueueOften,
        "A job on a queue fires more often than once a minute. Each fire is a message that is sent, stored and settled.",
        "schedule: {every: 10s}\ncharacteristics: {infrastructure: distributed}\nrun: {command: [echo, hi]}\n",
        "schedule: {every: 10m}\ncharacteristics: {infrastructure: distributed}\nrun: {command: [echo, hi]}\n",
    ),
    (
        Code::DagOnQueue,
        "Steps run on a queue more often than once a minute. One slow step, and they pile up.",
        "schedule: {every: 10s}\ncharacteristics: {infrastructure: distributed}\nrun:\n  steps:\n    - {id: a, command: [echo, hi]}\n",
        "schedule: {every: 10m}\ncharacteristics: {infrastructure: distributed}\nrun:\n  steps:\n    - {id: a, command: [echo, hi]}\n",
    ),
    (
        Code::NeedsLedger,
        "A persistent job is pinned in-process, and the ledger is in memory (`ledger: memory`): what it must remember would be forgotten. With the ledger on disk the job runs, and `tintal explain` says that it is as durable as that.",
        "tier: in-process\ncharacteristics: {durability: persistent}\nrun: {command: [echo, hi]}\n",
        "tier: in-process\nrun: {command: [echo, hi]}\n",
    ),
    (
        Code::NoStepView,
        "A job with steps runs in-process, where no page shows how each step goes, while the `workflow` tier is configured, which has one. The output of all steps is in one log, with the step's id before each line. Where no tier shows steps, nothing is told; `tintal explain` says so.",
        "tier: in-process\nrun:\n  steps:\n    - {id: a, command: [echo, hi]}\n",
        "# tintal: ignore TIN065 -- the log is enough\ntier: in-process\nrun:\n  steps:\n    - {id: a, command: [echo, hi]}\n",
    ),
    (
        Code::FrequencyClash,
        "The stated frequency contradicts the schedule. It is derived from the schedule, and need not be stated.",
        "schedule: {every: 10s}\ncharacteristics: {frequency: low}\nrun: {command: [echo, hi]}\n",
        "schedule: {every: 10s}\nrun: {command: [echo, hi]}\n",
    ),
    (
        Code::NoTier,
        "No configured tier can do what the job needs, or the pinned one is not configured.",
        "tier: workflow\nrun: {command: [echo, hi]}\n",
        TEXT,
    ),
    (
        Code::UnusedIgnore,
        "A comment suppresses a warning that is not there. Take it out, or it will hide the next one.",
        "# tintal: ignore TIN036 -- both are meant\nrun: {command: [echo, hi]}\n",
        TEXT,
    ),
    (
        Code::BadIgnore,
        "A comment that begins with `tintal:` cannot be read. It names one or more codes of warnings, and a reason.",
        "schedule:\n  cron: \"0 9 1 * MON\" # tintal: ignore TIN036\nrun: {command: [echo, hi]}\n",
        "schedule:\n  cron: \"0 9 1 * MON\" # tintal: ignore TIN036 -- both are meant\nrun: {command: [echo, hi]}\n",
    ),
];

// Every code has its page, at its own place.
const _: () = {
    assert!(PAGES.len() == Code::ALL.len());
    let mut at = 0;
    while at < PAGES.len() {
        assert!(PAGES[at].0 as usize == at);
        at += 1;
    }
};

/// The page of a code.
#[must_use]
pub fn page(code: Code) -> Page {
    let (_, meaning, wrong, right) = PAGES[code as usize];
    Page { meaning, wrong, right }
}

/// The page as text for a terminal.
#[must_use]
pub fn text(code: Code) -> String {
    let Page { meaning, wrong, right } = page(code);
    let mut out = format!("{code} ({}): {}\n\n{}\n", code.severity(), code.title(), wrapped(meaning));
    let block = |heading: &str, text: &str, out: &mut String| {
        let _ = writeln!(out, "\n{heading}:\n");
        for line in text.lines() {
            let _ = writeln!(out, "    {line}");
        }
    };
    if !wrong.is_empty() {
        block("Wrong", wrong, &mut out);
        block("Right", right, &mut out);
    }
    out
}

/// `docs/diagnostics.md`.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from(
        "<!-- Generated by `tintal schema --write`; a test compares it. Edit src/manifest/pages.rs instead. -->\n\
         # Diagnostics\n\n\
         Every problem has a stable code. `tintal explain TIN036` prints the page of one. A warning that is\n\
         known and meant is suppressed by a comment with a reason, at the end of its line or on the line\n\
         before the key or item that it is about; in `_defaults.yaml`, for all jobs that take the value\n\
         over. Errors cannot be suppressed:\n\n\
         ```yaml\nschedule:\n  cron: \"0 9 1 * MON\" # tintal: ignore TIN036 -- both are meant\n```\n",
    );
    for code in Code::ALL {
        let Page { meaning, wrong, right } = page(*code);
        let name = code.as_str();
        let _ = write!(
            out,
            "\n<a id=\"{}\"></a>\n## {name}: {}\n\n{} {meaning}\n",
            name.to_ascii_lowercase(),
            code.title(),
            match code.severity() {
                super::problem::Severity::Error => "Error.",
                super::problem::Severity::Warning => "Warning.",
            }
        );
        if !wrong.is_empty() {
            let _ = write!(
                out,
                "\nWrong:\n\n```yaml wrong {name}\n{wrong}```\n\nRight:\n\n```yaml\n{right}```\n"
            );
        }
    }
    out
}

/// A paragraph in lines of a terminal.
fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut width = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if width > 0 && width + 1 + length > 80 {
            out.push('\n');
            width = 0;
        } else if width > 0 {
            out.push(' ');
            width += 1;
        }
        out.push_str(word);
        width += length;
    }
    out
}
