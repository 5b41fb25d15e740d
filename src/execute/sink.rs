//! Where the output of one action goes: masked, perhaps with the step's id before each line.

use super::{
    mask::{Masker, Masks},
    output::Output,
    printed::{Stream, Streams},
};
use crate::manifest::template::{OUTPUT_BYTES_MAX, StepOutput};

/// A longer line of a step is shown in parts.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// What is kept of what an action prints on stdout, beside what is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capture {
    /// All of it: other steps may use it.
    Whole,
    /// Nothing.
    Nothing,
}

/// Where the output of one action goes.
pub(super) struct Sink<'a> {
    output: &'a Output,
    masks: Masks,
    /// What stands before each line; nothing when the action is no step.
    prefix: String,
    out: Lane,
    err: Lane,
    captured: Captured,
}

/// One stream on its way.
struct Lane {
    masker: Masker,
    /// The beginning of a line whose rest is waited for.
    part: Vec<u8>,
}

enum Captured {
    Nothing,
    Whole(Vec<u8>),
    /// There was more than can be used.
    TooLong,
}

impl<'a> Sink<'a> {
    pub(super) fn new(output: &'a Output, masks: Masks, step: Option<&str>, capture: Capture) -> Self {
        let lane = || Lane { masker: Masker::new(masks.clone()), part: Vec::new() };
        Self {
            output,
            prefix: step.map(|id| format!("{id} | ")).unwrap_or_default(),
            out: lane(),
            err: lane(),
            captured: match capture {
                Capture::Whole => Captured::Whole(Vec::new()),
                Capture::Nothing => Captured::Nothing,
            },
            masks,
        }
    }

    /// How an action is to print: what is captured is stdout alone.
    pub(super) fn streams(&self) -> Streams {
        match self.captured {
            Captured::Nothing => Streams::Together,
            Captured::Whole(_) | Captured::TooLong => Streams::Apart,
        }
    }

    /// Adds bytes that the action printed.
    pub(super) fn write(&mut self, stream: Stream, bytes: &[u8]) {
        if stream == Stream::Out {
            self.captured.add(bytes);
        }
        let shown = self.lane(stream).masker.push(bytes);
        self.show(stream, &shown);
    }

    /// Adds a line of our own.
    pub(super) fn say(&mut self, line: &str) {
        self.end();
        self.output.say(&self.prefix, &self.masks.text(line));
    }

    /// Whether the beginning of a line waits for its rest.
    pub(super) fn has_part(&self) -> bool {
        !self.out.part.is_empty() || !self.err.part.is_empty()
    }

    /// Shows the beginnings of lines. What may be a secret stays held back.
    pub(super) fn show_part(&mut self) {
        for stream in [Stream::Out, Stream::Err] {
            let part = std::mem::take(&mut self.lane(stream).part);
            self.output.write(&self.prefix, &part);
        }
    }

    /// Shows what is held back: the action prints no more.
    pub(super) fn end(&mut self) {
        for stream in [Stream::Out, Stream::Err] {
            let rest = self.lane(stream).masker.finish();
            self.show(stream, &rest);
            let part = std::mem::take(&mut self.lane(stream).part);
            self.output.write(&self.prefix, &part);
        }
    }

    /// Ends the streams; gives what was captured, for later steps.
    pub(super) fn finish(mut self) -> StepOutput {
        self.end();
        let text = match &self.captured {
            Captured::TooLong => return StepOutput::TooLong,
            Captured::Nothing => "".into(),
            Captured::Whole(bytes) => String::from_utf8_lossy(bytes),
        };
        StepOutput::Whole(text.strip_suffix('\n').unwrap_or(&text).into())
    }

    fn lane(&mut self, stream: Stream) -> &mut Lane {
        match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        }
    }

    fn show(&mut self, stream: Stream, bytes: &[u8]) {
        if self.prefix.is_empty() {
            self.output.write("", bytes);
            return;
        }
        // A line is shown in one piece where it comes in one, though steps run beside each other.
        let part = &mut self.lane(stream).part;
        part.extend_from_slice(bytes);
        let end = match part.iter().rposition(|byte| *byte == b'\n') {
            _ if part.len() > LINE_BYTES_MAX => part.len(),
            Some(newline) => newline + 1,
            None => return,
        };
        let shown: Vec<u8> = part.drain(..end).collect();
        self.output.write(&self.prefix, &shown);
    }
}

impl Captured {
    fn add(&mut self, bytes: &[u8]) {
        if let Self::Whole(captured) = self {
            captured.extend_from_slice(bytes);
            // The newline at the end does not count.
            if captured.len() > OUTPUT_BYTES_MAX + 1
                || captured.len() == OUTPUT_BYTES_MAX + 1 && !captured.ends_with(b"\n")
            {
                *self = Self::TooLong;
            }
        }
    }
}
