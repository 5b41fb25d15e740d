//! Wakes whoever scans, and keeps what there is to look at.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use tokio::sync::Notify;

/// Names that are looked at one by one, at most; of more, a scan of the whole tree is as good. It
/// also limits what is kept while nobody scans.
const NAMES_MAX: usize = 1_000;

/// What may have changed. A hint and no more: a scan of the whole tree follows in any case, sooner or
/// later, and nothing is concluded from an absence before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// These entries of directories of the tree.
    Named(BTreeSet<PathBuf>),
    /// Anything.
    Whole,
}

impl Default for Hint {
    fn default() -> Self {
        Self::Named(BTreeSet::new())
    }
}

impl Hint {
    /// Whether there is nothing to look at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Named(names) if names.is_empty())
    }

    /// Adds what another hint is about.
    pub fn merge(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Named(names), Self::Named(more)) => {
                names.extend(more);
                if names.len() > NAMES_MAX {
                    *self = Self::Whole;
                }
            }
            (Self::Whole, _) => {}
            (Self::Named(_), Self::Whole) => *self = Self::Whole,
        }
    }
}

/// Wakes the one who scans.
#[derive(Debug, Default)]
pub struct Alarm {
    bell: Notify,
    hint: Mutex<Hint>,
}

impl Alarm {
    /// Wakes the one who scans, to look at what `hint` is about. Rung while nobody waits, it is kept.
    pub fn ring(&self, hint: Hint) {
        if !hint.is_empty() {
            self.hint.lock().unwrap_or_else(PoisonError::into_inner).merge(hint);
            self.bell.notify_one();
        }
    }

    /// Waits until the alarm was rung since this last returned. Dropping the future loses nothing.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Takes what there is to look at; empty when it was taken since the alarm was rung last.
    #[must_use]
    pub fn take(&self) -> Hint {
        std::mem::take(&mut self.hint.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: impl IntoIterator<Item = usize>) -> Hint {
        Hint::Named(names.into_iter().map(|name| PathBuf::from(name.to_string())).collect())
    }

    #[test]
    fn hints_add_up_until_they_are_about_everything() {
        let mut hint = Hint::default();
        assert!(hint.is_empty());
        hint.merge(named([1, 2]));
        hint.merge(named([2, 3]));
        assert_eq!(hint, named([1, 2, 3]));
        hint.merge(Hint::Whole);
        hint.merge(named([4]));
        assert_eq!(hint, Hint::Whole);

        let mut many = named(0..NAMES_MAX);
        assert!(matches!(many, Hint::Named(_)));
        many.merge(named([NAMES_MAX]));
        assert_eq!(many, Hint::Whole);
    }

    #[test]
    fn a_hint_is_kept_until_it_is_taken() {
        let alarm = Alarm::default();
        alarm.ring(named([1]));
        alarm.ring(named([2]));
        assert_eq!(alarm.take(), named([1, 2]));
        assert!(alarm.take().is_empty());
    }
}
