//! Puts the layers of the settings together, value by value: the last layer that has a key wins.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    file::LedgerWord,
    queue,
    settings::{LogFormat, Origin, Settings, Watching},
};
use crate::manifest::{
    code::Code,
    problem::{Place, Problem, SourceText, Span},
    text::{DurationText, format_duration, parse_duration},
    yaml::Node,
};

/// One layer: a document, and where its values come from.
pub(super) struct Layer {
    pub(super) source: Arc<SourceText>,
    pub(super) node: Node,
    pub(super) kind: LayerKind,
}

/// Where the values of a layer come from.
pub(super) enum LayerKind {
    /// A file in this directory.
    File { directory: PathBuf },
    /// A variable.
    Environment(String),
    /// A flag.
    Flag(&'static str),
}

/// Puts the layers together.
pub(super) struct Merge<'a> {
    pub(super) layers: &'a [Layer],
    /// Where the defaults of paths are relative to, when there is no file.
    pub(super) beside: PathBuf,
    pub(super) problems: &'a mut Vec<Problem>,
    pub(super) origins: BTreeMap<String, (Value, Origin)>,
}

/// A value that a layer gives.
pub(super) struct Found<'a> {
    pub(super) layer: &'a Layer,
    pub(super) node: &'a Node,
    pub(super) key_span: Option<Span>,
}

impl<'a> Merge<'a> {
    pub(super) fn settings(mut self) -> Option<Settings> {
        let jobs = self.path("jobs", "jobs.d");
        let state = self.path("state", ".tintal");
        let ledger: LedgerWord = self.value("ledger", LedgerWord::File)?;
        let watch = self.value("watch", Watching::Auto)?;
        let shutdown_timeout = self.duration("shutdown_timeout", Duration::from_secs(30))?;
        let log_format = self.value("log.format", LogFormat::Text)?;
        let log_level: String = self.value("log.level", "info".to_owned())?;
        let keep_last: u32 = self.value("history.keep_last", 1_000)?;
        let max_age = self.duration("history.max_age", Duration::from_secs(30 * 24 * 3600))?;
        let output_bytes_max = self.value("output.max_bytes", 10 * 1024 * 1024)?;
        let queue = queue::read::settings(&mut self)?;
        Some(Settings {
            jobs,
            state,
            ledger: ledger.into(),
            watch,
            shutdown_timeout,
            log_format,
            log_level,
            keep_last: keep_last as usize,
            max_age,
            output_bytes_max,
            queue,
            origins: self.origins,
        })
    }

