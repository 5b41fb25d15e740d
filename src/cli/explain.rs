//! `tintal explain`: a job as it is understood, or the page of a code.

mod broken;
mod code;
mod queue;

use std::{collections::BTreeMap, fmt::Write as _, io::Write as _, sync::Arc};

use clap::Args;
use serde_json::{Value, json};

use self::broken::Broken;
use super::{
    Exit, Failure, console,
    last_good::last_good,
    next::{compiled, told, zone},
    paused,
    said::Said,
    tree::{self, View},
};
use crate::{
    config::Settings,
    control::view::PauseView,
    engine::clock,
    load::{Loaded, effective::effective, provenance::Provenance},
    manifest::{code::Code, file::ManifestFile, name::JobName, pages, spec::Spec, yaml::node::escaped},
    tier::Considered,
};

/// Fires that are shown.
const FIRES: usize = 5;

/// Column at which it is said where a value comes from.
const COLUMN: usize = 44;

/// Explain a job (its effective spec, tier and next fires), or a code such as TIN036
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// A job, or a code
    #[arg(value_name = "JOB|CODE")]
    subject: String,

    #[command(flatten)]
    said: Said,
}

impl Explain {
    pub(super) fn run(self, settings: impl FnOnce() -> Result<Settings, Failure>) -> Result<Exit, Failure> {
        if let Some(code) = Code::parse(&self.subject) {
            self.print(&code::document(code), || pages::text(code))?;
            return Ok(Exit::Clean);
        }
        let name = JobName::parse(&self.subject);
        if let (Err(_), Some(no_code)) = (&name, code::missing(&self.subject)) {
            return Err(no_code.into());
        }
        let settings = settings()?;
        let view = tree::load(&settings)?;
        let name = name?;
        if view.tree.broken.contains(&name) {
            let (good, pause) = (last_good(&settings, &name)?, paused::of(&settings, &name)?);
            let broken = Broken::of(&view, &name, good, pause)?;
            self.print(&broken.document(), || broken.text())?;
            return Ok(Exit::Found);
        }
        if !view.tree.jobs.contains_key(&name)
            && let Some(no_code) = code::missing(&self.subject)
        {
            return Err(no_code.into());
        }
        let job = view.job(&self.subject)?;
        let spec = effective(&job.spec, &job.traits);
        let provenance = provenance(&view, job, &spec);
        let next = Next::of(&job.spec, paused::of(&settings, &name)?)?;
        let document = document(&view, job, &spec, &provenance, &next);
        self.print(&document, || text(&view, job, &spec, &provenance, &next))?;
        Ok(Exit::Clean)
    }

    fn print(&self, document: &Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.said.is_json() {
            return Ok(console::json(document)?);
        }
        write!(console::out(), "{}", text())?;
        Ok(())
    }
}

