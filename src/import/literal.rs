//! A text that a template fills in as it is. Pure.

use std::borrow::Cow;

use crate::manifest::template::is_template;

/// One `{` where a template could begin. `safe`: a line for a shell quotes what is filled in.
const BRACE: &str = r#"{{ "{" | safe }}"#;

/// The text as a value of a manifest: filled in, it is the text again.
pub(super) fn literal(text: &str) -> Cow<'_, str> {
    if !is_template(text) {
        return Cow::Borrowed(text);
    }
    if !text.contains("endraw") {
        return Cow::Owned(format!("{{% raw %}}{text}{{% endraw %}}"));
    }
    // What is raw ends where it says so, so each brace that could begin a template is filled in.
    let mut out = String::with_capacity(text.len() + BRACE.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('{', Some('{' | '%')) => out.push_str(BRACE),
            _ => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;
    use crate::manifest::{
        name::JobName,
        template::{
            Kind, Values,
            check::{Scope, check},
            render,
        },
    };

    #[test]
    fn a_literal_is_filled_in_as_itself() {
        let values = Values {
            job: JobName::parse("a").unwrap(),
            labels: BTreeMap::new(),
            fire_time: Timestamp::UNIX_EPOCH,
            timezone: "UTC".to_owned(),
            run_id: String::new(),
            attempt: 1,
            params: BTreeMap::new(),
            steps: BTreeMap::new(),
            secrets: BTreeMap::new(),
        };
        let (params, labels) = (BTreeMap::new(), BTreeMap::new());
        let scope = Scope { params: &params, labels: &labels, steps: &[], secrets: &[], open: &[] };
        for text in [
            "plain",
            "{{ x }}",
            "{{{ x }}}",
            "a {% b",
            "{# c",
            "ends {{",
            "- {{ x }} -",
            "{%- endraw -%}",
            "{% endraw %}{{ x }}",
            "{{{% endraw %}{# '\"\\",
            "\n{{ x }}\n",
            "awk '{{print $1}}' endraw",
        ] {
            let literal = literal(text);
            assert_eq!(check(&literal, &scope), [], "{literal}");
            for kind in [Kind::Plain, Kind::Shell] {
                assert_eq!(render(&literal, kind, &values).unwrap(), text, "{literal}");
            }
        }
    }
}
