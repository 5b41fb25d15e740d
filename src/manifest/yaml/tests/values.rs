//! What words, keys and aliases mean.

use expect_test::expect;

use super::check;

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
                3:4-6 TIN001 /b the anchor `&x` stands in an earlier document, and anchors end at `---` (the anchor is here 1:4-6) | write the value out; what all jobs of a directory share stands in its `_defaults.yaml`"#]],
    );
}
