//! An error in the words of a log or an answer. Pure. It is here because what runs an action is the
//! lowest that says errors to people, and all that do so stand on it.

use std::error::Error;

/// An error with its causes, in one line. A cause that the text holds already is not said again.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("{0}")]
    struct Said(&'static str, #[source] Option<Box<Said>>);

    #[test]
    fn causes_follow_in_one_line_and_each_is_said_once() {
        let chain = |texts: &[&'static str]| {
            let cause = texts.iter().rev().fold(None, |cause, text| Some(Box::new(Said(text, cause))));
            with_causes(&*cause.unwrap())
        };
        assert_eq!(chain(&["it failed"]), "it failed");
        assert_eq!(chain(&["it failed", "the disk", "no room"]), "it failed: the disk: no room");
        assert_eq!(chain(&["it failed: no room", "no room"]), "it failed: no room");
    }
}
