//! Durations and times as people write them: `6h30m`, `2026-12-24T18:00:00+01:00`.
//!
//! Both keep their text, so that the schema decides on the form and a later step, which knows
//! where the text stands, on the meaning.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest duration that a manifest may give: ten years, so that no sum with a time of this
/// century can overflow.
pub const DURATION_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// A length of time: numbers with units, largest first by custom (`30s`, `6h30m`, `250ms`).
///
/// Units: `ms`, `s`, `m`, `h`, `d` (24 hours), `w` (7 days).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(transparent)]
pub struct DurationText(
    #[schemars(
        length(min = 2, max = 64),
        regex(pattern = r"^([0-9]{1,12}(ms|s|m|h|d|w))+$"),
        extend("examples" = ["30s", "6h30m"])
    )]
    pub String,
);

/// A point in time: RFC 3339 with an offset (`2026-12-24T18:00:00+01:00`, or `Z`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(transparent)]
pub struct TimeText(
    #[schemars(
        length(max = 64),
        regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$"),
        extend("examples" = ["2026-12-24T18:00:00+01:00"])
    )]
    pub String,
);

/// Why a duration or a time has no meaning.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TextError {
    /// Not numbers with units.
    #[error("`{0}` is not a duration; write numbers with units, as in `30s` or `6h30m`")]
    NotADuration(String),
    /// More than [`DURATION_MAX`].
    #[error("`{0}` is longer than ten years")]
    TooLong(String),
    /// No such day or hour, or no offset.
    #[error("`{0}` is not a time; write RFC 3339 with an offset, as in `2026-12-24T18:00:00+01:00`")]
    NotATime(String),
    /// The 61st second of a minute.
    #[error("`{0}` is a leap second, which clocks of computers do not have; write `:59` or the next minute")]
    LeapSecond(String),
}

impl DurationText {
    /// The length it means.
    ///
    /// # Errors
    ///
    /// When the text is no duration, or one above [`DURATION_MAX`].
    pub fn parse(&self) -> Result<Duration, TextError> {
        parse_duration(&self.0)
    }
}

impl TimeText {
    /// The instant it means.
    ///
    /// # Errors
    ///
    /// When there is no such day or time of day.
    pub fn parse(&self) -> Result<Timestamp, TextError> {
        // A leap second would be read as the second before it.
        let seconds = self.0.get("2026-01-01T00:00:".len()..).unwrap_or_default();
        if seconds.starts_with("60") {
            return Err(TextError::LeapSecond(self.0.clone()));
        }
        self.0.parse().map_err(|_| TextError::NotATime(self.0.clone()))
    }
}

/// Reads a duration, as [`DurationText::parse`].
///
/// # Errors
///
/// When the text is no duration, or one above [`DURATION_MAX`].
pub fn parse_duration(text: &str) -> Result<Duration, TextError> {
    let not_a_duration = || TextError::NotADuration(text.to_owned());
    let too_long = || TextError::TooLong(text.to_owned());
    if text.is_empty() {
        return Err(not_a_duration());
    }
    let mut total_ms: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let unit_ms: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return Err(not_a_duration()),
        };
        if number.is_empty() {
            return Err(not_a_duration());
        }
        let part = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit_ms)).ok_or_else(too_long)?;
        total_ms = total_ms.checked_add(part).ok_or_else(too_long)?;
        rest = tail;
    }
    let total = Duration::from_millis(total_ms);
    if total > DURATION_MAX { Err(too_long()) } else { Ok(total) }
}

/// Writes a duration in the shortest form that [`parse_duration`] reads back, to the millisecond.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut rest_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest_ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, unit_ms) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        let count = rest_ms / unit_ms;
        rest_ms %= unit_ms;
        if count > 0 {
            text.push_str(&count.to_string());
            text.push_str(unit);
        }
    }
    text
}

/// Serde for a [`Duration`] as human text.
pub mod human {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes `6h30m`.
    ///
    /// # Errors
    ///
    /// When the serializer fails.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::format_duration(*duration))
    }

    /// Reads `6h30m`.
    ///
    /// # Errors
    ///
    /// When the text is not a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse_duration(&text).map_err(de::Error::custom)
    }

    /// The same for an optional duration.
    pub mod option {
        use std::time::Duration;

        use serde::{Deserialize, Deserializer, Serializer, de};

        /// Writes `6h30m` or nothing.
        ///
        /// # Errors
        ///
        /// When the serializer fails.
        pub fn serialize<S: Serializer>(
            duration: &Option<Duration>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match duration {
                Some(duration) => super::serialize(duration, serializer),
                None => serializer.serialize_none(),
            }
        }

        /// Reads `6h30m` or nothing.
        ///
        /// # Errors
        ///
        /// When the text is not a duration.
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
            let text = Option::<String>::deserialize(deserializer)?;
            text.map(|text| super::super::parse_duration(&text)).transpose().map_err(de::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected_ms: Option<u64>) {
        let parsed = parse_duration(text).ok();
        assert_eq!(parsed, expected_ms.map(Duration::from_millis), "{text}");
        if let Some(duration) = parsed {
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration), "{text}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn durations_table() {
        check("0s",     Some(0));
        check("250ms",  Some(250));
        check("30s",    Some(30_000));
        check("6h30m",  Some(23_400_000));
        check("1w",     Some(604_800_000));
        check("90m",    Some(5_400_000));
        check("",       None);
        check("30",     None);
        check("s",      None);
        check("1y",     None);
        check("-1s",    None);
        check("1.5h",   None);
        check("99999999999999999999s", None);
        check("600w",   None);
    }

    #[test]
    fn a_day_that_does_not_exist_is_no_time() {
        assert!(TimeText("2026-02-31T00:00:00Z".to_owned()).parse().is_err());
        assert!(TimeText("2026-12-24T18:00:00+01:00".to_owned()).parse().is_ok());
    }

    #[test]
    fn a_leap_second_is_not_moved_in_silence() {
        let text = "2016-12-31T23:59:60Z".to_owned();
        assert_eq!(TimeText(text.clone()).parse(), Err(TextError::LeapSecond(text)));
    }
}
