//! Jobs by name, for those who hand the same jobs on again and again.
//!
//! Pure. A copy shares all of its jobs with the original, a change of one of them copies those that
//! stand next to it, and two versions are compared without a look at what they share.

use std::sync::Arc;

use super::name::JobName;

/// Entries that stand together, at most: few enough to copy them for a change of one, enough for
/// little to be shared.
const CHUNK_MAX: usize = 128;

/// Jobs by name, in the order of names. Cheap to copy.
#[derive(Debug, Clone)]
pub struct Roster<V> {
    /// In the order of names, none of them empty.
    chunks: Vec<Arc<Vec<(JobName, V)>>>,
    len: usize,
}

impl<V> Default for Roster<V> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<V> Roster<V> {
    /// How many jobs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What is kept of a job.
    #[must_use]
    pub fn get(&self, name: &JobName) -> Option<&V> {
        let chunk = self.chunks.get(self.chunk_of(name)?)?;
        let at = chunk.binary_search_by(|(other, _)| other.cmp(name)).ok()?;
        chunk.get(at).map(|(_, value)| value)
    }

    /// Whether a job is there.
    #[must_use]
    pub fn contains_key(&self, name: &JobName) -> bool {
        self.get(name).is_some()
    }

    /// Every job with what is kept of it, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&JobName, &V)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).map(|(name, value)| (name, value))
    }

    /// Every name, in order.
    pub fn keys(&self) -> impl Iterator<Item = &JobName> {
        self.iter().map(|(name, _)| name)
    }

    /// What is kept of every job, in the order of names.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// The names of which this and `other` do not keep the same, in order: `is_same` compares what
    /// both have. What they share is not looked at.
    pub fn differences<'a>(&'a self, other: &'a Self, is_same: impl Fn(&V, &V) -> bool) -> Vec<&'a JobName> {
        let (mut ours, mut theirs) = (Unshared::of(self, other), Unshared::of(other, self));
        let mut found = Vec::new();
        loop {
            match (ours.first(), theirs.first()) {
                (None, None) => return found,
                (Some((name, _)), None) => {
                    found.push(name);
                    ours.pass();
                }
                (None, Some((name, _))) => {
                    found.push(name);
                    theirs.pass();
                }
                (Some((our_name, our)), Some((their_name, their))) => {
                    let order = our_name.cmp(their_name);
                    if order.is_ne() || !is_same(our, their) {
                        found.push(our_name.min(their_name));
                    }
                    if order.is_le() {
                        ours.pass();
                    }
                    if order.is_ge() {
                        theirs.pass();
                    }
                }
            }
        }
    }

    /// The only chunk that a name can be in; none when there is no chunk.
    fn chunk_of(&self, name: &JobName) -> Option<usize> {
        let after =
            self.chunks.partition_point(|chunk| chunk.first().is_some_and(|(first, _)| first <= name));
        (!self.chunks.is_empty()).then(|| after.saturating_sub(1))
    }
}

impl<V: Clone> Roster<V> {
    /// Puts a job in; gives what was kept of it before.
    pub fn insert(&mut self, name: JobName, value: V) -> Option<V> {
        let Some(at) = self.chunk_of(&name) else {
            self.chunks.push(Arc::new(vec![(name, value)]));
            self.len = 1;
            return None;
        };
        let chunk = Arc::make_mut(&mut self.chunks[at]);
        match chunk.binary_search_by(|(other, _)| other.cmp(&name)) {
            Ok(found) => return Some(std::mem::replace(&mut chunk[found].1, value)),
            Err(place) => chunk.insert(place, (name, value)),
        }
        self.len += 1;
        if chunk.len() > CHUNK_MAX {
            let rest = chunk.split_off(CHUNK_MAX / 2);
            chunk.shrink_to_fit();
            self.chunks.insert(at + 1, Arc::new(rest));
        }
        None
    }

    /// Takes a job out; gives what was kept of it.
    pub fn remove(&mut self, name: &JobName) -> Option<V> {
        let at = self.chunk_of(name)?;
        let found = self.chunks[at].binary_search_by(|(other, _)| other.cmp(name)).ok()?;
        let (_, value) = Arc::make_mut(&mut self.chunks[at]).remove(found);
        if self.chunks[at].is_empty() {
            self.chunks.remove(at);
        }
        self.len -= 1;
        Some(value)
    }
}

