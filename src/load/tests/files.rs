//! Files and directories that cannot be read.

use std::sync::Arc;

use super::loader;
use crate::{
    load::Input,
    manifest::file::{Content, ManifestFile},
};

/// F7, F32: what the system said, with the way out that fits, once.
#[test]
fn what_cannot_be_read_is_told_with_a_way_out_that_fits() {
    for (reason, message, help) in [
        (
            "permission denied: let the user that tintal runs as read it",
            "permission denied",
            "let the user that tintal runs as read it, or take it out of the tree",
        ),
        (
            "it is a FIFO, not a file",
            "it is a FIFO, not a file",
            "let a file stand there that can be read, or take it out of the tree",
        ),
    ] {
        let content = Content::Unreadable { reason: reason.to_owned() };
        let file = Arc::new(ManifestFile { path: "a.yaml".to_owned(), content_hash: [0; 32], content });
        let unreadable = [("sub".to_owned(), reason.to_owned())];
        let now = "2026-06-01T00:00:00Z".parse().unwrap();
        let tree = loader().load(&Input {
            files: &[file],
            above: &[],
            unreadable: &unreadable,
            prefix: "jobs.d/",
            now,
        });
        let told: Vec<(&str, Option<&str>)> =
            tree.problems.iter().map(|problem| (problem.message.as_str(), problem.help.as_deref())).collect();
        let expected = ["file", "directory"].map(|what| format!("the {what} cannot be read: {message}"));
        assert_eq!(told, expected.iter().map(|line| (line.as_str(), Some(help))).collect::<Vec<_>>());
        assert_eq!(tree.obscured, ["jobs.d/a.yaml", "jobs.d/sub"]);
    }
}
