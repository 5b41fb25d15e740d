//! Scalars and tags: only those of the YAML 1.2 core schema are known.

use std::borrow::Cow;

use granit_parser::{ScalarStyle, Tag};

use super::{
    compose::{Composer, Stop},
    fault::Fault,
    node::NodeValue,
    scalar::{self, NoNumber},
    syntax::{self, to_u32},
};
use crate::manifest::{code::Code, problem::Span};

/// Most characters of a number that a message repeats.
const SHOWN_MAX: usize = 40;

impl<'a> Composer<'a> {
    pub(super) fn scalar(
        &mut self,
        text: Cow<'a, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: Span,
    ) -> NodeValue {
        let kind = match tag {
            None if style == ScalarStyle::Plain => "",
            None => return NodeValue::Text(text.into_owned()),
            Some(tag) if tag.suffix() == "!" || tag.original() == "!" => {
                return NodeValue::Text(text.into_owned());
            }
            Some(tag) => tag.core_suffix().unwrap_or("unknown"),
        };
        let resolved = if span.is_empty() { Ok(NodeValue::Null) } else { scalar::resolve(&text) };
        let fits = match (kind, &resolved) {
            ("str", _) => return NodeValue::Text(text.into_owned()),
            ("", Ok(_))
            | ("null", Ok(NodeValue::Null))
            | ("bool", Ok(NodeValue::Bool(_)))
            | ("int", Ok(NodeValue::Int(_) | NodeValue::UInt(_)))
            | ("float", Ok(NodeValue::Float(_) | NodeValue::Int(_) | NodeValue::UInt(_))) => true,
            _ => false,
        };
        match resolved {
            Ok(value) if fits => value,
            Err(why) if matches!(kind, "" | "int" | "float") => {
                self.report_at(span, |_| no_number(&text, why, span));
                NodeValue::Text(text.into_owned())
            }
            _ => {
                self.report(self.tag_fault(kind, span));
                NodeValue::Text(text.into_owned())
            }
        }
    }

    fn tag_fault(&self, kind: &str, span: Span) -> Fault {
        // The tag stands before the value, on the same line or above it.
        let before = self.text[..span.start as usize].trim_end();
        let word = before.rsplit(char::is_whitespace).next().unwrap_or_default();
        let start = before.len() - word.len() + word.find('!').unwrap_or_default();
        let place = Span { start: to_u32(start), end: to_u32(before.len()) };
        let tag = &before[start..];
        if kind == "unknown" {
            Fault::new(Code::YamlFeature, place, format!("the tag `{tag}` is not used in manifests"))
                .label("a tag")
                .help("remove it; if the value is a text that begins with `!`, quote it")
        } else {
            Fault::new(Code::YamlFeature, place, format!("the value does not fit its tag `{tag}`"))
                .label("a tag")
                .help("remove the tag")
        }
    }

    /// Refuses a level too many, and looks at the tag of the collection that begins.
    pub(super) fn enter(
        &mut self,
        depth: usize,
        tag: Option<&Tag>,
        expected: &str,
        span: Span,
    ) -> Result<(), Stop> {
        if depth >= self.limits.depth {
            self.report(syntax::too_deep(
                syntax::token_at(self.text, span.start as usize),
                self.limits.depth,
            ));
            return Err(Stop::Document);
        }
        match tag.map(Tag::core_suffix) {
            None => {}
            Some(Some(kind)) if kind == expected => {}
            Some(kind) => self.report(self.tag_fault(kind.unwrap_or("unknown"), span)),
        }
        Ok(())
    }
}

fn no_number(text: &str, why: NoNumber, span: Span) -> Fault {
    let shown: String = text.chars().take(SHOWN_MAX).collect();
    match why {
        NoNumber::NotFinite => {
            Fault::new(Code::YamlFeature, span, format!("`{shown}` is no number that JSON has"))
                .label("not finite")
                .help("write a finite number; if a text is meant, put it in quotes")
        }
        NoNumber::OutOfRange => {
            let range = if text.contains(['.', 'e', 'E']) && !text.starts_with("0x") {
                format!("numbers go up to {:e}", f64::MAX)
            } else {
                format!("whole numbers go from {} to {}", i64::MIN, u64::MAX)
            };
            Fault::new(Code::OutOfRange, span, format!("the number `{shown}` is out of range"))
                .label("too large to be held")
                .help(format!("{range}; if a text is meant, put it in quotes"))
        }
    }
}
