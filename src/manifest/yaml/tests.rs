//! The composer, as one table: a text on the left, the documents and the faults on the right.

use std::time::Instant;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{Composed, Limits, Node, NodeValue, compose};
use crate::manifest::problem::{SourceText, Span};

/// Documents as JSON, one a line (`part` and `flawed` in front of broken ones), then faults as
/// `line:column-column code message (related) | help`.
fn shown(text: &str, limits: &Limits) -> String {
    let Composed { documents, faults } = compose(text, limits);
    let mut lines = Vec::new();
    for document in &documents {
        let extent = match document.extent {
            super::Extent::Whole => "",
            super::Extent::Flawed => "flawed ",
            super::Extent::Part => "part ",
        };
        lines.push(format!("{extent}{}", document.root.to_json()));
    }
    for fault in &faults {
        let related = fault
            .related
            .as_ref()
            .map_or_else(String::new, |(span, words)| format!(" ({words} {})", place(text, *span)));
        let pointer = if fault.pointer.is_empty() { String::new() } else { format!(" {}", fault.pointer) };
        let help = fault.help.as_deref().unwrap_or("-");
        lines.push(format!(
            "{} {}{pointer} {}{related} | {help}",
            place(text, fault.span),
            fault.code,
            fault.message
        ));
    }
    lines.join("\n")
}

fn place(text: &str, span: Span) -> String {
    let source = SourceText::new("", text);
    let start = source.position(span.start as usize);
    let end = source.position(span.end as usize);
    if start.line == end.line {
        format!("{}:{}-{}", start.line, start.column, end.column)
    } else {
        format!("{}:{}-{}:{}", start.line, start.column, end.line, end.column)
    }
}

/// Each text, escaped, with what it holds below it.
#[track_caller]
fn check(texts: &[&str], expected: &Expect) {
    let cases: Vec<String> = texts
        .iter()
        .map(|text| {
            let result = shown(text, &Limits::default());
            let lines = std::iter::once(text.escape_debug().to_string());
            let indented = result.lines().map(|line| format!("    {line}"));
            lines.chain(indented).collect::<Vec<_>>().join("\n")
        })
        .collect();
    expected.assert_eq(&cases.join("\n"));
}

