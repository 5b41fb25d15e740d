//! Scalars and tags: only those of the YAML 1.2 core schema are known.

use std::borrow::Cow;

use granit_parser::{ScalarStyle, Tag};

use super::{
    compose::{Composer, Stop},
    fault::Fault,
    node::NodeValue,
    scalar,
    syntax::{self, to_u32},
};
use crate::manifest::{code::Code, problem::Span};

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
        let resolved = if span.is_empty() { Some(NodeValue::Null) } else { scalar::resolve(&text) };
        let fits = match (kind, &resolved) {
            ("str", _) => return NodeValue::Text(text.into_owned()),
            ("", Some(_))
            | ("null", Some(NodeValue::Null))
            | ("bool", Some(NodeValue::Bool(_)))
            | ("int", Some(NodeValue::Int(_) | NodeValue::UInt(_)))
            | ("float", Some(NodeValue::Float(_) | NodeValue::Int(_) | NodeValue::UInt(_))) => true,
            _ => false,
        };
        match resolved {
            Some(value) if fits => value,
            None if kind.is_empty() => {
                let fault =
                    Fault::new(Code::YamlFeature, span, format!("`{text}` is no number that JSON has"));
                self.report(fault.label("not finite").help(format!("quote it: \"{text}\"")));
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
