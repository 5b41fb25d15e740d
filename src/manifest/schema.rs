//! JSON Schemas (draft 2020-12) of what people write, generated from the types.
//!
//! The words of a field are its doc comment: editors show them on hover, the reference is made
//! from them, and `Default: …` in them becomes the schema's `default`. What schemars says about
//! Rust and not about YAML (`null` for an absent option, `format: uint32`) is taken out. Pure.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value};

use super::{defaults::Defaults, job::Manifest};

/// Where the schemas are published; each `$id` begins with it.
pub const BASE_URL: &str = "https://tintal.dev/schemas/";

/// Keywords in the order in which a person wants to read them. What is not listed comes after.
const ORDER: [&str; 12] = [
    "$schema",
    "$id",
    "title",
    "description",
    "$ref",
    "type",
    "enum",
    "default",
    "examples",
    "required",
    "properties",
    "$defs",
];

/// The schema of a job's manifest: `job.schema.json`.
#[must_use]
pub fn job() -> Value {
    generate::<Manifest>("job")
}

/// The schema of `_defaults.yaml`: `defaults.schema.json`.
#[must_use]
pub fn defaults() -> Value {
    generate::<Defaults>("defaults")
}

/// The schema of a type that is written as YAML. Its title is that of the type
/// (`#[schemars(title = "…")]`); `stem` is the name of its file without `.schema.json`.
#[must_use]
pub fn generate<T: JsonSchema>(stem: &str) -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    if let Value::Object(root) = &mut schema {
        root.insert("$id".to_owned(), format!("{BASE_URL}{stem}.schema.json").into());
        tidy(root);
    }
    schema
}

/// Tidies a schema and every schema in it.
fn tidy(schema: &mut Map<String, Value>) {
    for (keyword, value) in schema.iter_mut() {
        match (keyword.as_str(), value) {
            ("properties" | "$defs" | "patternProperties", Value::Object(schemas)) => {
                schemas.values_mut().filter_map(Value::as_object_mut).for_each(tidy);
            }
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(schemas)) => {
                schemas.iter_mut().filter_map(Value::as_object_mut).for_each(tidy);
            }
            ("items" | "additionalProperties" | "propertyNames" | "not", Value::Object(inner)) => tidy(inner),
            _ => {}
        }
    }
    without_null(schema);
    unwrap_words(schema);
    plain_enum(schema);
    stated_default(schema);
    // `uint32` and `double` are Rust's; the range says what matters.
    schema.remove("format");
    sort_keywords(schema);
}

/// An absent option is an absent key, never `null`.
fn without_null(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(branches)) = schema.get_mut("anyOf") else { return };
    branches.retain(|branch| branch.get("type").is_none_or(|name| name != "null"));
    if let [Value::Object(only)] = branches.as_slice() {
        let only = only.clone();
        schema.remove("anyOf");
        for (keyword, value) in only {
            schema.entry(keyword).or_insert(value);
        }
    }
}

/// Lines of a doc comment are wrapped for the source; an empty line is meant.
fn unwrap_words(schema: &mut Map<String, Value>) {
    if let Some(Value::String(words)) = schema.get_mut("description") {
        let paragraphs: Vec<String> = words.split("\n\n").map(|text| text.replace('\n', " ")).collect();
        *words = paragraphs.join("\n\n");
    }
}

/// `oneOf` of constants is an `enum`; what each means goes into the description.
fn plain_enum(schema: &mut Map<String, Value>) {
    let Some(Value::Array(branches)) = schema.get("oneOf") else { return };
    let values: Option<Vec<Value>> = branches.iter().map(|branch| branch.get("const").cloned()).collect();
    let Some(values) = values else { return };
    let list: Vec<String> = branches
        .iter()
        .filter_map(|branch| {
            let word = branch.get("const")?.as_str()?;
            let meaning = branch.get("description")?.as_str()?;
            // A meaning that only repeats the word says nothing.
            (meaning != format!("`{word}`.")).then(|| format!("- `{word}`: {meaning}"))
        })
        .collect();
    schema.remove("oneOf");
    schema.insert("type".to_owned(), "string".into());
    schema.insert("enum".to_owned(), values.into());
    if let Some(Value::String(words)) = schema.get_mut("description")
        && !list.is_empty()
    {
        *words = format!("{words}\n\n{}", list.join("\n"));
    }
}

