//! What was taken of one partition, in the order of its offsets, and how far all of it is done with.
//!
//! Pure. A group commits one number for a partition: everything before it is done with. So a record that
//! is settled before an earlier one waits here until the earlier one is settled, too.

use std::{collections::VecDeque, mem::replace, time::Instant};

/// What was taken of a partition since it became ours.
#[derive(Debug)]
pub(super) struct Window<T> {
    entries: VecDeque<Entry<T>>,
    /// Claims with a lower number are of a time when the partition was ours before.
    first_claim: u64,
    /// All before this offset is settled.
    position: Option<i64>,
    /// All before this offset is known to be committed.
    committed: Option<i64>,
    claimed: usize,
}

#[derive(Debug)]
struct Entry<T> {
    offset: i64,
    state: State<T>,
}

#[derive(Debug)]
enum State<T> {
    /// Waits to be handed out.
    Held(T),
    /// Is handed out.
    Claimed { claim: u64, until: Instant, record: T },
    /// Is done with.
    Settled,
}

impl<T> Window<T> {
    /// An empty one; claims on it have numbers from `first_claim` on.
    pub(super) fn new(first_claim: u64) -> Self {
        Self { entries: VecDeque::new(), first_claim, position: None, committed: None, claimed: 0 }
    }

    /// Takes a record in, to be handed out later; `false` when it was taken before.
    pub(super) fn hold(&mut self, offset: i64, record: T) -> bool {
        let is_new = self.is_new(offset);
        if is_new {
            self.entries.push_back(Entry { offset, state: State::Held(record) });
        }
        is_new
    }

    /// Takes a record in that is handed out at once; `false` when it was taken before.
    pub(super) fn take(&mut self, offset: i64, claim: u64, until: Instant, record: T) -> bool {
        let is_new = self.is_new(offset);
        if is_new {
            self.entries.push_back(Entry { offset, state: State::Claimed { claim, until, record } });
            self.claimed += 1;
        }
        is_new
    }

    fn is_new(&self, offset: i64) -> bool {
        let last = self.entries.back().map(|entry| entry.offset);
        last.is_none_or(|last| last < offset) && self.position.is_none_or(|position| position <= offset)
    }

    /// Hands a record out that waits.
    pub(super) fn claim(&mut self, offset: i64, claim: u64, until: Instant) -> Option<&mut T> {
        let index = self.index(offset)?;
        let state = &mut self.entries.get_mut(index)?.state;
        if !matches!(state, State::Held(_)) {
            return None;
        }
        if let State::Held(record) = replace(state, State::Settled) {
            *state = State::Claimed { claim, until, record };
            self.claimed += 1;
        }
        match state {
            State::Claimed { record, .. } => Some(record),
            State::Held(_) | State::Settled => None,
        }
    }

    /// The record that a claim is on.
    pub(super) fn claimed(&self, offset: i64, claim: u64) -> Option<&T> {
        match &self.entries.get(self.index(offset)?)?.state {
            State::Claimed { claim: held, record, .. } if *held == claim => Some(record),
            _ => None,
        }
    }

    /// A record that waits.
    pub(super) fn held(&self, offset: i64) -> Option<&T> {
        match &self.entries.get(self.index(offset)?)?.state {
            State::Held(record) => Some(record),
            _ => None,
        }
    }

    /// Makes a claim last longer; `false` when it is over.
    pub(super) fn extend(&mut self, offset: i64, claim: u64, longer: Instant) -> bool {
        let entry = self.index(offset).and_then(|index| self.entries.get_mut(index));
        match entry.map(|entry| &mut entry.state) {
            Some(State::Claimed { claim: held, until, .. }) if *held == claim => {
                *until = longer;
                true
            }
            _ => false,
        }
    }

    /// Settles a record by a claim on it; `false` when the claim is over. It may be repeated.
    pub(super) fn settle(&mut self, offset: i64, claim: u64) -> bool {
        let Some(entry) = self.index(offset).and_then(|index| self.entries.get_mut(index)) else {
            return claim >= self.first_claim && self.position.is_some_and(|position| offset < position);
        };
        match entry.state {
            State::Claimed { claim: held, .. } if held == claim => {
                entry.state = State::Settled;
                self.claimed -= 1;
                self.advance();
                true
            }
            State::Settled => claim >= self.first_claim,
            _ => false,
        }
    }

    /// Settles a record that waits: it stands elsewhere now. `false` when it waits no more.
    pub(super) fn settle_held(&mut self, offset: i64) -> bool {
        let entry = self.index(offset).and_then(|index| self.entries.get_mut(index));
        match entry.map(|entry| &mut entry.state) {
            Some(state @ State::Held(_)) => {
                *state = State::Settled;
                self.advance();
                true
            }
            _ => false,
        }
    }

