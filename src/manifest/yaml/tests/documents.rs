//! Several documents in a file, and what stands around them.

use expect_test::expect;

use super::check;

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