#[test]
fn core_schema_words() {
    check(
        &[
            "c: NO\non: yes\ny: n\n",
            "a: 014\nb: 1_000\nc: 99999999999999999999\nd: 0x10\n",
            "a: 2026-12-24T18:00:00+01:00\nb: 12:30\nc: ~\nd:\n",
            "a: !!str 5\nb: !!int 7\nc: ! 9\nd: !!float 2\ne: !!map {}\nf: !!seq []\n",
            "a: .inf\n",
            "a: !!int x\nb: !!map []\n",
        ],
        &expect![[r#"
            c: NO\non: yes\ny: n\n
                {"c":"NO","on":"yes","y":"n"}
            a: 014\nb: 1_000\nc: 99999999999999999999\nd: 0x10\n
                flawed {"a":14,"b":"1_000","c":"99999999999999999999","d":16}
                3:4-24 TIN016 /c the number `99999999999999999999` is out of range | whole numbers go from -9223372036854775808 to 18446744073709551615; if a text is meant, put it in quotes
            a: 2026-12-24T18:00:00+01:00\nb: 12:30\nc: ~\nd:\n
                {"a":"2026-12-24T18:00:00+01:00","b":"12:30","c":null,"d":null}
            a: !!str 5\nb: !!int 7\nc: ! 9\nd: !!float 2\ne: !!map {}\nf: !!seq []\n
                {"a":"5","b":7,"c":"9","d":2,"e":{},"f":[]}
            a: .inf\n
                flawed {"a":".inf"}
                1:4-8 TIN004 /a `.inf` is no number that JSON has | write a finite number; if a text is meant, put it in quotes
            a: !!int x\nb: !!map []\n
                flawed {"a":"x","b":[]}
                1:4-9 TIN004 /a the value does not fit its tag `!!int` | remove the tag
                2:4-9 TIN004 /b the value does not fit its tag `!!map` | remove the tag"#]],
    );
}

#[test]
fn a_repeated_key_shows_both_places_and_does_not_stop_the_document() {
    check(
        &["a: 1\nb: 2\na: 3\nc:\n  d: 1\n  d: 2\n  d: 3\n", "{a: 1, \"a\": 2}\n"],
        &expect![[r#"
        a: 1\nb: 2\na: 3\nc:\n  d: 1\n  d: 2\n  d: 3\n
            flawed {"a":1,"b":2,"c":{"d":1}}
            3:1-2 TIN003 /a `a` is given twice (first given here 1:1-2) | keep one of them
            6:3-4 TIN003 /c/d `d` is given twice (first given here 5:3-4) | keep one of them
            7:3-4 TIN003 /c/d `d` is given twice (first given here 5:3-4) | keep one of them
        {a: 1, \"a\": 2}\n
            flawed {"a":1}
            1:8-11 TIN003 /a `a` is given twice (first given here 1:2-3) | keep one of them"#]],
    );
}

#[test]
fn anchors_aliases_and_merge_keys() {
    check(
        &[
            "a: &x [1, 2]\nb: *x\n",
            "d: &d {x: 1, y: 2}\na:\n  <<: *d\n  y: 3\n",
            "a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b], z: 3}\n",
            "a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a\n",
            "a: &a 1\nb: {<<: *a}\nc: {<<: [1]}\n",
            "k: &k name\n*k : v\n",
            "a: *nope\nb: 1\n",
            "a: &x [1, *x]\n",
            "a: &x 1\n---\nb: *x\n",
        ],
        &expect![[r#"
            a: &x [1, 2]\nb: *x\n
                {"a":[1,2],"b":[1,2]}
            d: &d {x: 1, y: 2}\na:\n  <<: *d\n  y: 3\n
                {"d":{"x":1,"y":2},"a":{"y":3,"x":1}}
            a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b], z: 3}\n
                {"a":{"x":1},"b":{"x":2,"y":2},"c":{"z":3,"x":1,"y":2}}
            a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a\n
                flawed {"a":{"x":1},"b":{"x":1}}
                4:3-5 TIN003 /b/<< `<<` is given twice (first given here 3:3-5) | write one list: `<<: [*a, *b]`
            a: &a 1\nb: {<<: *a}\nc: {<<: [1]}\n
                flawed {"a":1,"b":{},"c":{}}
                2:9-11 TIN004 /b `<<` needs a mapping or a list of mappings | write `<<: *name`, where `&name` marks a mapping
                3:9-12 TIN004 /c `<<` needs a mapping or a list of mappings | write `<<: *name`, where `&name` marks a mapping
            k: &k name\n*k : v\n
                {"k":"name","name":"v"}
            a: *nope\nb: 1\n
                flawed {"a":null,"b":1}
                1:4-9 TIN001 /a there is no anchor `&nope` above this alias | put `&nope` before the value that it stands for, or quote it
            a: &x [1, *x]\n
                flawed {"a":[1,null]}
                1:11-13 TIN004 /a/1 the alias stands for a value that holds it | write the value out
            a: &x 1\n---\nb: *x\n
                {"a":1}
                flawed {"b":null}
                3:4-6 TIN001 /b there is no anchor `&x` above this alias | put `&x` before the value that it stands for, or quote it"#]],
    );
}

#[test]
fn a_broken_document_does_not_lose_the_next() {
    check(
        &[
            "a: 1\n---\nb: [1\n---\nc: 3\n",
            "a: \"x\n---\nb: 1\n",
            "a:\n  b: 1\n c: 2\n---\nd: 1\n",
            "%YAML 1.2\n---\na: 1\n---\nb: 1\n",
        ],
        &expect![[r#"
            a: 1\n---\nb: [1\n---\nc: 3\n
                {"a":1}
                part {"b":[]}
                {"c":3}
                3:4-5 TIN001 /b the `[` is never closed | close it with `]`
            a: \"x\n---\nb: 1\n
                part {}
                {"b":1}
                1:4-5 TIN001 the quote is never closed | close it on the same line, or write `|` and indent the lines of a long text
            a:\n  b: 1\n c: 2\n---\nd: 1\n
                part {"a":{"b":1}}
                {"d":1}
                3:2-4 TIN001 this line fits no key above it | indent it like the keys that it belongs to
            %YAML 1.2\n---\na: 1\n---\nb: 1\n
                part null
                {"b":1}
                1:1-6 TIN004 directives are not used in manifests | remove the line; YAML 1.2 is always meant"#]],
    );
}

#[test]
fn documents_with_nothing_in_them_are_left_out() {
    check(
        &["", "# only a comment\n", "---\n# nothing\n---\na: 1\n---\n...\n", "--- ~\n"],
        &expect![[r#"

        # only a comment\n
        ---\n# nothing\n---\na: 1\n---\n...\n
            {"a":1}
        --- ~\n
            null"#]],
    );
}

#[test]
fn bom_and_crlf() {
    check(
        &["\u{feff}a: 1\r\nb: x\r\nb: y\r\n"],
        &expect![[r#"
        \u{feff}a: 1\r\nb: x\r\nb: y\r\n
            flawed {"a":1,"b":"x"}
            3:1-2 TIN003 /b `b` is given twice (first given here 2:1-2) | keep one of them"#]],
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

#[test]
fn spans_point_at_what_is_written() {
    let text = "a: xy\nb:\n- 1\n-\nc: |\n  line\nd:\ne: [ 1, 2 ]\nf:\n  g: 'q'\n\n# end\n";
    let root = &compose(text, &Limits::default()).documents[0].root;
    let written = |pointer: &str| {
        let located = root.at(pointer).unwrap();
        let key = located.key_span.map_or("-", |span| &text[span.range()]);
        format!("{key} = {:?}", &text[located.node.span.range()])
    };
    let pointers = ["/a", "/b", "/b/0", "/b/1", "/c", "/d", "/e", "/f", "/f/g"];
    let lines: Vec<String> =
        pointers.iter().map(|pointer| format!("{pointer} {}", written(pointer))).collect();
    expect![[r#"
        /a a = "xy"
        /b b = "- 1\n-"
        /b/0 - = "1"
        /b/1 - = "-"
        /c c = "line"
        /d d = "d"
        /e e = "[ 1, 2 ]"
        /f f = "g: 'q'"
        /f/g g = "'q'""#]]
    .assert_eq(&lines.join("\n"));
    assert_eq!(root.at("/nope"), None);
    assert_eq!(root.at("/b/7"), None);
}

#[test]
fn what_an_alias_stands_for_keeps_both_places() {
    let text = "base: &base\n  x: {y: 1}\nuse: *base\nmerged:\n  <<: *base\n";
    let root = &compose(text, &Limits::default()).documents[0].root;
    for pointer in ["/use", "/use/x", "/use/x/y", "/merged/x", "/merged/x/y"] {
        let located = root.at(pointer).unwrap();
        assert_eq!(located.used_at.map(|span| &text[span.range()]), Some("*base"), "{pointer}");
    }
    assert_eq!(root.at("/base/x/y").unwrap().used_at, None);
    let one = root.at("/use/x/y").unwrap().node.span;
    assert_eq!(&text[one.range()], "1");
    assert_eq!(root.pointer_at(one), "/base/x/y");
}

/// Nine levels of nine aliases: 387 million nodes when written out.
fn billion_laughs() -> String {
    let level = |level: usize| {
        let below = if level == 0 { "x".to_owned() } else { format!("*a{}", level - 1) };
        format!("a{level}: &a{level} [{}]\n", vec![below; 9].join(","))
    };
    (0..9).map(level).collect::<Vec<_>>().concat()
}

#[test]
fn each_limit_is_named_and_costs_little_to_hit() {
    let started = Instant::now();
    let faults = |text: &str| {
        let composed = compose(text, &Limits::default());
        let fault = &composed.faults[0];
        format!("{} {}", fault.code, fault.message)
    };
    assert_eq!(faults(&billion_laughs()), "TIN002 more than 100000 values in one file, aliases written out");
    assert_eq!(faults(&"[".repeat(100_000)), "TIN002 nested more than 64 levels deep");
    assert_eq!(faults(&"a: {".repeat(100_000)), "TIN002 nested more than 64 levels deep");
    assert_eq!(faults(&"- ".repeat(100_000)), "TIN002 nested more than 64 levels deep");
    let aliases = format!("a: &a 1\nb: [{}]\n", vec!["*a"; 1001].join(", "));
    assert_eq!(faults(&aliases), "TIN002 more than 1000 aliases in one file");
    let large = "a".repeat((1 << 20) + 1);
    assert_eq!(faults(&large), "TIN002 the file has 1048577 bytes; at most 1048576 are read");
    // A wide margin: each takes some milliseconds, also in a debug build.
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}

#[test]
fn keys_by_the_thousand_are_read_in_linear_time() {
    let keys = |count: usize| (0..count).map(|n| format!("k{n}: {n}\n")).collect::<Vec<_>>().concat();
    let root = compose(&keys(20_000), &Limits::default()).documents.remove(0).root;
    assert!(matches!(&root.value, NodeValue::Map(entries) if entries.len() == 20_000));
    let twice = compose(&(keys(20_000) + &keys(20_000)), &Limits::default());
    assert_eq!(twice.faults.len(), super::limits::FAULTS_MAX + 1);
}

fn check_spans(node: &Node, text: &str) {
    for span in [Some(node.span), node.used_at].into_iter().flatten() {
        assert!(text.get(span.range()).is_some(), "{span:?} of {text:?}");
    }
    match &node.value {
        NodeValue::List(items) => items.iter().for_each(|item| check_spans(item, text)),
        NodeValue::Map(entries) => {
            for entry in entries {
                assert!(text.get(entry.key_span.range()).is_some(), "{:?} of {text:?}", entry.key_span);
                check_spans(&entry.value, text);
            }
        }
        _ => {}
    }
}

fn check_text(text: &str) {
    let composed = compose(text, &Limits::default());
    for document in &composed.documents {
        check_spans(&document.root, text);
        assert!(text.get(document.span.range()).is_some(), "{:?} of {text:?}", document.span);
    }
    for fault in &composed.faults {
        assert!(text.get(fault.span.range()).is_some(), "{fault:?} of {text:?}");
        if let Some((span, _)) = &fault.related {
            assert!(text.get(span.range()).is_some(), "{fault:?} of {text:?}");
        }
    }
}

/// Pieces that mean something to YAML, so that most texts get past the first line.
fn yaml_like() -> impl Strategy<Value = String> {
    #[rustfmt::skip]
    let pieces = prop::sample::select(vec![
        "a", "b: ", "- ", "\n", "\n  ", "\n    ", "\r\n", "\t", "[", "]", "{", "}", ", ", ": ", "&x ", "*x", "*y",
        "<<: ", "!t ", "!!str ", "\"", "'", "|", ">", "|2\n", "#", " # c", "---\n", "...\n", "%YAML 1.2\n", "? ",
        "~", "1", ".inf", "ü", "\u{feff}", "\u{2028}", "\u{85}", "\\", "@", "`", "\u{0}",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics_and_every_span_lies_in_it(text in any::<String>()) {
        check_text(&text);
    }

    #[test]
    fn no_yaml_panics_and_every_span_lies_in_it(text in yaml_like()) {
        check_text(&text);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check_text(&String::from_utf8_lossy(&bytes));
    }
}
