//! Where the output of one action goes: masked, perhaps with the step's id before each line.

use std::sync::Arc;

use super::{
    mask::{Masker, Masks},
    output::Output,
};

/// Most bytes of a step's output that later steps see.
const CAPTURE_BYTES_MAX: usize = 1024 * 1024;

/// A longer line of a step is shown in parts.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Where the output of one action goes.
pub(super) struct Sink<'a> {
    output: &'a Output,
    masks: Masks,
    masker: Masker,
    /// What stands before each line; nothing when the action is no step.
    prefix: String,
    /// The beginning of a line whose rest is waited for.
    part: Vec<u8>,
    captured: Vec<u8>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(output: &'a Output, masks: Masks, step: Option<&str>) -> Self {
        Self {
            output,
            masker: Masker::new(masks.clone()),
            masks,
            prefix: step.map(|id| format!("{id} | ")).unwrap_or_default(),
            part: Vec::new(),
            captured: Vec::new(),
        }
    }

    /// Adds bytes that the action printed.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if !self.prefix.is_empty() {
            // Later steps work with the value itself.
            self.captured.extend_from_slice(bytes);
            if self.captured.len() > 2 * CAPTURE_BYTES_MAX {
                let over = self.captured.len() - CAPTURE_BYTES_MAX;
                self.captured.drain(..over);
            }
        }
        let shown = self.masker.push(bytes);
        self.show(&shown);
    }

    /// Adds a line of our own.
    pub(super) fn say(&mut self, line: &str) {
        self.end();
        self.output.say(&self.prefix, &self.masks.text(line));
    }

    /// Whether the beginning of a line waits for its rest.
    pub(super) fn has_part(&self) -> bool {
        !self.part.is_empty()
    }

    /// Shows the beginning of a line. What may be a secret stays held back.
    pub(super) fn show_part(&mut self) {
        self.output.write(&self.prefix, &std::mem::take(&mut self.part));
    }

    /// Shows what is held back: the action prints no more.
    pub(super) fn end(&mut self) {
        let rest = self.masker.finish();
        self.show(&rest);
        self.show_part();
    }

    /// Ends the stream; gives the end of what was printed, for later steps.
    pub(super) fn finish(mut self) -> Arc<str> {
        self.end();
        let over = self.captured.len().saturating_sub(CAPTURE_BYTES_MAX);
        self.captured.drain(..over);
        let text = String::from_utf8_lossy(&self.captured);
        text.strip_suffix('\n').unwrap_or(&text).into()
    }

    fn show(&mut self, bytes: &[u8]) {
        if self.prefix.is_empty() {
            self.output.write("", bytes);
            return;
        }
        // A line is shown in one piece where it comes in one, though steps run beside each other.
        self.part.extend_from_slice(bytes);
        let end = match self.part.iter().rposition(|byte| *byte == b'\n') {
            _ if self.part.len() > LINE_BYTES_MAX => self.part.len(),
            Some(newline) => newline + 1,
            None => return,
        };
        let shown: Vec<u8> = self.part.drain(..end).collect();
        self.output.write(&self.prefix, &shown);
    }
}
