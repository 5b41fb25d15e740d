//! Canonical JSON: keys sorted by their bytes, no white space. What is signed is signed in this form, so
//! that a consumer in any language can make it again.

use serde_json::Value;

/// The canonical form of a value.
#[must_use]
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            text.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_text(key, text);
                text.push(':');
                write(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        Value::String(word) => write_text(word, text),
        scalar => text.push_str(&scalar.to_string()),
    }
}

fn write_text(word: &str, text: &mut String) {
    // A text always has a JSON form.
    text.push_str(&serde_json::to_string(word).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_at_every_depth_and_lists_keep_their_order() {
        let value = serde_json::json!({"b": [{"z": 1, "a": "é\n\"x\""}, 2.5], "a": null});
        assert_eq!(canonical(&value), r#"{"a":null,"b":[{"a":"é\n\"x\"","z":1},2.5]}"#);
    }
}
