//! What in a file a comment is about. A file is looked through once, however many comments it has.

use std::{collections::BTreeMap, ops::Range};

use crate::manifest::yaml::{Node, NodeValue};

/// What a comment on a line without content is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sought {
    /// The key that follows.
    Key,
    /// The item whose dash stands before the comment.
    Item,
}

/// Whether bytes lie in one of many ranges.
#[derive(Debug, Clone, Default)]
pub(super) struct Cover {
    /// The beginning of each range, sorted, with the furthest end of it and those before it.
    furthest: Vec<(usize, usize)>,
}

impl Cover {
    pub(super) fn of(mut ranges: Vec<Range<usize>>) -> Self {
        ranges.sort_unstable_by_key(|range| range.start);
        let mut end = 0;
        let furthest = ranges.into_iter().map(|range| {
            end = end.max(range.end);
            (range.start, end)
        });
        Self { furthest: furthest.collect() }
    }

    pub(super) fn holds(&self, byte: usize) -> bool {
        let before = self.furthest.partition_point(|(start, _)| *start <= byte);
        before.checked_sub(1).is_some_and(|last| byte < self.furthest[last].1)
    }
}

/// What the comments of a file may be about.
#[derive(Debug)]
pub(super) struct Scopes {
    /// Keys and texts: what looks like a comment in one is none.
    scalars: Cover,
    /// Where keys and items end, by the byte that they begin at.
    ends: Ends,
    /// Each line with content, sorted: its first byte, that of its content, and one past its end.
    lines: Vec<(usize, usize, usize)>,
}

impl Scopes {
    /// `nodes` are the documents of the text.
    pub(super) fn of(nodes: &[&Node], text: &str) -> Self {
        let mut scalars = Vec::new();
        let mut ends = Ends::new();
        for node in nodes {
            note_scalars(node, &mut scalars);
            let mut of_document = Ends::new();
            note_ends(node, &(0..usize::MAX), &mut of_document);
            for (place, end) in of_document {
                let known = ends.entry(place).or_insert(end);
                *known = end.max(*known);
            }
        }
        let mut next = 0;
        let lines = text.split_inclusive('\n').filter_map(|line| {
            let start = next;
            next += line.len();
            let content = line.trim_start();
            let has_content = !content.trim().is_empty() && !content.starts_with('#');
            has_content.then_some((start, next - content.len(), next))
        });
        let lines = lines.collect();
        Self { scalars: Cover::of(scalars), ends, lines }
    }

    /// Whether a byte lies in a key or a text.
    pub(super) fn is_in_scalar(&self, byte: usize) -> bool {
        self.scalars.holds(byte)
    }

    /// The bytes of the key, or the list item, that begins on the next line with content.
    pub(super) fn following(&self, from: usize, sought: Sought) -> Range<usize> {
        let next = self.lines.partition_point(|(start, ..)| *start < from);
        let Some(&(start, first, line_end)) = self.lines.get(next) else { return from..from };
        let end = self.ends.get(&(first, sought)).copied().unwrap_or(line_end);
        start..end.max(line_end)
    }
}

fn note_scalars(node: &Node, out: &mut Vec<Range<usize>>) {
    match &node.value {
        NodeValue::Map(entries) => {
            for entry in entries {
                out.push(entry.key_span.range());
                note_scalars(&entry.value, out);
            }
        }
        NodeValue::List(items) => items.iter().for_each(|item| note_scalars(item, out)),
        NodeValue::Text(_) => out.push(node.span.range()),
        _ => {}
    }
}

/// Where keys and items end, by the byte that they begin at.
type Ends = BTreeMap<(usize, Sought), usize>;

