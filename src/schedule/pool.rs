//! Keeps one copy of what many jobs share, at least for as long as one of them holds it.
//!
//! Not seen from outside: a shared value is equal to one of its own. Ten thousand hourly jobs
//! hold one parsed expression instead of ten thousand of three kilobytes each.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// So many values that nobody holds are kept: the next manifest may ask for one of them again, and
/// those that are not well hold none.
const UNHELD_MAX: usize = 256;

/// Values that are shared.
#[derive(Debug)]
pub(super) struct Pool<K, V: ?Sized>(Mutex<Shelf<K, V>>);

#[derive(Debug)]
struct Shelf<K, V: ?Sized> {
    values: HashMap<K, Arc<V>>,
    /// Those that nobody holds are thrown away when there are this many in all.
    sweep_at: usize,
}

impl<K: Eq + Hash + Clone, V: ?Sized> Pool<K, V> {
    /// A pool with nothing in it.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Shelf { values: HashMap::new(), sweep_at: UNHELD_MAX }))
    }

    /// The value of this key: the one that is kept, or else a new one. It is made outside of the
    /// lock, so that others can be made at the same time; two who want one key may both make it,
    /// and then share the first.
    ///
    /// # Errors
    ///
    /// When there is none and it cannot be made.
    pub(super) fn get_or_make<M: Into<Arc<V>>, E>(
        &self,
        key: &K,
        make: impl FnOnce() -> Result<M, E>,
    ) -> Result<Arc<V>, E> {
        if let Some(value) = self.shelf().values.get(key) {
            return Ok(Arc::clone(value));
        }
        let value = make()?.into();
        Ok(self.shelf().put(key, value))
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone, V: ?Sized> Shelf<K, V> {
    /// Keeps a value, unless there is one by now; gives the one that is kept.
    fn put(&mut self, key: &K, value: Arc<V>) -> Arc<V> {
        if let Some(kept) = self.values.get(key) {
            return Arc::clone(kept);
        }
        if self.values.len() >= self.sweep_at {
            self.values.retain(|_, value| Arc::strong_count(value) > 1);
            // In proportion, so that a sweep costs each new value little.
            self.sweep_at = self.values.len() + UNHELD_MAX.max(self.values.len() / 8);
        }
        self.values.insert(key.clone(), Arc::clone(&value));
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
    fn a_value_is_shared_while_it_is_held_and_for_a_while_afterwards() {
        let pool = Pool::new();
        let first = get(&pool, 1);
        assert!(Arc::ptr_eq(&first, &get(&pool, 1)));
        let unheld = Arc::as_ptr(&get(&pool, 2));
        assert_eq!(unheld, Arc::as_ptr(&get(&pool, 2)));
        for key in 2..2_000 {
            drop(get(&pool, key));
        }
        assert!(pool.0.lock().unwrap().values.len() <= UNHELD_MAX + 1);
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
