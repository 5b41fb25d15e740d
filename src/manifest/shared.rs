//! Parts of specs that many jobs have alike, each kept once.
//!
//! Not seen from outside: a shared part is equal to one of its own. Ten thousand hourly jobs have
//! sixty different schedules, and one policy.

use std::{
    collections::HashSet,
    hash::Hash,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// So many parts that no job has are kept: the next manifest may have one of them again.
const UNHELD_MAX: usize = 256;

/// A part of a spec, shared with all specs that have an equal one. Cheap to clone.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Shared<T: ?Sized>(Arc<T>);

/// What can be shared.
pub trait Share: Eq + Hash + 'static {
    /// Where those that are shared are kept.
    fn parts() -> &'static Parts<Self>;
}

/// The different parts of one kind.
#[derive(Debug)]
pub struct Parts<T: ?Sized>(Mutex<Shelf<T>>);

#[derive(Debug)]
struct Shelf<T: ?Sized> {
    parts: HashSet<Arc<T>>,
    /// Those that no spec has are thrown away when there are this many in all.
    sweep_at: usize,
}

impl<T: Share + ?Sized> Shared<T> {
    /// Takes the part that is equal to this one, if there is one by now.
    #[must_use]
    pub fn of(part: impl Into<Arc<T>>) -> Self {
        Self(T::parts().share(part.into()))
    }
}

impl<T> Shared<[T]> {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Default for Shared<[T]>
where
    [T]: Share,
{
    fn default() -> Self {
        Self::of(Vec::new())
    }
}

impl<T> FromIterator<T> for Shared<[T]>
where
    [T]: Share,
{
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::of(items.into_iter().collect::<Vec<T>>())
    }
}

impl<T: ?Sized> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: ?Sized> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Serialize + ?Sized> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Share + ?Sized> Deserialize<'de> for Shared<T>
where
    Box<T>: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<T>::deserialize(deserializer).map(Self::of)
    }
}

impl<T: ?Sized + Eq + Hash> Parts<T> {
    /// No parts.
    #[must_use]
    pub fn new() -> Self {
        Self(Mutex::new(Shelf { parts: HashSet::new(), sweep_at: UNHELD_MAX }))
    }

    fn share(&self, part: Arc<T>) -> Arc<T> {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = shelf.parts.get(&*part) {
            return Arc::clone(kept);
        }
        if shelf.parts.len() >= shelf.sweep_at {
            shelf.parts.retain(|part| Arc::strong_count(part) > 1);
            // In proportion, so that a sweep costs each new part little.
            shelf.sweep_at = shelf.parts.len() + UNHELD_MAX.max(shelf.parts.len() / 8);
        }
        shelf.parts.insert(Arc::clone(&part));
        part
    }
}

impl<T: ?Sized + Eq + Hash> Default for Parts<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_parts_are_one_while_a_spec_has_it_and_for_a_while_afterwards() {
        let parts: Parts<str> = Parts::new();
        let share = |text: &str| parts.share(Arc::from(text));
        let first = share("a");
        assert!(Arc::ptr_eq(&first, &share("a")));
        let unheld = Arc::as_ptr(&share("b"));
        assert!(std::ptr::addr_eq(unheld, Arc::as_ptr(&share("b"))));
        for number in 0..2_000 {
            drop(share(&number.to_string()));
        }
        assert!(parts.0.lock().unwrap().parts.len() <= UNHELD_MAX + 1);
        assert!(Arc::ptr_eq(&first, &share("a")));
    }
}
