//! Mistakes that people make, with their ways out.

use expect_test::expect;

use super::check;

#[test]
fn an_alias_of_another_document_and_a_character_that_no_file_has_are_told_as_what_they_are() {
    check(
        &[
            "a: &r {b: c}\n---\na: *r\n",
            "a: &rest b\nc: x&r\n---\na: *r\n",
            "a: [\"x\0y\"]\n",
            "a: |\n  x\0y\n",
            "a: 'x\u{1}y'\n",
        ],
        &expect![[r#"
            a: &r {b: c}\n---\na: *r\n
                {"a":{"b":"c"}}
                flawed {"a":null}
                3:4-6 TIN001 /a the anchor `&r` stands in an earlier document, and anchors end at `---` (the anchor is here 1:4-6) | write the value out; what all jobs of a directory share stands in its `_defaults.yaml`
            a: &rest b\nc: x&r\n---\na: *r\n
                {"a":"b","c":"x&r"}
                flawed {"a":null}
                4:4-6 TIN001 /a there is no anchor `&r` above this alias | put `&r` before the value that it stands for, or quote it
            a: [\"x\0y\"]\n
                part {"a":[]}
                1:7-8 TIN001 a zero byte cannot stand in a manifest | take it out: no argument, variable or path of a program can hold one
            a: |\n  x\0y\n
                part {}
                2:4-5 TIN001 a zero byte cannot stand in a manifest | take it out: no argument, variable or path of a program can hold one
            a: \'x\u{1}y\'\n
                part {}
                1:6-7 TIN001 the control character 0x01 cannot stand in a manifest | take it out, or write `\x01` for it in double quotes"#]],
    );
}

#[test]
fn common_slips_have_their_way_out() {
    check(
        &[
            "schedule:\n  cron: */5 * * * * # often\n",
            "cron: * * * * *\n",
            "cron: *\n",
            "a: {{ job.name }}\n",
            "a: {{ job.name }}-x\n",
            "description: Build: all\n",
            "name: x\n  run: y\n",
            "name x\nrun: y\n",
            "run:\n\tshell: x\n",
            "a: \"abc\nb: 1\n",
            "a: 'it's'\n",
            "a: \"\\d\"\n",
        ],
        &expect![[r#"
            schedule:\n  cron: */5 * * * * # often\n
                part {"schedule":{"cron":null}}
                2:9-12 TIN001 /schedule/cron a value that begins with `*` must be quoted | quote it: "*/5 * * * *"
            cron: * * * * *\n
                part {}
                1:7-8 TIN001 a value that begins with `*` must be quoted | quote it: "* * * * *"
            cron: *\n
                part {}
                1:7-8 TIN001 a value that begins with `*` must be quoted | quote it: "*"
            a: {{ job.name }}\n
                flawed {"a":{}}
                1:4-18 TIN004 /a a template must be quoted | quote it: "{{ job.name }}"
            a: {{ job.name }}-x\n
                part {"a":{}}
                1:4-20 TIN004 a template must be quoted | quote it: "{{ job.name }}-x"
            description: Build: all\n
                part {"description":"Build"}
                1:14-24 TIN001 a value with `: ` in it must be quoted | quote it: "Build: all"
            name: x\n  run: y\n
                part {"name":"x run"}
                2:3-6 TIN001 /name a key cannot begin here | line it up with the keys around it, and see that the line above has its `:`
            name x\nrun: y\n
                part "name x run"
                2:1-4 TIN001 a key cannot begin here | line it up with the keys around it, and see that the line above has its `:`
            run:\n\tshell: x\n
                part {}
                2:1-2 TIN001 a tab cannot indent | indent with spaces
            a: \"abc\nb: 1\n
                part {}
                1:4-5 TIN001 the quote is never closed | close it on the same line, or write `|` and indent the lines of a long text
            a: \'it\'s\'\n
                part {}
                1:8-10 TIN001 nothing can follow a closing quote | quote the whole value; inside of single quotes, write `''` for one quote
            a: \"\\d\"\n
                part {}
                1:4-8 TIN001 no such escape in double quotes | write `\\` for a backslash, or use single quotes, which have no escapes"#]],
    );
}

#[test]
fn stray_signs_have_their_way_out() {
    check(
        &[
            "a: @daily\n",
            "a: %x\n",
            "command: [a\nshell: b\n",
            "command: [a, {b: 1]\n",
            "a: ]\n",
            "- a\nb: 1\n",
            "a: - x\n",
            "a: !foo bar\nb: !!binary aGk=\nc: !x\n  - 1\n",
            "a: *x y\n",
            "8080: x\ntrue: y\n~: z\n: w\n? [a]\n: 1\n",
            "ä: \"ö\" x\n",
        ],
        &expect![[r#"
            a: @daily\n
                part {}
                1:4-10 TIN001 a value cannot begin with `@` | quote it: "@daily"
            a: %x\n
                part {}
                1:4-6 TIN001 a value cannot begin with `%` | quote it: "%x"
            command: [a\nshell: b\n
                part {"command":[]}
                1:10-11 TIN001 /command the `[` is never closed (read as part of what it holds 2:6-7) | close it with `]`
            command: [a, {b: 1]\n
                part {"command":["a"]}
                1:14-17 TIN001 `{` cannot be closed by `]` | close each bracket with one of its own kind
            a: ]\n
                part {}
                1:4-5 TIN001 this bracket was never opened | remove it, or quote the value that it belongs to
            - a\nb: 1\n
                part ["a"]
                2:1-3 TIN001 this line is no item of the list above it | begin it with `- ` like the other items, or indent it like the keys further out
            a: - x\n
                part {}
                1:4-5 TIN001 a `- ` item cannot begin here | put the first item on a line of its own
            a: !foo bar\nb: !!binary aGk=\nc: !x\n  - 1\n
                flawed {"a":"bar","b":"aGk=","c":[1]}
                1:4-8 TIN004 /a the tag `!foo` is not used in manifests | remove it; if the value is a text that begins with `!`, quote it
                2:4-12 TIN004 /b the tag `!!binary` is not used in manifests | remove it; if the value is a text that begins with `!`, quote it
                3:4-6 TIN004 /c the tag `!x` is not used in manifests | remove it; if the value is a text that begins with `!`, quote it
            a: *x y\n
                part {"a":null}
                1:4-6 TIN001 /a a value that begins with `*` must be quoted | quote it: "*x y"
            8080: x\ntrue: y\n~: z\n: w\n? [a]\n: 1\n
                flawed {}
                1:1-5 TIN004 a key must be text | quote it: "8080"
                2:1-5 TIN004 a key must be text | quote it: "true"
                3:1-2 TIN004 a key must be text | quote it: "~"
                4:1-2 TIN004 a key must be text | write a key before the `:`
                5:3-6 TIN004 a key must be text | give each key as plain text
            ä: \"ö\" x\n
                part {}
                1:8-9 TIN001 nothing can follow a closing quote | quote the whole value; inside of double quotes, write `\"` for a quote"#]],
    );
}
