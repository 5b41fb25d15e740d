//! Reads the layers and puts them together.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    file::{LedgerWord, SETTINGS_FILE, SettingsFile},
    settings::{Origin, Settings},
};
use crate::manifest::{
    code::Code,
    problem::{Place, Problem, Severity, SourceText, Span},
    schema,
    shape::Shape,
    text::{DurationText, format_duration, parse_duration},
    yaml::{Entry, Limits, Node, NodeValue, compose},
};

/// What variables of ours begin with.
const PREFIX: &str = "TINTAL_";

/// Variables that are no settings: the file to read, and what runs see.
const NOT_SETTINGS: [&str; 6] =
    ["TINTAL_CONFIG", "TINTAL_JOB", "TINTAL_RUN_ID", "TINTAL_FIRE_TIME", "TINTAL_ATTEMPT", "TINTAL_STEP"];

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// The file to read, in place of `tintal.yaml` in the working directory.
    pub config: Option<PathBuf>,
    /// Values by key, with the flag they were given by.
    pub values: Vec<(&'static str, &'static str, String)>,
}

/// The settings cannot be used: all that is wrong with them.
#[derive(Debug)]
pub struct SettingsError {
    /// At least one, sorted by layer and place.
    pub problems: Vec<Problem>,
}

/// One layer: a document, and where its values come from.
struct Layer {
    source: Arc<SourceText>,
    node: Node,
    kind: LayerKind,
}

enum LayerKind {
    File { directory: PathBuf },
    Environment(String),
    Flag(&'static str),
}

/// Loads the settings: the file, then `environment`, then the flags. An absent file is no error
/// unless a person named it.
///
/// # Errors
///
/// When a layer cannot be read, or holds an unknown key or a value of the wrong form.
pub fn load(
    flags: &Flags,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Settings, SettingsError> {
    let shape = Shape::new(schema::generate::<SettingsFile>("settings"));
    let mut problems = Vec::new();
    let mut layers = Vec::new();
    let mut variables: Vec<(String, String)> = environment
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    variables.sort();
    let named = flags.config.clone().or_else(|| {
        variables.iter().find(|(name, _)| name == "TINTAL_CONFIG").map(|(_, value)| PathBuf::from(value))
    });
    layers.extend(read_file(named.as_deref(), &shape, &mut problems));
    for (name, value) in &variables {
        if NOT_SETTINGS.contains(&name.as_str()) {
            continue;
        }
        let key: Vec<String> = name[PREFIX.len()..].split("__").map(str::to_ascii_lowercase).collect();
        let kind = LayerKind::Environment(name.clone());
        layers.extend(single(name, &key, value, kind, &shape, &mut problems));
    }
    for (key, flag, value) in &flags.values {
        let key: Vec<String> = key.split('.').map(str::to_owned).collect();
        layers.extend(single(flag, &key, value, LayerKind::Flag(flag), &shape, &mut problems));
    }
    let settings = Merge { layers: &layers, problems: &mut problems, origins: BTreeMap::new() }.settings();
    match settings {
        Some(settings) if problems.iter().all(|problem| problem.severity == Severity::Warning) => {
            Ok(settings)
        }
        _ => Err(SettingsError { problems }),
    }
}

fn read_file(named: Option<&Path>, shape: &Shape, problems: &mut Vec<Problem>) -> Option<Layer> {
    let path = named.unwrap_or_else(|| Path::new(SETTINGS_FILE));
    let shown = path.display().to_string();
    let text = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            problems.push(unreadable(&shown, &format!("the settings cannot be read: {error}")));
            return None;
        }
    };
    let Ok(text) = String::from_utf8(text) else {
        problems.push(unreadable(&shown, "the settings are not UTF-8 text"));
        return None;
    };
    let source = Arc::new(SourceText::new(shown, text));
    let composed = compose(&source.text, &Limits::default());
    problems.extend(composed.faults.into_iter().map(|fault| fault.into_problem(&source)));
    let mut documents = composed.documents.into_iter();
    let root = documents.next()?.root;
    if let Some(second) = documents.next() {
        let place = Place { source: Arc::clone(&source), span: second.root.span };
        problems.push(
            Problem::new(Code::Form, place, "the settings are one document")
                .label("a second one begins")
                .help("take the `---` out"),
        );
    }
    problems.extend(shape.check(&root, &root.to_json(), &source));
    let directory = path.parent().map(Path::to_owned).unwrap_or_default();
    Some(Layer { source, node: root, kind: LayerKind::File { directory } })
}

fn unreadable(path: &str, message: &str) -> Problem {
    let source = Arc::new(SourceText::new(path, ""));
    Problem::new(Code::Unreadable, Place { source, span: Span::default() }, message)
        .label("this file")
        .help("name a file that can be read, or leave it out: every setting has a default")
}

