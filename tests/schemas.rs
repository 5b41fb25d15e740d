//! The committed schemas are those that the types give. `UPDATE_EXPECT=1` writes them.

use expect_test::expect_file;
use serde_json::Value;
use tintal::manifest::schema;

fn written(schema: &Value) -> String {
    let mut text = serde_json::to_string_pretty(schema).unwrap();
    text.push('\n');
    text
}

#[test]
fn the_job_schema_is_fresh() {
    expect_file!["../schemas/job.schema.json"].assert_eq(&written(&schema::job()));
}

#[test]
fn the_defaults_schema_is_fresh() {
    expect_file!["../schemas/defaults.schema.json"].assert_eq(&written(&schema::defaults()));
}
