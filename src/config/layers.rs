//! Reads the layers and puts them together.

use std::{
    cell::OnceCell,
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use super::{
    file::{SETTINGS_FILE, SettingsFile},
    level,
    merge::{Layer, LayerKind, Merge},
    settings::Settings,
    variables::{self, Variables},
};
use crate::manifest::{
    code::Code,
    nearest::nearest,
    parse::conceal,
    problem::{Place, Problem, Severity, SourceText, Span},
    schema,
    shape::Shape,
    yaml::{Composition, Entry, Limits, Node, NodeValue, compose},
};

/// Every setting.
pub(super) const KEYS: [&str; 17] = [
    "jobs",
    "state",
    "ledger",
    "watch",
    "shutdown_timeout",
    "log.format",
    "log.level",
    "history.keep_last",
    "history.max_age",
    "output.max_bytes",
    "queue.backend",
    "queue.name",
    "queue.keys",
    "queue.backends",
    "queue.worker.enabled",
    "queue.worker.concurrency",
    "queue.dead_letters.max",
];

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// The file to read.
    pub file: FileWanted,
    /// Values by key, with the flag they were given by.
    pub values: Vec<(&'static str, &'static str, OsString)>,
}

/// The file of settings that a person wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum FileWanted {
    /// The one that `TINTAL_CONFIG` names, else `tintal.yaml` in the working directory, if it is
    /// there.
    #[default]
    Usual,
    /// This one. It must be there.
    Named(PathBuf),
    /// None is read: one will be written into this directory.
    ToCome(PathBuf),
}

/// The settings cannot be used: all that is wrong with them.
#[derive(Debug)]
pub struct SettingsError {
    /// At least one, sorted by layer and place.
    pub problems: Vec<Problem>,
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
    let schema = SettingsSchema::default();
    let mut problems = Vec::new();
    let mut layers = Vec::new();
    let variables = Variables::of(environment);
    layers.extend(match (&flags.file, &variables.config) {
        (FileWanted::ToCome(_), _) => None,
        (FileWanted::Named(path), _) => read_file(Some((path, "--config")), &schema, &mut problems),
        (FileWanted::Usual, Some(path)) => {
            read_file(Some((Path::new(path), variables::CONFIG)), &schema, &mut problems)
        }
        (FileWanted::Usual, None) => read_file(None, &schema, &mut problems),
    });
    let given = variables.settings.iter().map(|(name, value)| {
        let kind = LayerKind::Environment(name.clone());
        Given { name, key: variables::key(name), value, kind }
    });
    let given = given.chain(flags.values.iter().map(|(key, flag, value)| {
        let key = key.split('.').map(str::to_owned).collect();
        Given { name: flag, key, value, kind: LayerKind::Flag(flag) }
    }));
    for given in given {
        match single(given, &schema) {
            Ok(layer) => layers.push(layer),
            Err(faults) => problems.extend(faults),
        }
    }
    problems.extend(layers.iter().filter_map(wrong_level));
    let beside = match &flags.file {
        FileWanted::ToCome(directory) => directory.clone(),
        _ => PathBuf::new(),
    };
    let merge = Merge { layers: &layers, beside, problems: &mut problems, origins: BTreeMap::new() };
    let settings = merge.settings();
    match settings {
        Some(settings) if problems.iter().all(|problem| problem.severity == Severity::Warning) => {
            Ok(settings)
        }
        _ => Err(SettingsError { problems }),
    }
}

/// Reads the file: the one that a person named, with what named it, or the usual one.
fn read_file(
    named: Option<(&Path, &'static str)>,
    schema: &SettingsSchema,
    problems: &mut Vec<Problem>,
) -> Option<Layer> {
    let path = named.map_or(Path::new(SETTINGS_FILE), |(path, _)| path);
    let shown = path.display().to_string();
    if let (true, Some((_, by))) = (shown.is_empty(), named) {
        problems.push(unreadable(by, &format!("`{by}` names no file: it is empty")));
        return None;
    }
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
    let mut faults: Vec<Problem> =
        composed.faults.into_iter().map(|fault| fault.into_problem(&source)).collect();
    let mut documents = composed.documents.into_iter();
    let first = documents.next();
    if let Some(Composition { root, span, extent }) = &first {
        conceal(root, *extent, *span, &source, &mut faults);
    }
    problems.append(&mut faults);
    let root = first?.root;
    if let Some(second) = documents.next() {
        let place = Place { source: Arc::clone(&source), span: second.root.span };
        problems.push(
            Problem::new(Code::Form, place, "the settings are one document")
                .label("a second one begins")
                .help("take the `---` out"),
        );
    }
    problems.extend(schema.check(&root, &source));
    let directory = path.parent().map(Path::to_owned).unwrap_or_default();
    Some(Layer { source, node: root, kind: LayerKind::File { directory } })
}

fn unreadable(path: &str, message: &str) -> Problem {
    let source = Arc::new(SourceText::new(path, ""));
    Problem::new(Code::Unreadable, Place { source, span: Span::default() }, message)
        .label("this file")
        .help("name a file that can be read, or leave it out: every setting has a default")
}

/// A value that a variable or a flag gives.
struct Given<'a> {
    name: &'a str,
    key: Vec<String>,
    value: &'a OsStr,
    kind: LayerKind,
}

