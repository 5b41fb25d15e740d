//! Whatever a text holds, the composer comes to an end, and what it tells lies in the text.

use proptest::prelude::*;

use crate::manifest::yaml::{Limits, Node, NodeValue, compose};

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
        for span in [fault.hidden, fault.hidden_in_secrets].into_iter().flatten() {
            assert!(text.get(span.range()).is_some(), "{fault:?} of {text:?}");
        }
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
        "<<: ", "secrets: ", "!t ", "!!str ", "\"", "'", "|", ">", "|2\n", "#", " # c", "---\n", "...\n", "%YAML 1.2\n", "? ",
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