fn provenance(view: &View, job: &Arc<Loaded>, spec: &Value) -> BTreeMap<String, Provenance> {
    let find = |path: &str| view.files.iter().find(|file| *file.path == *path);
    let Some(file) = find(&job.origin.path) else { return BTreeMap::new() };
    let mut layers: Vec<Arc<ManifestFile>> = Vec::new();
    let mut directory = job.origin.path.rsplit_once('/').map_or("", |(directory, _)| directory);
    loop {
        let at =
            |name: &str| if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
        layers.extend(find(&at("_defaults.yaml")).or_else(|| find(&at("_defaults.yml"))).cloned());
        if directory.is_empty() {
            break;
        }
        directory = directory.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
    let document = usize::try_from(job.origin.document).unwrap_or(0);
    view.loader.provenance(spec, file, document, &layers, &view.prefix)
}

fn document(
    view: &View,
    job: &Loaded,
    spec: &Value,
    provenance: &BTreeMap<String, Provenance>,
    next: &Next,
) -> Value {
    let classified = &job.classified;
    let provenance: BTreeMap<&String, String> =
        provenance.iter().map(|(pointer, from)| (pointer, from.to_string())).collect();
    json!({
        "v": 1,
        "job": job.spec.name,
        "file": format!("{}{}", view.prefix, job.origin.path),
        "line": job.origin.line,
        "spec": spec,
        "provenance": provenance,
        "digest": job.digest().to_string(),
        "tier": classified.tier,
        "pinned": classified.pinned,
        "rule": classified.rule.as_str(),
        "why": classified.why,
        "warnings": classified.warnings.iter().map(|warning| json!({
            "code": warning.code.as_str(), "message": warning.message,
        })).collect::<Vec<_>>(),
        "considered": considered_document(&classified.considered),
        "queue": queue::document(view, job),
        "enabled": job.spec.enabled,
        "pause": next.pause,
        "next": next.times,
        "at_boot": next.at_boot,
    })
}

fn text(
    view: &View,
    job: &Loaded,
    spec: &Value,
    provenance: &BTreeMap<String, Provenance>,
    next: &Next,
) -> String {
    let mut out = format!("# {}{}:{}\n", view.prefix, job.origin.path, job.origin.line);
    yaml(spec, "", 0, provenance, &mut out);
    let classified = &job.classified;
    let _ = writeln!(out, "\ntier      {} by rule {} ({})", classified.tier, classified.rule, classified.why);
    considered_text(&classified.considered, &mut out);
    queue::text(view, job, &mut out);
    for warning in &classified.warnings {
        let _ = writeln!(out, "warning   {} ({}): {}", warning.id, warning.code, warning.message);
    }
    let _ = writeln!(out, "digest    {}", job.digest());
    next.text(&job.spec, &mut out);
    out
}

/// When a job fires next.
struct Next {
    times: Vec<String>,
    /// It fires once per start of the machine as well.
    at_boot: bool,
    /// A person paused it: it does not fire.
    pause: Option<PauseView>,
}

impl Next {
    fn of(spec: &Spec, pause: Option<PauseView>) -> Result<Self, Failure> {
        let schedule = compiled(spec)?;
        let (_, zone) = zone(spec);
        let fires = schedule.fires_after(clock::now()).take(FIRES);
        let times = fires.map(|fire| told(fire.time, &zone)).collect();
        Ok(Self { times, at_boot: schedule.has_reboot(), pause })
    }

    fn text(&self, spec: &Spec, out: &mut String) {
        let mut lines: Vec<String> = self.times.clone();
        if self.at_boot {
            lines.insert(0, "once per start of the machine".to_owned());
        }
        if !spec.enabled {
            let would = if lines.is_empty() { "" } else { "; enabled it would fire:" };
            lines.insert(0, format!("never: the job is disabled{would}"));
        } else if let Some(pause) = &self.pause {
            let would = if lines.is_empty() { "" } else { "; resumed it would fire:" };
            lines.insert(0, format!("not while it is paused {}{would}", paused::words(pause)));
        } else if spec.schedule.is_empty() {
            lines.push(format!("by hand only: `tintal trigger {}`", spec.name));
        } else if lines.is_empty() {
            lines.push("no fire".to_owned());
        }
        for (index, line) in lines.iter().enumerate() {
            let _ = writeln!(out, "{}{line}", if index == 0 { "next      " } else { "          " });
        }
    }
}

fn considered_text(considered: &[Considered], out: &mut String) {
    for each in considered {
        let _ = writeln!(out, "          {}: {}, {}", each.tier, each.verdict.as_str(), each.why);
    }
}

fn considered_document(considered: &[Considered]) -> Vec<Value> {
    let one =
        |each: &Considered| json!({"tier": each.tier, "verdict": each.verdict.as_str(), "why": each.why});
    considered.iter().map(one).collect()
}

/// The document as YAML, with where each value comes from at the end of its line.
fn yaml(
    value: &Value,
    pointer: &str,
    indent: usize,
    provenance: &BTreeMap<String, Provenance>,
    out: &mut String,
) {
    let Some(map) = value.as_object() else { return };
    for (key, value) in map {
        let pointer = format!("{pointer}/{}", escaped(key));
        let pad = " ".repeat(indent);
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                let _ = writeln!(out, "{pad}{key}:");
                yaml(value, &pointer, indent + 2, provenance, out);
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                let _ = writeln!(out, "{pad}{key}:");
                for (index, item) in items.iter().enumerate() {
                    let mut inner = String::new();
                    yaml(item, &format!("{pointer}/{index}"), indent + 4, provenance, &mut inner);
                    // The first line of an item begins with its dash.
                    let dashed = inner.replacen(&" ".repeat(indent + 4), &format!("{pad}  - "), 1);
                    out.push_str(&dashed);
                }
            }
            leaf => {
                let line = format!("{pad}{key}: {}", scalar(leaf));
                let from = provenance.get(&pointer).map(|from| format!("  # {from}")).unwrap_or_default();
                let _ = writeln!(out, "{}", format!("{line:<COLUMN$}{from}").trim_end());
            }
        }
    }
}

/// A value on one line of YAML.
pub(super) fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => crate::import::scalar(text),
        other => other.to_string(),
    }
}
