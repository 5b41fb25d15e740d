//! What is generated from the types and tables is what is committed. `UPDATE_EXPECT=1` writes it.

use expect_test::expect_file;

/// Compares a generated file with the committed one.
#[track_caller]
fn check(path: &str, content: &str) {
    expect_file![format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))].assert_eq(content);
}

#[test]
fn generated_files_are_fresh() {
    let all = tintal::cli::generated();
    assert!(all.len() >= 4, "{}", all.len());
    for (path, content) in all {
        check(path, &content);
    }
}
