//! A node as `jsonschema` reads it: the verdict needs no copy of the document as JSON.

use std::borrow::Cow;

use jsonschema::{
    JsonType,
    json::{Array, Json, Node as JsonNode, NodeIdentity, Object},
};
use serde_json::{Number, Value};

use crate::manifest::{
    problem::Span,
    yaml::{Entry, Node, NodeValue},
};

/// The representation of JSON that nodes are.
#[derive(Debug)]
pub(super) struct Tree;

/// Holds one name of a field at a time.
pub(super) struct Name(Node);

impl Default for Name {
    fn default() -> Self {
        Self(Node { value: NodeValue::Text(String::new()), span: Span::default(), used_at: None })
    }
}

impl Json for Tree {
    type Node<'a> = &'a Node;
    type PreparedKey = String;
    type StringBuffer = Name;

    // As for any representation whose lookups go through the entries one by one.
    const KEYS_PER_LOOKUP: usize = 2;
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>(buffer: &mut Name, string: &str, f: impl FnOnce(&Node) -> T) -> T {
        if let NodeValue::Text(name) = &mut buffer.0.value {
            name.clear();
            name.push_str(string);
        }
        f(&buffer.0)
    }
}

impl<'a> JsonNode<'a, Tree> for &'a Node {
    type Object = &'a [Entry];
    type Array = &'a [Node];
    type Number = Number;

    fn as_object(&self) -> Option<&'a [Entry]> {
        match &self.value {
            NodeValue::Map(entries) => Some(entries),
            _ => None,
        }
    }

    fn as_array(&self) -> Option<&'a [Node]> {
        match &self.value {
            NodeValue::List(items) => Some(items),
            _ => None,
        }
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        self.as_text().map(Cow::Borrowed)
    }

    fn as_number(&self) -> Option<Number> {
        match &self.value {
            NodeValue::Int(value) => Some((*value).into()),
            NodeValue::UInt(value) => Some((*value).into()),
            NodeValue::Float(value) => Number::from_f64(*value),
            _ => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        match self.value {
            NodeValue::Bool(value) => Some(value),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        self.value == NodeValue::Null
    }

    fn json_type(&self) -> JsonType {
        match &self.value {
            NodeValue::Null => JsonType::Null,
            NodeValue::Bool(_) => JsonType::Boolean,
            NodeValue::Int(_) | NodeValue::UInt(_) | NodeValue::Float(_) => JsonType::Number,
            NodeValue::Text(_) => JsonType::String,
            NodeValue::List(_) => JsonType::Array,
            NodeValue::Map(_) => JsonType::Object,
        }
    }

    fn string_length_within(&self, min: u64, max: u64) -> Option<bool> {
        let text = self.as_text()?;
        // A character takes one to four bytes, so that most texts need not be counted.
        let bytes = text.len() as u64;
        let within = min <= bytes.div_ceil(4) && bytes <= max;
        Some(within || (min..=max).contains(&(text.chars().count() as u64)))
    }

    fn equals_value(&self, expected: &Value) -> bool {
        match (&self.value, expected) {
            (NodeValue::Text(text), expected) => expected.as_str() == Some(text),
            (_, Value::String(_)) => false,
            _ => jsonschema::json::cmp::equal(&self.to_json(), expected),
        }
    }

    fn to_value(&self) -> Cow<'a, Value> {
        Cow::Owned(self.to_json())
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(std::ptr::from_ref::<Node>(self) as usize))
    }
}

/// A field with its value.
fn member(entry: &Entry) -> (&str, &Node) {
    (&entry.key, &entry.value)
}

impl<'a> Object<'a, Tree> for &'a [Entry] {
    type Node = &'a Node;
    type MemberName = &'a str;
    type MembersIter = std::iter::Map<std::slice::Iter<'a, Entry>, fn(&'a Entry) -> (&'a str, &'a Node)>;

    fn len(&self) -> usize {
        <[Entry]>::len(self)
    }

    fn get(&self, key: &String) -> Option<&'a Node> {
        self.iter().find(|entry| entry.key == *key).map(|entry| &entry.value)
    }

    fn members(&self) -> Self::MembersIter {
        self.iter().map(member)
    }
}

impl<'a> Array<'a, Tree> for &'a [Node] {
    type Node = &'a Node;
    type ElementsIter = std::slice::Iter<'a, Node>;

    fn len(&self) -> usize {
        <[Node]>::len(self)
    }

    fn elements(&self) -> Self::ElementsIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::yaml::{Limits, compose};

    /// What a schema says of a document, which must be what it says of the document as JSON.
    #[track_caller]
    fn check(schema: &Value, text: &str, expected: bool) {
        let node = compose(text, &Limits::default()).documents.remove(0).root;
        let of_tree = jsonschema::options_for::<Tree>().build(schema).unwrap();
        let of_json = jsonschema::draft202012::new(schema).unwrap();
        assert_eq!(of_tree.is_valid(&node), expected, "{schema} of {text}");
        assert_eq!(of_json.is_valid(&node.to_json()), expected, "{schema} of {text}");
    }

    #[test]
    #[rustfmt::skip]
    fn a_schema_says_the_same_of_a_node_and_of_its_json() {
        let names = json!({"propertyNames": {"pattern": "^[a-z]+$"}, "maxProperties": 2});
        check(&names, "{a: 1, bc: 2}", true);
        check(&names, "{a: 1, B: 2}", false);
        check(&names, "{a: 1, b: 2, c: 3}", false);
        let fields = json!({
            "type": "object", "required": ["a"], "additionalProperties": false,
            "properties": {"a": {"type": "integer", "minimum": 2}, "b": {"enum": ["x", 1, null, [1.0]]}},
        });
        for (text, expected) in [
            ("{a: 2}", true), ("{a: 2.0}", true), ("{a: 2.5}", false), ("{a: 1}", false), ("{a: '2'}", false),
            ("{b: x}", false), ("{a: 18446744073709551615}", true), ("{a: -3}", false), ("{a: 2, c: 1}", false),
            ("{a: 2, b: x}", true), ("{a: 2, b: y}", false), ("{a: 2, b: 1.0}", true), ("{a: 2, b: ~}", true),
            ("{a: 2, b: [1]}", true), ("{a: 2, b: '1'}", false), ("[a]", false), ("a", false),
        ] {
            check(&fields, text, expected);
        }
        let text = json!({"type": "string", "minLength": 2, "maxLength": 4});
        for (written, expected) in [
            ("a", false), ("ab", true), ("abcd", true), ("abcde", false), ("äöü", true), ("äöüäö", false),
            ("😀", false), ("😀😀😀😀", true), ("😀😀😀😀😀", false), ("12", false), ("true", false),
        ] {
            check(&text, written, expected);
        }
        let list = json!({"uniqueItems": true, "items": {"type": ["boolean", "number"]}, "minItems": 1});
        check(&list, "[1, 2.5, true]", true);
        check(&list, "[1, 1.0]", false);
        check(&list, "[]", false);
    }
}
