//! One node at a time: lists, mappings, keys and aliases, with the span of each.

use granit_parser::{Event, ScalarStyle, StructureStyle};

use super::{
    compose::{Anchored, Composer, Stop},
    fault::Fault,
    mapping::{MERGE_KEY, Mapping},
    node::{Entry, Node, NodeValue, escaped},
    syntax::{self, to_u32},
};
use crate::manifest::{code::Code, problem::Span};

impl<'a> Composer<'a> {
    /// Reads the node that `event` begins into `into`, so that an early end leaves what was read.
    pub(super) fn node(
        &mut self,
        event: Event<'a>,
        span: Span,
        depth: usize,
        into: &mut Node,
    ) -> Result<(), Stop> {
        let nodes_before = self.nodes;
        self.count(1, span)?;
        into.span = span;
        let anchor = match event {
            Event::Alias(id) => return self.alias(id, span, into),
            Event::UnresolvedAlias(name) => {
                self.report_at(span, |text| syntax::unknown_alias(text, span, &name));
                return Ok(());
            }
            Event::Scalar(text, style, anchor, tag) => {
                into.value = self.scalar(text, style, tag.as_deref(), span);
                into.span = trimmed(self.text, span);
                anchor
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.enter(depth, tag.as_deref(), "seq", span)?;
                self.list(style, depth, into)?;
                anchor
            }
            Event::MappingStart(style, anchor, tag) => {
                self.enter(depth, tag.as_deref(), "map", span)?;
                self.map(style, depth, into)?;
                anchor
            }
            // The parser begins a node with nothing else.
            _ => return Ok(()),
        };
        if anchor != 0 {
            let nodes = self.nodes - nodes_before;
            self.count(nodes, span)?;
            self.anchors.insert(anchor, Anchored { node: into.clone(), nodes });
        }
        Ok(())
    }

    pub(super) fn list(&mut self, style: StructureStyle, depth: usize, into: &mut Node) -> Result<(), Stop> {
        into.span = self.open(style, into.span, '-');
        into.value = NodeValue::List(Vec::new());
        let NodeValue::List(items) = &mut into.value else { return Ok(()) };
        loop {
            let (event, span) = self.event()?;
            if matches!(event, Event::SequenceEnd) {
                into.span.end = self.close(style, span, into.span.end);
                return Ok(());
            }
            items.push(Node { value: NodeValue::Null, span, used_at: None });
            let Some(item) = items.last_mut() else { continue };
            self.node(event, span, depth + 1, item)?;
            if item.span.is_empty() {
                item.span = dash_before(self.text, item.span);
            }
            into.span.end = into.span.end.max(item.place().end);
        }
    }

    pub(super) fn map(&mut self, style: StructureStyle, depth: usize, into: &mut Node) -> Result<(), Stop> {
        into.span = self.open(style, into.span, '?');
        let mut mapping = Mapping::default();
        let mut merges = Mapping::default();
        let result = self.entries(style, depth, &mut into.span, &mut mapping, &mut merges);
        for merge in merges.entries {
            if let Err(fault) = mapping.merge(merge.value, self.text) {
                self.report(*fault);
            }
        }
        into.value = NodeValue::Map(mapping.entries);
        result
    }

    pub(super) fn entries(
        &mut self,
        style: StructureStyle,
        depth: usize,
        around: &mut Span,
        mapping: &mut Mapping,
        merges: &mut Mapping,
    ) -> Result<(), Stop> {
        loop {
            let (event, key_span) = self.event()?;
            if matches!(event, Event::MappingEnd) {
                around.end = self.close(style, key_span, around.end);
                return Ok(());
            }
            let is_merge = is_merge_key(&event);
            let faults_before = self.faults_noted();
            let (key, key_span) = self.key(event, key_span, depth)?;
            let fault_of_key = (self.faults_noted() > faults_before).then_some(faults_before);
            around.end = around.end.max(key_span.end);
            let entries = if is_merge { &mut *merges } else { &mut *mapping };
            let (event, span) = self.event()?;
            let is_alias = matches!(event, Event::Alias(_) | Event::UnresolvedAlias(_));
            let mut value = Node { value: NodeValue::Null, span, used_at: None };
            let result = self.node(event, span, depth + 1, &mut value);
            if value.span.is_empty() {
                // Nothing is written: the key is the place to point at.
                value.span = key_span;
            }
            around.end = around.end.max(value.place().end);
            // An alias that stands for nothing is told already.
            let stands_for_nothing = is_merge && is_alias && value.used_at.is_none();
            let is_text = key.is_some();
            let entry = Entry { key: key.unwrap_or_default(), key_span, value };
            match entries.place_of(&entry.key) {
                _ if !is_text => self.hide_left_out(fault_of_key, entry),
                None if stands_for_nothing => {}
                Some(first) => {
                    self.report_at(key_span, |text| {
                        duplicate(&entry.key, key_span, first).left_out(entry, text)
                    });
                }
                None => entries.push(entry),
            }
            result?;
        }
    }

