//! Keeps one copy of what many jobs share, for as long as one of them holds it.
//!
//! Not seen from outside: a shared value is equal to one of its own. Ten thousand hourly jobs
//! hold one parsed expression instead of ten thousand of three kilobytes each.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

/// Entries below which dead ones are not worth a sweep.
const SWEEP_MIN: usize = 256;

/// Values that are shared while they are held.
#[derive(Debug)]
pub(super) struct Pool<K, V>(Mutex<Shelf<K, V>>);

#[derive(Debug)]
struct Shelf<K, V> {
    held: HashMap<K, Weak<V>>,
    /// Dead entries are thrown away when there are this many in all.
    sweep_at: usize,
}

impl<K: Eq + Hash + Clone, V> Pool<K, V> {
    /// A pool with nothing in it.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Shelf { held: HashMap::new(), sweep_at: SWEEP_MIN }))
    }

    /// The value of this key: the one that is held, or else a new one. It is made outside of the
    /// lock, so that others can be made at the same time; two who want one key may both make it,
    /// and then share the first.
    ///
    /// # Errors
    ///
    /// When there is none and it cannot be made.
    pub(super) fn get_or_make<E>(&self, key: &K, make: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        if let Some(value) = self.shelf().find(key) {
            return Ok(value);
        }
        let value = Arc::new(make()?);
        Ok(self.shelf().put(key, value))
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone, V> Shelf<K, V> {
    fn find(&self, key: &K) -> Option<Arc<V>> {
        self.held.get(key).and_then(Weak::upgrade)
    }

    /// Keeps a value, unless there is one by now; gives the one that is kept.
    fn put(&mut self, key: &K, value: Arc<V>) -> Arc<V> {
        if let Some(held) = self.find(key) {
            return held;
        }
        if self.held.len() >= self.sweep_at {
            self.held.retain(|_, weak| weak.strong_count() > 0);
            self.sweep_at = (self.held.len() * 2).max(SWEEP_MIN);
        }
        self.held.insert(key.clone(), Arc::downgrade(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(pool: &Pool<u32, String>, key: u32) -> Arc<String> {
        pool.get_or_make(&key, || Ok::<_, ()>(key.to_string())).unwrap()
    }

    #[test]
    fn a_value_is_shared_while_it_is_held_and_forgotten_afterwards() {
        let pool = Pool::new();
        let first = get(&pool, 1);
        assert!(Arc::ptr_eq(&first, &get(&pool, 1)));
        for key in 2..2_000 {
            drop(get(&pool, key));
        }
        assert!(pool.0.lock().unwrap().held.len() <= SWEEP_MIN + 1);
        assert!(Arc::ptr_eq(&first, &get(&pool, 1)));
    }

    #[test]
    fn a_value_is_made_while_others_can_be_had() {
        let pool = Pool::new();
        let first = get(&pool, 1);
        let second = pool.get_or_make(&2, || {
            assert!(pool.0.try_lock().is_ok(), "locked");
            assert!(Arc::ptr_eq(&first, &get(&pool, 1)));
            Ok::<_, ()>("late".to_owned())
        });
        assert_eq!(second.as_deref().map(String::as_str), Ok("late"));
    }

    #[test]
    fn of_two_who_make_one_value_both_get_the_first() {
        let pool = Pool::new();
        let mut first = None;
        let second = pool.get_or_make(&1, || {
            first = Some(get(&pool, 1));
            Ok::<_, ()>("late".to_owned())
        });
        assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
    }

    #[test]
    fn what_cannot_be_made_leaves_nothing() {
        let pool: Pool<u32, u32> = Pool::new();
        assert_eq!(pool.get_or_make(&1, || Err::<u32, _>("no")), Err("no"));
        assert_eq!(pool.get_or_make(&1, || Ok::<_, ()>(5)).as_deref(), Ok(&5));
    }
}