/// A layer of one value.
fn single(given: Given<'_>, schema: &SettingsSchema) -> Result<Layer, Vec<Problem>> {
    let Given { name, key, value, kind } = given;
    let shown = value.to_string_lossy().into_owned();
    let span = Span { start: 0, end: u32::try_from(shown.len()).unwrap_or(u32::MAX) };
    let source = Arc::new(SourceText::new(name, shown));
    let place = || Place { source: Arc::clone(&source), span };
    let Some(text) = value.to_str() else {
        let message = format!("the value of `{name}` is not UTF-8 text");
        let help = "settings are text; a path in them too: rename the directory, or link to it";
        return Err(vec![Problem::new(Code::NotText, place(), message).label("this value").help(help)]);
    };
    if matches!(kind, LayerKind::Environment(_))
        && let Some(help) = other_variable(name, &key)
    {
        let message = format!("there is no setting `{name}`");
        // It may be of another program, and be a secret.
        let problem = Problem::new(Code::UnknownField, place(), message).label("its value").help(help);
        return Err(vec![Problem { hidden: Some(span), ..problem }]);
    }
    let plain = Node { value: NodeValue::Text(text.to_owned()), span, used_at: None };
    // Quotes, `#` and `!` are characters of a path like others.
    let leaf = match schema.takes(&key) {
        Takes::Text => plain,
        Takes::Other => {
            let documents = compose(text, &Limits::default()).documents;
            documents.into_iter().next().map_or(plain, |document| document.root)
        }
    };
    let is_map = matches!(leaf.value, NodeValue::Map(_));
    let node = key.iter().rev().fold(leaf, |inner, part| Node {
        span,
        used_at: None,
        value: NodeValue::Map(vec![Entry { key: part.clone(), key_span: span, value: inner }]),
    });
    let mut faults = schema.check(&node, &source);
    if let (LayerKind::Environment(_), false, Some(help)) = (&kind, is_map, of_parts(&key)) {
        faults.iter_mut().for_each(|fault| fault.help = Some(help.clone()));
    }
    if faults.is_empty() { Ok(Layer { source, node, kind }) } else { Err(faults) }
}

/// The schema of settings. It is made and compiled when there is something to check: often there is no
/// setting at all.
#[derive(Default)]
struct SettingsSchema {
    json: OnceCell<Value>,
    shape: OnceCell<Shape>,
}

/// What a setting takes.
enum Takes {
    /// A text: what is given is the text.
    Text,
    /// Something that is read as YAML, or no setting at all.
    Other,
}

impl SettingsSchema {
    fn json(&self) -> &Value {
        self.json.get_or_init(|| schema::generate::<SettingsFile>("settings"))
    }

    fn shape(&self) -> &Shape {
        self.shape.get_or_init(|| Shape::new(self.json().clone()))
    }

    /// What is wrong with the shape of a layer. What a backend lacks may stand in another one.
    fn check(&self, node: &Node, source: &Arc<SourceText>) -> Vec<Problem> {
        let mut problems = self.shape().check(node, source);
        problems.retain(|problem| problem.code != Code::MissingField || !is_backend(&problem.pointer));
        problems
    }

    /// What the schema says that a key takes.
    fn takes(&self, key: &[String]) -> Takes {
        let schema = self.json();
        let mut at = schema;
        for part in key {
            at = resolved(schema, &at["properties"][part]);
        }
        if at["type"] == "string" { Takes::Text } else { Takes::Other }
    }
}

/// Whether a pointer is that of the options of a backend.
fn is_backend(pointer: &str) -> bool {
    let parts: Vec<&str> = pointer.split('/').collect();
    matches!(parts[..], ["", "queue", "backends", _, _])
}

/// A part of a schema, or what it refers to.
fn resolved<'a>(schema: &'a Value, part: &'a Value) -> &'a Value {
    let reference = part["$ref"].as_str().and_then(|reference| schema.pointer(reference.strip_prefix('#')?));
    reference.unwrap_or(part)
}

/// The way out for a variable that is no setting, nor a part of some: lower case, or one underscore
/// where a level begins, or another slip. One rule for the name, so that no two variables give one
/// setting.
fn other_variable(name: &str, key: &[String]) -> Option<String> {
    let wanted = variables::variable(&key.join("."));
    let known: Vec<String> = KEYS.iter().map(|key| variables::variable(key)).collect();
    let is_part = |whole: &str, part: &str| part.starts_with(&format!("{whole}__"));
    let backends = variables::variable("queue.backends");
    if known.iter().any(|known| known == name || is_part(name, known)) || is_part(&backends, name) {
        return None;
    }
    let flat = |name: &str| name.replace("__", "_");
    let bare = |name: &str| name.trim_start_matches(variables::PREFIX).to_owned();
    let is_meant = |known: &&String| **known == wanted || flat(known) == flat(&wanted);
    let near = || {
        let words: Vec<String> = known.iter().map(|known| bare(known)).collect();
        nearest(&bare(name), words.iter().map(String::as_str))
            .map(|word| format!("{}{word}", variables::PREFIX))
    };
    Some(match known.iter().find(is_meant).cloned().or_else(near) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!(
            "`tintal config` lists the settings; a variable of another program is left out with `env -u {name}`"
        ),
    })
}

/// The way out for a variable of several settings that has no map of them: the variables of each.
fn of_parts(key: &[String]) -> Option<String> {
    let start = format!("{}.", key.join("."));
    let parts: Vec<String> = KEYS
        .iter()
        .filter(|known| known.starts_with(&start))
        .map(|known| format!("`{}`", variables::variable(known)))
        .collect();
    (!parts.is_empty()).then(|| format!("it has parts: set {}", parts.join(" or ")))
}

/// A level of the log that would silence it.
fn wrong_level(layer: &Layer) -> Option<Problem> {
    let located = layer.node.at("/log/level")?;
    let NodeValue::Text(text) = &located.node.value else { return None };
    let flaw = level::flaw(text)?;
    let place = Place { source: Arc::clone(&layer.source), span: located.node.span };
    Some(Problem::new(Code::NotAllowed, place, flaw.message).label("cannot be used").help(flaw.help))
}