impl<V: Clone> Extend<(JobName, V)> for Roster<V> {
    fn extend<I: IntoIterator<Item = (JobName, V)>>(&mut self, jobs: I) {
        for (name, value) in jobs {
            self.insert(name, value);
        }
    }
}

impl<V: Clone> FromIterator<(JobName, V)> for Roster<V> {
    fn from_iter<I: IntoIterator<Item = (JobName, V)>>(jobs: I) -> Self {
        let mut all = Self::default();
        all.extend(jobs);
        all
    }
}

/// What one roster has in chunks that another does not share, from a place on.
struct Unshared<'a, V> {
    chunks: Vec<&'a [(JobName, V)]>,
    /// The place: a chunk, and an entry in it.
    at: (usize, usize),
}

impl<'a, V> Unshared<'a, V> {
    fn of(roster: &'a Roster<V>, other: &Roster<V>) -> Self {
        let mut others: Vec<_> = other.chunks.iter().map(Arc::as_ptr).collect();
        others.sort_unstable();
        let is_shared = |chunk: &Arc<Vec<(JobName, V)>>| others.binary_search(&Arc::as_ptr(chunk)).is_ok();
        let chunks = roster.chunks.iter().filter(|chunk| !is_shared(chunk)).map(|chunk| chunk.as_slice());
        Self { chunks: chunks.collect(), at: (0, 0) }
    }

    fn first(&self) -> Option<&'a (JobName, V)> {
        let (chunk, entry) = self.at;
        self.chunks.get(chunk)?.get(entry)
    }

    fn pass(&mut self) {
        let (chunk, entry) = self.at;
        let is_last = self.chunks.get(chunk).is_none_or(|chunk| entry + 1 >= chunk.len());
        self.at = if is_last { (chunk + 1, 0) } else { (chunk, entry + 1) };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn name(number: u16) -> JobName {
        JobName::parse(&format!("job-{number}")).unwrap()
    }

    /// Numbers to put in under a name, and none to take the name out.
    fn edits() -> impl Strategy<Value = Vec<(u16, Option<u8>)>> {
        prop::collection::vec((0..600_u16, prop::option::weighted(0.7, any::<u8>())), 0..1_500)
    }

    fn edit(roster: &mut Roster<u8>, model: &mut BTreeMap<JobName, u8>, edits: &[(u16, Option<u8>)]) {
        for (number, value) in edits {
            let name = name(*number);
            match value {
                Some(value) => {
                    assert_eq!(roster.insert(name.clone(), *value), model.insert(name, *value));
                }
                None => assert_eq!(roster.remove(&name), model.remove(&name)),
            }
        }
    }

    #[track_caller]
    fn holds(roster: &Roster<u8>, model: &BTreeMap<JobName, u8>) {
        assert!(roster.iter().eq(model.iter()));
        assert_eq!((roster.len(), roster.is_empty()), (model.len(), model.is_empty()));
        for number in 0..600 {
            assert_eq!(roster.get(&name(number)), model.get(&name(number)));
        }
        assert!(roster.chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= CHUNK_MAX));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_holds_what_a_map_holds_and_an_earlier_copy_stays_as_it_was(first in edits(), then in edits()) {
            let (mut roster, mut model) = (Roster::default(), BTreeMap::new());
            edit(&mut roster, &mut model, &first);
            holds(&roster, &model);
            let (before, model_before) = (roster.clone(), model.clone());
            edit(&mut roster, &mut model, &then[..then.len().min(40)]);
            holds(&roster, &model);
            holds(&before, &model_before);

            let names = model.keys().chain(model_before.keys());
            let mut changed: Vec<&JobName> =
                names.filter(|name| model.get(*name) != model_before.get(*name)).collect();
            changed.sort();
            changed.dedup();
            prop_assert_eq!(roster.differences(&before, |a, b| a == b), changed.clone());
            prop_assert_eq!(before.differences(&roster, |a, b| a == b), changed);
        }
    }

    #[test]
    fn what_two_versions_share_is_not_compared() {
        let before: Roster<u8> = (0..600).map(|number| (name(number), 0)).collect();
        let mut after = before.clone();
        after.insert(name(300), 1);
        let compared = std::cell::Cell::new(0);
        let is_same = |a: &u8, b: &u8| {
            compared.set(compared.get() + 1);
            a == b
        };
        assert_eq!(after.differences(&before, is_same), [&name(300)]);
        assert!(compared.get() <= CHUNK_MAX, "{compared:?}");
    }
}
