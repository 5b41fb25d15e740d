//! What a manifest of the wrong shape is told, as one table: a text, and below it each problem.

use std::sync::Arc;

use expect_test::{Expect, expect};

use crate::manifest::{
    parse::{Shapes, parse},
    problem::{Problem, SourceText},
};

/// A problem as `line:column-column CODE message | help`.
fn shown(problem: &Problem) -> String {
    let (start, end) = (problem.start(), problem.end());
    let help = problem.help.as_deref().unwrap_or("-");
    format!("{}:{}-{} {} {} | {help}", start.line, start.column, end.column, problem.code, problem.message)
}

#[expect(clippy::needless_pass_by_value, reason = "rows of a table read better so")]
#[track_caller]
fn check(texts: &[&str], expected: Expect) {
    let shapes = Shapes::new();
    let mut cases = Vec::new();
    for text in texts {
        let source = Arc::new(SourceText::new("job.yaml", *text));
        let (_, problems) = parse(&source, &shapes);
        cases.push(text.to_string());
        cases.extend(problems.iter().map(|problem| format!("    {}\n", shown(problem))));
    }
    expected.assert_eq(&cases.concat());
}

#[test]
fn an_item_of_a_list_is_shown_at_its_own_line_and_called_by_its_number() {
    check(
        &[
            "run:\n  steps:\n    - id: a\n      shell: b\n    - shell: c\n    - id: d\n",
            "run: {shell: a}\nschedule:\n  - cron: '@daily'\n  - timezone: UTC\n",
            "run: {shell: a}\ntests:\n  - after: 2026-01-01T00:00:00Z\n",
            "run:\n  command:\n    - a\n    - [b]\n    - {c: d}\n",
            "run: {shell: a}\ndescription: [a]\n",
            "run: {shell: a}\ndescription:\n  - a\n",
        ],
        expect![[r#"
            run:
              steps:
                - id: a
                  shell: b
                - shell: c
                - id: d
                5:7-15 TIN012 step 2 lacks `id` | add `id: ...` to it
                6:7-12 TIN014 step 3 takes exactly one of `command`, `shell` and `http`, and there is none | add one of `command`, `shell` or `http`
            run: {shell: a}
            schedule:
              - cron: '@daily'
              - timezone: UTC
                4:5-18 TIN014 item 2 of `schedule` takes exactly one of `cron`, `every` and `at`, and there is none | add one of `cron`, `every` or `at`
            run: {shell: a}
            tests:
              - after: 2026-01-01T00:00:00Z
                3:5-32 TIN012 item 1 of `tests` lacks `fires` | add `fires: ...` to it
            run:
              command:
                - a
                - [b]
                - {c: d}
                4:7-10 TIN011 item 2 of `command` takes text, not a list | write text
                5:7-13 TIN011 item 3 of `command` takes text, not a mapping | write text
            run: {shell: a}
            description: [a]
                2:14-17 TIN011 `description` takes text, not a list | write text
            run: {shell: a}
            description:
              - a
                3:3-6 TIN011 `description` takes text, not a list | write text
        "#]],
    );
}

#[test]
fn what_stands_under_a_misspelt_field_is_looked_at_too() {
    check(
        &[
            "run: {shell: a}\npolcy: {timeout: 30, overlap: foo}\n",
            "run: {shell: a}\nschedul: {crn: '@daily', timezon: UTC}\n",
            "run: {shell: a}\npolcy: {}\npolciy: {overlap: foo}\n",
        ],
        expect![[r#"
            run: {shell: a}
            polcy: {timeout: 30, overlap: foo}
                2:1-6 TIN010 there is no field `polcy` | did you mean `policy`?
                2:18-20 TIN011 `timeout` takes text, not the number 30 | a duration has a unit, as in `30s` or `30m`
                2:31-34 TIN013 `overlap` is one of `skip` or `allow`, not `foo` | write `skip` or `allow`
            run: {shell: a}
            schedul: {crn: '@daily', timezon: UTC}
                2:1-8 TIN010 there is no field `schedul` | did you mean `schedule`?
                2:11-14 TIN010 `schedul` has no field `crn` | did you mean `cron`?
                2:26-33 TIN010 `schedul` has no field `timezon` | did you mean `timezone`?
            run: {shell: a}
            polcy: {}
            polciy: {overlap: foo}
                2:1-6 TIN010 there is no field `polcy` | did you mean `policy`?
                3:1-7 TIN010 there is no field `polciy` | did you mean `policy`?
        "#]],
    );
}

/// `3.10` is the number 3.1, and quotes are to keep what is written.
#[test]
fn a_number_for_a_text_is_quoted_as_it_is_written() {
    check(
        &[
            "run: {shell: a, env: {V: 3.10, M: 0755, B: True}}\n",
            "run: {command: [a, 1.10, 0x1F, 1e3]}\n",
            "run: {command: [a, &v 0755], cwd: *v}\n",
            "run: {shell: a}\npolicy: {timeout: 030}\n",
        ],
        expect![[r#"
            run: {shell: a, env: {V: 3.10, M: 0755, B: True}}
                1:26-30 TIN011 `V` takes text, not the number 3.10 | put it in quotes: `"3.10"`
                1:35-39 TIN011 `M` takes text, not the number 0755 | put it in quotes: `"0755"`
                1:44-48 TIN011 `B` takes text, not `True` | put it in quotes: `"True"`
            run: {command: [a, 1.10, 0x1F, 1e3]}
                1:20-24 TIN011 item 2 of `command` takes text, not the number 1.10 | put it in quotes: `"1.10"`
                1:26-30 TIN011 item 3 of `command` takes text, not the number 0x1F | put it in quotes: `"0x1F"`
                1:32-35 TIN011 item 4 of `command` takes text, not the number 1e3 | put it in quotes: `"1e3"`
            run: {command: [a, &v 0755], cwd: *v}
                1:23-27 TIN011 item 2 of `command` takes text, not the number 0755 | put it in quotes: `"0755"`
                1:35-37 TIN011 `cwd` takes text, not the number 0755 | put it in quotes: `"0755"`
            run: {shell: a}
            policy: {timeout: 030}
                2:19-22 TIN011 `timeout` takes text, not the number 030 | a duration has a unit, as in `30s` or `30m`
        "#]],
    );
}

#[test]
fn one_mistake_is_told_once() {
    check(
        &[
            "run: {shell: a, env: {<<: *nope}}\n",
            "run: {shell: a, env: *nope}\n",
            "run: &r {shell: a, env: *r}\n",
            "run: {shell: a}\npolicy: {retry: {factor: .nan}}\n",
            "run: {shell: a, secrets: {X: {value: F}}}\n",
            "run: {shell: a}\nschedule: {cron: */5 * * * *}\n",
            "run: {shell: a}\nschedule: {cron: */5 * * * *, timezone: UTC}\n",
        ],
        expect![[r#"
            run: {shell: a, env: {<<: *nope}}
                1:27-32 TIN001 there is no anchor `&nope` above this alias | put `&nope` before the value that it stands for, or quote it
            run: {shell: a, env: *nope}
                1:22-27 TIN001 there is no anchor `&nope` above this alias | put `&nope` before the value that it stands for, or quote it
            run: &r {shell: a, env: *r}
                1:25-27 TIN004 the alias stands for a value that holds it | write the value out
            run: {shell: a}
            policy: {retry: {factor: .nan}}
                2:26-30 TIN004 `.nan` is no number that JSON has | write a finite number; if a text is meant, put it in quotes
            run: {shell: a, secrets: {X: {value: F}}}
                1:31-36 TIN010 `X` has no field `value` | the fields are `env` and `file`
            run: {shell: a}
            schedule: {cron: */5 * * * *}
                2:18-21 TIN001 a value that begins with `*` must be quoted | quote it: "*/5 * * * *"
            run: {shell: a}
            schedule: {cron: */5 * * * *, timezone: UTC}
                2:18-21 TIN001 a value that begins with `*` must be quoted | quote it: "*/5 * * * *"
        "#]],
    );
}

#[test]
fn words_of_other_tools_are_known() {
    check(
        &[
            "run: {shell: a}\npolicy: {retry: {attempts: 3}}\n",
            "run: {cmd: [a], environment: {A: b}}\n",
            "script: a\n",
        ],
        expect![[r#"
            run: {shell: a}
            policy: {retry: {attempts: 3}}
                2:18-26 TIN010 `retry` has no field `attempts` | did you mean `max_attempts`?
            run: {cmd: [a], environment: {A: b}}
                1:7-10 TIN010 `run` has no field `cmd` | did you mean `command`?
                1:17-28 TIN010 `run` has no field `environment` | did you mean `env`?
            script: a
                1:1-7 TIN010 there is no field `script` | `script` belongs elsewhere: `run.shell`
                1:1-10 TIN012 the job has no `run`: nothing says what it executes | add `run:` with `command`, `shell`, `http` or `steps`
        "#]],
    );
}

#[test]
fn a_text_where_a_part_belongs_is_shown_as_that_part() {
    check(
        &[
            "run: {shell: a}\nschedule: \"*/5 * * * *\"\n",
            "run: {shell: a}\nschedule: 5m\n",
            "run: echo hi\n",
            "run: [echo, hi]\n",
            "- run: {shell: a}\n- run: {shell: b}\n",
        ],
        expect![[r#"
            run: {shell: a}
            schedule: "*/5 * * * *"
                2:11-24 TIN011 `schedule` takes a mapping, not text | write `schedule: {cron: "*/5 * * * *"}`
            run: {shell: a}
            schedule: 5m
                2:11-13 TIN011 `schedule` takes a mapping, not text | write `schedule: {every: "5m"}`
            run: echo hi
                1:6-13 TIN011 `run` takes a mapping, not text | write `run: {shell: "echo hi"}`
            run: [echo, hi]
                1:6-16 TIN011 `run` takes a mapping, not a list | write `run: {command: [...]}`
            - run: {shell: a}
            - run: {shell: b}
                1:1-18 TIN011 the document takes a mapping, not a list | a document holds one job; several stand one after the other with `---` between them
        "#]],
    );
}

#[test]
fn a_value_for_a_whole_part_is_one_mistake_with_its_way_out() {
    check(
        &[
            "run: {shell: a}\npolicy: {retry: 3}\n",
            "run: {shell: a}\npolicy: {retries: 3}\n",
            "run: {shell: a}\nretry: 3\n",
            "run: {shell: a}\nschedul: 5m\n",
        ],
        expect![[r#"
            run: {shell: a}
            policy: {retry: 3}
                2:17-18 TIN011 `retry` takes a mapping, not the number 3 | write `retry: {max_attempts: 3}`
            run: {shell: a}
            policy: {retries: 3}
                2:10-17 TIN010 `policy` has no field `retries` | write `retry: {max_attempts: 3}`
            run: {shell: a}
            retry: 3
                2:1-6 TIN010 there is no field `retry` | `retry` belongs elsewhere: `policy.retry`; write `retry: {max_attempts: 3}` there
            run: {shell: a}
            schedul: 5m
                2:1-8 TIN010 there is no field `schedul` | write `schedule: {every: "5m"}`
        "#]],
    );
}

#[test]
fn a_duration_that_is_too_long_is_told_as_one() {
    check(
        &["run: {shell: a}\nschedule: {every: 99999999999999w}\n", "run: {shell: a}\nschedule: {every: w}\n"],
        expect![[r#"
            run: {shell: a}
            schedule: {every: 99999999999999w}
                2:19-34 TIN016 `99999999999999w` is longer than ten years | write ten years (`3660d`) or less
            run: {shell: a}
            schedule: {every: w}
                2:19-20 TIN015 `w` is not a duration | write numbers with units (`ms`, `s`, `m`, `h`, `d`, `w`), as in `30s` or `6h30m`
        "#]],
    );
}

#[test]
fn a_name_that_is_suggested_is_one() {
    check(
        &["run: {shell: a}\nname: A/B/../C\n"],
        expect![[r#"
            run: {shell: a}
            name: A/B/../C
                2:7-15 TIN015 `A/B/../C` is not a name of a job | lower-case letters, digits, `.`, `_` and `-`, beginning and ending with a letter or digit: `a-b-c`
        "#]],
    );
}

#[test]
fn numbers_are_shown_as_they_are_written() {
    check(
        &[
            "run: {shell: a}\npolicy: {max_running: 99999999999999999999}\n",
            "run: {shell: a}\npolicy: {max_running: 0xFFFFFFFF}\n",
            "run: {shell: a}\nparams: {n: 1e400}\n",
        ],
        expect![[r#"
            run: {shell: a}
            policy: {max_running: 99999999999999999999}
                2:23-43 TIN016 the number `99999999999999999999` is out of range | whole numbers go from -9223372036854775808 to 18446744073709551615; if a text is meant, put it in quotes
            run: {shell: a}
            policy: {max_running: 0xFFFFFFFF}
                2:23-33 TIN016 `max_running` is a number from 1 to 1000, not 0xFFFFFFFF | write a number from 1 to 1000
            run: {shell: a}
            params: {n: 1e400}
                2:13-18 TIN016 the number `1e400` is out of range | numbers go up to 1.7976931348623157e308; if a text is meant, put it in quotes
        "#]],
    );
}