/// A layer of one value: a variable or a flag.
fn single(
    name: &str,
    key: &[String],
    value: &str,
    kind: LayerKind,
    shape: &Shape,
    problems: &mut Vec<Problem>,
) -> Option<Layer> {
    let source = Arc::new(SourceText::new(name, value));
    let span = Span { start: 0, end: u32::try_from(value.len()).unwrap_or(u32::MAX) };
    let plain = Node { value: NodeValue::Text(value.to_owned()), span, used_at: None };
    let read = compose(value, &Limits::default()).documents.into_iter().next().map(|document| document.root);
    let mut first_fault = None;
    // What YAML makes of it; else the text as it is.
    for leaf in read.into_iter().chain([plain]) {
        let node = key.iter().rev().fold(leaf, |inner, part| Node {
            span,
            used_at: None,
            value: NodeValue::Map(vec![Entry { key: part.clone(), key_span: span, value: inner }]),
        });
        let faults = shape.check(&node, &node.to_json(), &source);
        if faults.is_empty() {
            return Some(Layer { source, node, kind });
        }
        first_fault.get_or_insert(faults);
    }
    problems.extend(first_fault.unwrap_or_default());
    None
}

/// Puts the layers together, value by value: the last layer that has a key wins.
struct Merge<'a> {
    layers: &'a [Layer],
    problems: &'a mut Vec<Problem>,
    origins: BTreeMap<&'static str, (String, Origin)>,
}

impl Merge<'_> {
    fn settings(mut self) -> Option<Settings> {
        let jobs = self.path("jobs", "jobs.d");
        let state = self.path("state", ".tintal");
        let ledger: LedgerWord = self.value("ledger", LedgerWord::File)?;
        let watch = self.value("watch", super::settings::Watching::Auto)?;
        let shutdown_timeout = self.duration("shutdown_timeout", Duration::from_secs(30))?;
        let log_format = self.value("log.format", super::settings::LogFormat::Text)?;
        let log_level: String = self.value("log.level", "info".to_owned())?;
        let keep_last: u32 = self.value("history.keep_last", 1_000)?;
        let max_age = self.duration("history.max_age", Duration::from_secs(30 * 24 * 3600))?;
        let output_bytes_max = self.value("output.max_bytes", 10 * 1024 * 1024)?;
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
            origins: self.origins,
        })
    }

    /// The layer that gives a key, with its node.
    fn find(&self, key: &str) -> Option<(&Layer, &Node, Option<Span>)> {
        let pointer = format!("/{}", key.replace('.', "/"));
        self.layers.iter().rev().find_map(|layer| {
            let located = layer.node.at(&pointer)?;
            Some((layer, located.node, located.key_span))
        })
    }

    fn value<T: DeserializeOwned + Serialize>(&mut self, key: &'static str, default: T) -> Option<T> {
        let Some((layer, node, key_span)) = self.find(key) else {
            let text = shown(&serde_json::to_value(&default).ok()?);
            self.origins.insert(key, (text, Origin::Default));
            return Some(default);
        };
        let json = node.to_json();
        let origin = layer.origin(key_span.unwrap_or(node.span));
        // A value of the wrong form has its problem already.
        let value = serde_json::from_value(json.clone()).ok()?;
        self.origins.insert(key, (shown(&json), origin));
        Some(value)
    }

    fn duration(&mut self, key: &'static str, default: Duration) -> Option<Duration> {
        let text: DurationText = self.value(key, DurationText(format_duration(default)))?;
        match parse_duration(&text.0) {
            Ok(duration) => Some(duration),
            Err(error) => {
                if let Some((layer, node, _)) = self.find(key) {
                    let place = Place { source: Arc::clone(&layer.source), span: node.span };
                    self.problems.push(
                        Problem::new(Code::Duration, place, error.to_string())
                            .label("not a duration")
                            .help("write numbers with units, as in `30s` or `30d`"),
                    );
                }
                None
            }
        }
    }

    /// A path: one in the file is relative to the file, others to the working directory.
    fn path(&mut self, key: &'static str, default: &str) -> PathBuf {
        let base = match self.find(key) {
            Some((Layer { kind: LayerKind::File { directory }, .. }, ..)) => directory.clone(),
            Some(_) => PathBuf::new(),
            // Beside the file, if there is one.
            None => self
                .layers
                .iter()
                .find_map(|layer| match &layer.kind {
                    LayerKind::File { directory } => Some(directory.clone()),
                    _ => None,
                })
                .unwrap_or_default(),
        };
        let text = self.value(key, default.to_owned()).unwrap_or_else(|| default.to_owned());
        base.join(text)
    }
}

impl Layer {
    fn origin(&self, span: Span) -> Origin {
        match &self.kind {
            LayerKind::File { .. } => {
                Origin::File { path: self.source.path.clone(), line: self.source.line(span.start as usize) }
            }
            LayerKind::Environment(name) => Origin::Environment(name.clone()),
            LayerKind::Flag(flag) => Origin::Flag(flag),
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
