//! A cron expression on a clock that never changes: which times on the wall match.
//!
//! Pure. The search itself is `croner`'s; it is bounded here, and remembered while one question
//! is answered, so that walking over clock changes costs no second search.

use croner::{CronComponent, parser::CronParser};

use super::{
    expression::{DayRule, Expression},
    field::{Flaw, YEAR_MAX, YEAR_MIN},
    never,
    zone::Wall,
};

/// Times on the wall that match an expression.
#[derive(Debug)]
pub(super) struct Pattern(croner::Cron);

impl Pattern {
    /// The times that match these fields: the canonical text of an expression and of its years.
    ///
    /// # Errors
    ///
    /// When no day matches.
    pub(super) fn new(
        expression: &Expression,
        rule: DayRule,
        fields: &str,
        years: &str,
    ) -> Result<Self, Flaw> {
        let unread = |error| Flaw::new(None, format!("the expression cannot be evaluated: {error}"));
        let mut cron = CronParser::new().parse(fields).map_err(unread)?;
        // `croner` keeps a byte for each year to 5000 and searches all of them. One more year at
        // each end lets a clock that is behind or ahead of UTC be searched from there.
        let mut bounded = CronComponent::new(YEAR_MIN - 1, YEAR_MAX + 1, 0, 0);
        bounded.parse(years).map_err(unread)?;
        cron.pattern.years = bounded;
        if never::some_day_matches(&cron.pattern, expression) {
            Ok(Self(cron))
        } else {
            Err(never::explain(expression, rule))
        }
    }

    /// The seconds, minutes and hours that match, each sorted.
    pub(super) fn times_of_day(&self) -> [Vec<u16>; 3] {
        let pattern = &self.0.pattern;
        [pattern.seconds.values(), pattern.minutes.values(), pattern.hours.values()]
    }

    /// The first match at or after a time.
    pub(super) fn at_or_after(&self, from: Wall) -> Option<Wall> {
        self.0.find_next_occurrence(&from.civil()?, true).ok().and_then(Wall::of)
    }

    /// The last match at or before a time.
    pub(super) fn at_or_before(&self, until: Wall) -> Option<Wall> {
        self.0.find_previous_occurrence(&until.civil()?, true).ok().and_then(Wall::of)
    }
}

/// A search forward that remembers its last answer: it holds for every time between the question
/// and the answer.
pub(super) struct Forward<'a> {
    pattern: &'a Pattern,
    known: Option<(Wall, Option<Wall>)>,
}

impl<'a> Forward<'a> {
    /// A search that knows nothing yet.
    pub(super) fn new(pattern: &'a Pattern) -> Self {
        Self { pattern, known: None }
    }

    /// The first match in `from..until`.
    pub(super) fn first_in(&mut self, from: Wall, until: Wall) -> Option<Wall> {
        if until <= from {
            return None;
        }
        let found = match self.known {
            Some((asked, found)) if asked <= from && found.is_none_or(|found| from <= found) => found,
            _ => {
                let found = self.pattern.at_or_after(from);
                self.known = Some((from, found));
                found
            }
        };
        found.filter(|&found| found < until)
    }
}

/// A search backward that remembers its last answer.
pub(super) struct Backward<'a> {
    pattern: &'a Pattern,
    known: Option<(Wall, Option<Wall>)>,
}

impl<'a> Backward<'a> {
    /// A search that knows nothing yet.
    pub(super) fn new(pattern: &'a Pattern) -> Self {
        Self { pattern, known: None }
    }

    /// The last match in `from..until`.
    pub(super) fn last_in(&mut self, from: Wall, until: Wall) -> Option<Wall> {
        if until <= from {
            return None;
        }
        let last = until.previous();
        let found = match self.known {
            Some((asked, found)) if last <= asked && found.is_none_or(|found| found <= last) => found,
            _ => {
                let found = self.pattern.at_or_before(last);
                self.known = Some((last, found));
                found
            }
        };
        found.filter(|&found| from <= found)
    }
}