/// Notes where keys and items end. Of two that begin at one byte the first counts. What an alias
/// stands for is written elsewhere: it is passed over, as it lies outside of `window`.
fn note_ends(node: &Node, window: &Range<usize>, ends: &mut Ends) {
    let note = |ends: &mut Ends, byte: usize, sought: Sought, end: u32| {
        if window.contains(&byte) {
            ends.entry((byte, sought)).or_insert(end as usize);
        }
    };
    let inside = |range: Range<usize>| window.start.max(range.start)..window.end.min(range.end);
    match &node.value {
        NodeValue::Map(entries) => {
            for entry in entries {
                let value = entry.value.place();
                note(ends, entry.key_span.start as usize, Sought::Key, value.end);
                note_ends(&entry.value, &inside(value.range()), ends);
            }
        }
        NodeValue::List(items) => {
            for item in items {
                let span = item.place();
                let start = span.start as usize;
                note(ends, start, Sought::Item, span.end);
                // The dash stands before the item.
                for before in 1..=start.min(2) {
                    note(ends, start - before, Sought::Key, span.end);
                }
                note_ends(item, &inside(span.range()), ends);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::manifest::yaml::{Limits, compose};

    /// [`Scopes::is_in_scalar`] by a look at every node.
    fn in_scalar(node: &Node, byte: usize) -> bool {
        let mut scalars = Vec::new();
        note_scalars(node, &mut scalars);
        scalars.iter().any(|range| range.contains(&byte))
    }

    /// The end of the first key or item that begins at a byte, by a way down to it.
    fn end_of(node: &Node, byte: usize, sought: Sought) -> Option<usize> {
        match &node.value {
            NodeValue::Map(entries) => entries.iter().find_map(|entry| {
                let value = entry.value.place();
                if entry.key_span.start as usize == byte && sought == Sought::Key {
                    return Some(value.end as usize);
                }
                value.range().contains(&byte).then(|| end_of(&entry.value, byte, sought)).flatten()
            }),
            NodeValue::List(items) => items.iter().find_map(|item| {
                let span = item.place();
                let start = span.start as usize;
                let begins = match sought {
                    Sought::Key => (byte..byte + 3).contains(&start) && byte < start,
                    Sought::Item => byte == start,
                };
                if begins {
                    return Some(span.end as usize);
                }
                span.range().contains(&byte).then(|| end_of(item, byte, sought)).flatten()
            }),
            _ => None,
        }
    }

    /// [`Scopes::following`] by a look at every line.
    fn following(nodes: &[&Node], text: &str, from: usize, sought: Sought) -> Range<usize> {
        let mut start = from;
        for line in text.get(from..).unwrap_or_default().split_inclusive('\n') {
            let content = line.trim_start();
            if !content.trim().is_empty() && !content.starts_with('#') {
                let first = start + (line.len() - content.len());
                let end = nodes.iter().filter_map(|node| end_of(node, first, sought)).max();
                return start..end.unwrap_or(start + line.len()).max(start + line.len());
            }
            start += line.len();
        }
        from..from
    }

    /// Lines of which texts are made.
    const LINES: [&str; 16] = [
        "a: 1",
        "b:",
        "  c: x # y",
        "  - d: 1",
        "    e: [f, {g: h}]",
        "  # i",
        "- j",
        "  - # k",
        "---",
        "",
        "x: &x {l: 1, m: [n, o]}",
        "p: *x",
        "<<: *x",
        "q: |",
        "    # r",
        "s: 'u # v'",
    ];

    proptest! {
        #[test]
        fn a_file_that_is_looked_through_once_has_the_scopes_of_one_that_is_looked_at_each_time(
            lines in prop::collection::vec(prop::sample::select(&LINES), 1..24)
        ) {
            let text = lines.join("\n");
            let composed = compose(&text, &Limits::default());
            let nodes: Vec<&Node> = composed.documents.iter().map(|document| &document.root).collect();
            let scopes = Scopes::of(&nodes, &text);
            let mut start = 0;
            for line in text.split_inclusive('\n') {
                start += line.len();
                for sought in [Sought::Key, Sought::Item] {
                    let expected = following(&nodes, &text, start, sought);
                    prop_assert_eq!(scopes.following(start, sought), expected, "{}", text);
                }
            }
            for byte in 0..text.len() {
                let expected = nodes.iter().any(|node| in_scalar(node, byte));
                prop_assert_eq!(scopes.is_in_scalar(byte), expected, "{}", text);
            }
        }
    }
}
