//! Where nodes and keys are written.

use expect_test::expect;

use crate::manifest::yaml::{Limits, compose};

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