    /// The value of the last layer that gives a key.
    pub(super) fn find(&self, key: &str) -> Option<Found<'a>> {
        let pointer = format!("/{}", key.replace('.', "/"));
        self.layers.iter().rev().find_map(|layer| {
            let located = layer.node.at(&pointer)?;
            Some(Found { layer, node: located.node, key_span: located.key_span })
        })
    }

    pub(super) fn value<T: DeserializeOwned + Serialize>(&mut self, key: &str, default: T) -> Option<T> {
        let Some(found) = self.find(key) else {
            let value = serde_json::to_value(&default).ok()?;
            self.origins.insert(key.to_owned(), (value, Origin::Default));
            return Some(default);
        };
        self.take(key, &found)
    }

    /// The value of a key that has no default, if a layer gives it.
    pub(super) fn optional<T: DeserializeOwned + Serialize>(&mut self, key: &str) -> Option<T> {
        let found = self.find(key)?;
        self.take(key, &found)
    }

    fn take<T: DeserializeOwned + Serialize>(&mut self, key: &str, found: &Found<'_>) -> Option<T> {
        let origin = found.origin();
        // Read from the node, which counts `1e3` as a whole number as the schema does.
        match T::deserialize(found.node) {
            Ok(value) => {
                let shown = serde_json::to_value(&value).unwrap_or_else(|_| found.node.to_json());
                self.origins.insert(key.to_owned(), (shown, origin));
                Some(value)
            }
            Err(error) => {
                let place = found.place();
                // What the schema refuses has its problem already.
                if !self.problems.iter().any(|problem| overlap(&problem.primary.place, &place)) {
                    let message = format!("`{key}` cannot be used: {error}");
                    self.problems.push(
                        Problem::new(Code::Form, place, message)
                            .label("this value")
                            .help("`tintal schema settings` prints what may stand where"),
                    );
                }
                None
            }
        }
    }

    pub(super) fn duration(&mut self, key: &str, default: Duration) -> Option<Duration> {
        let text: DurationText = self.value(key, DurationText(format_duration(default)))?;
        match parse_duration(&text.0) {
            Ok(duration) => Some(duration),
            Err(error) => {
                if let Some(found) = self.find(key) {
                    self.problems.push(
                        Problem::new(Code::Duration, found.place(), error.to_string())
                            .label("not a duration")
                            .help("write numbers with units, as in `30s` or `30d`"),
                    );
                }
                None
            }
        }
    }

    /// A path: one in the file is relative to the file, others to the working directory.
    fn path(&mut self, key: &str, default: &str) -> PathBuf {
        let base = match self.find(key) {
            Some(found) => found.base().to_owned(),
            // Beside the file, if there is one.
            None => self
                .layers
                .iter()
                .find_map(|layer| match &layer.kind {
                    LayerKind::File { directory } => Some(directory.clone()),
                    _ => None,
                })
                .unwrap_or_else(|| self.beside.clone()),
        };
        let text = self.value(key, default.to_owned()).unwrap_or_else(|| default.to_owned());
        base.join(text)
    }
}

impl Found<'_> {
    /// Where the value stands.
    pub(super) fn place(&self) -> Place {
        Place { source: Arc::clone(&self.layer.source), span: self.node.place() }
    }

    /// Where its key stands; without one, the value.
    pub(super) fn key_place(&self) -> Place {
        Place { source: Arc::clone(&self.layer.source), span: self.key_span.unwrap_or(self.node.span) }
    }

    /// The directory that a path is relative to.
    pub(super) fn base(&self) -> &Path {
        match &self.layer.kind {
            LayerKind::File { directory } => directory,
            LayerKind::Environment(_) | LayerKind::Flag(_) => Path::new(""),
        }
    }

    fn origin(&self) -> Origin {
        let Self { layer, .. } = self;
        match &layer.kind {
            LayerKind::File { .. } => {
                let line = layer.source.line(self.key_place().span.start as usize);
                Origin::File { path: layer.source.path.clone(), line }
            }
            LayerKind::Environment(name) => Origin::Environment(name.clone()),
            LayerKind::Flag(flag) => Origin::Flag(flag),
        }
    }
}

fn overlap(a: &Place, b: &Place) -> bool {
    a.source == b.source && a.span.start <= b.span.end && b.span.start <= a.span.end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::yaml::{Limits, compose};

    /// The schema and the type of a setting could part ways: that must not end without a word.
    #[test]
    fn a_value_that_the_schema_takes_and_its_type_does_not_is_told_once() {
        let text = "history: {keep_last: -1}";
        let source = Arc::new(SourceText::new("tintal.yaml", text));
        let node = compose(text, &Limits::default()).documents.remove(0).root;
        let layers = [Layer { source, node, kind: LayerKind::File { directory: PathBuf::new() } }];
        let mut problems = Vec::new();
        for _ in 0..2 {
            let mut merge = Merge {
                layers: &layers,
                beside: PathBuf::new(),
                problems: &mut problems,
                origins: BTreeMap::new(),
            };
            assert_eq!(merge.value::<u32>("history.keep_last", 1), None);
        }
        let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        let expected = "`history.keep_last` cannot be used: invalid value: integer `-1`, expected u32";
        assert_eq!(messages, [expected]);
    }
}