/// `Default: X.` in the words of a field is its default.
fn stated_default(schema: &mut Map<String, Value>) {
    let Some(words) = schema.get("description").and_then(Value::as_str) else { return };
    let Some((_, rest)) = words.split_once("Default: ") else { return };
    let stated = match rest.strip_prefix('`').and_then(|rest| rest.split_once('`')) {
        Some((text, after)) if after.is_empty() || after.starts_with('.') => text,
        Some(_) => return,
        None => rest.strip_suffix('.').unwrap_or(rest).split(". ").next().unwrap_or_default(),
    };
    let value = match serde_json::from_str(stated) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
        _ if rest.starts_with('`') => Value::from(stated),
        _ => return,
    };
    schema.insert("default".to_owned(), value);
}

fn sort_keywords(schema: &mut Map<String, Value>) {
    let rank = |keyword: &str| match ORDER.iter().position(|known| *known == keyword) {
        // The parts that a schema refers to come last of all.
        Some(_) if keyword == "$defs" => ORDER.len() + 1,
        Some(position) => position,
        None => ORDER.len(),
    };
    let mut entries: Vec<(String, Value)> = std::mem::take(schema).into_iter().collect();
    entries.sort_by_key(|(keyword, _)| rank(keyword));
    schema.extend(entries);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls `look` with each schema in a schema, and the JSON pointer to it.
    fn walk(schema: &Value, pointer: &str, look: &mut dyn FnMut(&str, &Map<String, Value>)) {
        let Some(keywords) = schema.as_object() else { return };
        look(pointer, keywords);
        for (keyword, value) in keywords {
            match (keyword.as_str(), value) {
                ("properties" | "$defs", Value::Object(schemas)) => {
                    for (name, inner) in schemas {
                        walk(inner, &format!("{pointer}/{keyword}/{name}"), look);
                    }
                }
                ("anyOf" | "oneOf", Value::Array(schemas)) => {
                    for (index, inner) in schemas.iter().enumerate() {
                        walk(inner, &format!("{pointer}/{keyword}/{index}"), look);
                    }
                }
                ("items" | "additionalProperties" | "propertyNames", inner @ Value::Object(_)) => {
                    walk(inner, &format!("{pointer}/{keyword}"), look);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn every_property_has_words_and_nothing_is_null() {
        for schema in [job(), defaults()] {
            walk(&schema, "", &mut |pointer, keywords| {
                let is_property = pointer.rsplit('/').nth(1) == Some("properties");
                assert!(!is_property || keywords.contains_key("description"), "{pointer} has no description");
                let text = Value::Object(keywords.clone()).to_string();
                assert!(!text.contains("\"null\""), "{pointer} allows null");
                for keyword in keywords.keys() {
                    assert!(!keyword.starts_with("x-") && keyword != "format", "{pointer}/{keyword}");
                }
                let is_object = keywords.contains_key("properties");
                let is_closed = keywords.get("additionalProperties") == Some(&Value::Bool(false));
                assert!(!is_object || is_closed, "{pointer} takes unknown keys");
            });
        }
    }

    #[test]
    fn every_default_and_every_example_fits_its_own_schema() {
        for schema in [job(), defaults()] {
            let mut count = 0;
            walk(&schema, "", &mut |pointer, keywords| {
                let own: Map<String, Value> = keywords
                    .iter()
                    .filter(|(keyword, _)| *keyword != "$defs")
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .collect();
                let mut own = Value::Object(own);
                own["$defs"] = schema["$defs"].clone();
                let Ok(validator) = jsonschema::draft202012::new(&own) else { panic!("{pointer}") };
                let examples = keywords.get("examples").and_then(Value::as_array).into_iter().flatten();
                for value in keywords.get("default").into_iter().chain(examples) {
                    count += 1;
                    assert!(validator.is_valid(value), "{pointer}: {value}");
                }
            });
            assert!(count > 5, "{count}");
        }
    }

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "rows of a table read better so")]
    fn check_default(words: &str, expected: Option<Value>) {
        let mut schema = Map::new();
        schema.insert("description".to_owned(), words.into());
        stated_default(&mut schema);
        assert_eq!(schema.remove("default"), expected, "{words}");
    }

    #[test]
    fn a_default_is_read_from_the_words() {
        check_default("Who it is for. Default: `internal`.", Some("internal".into()));
        check_default("Default: `true`.", Some(true.into()));
        check_default("Default: 16.", Some(16.into()));
        check_default("Default: 0.1.", Some(0.1.into()));
        check_default("Default: 2. More words.", Some(2.into()));
        check_default("Default: `dag` for `steps`, else `simple`.", None);
        check_default("Default: none.", None);
        check_default("Default: any status from 200 to 299.", None);
        check_default("No word of it.", None);
    }
}