    /// The key that `event` begins; `None` when it is not text, which is a fault.
    pub(super) fn key(
        &mut self,
        event: Event<'a>,
        span: Span,
        depth: usize,
    ) -> Result<(Option<String>, Span), Stop> {
        let mut key = Node { value: NodeValue::Null, span, used_at: None };
        self.node(event, span, depth + 1, &mut key)?;
        let place = key.place();
        if let NodeValue::Text(text) = key.value {
            return Ok((Some(text), place));
        }
        self.report_at(place, |text| syntax::key_is_not_text(text, &key));
        Ok((None, place))
    }

    /// Puts what the alias stands for into `into`. The cost is counted before anything is copied.
    pub(super) fn alias(&mut self, id: usize, span: Span, into: &mut Node) -> Result<(), Stop> {
        self.aliases += 1;
        if self.aliases > self.limits.aliases {
            let message = format!("more than {} aliases in one file", self.limits.aliases);
            return self.stop(Fault::new(Code::Limit, span, message).help("write the values out"));
        }
        let Some(nodes) = self.anchors.get(&id).map(|anchored| anchored.nodes) else {
            let fault = Fault::new(Code::YamlFeature, span, "the alias stands for a value that holds it")
                .label("this would go on for ever")
                .help("write the value out");
            self.report(fault);
            return Ok(());
        };
        self.count(nodes, span)?;
        if let Some(anchored) = self.anchors.get(&id) {
            *into = anchored.node.clone();
            into.used_at = Some(span);
        }
        Ok(())
    }

    /// The span of a collection's beginning. `sign` is what a block collection may begin with; the
    /// parser points behind it in some places.
    pub(super) fn open(&mut self, style: StructureStyle, span: Span, sign: char) -> Span {
        if style == StructureStyle::Flow {
            self.brackets.push(span);
            return span;
        }
        if self.text[span.start as usize..].starts_with(sign) {
            return span;
        }
        let before = self.text[..span.start as usize].trim_end_matches([' ', '\t']);
        let start = if before.ends_with(sign) { before.len() - sign.len_utf8() } else { span.start as usize };
        Span { start: to_u32(start), end: span.end }
    }

    pub(super) fn close(&mut self, style: StructureStyle, span: Span, last_end: u32) -> u32 {
        if style == StructureStyle::Flow {
            self.brackets.pop();
            return span.end;
        }
        last_end
    }
}

fn is_merge_key(event: &Event<'_>) -> bool {
    matches!(event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == MERGE_KEY)
}

fn duplicate(key: &str, span: Span, first: Span) -> Fault {
    let help = if key == MERGE_KEY { "write one list: `<<: [*a, *b]`" } else { "keep one of them" };
    let mut fault = Fault::new(Code::DuplicateKey, span, format!("`{key}` is given twice"))
        .label("given again here")
        .related(first, "first given here")
        .help(help);
    fault.pointer = format!("/{}", escaped(key));
    fault
}

/// The span without white space at its end: that of a block scalar reaches into the next line.
fn trimmed(text: &str, span: Span) -> Span {
    let written = &text[span.range()];
    Span { start: span.start, end: span.start + to_u32(written.trim_end().len()) }
}

/// The `-` of a list item that holds nothing.
fn dash_before(text: &str, span: Span) -> Span {
    let before = text[..span.start as usize].trim_end();
    match before.strip_suffix('-') {
        Some(rest) => Span { start: to_u32(rest.len()), end: to_u32(before.len()) },
        None => span,
    }
}