    /// Ends the claims that were not extended in time; gives their offsets. The records wait again.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<i64> {
        let mut expired = Vec::new();
        if self.claimed == 0 {
            return expired;
        }
        for entry in &mut self.entries {
            if !matches!(entry.state, State::Claimed { until, .. } if until <= now) {
                continue;
            }
            if let State::Claimed { record, .. } = replace(&mut entry.state, State::Settled) {
                entry.state = State::Held(record);
                expired.push(entry.offset);
            }
        }
        self.claimed -= expired.len();
        expired
    }

    /// Offsets of records that wait at the front while later ones are settled: after a crash, these
    /// would come again.
    pub(super) fn in_the_way(&self) -> Vec<i64> {
        let Some(last) = self.entries.iter().rposition(|entry| matches!(entry.state, State::Settled)) else {
            return Vec::new();
        };
        let front = self.entries.iter().take(last);
        let front = front.take_while(|entry| !matches!(entry.state, State::Claimed { .. }));
        let held = front.filter(|entry| matches!(entry.state, State::Held(_)));
        held.map(|entry| entry.offset).collect()
    }

    /// The offset that is to be committed, if one is.
    pub(super) fn to_commit(&self) -> Option<i64> {
        if self.position > self.committed { self.position } else { None }
    }

    /// Notes that all before an offset is committed.
    pub(super) fn commit(&mut self, position: i64) {
        self.committed = self.committed.max(Some(position));
    }

    /// How many records it holds: those that are not settled, and those that wait for these.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many are handed out.
    pub(super) fn claims(&self) -> usize {
        self.claimed
    }

    fn index(&self, offset: i64) -> Option<usize> {
        self.entries.binary_search_by_key(&offset, |entry| entry.offset).ok()
    }

    /// The next offset, and not the last one: what is committed is where the next owner begins.
    fn advance(&mut self) {
        while matches!(self.entries.front(), Some(Entry { state: State::Settled, .. })) {
            self.position = self.entries.pop_front().map(|entry| entry.offset + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A window in which `taken` was handed out, offset `n` under claim `10 + n`.
    fn window(taken: &[i64]) -> Window<()> {
        let mut window = Window::new(10);
        for &offset in taken {
            assert!(window.take(offset, claim(offset), later(60), ()));
        }
        window
    }

    fn claim(offset: i64) -> u64 {
        10 + u64::try_from(offset).unwrap()
    }

    fn later(secs: u64) -> Instant {
        Instant::now() + Duration::from_secs(secs)
    }

    #[track_caller]
    fn check(taken: &[i64], settled: &[i64], position: Option<i64>) {
        let mut window = window(taken);
        for &offset in settled {
            assert!(window.settle(offset, claim(offset)));
        }
        assert_eq!(window.to_commit(), position, "{taken:?} of which {settled:?} are settled");
    }

    #[test]
    #[rustfmt::skip]
    fn the_next_offset_is_committed_once_all_before_it_are_settled() {
        //    taken         settled       to commit
        check(&[5, 6, 7],   &[],          None);
        check(&[5, 6, 7],   &[6, 7],      None);
        check(&[5, 6, 7],   &[5],         Some(6));
        check(&[5, 6, 7],   &[6, 5],      Some(7));
        check(&[5, 6, 7],   &[7, 6, 5],   Some(8));
        // Offsets of a topic may have gaps.
        check(&[5, 9, 12],  &[5],         Some(6));
        check(&[5, 9, 12],  &[5, 9],      Some(10));
    }

    #[test]
    fn what_is_committed_is_not_committed_again() {
        let mut window = window(&[1, 2]);
        assert!(window.settle(1, claim(1)));
        window.commit(2);
        assert_eq!(window.to_commit(), None);
        assert!(window.settle(2, claim(2)));
        assert_eq!(window.to_commit(), Some(3));
    }

    #[test]
    fn settling_may_be_repeated_and_not_by_a_claim_of_before() {
        let mut window = window(&[1, 2, 3]);
        for offset in [3, 1] {
            assert!(window.settle(offset, claim(offset)));
            assert!(window.settle(offset, claim(offset)), "again");
            assert!(!window.settle(offset, 9), "a claim from before the partition was ours again");
        }
        assert!(!window.settle(2, 99), "no such claim");
        assert!(!window.settle(7, claim(7)), "never taken");
    }

    #[test]
    fn a_claim_that_is_not_extended_ends() {
        let mut window = window(&[1, 2]);
        assert!(window.extend(2, claim(2), later(600)));
        assert_eq!(window.expire(later(300)), [1]);
        assert!(!window.extend(1, claim(1), later(600)));
        assert!(!window.settle(1, claim(1)));
        assert!(window.claim(1, 50, later(600)).is_some());
        assert!(window.settle(1, 50));
        assert_eq!((window.claims(), window.to_commit()), (1, Some(2)));
    }

    #[test]
    fn only_what_waits_at_the_front_is_in_the_way() {
        let mut window = window(&[1, 2]);
        for offset in [3, 4] {
            assert!(window.hold(offset, ()));
        }
        assert!(window.settle(2, claim(2)));
        assert_eq!(window.in_the_way(), Vec::<i64>::new(), "1 is handed out");
        assert_eq!(window.expire(later(300)), [1]);
        assert_eq!(window.in_the_way(), [1], "nothing behind 3 is settled");
        assert!(window.settle_held(1));
        assert_eq!((window.to_commit(), window.in_the_way()), (Some(3), Vec::new()));
    }

    #[test]
    fn a_record_is_taken_once() {
        let mut window = window(&[1, 2]);
        assert!(!window.hold(2, ()) && !window.take(1, 99, later(60), ()));
        assert!(window.settle(1, claim(1)) && window.settle(2, claim(2)));
        assert!(!window.hold(2, ()), "settled");
        assert!(window.hold(3, ()));
    }
}
