//! The table of `docs/performance.md`, from raw lines.

use std::{collections::BTreeMap, fmt::Write as _, fs};

use serde_json::Value;

/// The figures of one measure of one program, and their unit.
type Figures = (Vec<f64>, String);

/// Raw lines, sorted: goal, what, who.
#[derive(Debug, Default)]
pub struct Raw {
    figures: BTreeMap<(Goal, String), BTreeMap<String, Figures>>,
    skipped: Vec<(String, String)>,
}

/// `G11`, in the order of numbers.
type Goal = (u32, String);

/// Reads files of raw lines.
pub fn read(files: &[&str]) -> Raw {
    let mut raw = Raw::default();
    for file in files {
        for line in fs::read_to_string(file).unwrap().lines() {
            raw.add(&serde_json::from_str(line).unwrap());
        }
    }
    raw
}

impl Raw {
    fn add(&mut self, line: &Value) {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let goal = (text("goal")[1..].parse().unwrap(), text("goal"));
        if let Some(why) = line["skipped"].as_str() {
            let note = (format!("{}, {}: {}", text("goal"), text("what"), text("who")), why.to_owned());
            if !self.skipped.contains(&note) {
                self.skipped.push(note);
            }
            return;
        }
        let of_measure = self.figures.entry((goal, text("what"))).or_default();
        let (values, unit) = of_measure.entry(text("who")).or_default();
        values.push(line["value"].as_f64().unwrap());
        *unit = text("unit");
    }
}

/// The table, as Markdown.
pub fn page(raw: &Raw) -> String {
    let mut out = String::from(
        "| goal | what | who | median | min | max | unit | ours to it |\n|---|---|---|--:|--:|--:|---|--:|\n",
    );
    for ((goal, what), by_who) in &raw.figures {
        let ours = by_who.get("ours").map(|(values, _)| median(values));
        let mut who: Vec<&String> = by_who.keys().collect();
        who.sort_by_key(|who| (*who != "ours", *who));
        for who in who {
            let (values, unit) = &by_who[who];
            let (low, high) = values
                .iter()
                .fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(*value), high.max(*value)));
            let middle = median(values);
            let ratio = match ours {
                Some(ours) if who != "ours" && middle != 0.0 => format!("{} x", shown(ours / middle)),
                _ => String::new(),
            };
            writeln!(
                out,
                "| {} | {what} | {who} | {} | {} | {} | {unit} | {ratio} |",
                goal.1,
                shown(middle),
                shown(low),
                shown(high)
            )
            .unwrap();
        }
    }
    if !raw.skipped.is_empty() {
        out.push_str("\nNot taken:\n\n");
        for (what, why) in &raw.skipped {
            writeln!(out, "- {what}: {why}").unwrap();
        }
    }
    out
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// Three digits that say something, and no more.
fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.3}"),
    }
}
