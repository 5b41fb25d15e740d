//! Durations and times of a document, with a fault for each that has no meaning. The pointer to a text
//! is made when there is a fault.

use std::time::Duration;

use jiff::Timestamp;

use super::fault::Fault;
use crate::manifest::{
    code::Code,
    text::{DurationText, TextError, TimeText},
};

/// What a time looks like.
const TIME_FORM: &str = "write RFC 3339 with an offset, as in `2026-12-24T18:00:00+01:00`";

/// The duration under a pointer; none when it is absent or has no meaning.
pub(super) fn duration(
    text: Option<&DurationText>,
    pointer: impl Fn() -> String,
    faults: &mut Vec<Fault>,
) -> Option<Duration> {
    text?
        .parse()
        .map_err(|error| {
            let (label, help) = match error {
                TextError::TooLong(_) => ("too long", "write ten years (`3660d`) or less"),
                _ => ("not a duration", "write numbers with units, as in `30s`, `6h30m` or `7d`"),
            };
            faults.push(Fault::new(Code::Duration, pointer(), error.to_string()).label(label).help(help));
        })
        .ok()
}

/// The same, where zero makes no sense.
pub(super) fn positive(
    text: Option<&DurationText>,
    pointer: impl Fn() -> String,
    faults: &mut Vec<Fault>,
) -> Option<Duration> {
    let duration = duration(text, &pointer, faults)?;
    if duration.is_zero() {
        faults.push(
            Fault::new(Code::Duration, pointer(), "the duration is zero")
                .label("zero")
                .help("write a longer one, or leave the key out"),
        );
        return None;
    }
    Some(duration)
}

/// The time under a pointer; none when it is absent or has no meaning.
pub(super) fn time(
    text: Option<&TimeText>,
    pointer: impl Fn() -> String,
    faults: &mut Vec<Fault>,
) -> Option<Timestamp> {
    let text = text?;
    text.parse()
        .map_err(|error| {
            let label = match error {
                TextError::LeapSecond(_) => "the 61st second of a minute",
                _ => "no such day, hour or offset",
            };
            let told = error.to_string();
            let (message, way_out) = told.split_once("; ").unwrap_or((&told, TIME_FORM));
            faults.push(Fault::new(Code::Time, pointer(), message).label(label).help(way_out));
        })
        .ok()
}
